"""Show where the published variant looks, and test whether the maps mean anything.

Reads models/{freeze}.safetensors, data/subset, results/predictions/{freeze}.npz and the temperature in
results/calibration/{freeze}.json. Writes
- plots/gradcam/hits.png, confident_misses.png, confused_pairs.png, corrupted.png and methods.png;
- results/gradcam.csv: a row per hit or miss shown, with `index` its row in data/subset/test.npz and `confidence` after
  scaling;
- results/gallery.npz, for a page to browse: `index` (M,), rows of data/subset/test.npz, and `maps` (M, h, w), float16,
  each image's Grad-CAM for its predicted class, scaled to a maximum of 1;
- results/attribution.json: deletion, insertion and randomisation, with intervals and checks.
Params: freeze, gradcam.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np

from stages.common.attribution import attribution
from stages.common.calibration import softmax
from stages.common.cam import GradCam, cams, require_map, scaled
from stages.common.corruption import corrupt
from stages.common.datasets import class_names, load_split
from stages.common.faithfulness import STEPS, faithfulness
from stages.common.folders import whole_folder
from stages.common.galleries import Shown, listing, write_galleries
from stages.common.params import Refusal, parse
from stages.common.predict import predict
from stages.common.predictions import load_predictions
from stages.common.randomisation import between_images, randomisation
from stages.common.saved import load_classifier
from stages.common.showcase import browse, choose
from stages.common.stage import main
from stages.common.tables import write_table
from stages.common.variants import Variant


def run(params: dict, root: Path) -> None:
    freeze, block = parse(params, "freeze", Variant), parse(params, "gradcam", GradCam)
    model = load_classifier(root / f"models/{freeze}.safetensors")
    require_map(block.layer, model.image_size, model.map_size)
    (images, labels), classes = load_split(root, "test"), class_names(root)
    if block.faithfulness_images > len(images):
        raise Refusal(
            f"params.yaml: gradcam.faithfulness_images = {block.faithfulness_images}: the test split has "
            f"{len(images)}; lower it or raise data.test"
        )
    logits = load_predictions(root, freeze, "test", len(classes)).logits
    temperature = json.loads((root / f"results/calibration/{freeze}.json").read_text())["temperature"]
    test = Shown(images, labels, logits.argmax(axis=1), softmax(logits, temperature).max(axis=1))
    explain = partial(cams, layer=block.layer)

    chosen = choose(test.true, test.predicted, test.confidence, block.images)
    shown = np.concatenate(list(chosen.values()))  # the hits come first, and there may be none
    noisy = corrupt(images[shown], block.corruption, block.severity, block.seed)
    seen = softmax(predict(model, noisy), temperature)
    corrupted = Shown(noisy, labels[shown], seen.argmax(axis=1), seen.max(axis=1))
    browsed = browse(test.true, test.predicted, test.confidence)
    maps = explain(model, images[browsed], test.predicted[browsed])["grad_cam"]

    rng = np.random.default_rng(block.seed)
    tested = test.rows(rng.choice(len(images), block.faithfulness_images, replace=False))
    explain_tested = partial(explain, images=tested.images, classes=tested.predicted)
    trained = explain_tested(model)
    measured = attribution(
        faithfulness(model, tested.images, tested.predicted, trained, temperature, rng),
        randomisation(model, trained, explain_tested, block.seed),
        between_images(trained),
    )

    write_table(root / "results/gradcam.csv", listing(test, chosen, classes))
    np.savez(root / "results/gallery.npz", index=browsed, maps=scaled(maps).astype(np.float16))
    record = {"variant": freeze, "layer": block.layer, "images": block.faithfulness_images, "steps": STEPS, **measured}
    (root / "results/attribution.json").write_text(json.dumps(record, indent=2) + "\n")
    condition = f"{block.corruption.replace('_', ' ')} at severity {block.severity}"
    source = f"{freeze} at {block.layer}"
    with whole_folder(root / "plots/gradcam") as folder:
        kinds = {kind: test.rows(rows) for kind, rows in chosen.items()}
        write_galleries(folder, kinds, corrupted, condition, partial(explain, model), classes, source)
    passed = sum(check["passed"] for check in record["checks"])
    print(f"{source}: {passed} of {len(record['checks'])} checks of the maps passed")


if __name__ == "__main__":
    main(run)
