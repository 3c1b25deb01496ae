"""Show where the published variant looks, and test whether the maps mean anything.

Reads models/{freeze}.safetensors, data/subset (test.npz, dataset.json), results/predictions/{freeze}.npz and
results/temperature/{freeze}.json. Writes plots/gradcam (hits.png, confident_misses.png, confused_pairs.png,
corrupted.png, methods.png), and in results/gradcam
- shown.csv: a row per image shown, with `index`, its row in data/subset/test.npz, and `confidence` after scaling;
- gallery.npz, for report.html to browse: `index` (M,), rows of data/subset/test.npz, and `maps`, float16 (M, h, w),
  each image's Grad-CAM for its predicted class, scaled to a maximum of 1;
- attribution.json: deletion, insertion and randomisation, with intervals and checks.
Params: freeze, gradcam, mirror.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.attribution.cam import GradCam, cams, require_map, scaled
from study.attribution.faithfulness import STEPS, deletion_insertion
from study.attribution.galleries import Shown, listing, write_galleries
from study.attribution.randomisation import between_images, cascade_correlations
from study.attribution.selection import browse, choose
from study.attribution.summary import summarise
from study.corruption.catalogue import corrupt
from study.data.splits import load_facts, load_split
from study.evaluation.predictions import load_predictions
from study.evaluation.temperature import load_temperature, tempered_softmax
from study.networks.inference import predict
from study.networks.loading import load_model
from study.pipeline.files import whole_folder, write_json, write_table
from study.pipeline.params import Refusal, parse
from study.pipeline.stage import main


def run(params: dict[str, Any], root: Path) -> None:
    freeze, block = parse(params, "freeze", str), parse(params, "gradcam", GradCam)
    model = load_model(root, freeze, parse(params, "mirror", bool))
    require_map(block.layer, model.backbone, model.image_size)
    (images, labels), classes = load_split(root, "test").examples, load_facts(root).classes
    if block.faithfulness_images > len(images):
        raise Refusal(
            f"params.yaml: gradcam.faithfulness_images = {block.faithfulness_images}: the test split has "
            f"{len(images)}; lower it or raise data.test"
        )
    logits = load_predictions(root, freeze, "test", len(classes)).logits
    temperature = load_temperature(root, freeze)
    test = Shown(images, labels, logits.argmax(axis=1), tempered_softmax(logits, temperature).max(axis=1))
    explain = partial(cams, layer=block.layer)

    chosen = choose(test.true, test.predicted, test.confidence, block.images)
    shown = np.concatenate(list(chosen.values()))  # the hits come first, and there may be none
    noisy = corrupt(images[shown], block.corruption, block.severity, block.seed)
    seen = tempered_softmax(predict(model, noisy), temperature)
    corrupted = Shown(noisy, labels[shown], seen.argmax(axis=1), seen.max(axis=1))
    browsed = browse(test.true, test.predicted, test.confidence)
    maps = explain(model, images[browsed], test.predicted[browsed])["grad_cam"]

    rng = np.random.default_rng(block.seed)
    tested = test.rows(rng.choice(len(images), block.faithfulness_images, replace=False))
    explain_tested = partial(explain, images=tested.images, classes=tested.predicted)
    trained = explain_tested(model)
    measured = summarise(
        deletion_insertion(model, tested.images, tested.predicted, trained, temperature, rng),
        cascade_correlations(model, trained, explain_tested, block.seed),
        between_images(trained),
    )

    tested_on = {"variant": freeze, "layer": block.layer, "images": block.faithfulness_images, "steps": STEPS}
    with whole_folder(root / "results/gradcam") as folder:
        write_table(folder / "shown.csv", pd.DataFrame(listing(test, chosen, classes)))
        np.savez(folder / "gallery.npz", index=browsed, maps=scaled(maps).astype(np.float16))
        write_json(folder / "attribution.json", tested_on | measured)
    condition = f"{block.corruption.replace('_', ' ')} at severity {block.severity}"
    source = f"{freeze} at {block.layer}"
    with whole_folder(root / "plots/gradcam") as folder:
        kinds = {kind: test.rows(rows) for kind, rows in chosen.items()}
        write_galleries(folder, kinds, corrupted, condition, partial(explain, model), classes, source)
    passed = sum(check["passed"] for check in measured["checks"])
    print(f"{source}: {passed} of {len(measured['checks'])} checks of the maps passed")


if __name__ == "__main__":
    main(run)
