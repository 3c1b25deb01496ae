"""Show where the published variant looks: typical hits, confident misses and the most confused pairs.

Reads models/{freeze}.safetensors, data/subset, results/predictions/{freeze}.npz and the temperature in
results/calibration/{freeze}.json. Writes plots/gradcam/hits.png, confident_misses.png, confused_pairs.png, and
results/gradcam.csv: a row per picture, with `index` its row in data/subset/test.npz and `confidence` after scaling.
Params: freeze, gradcam.
"""

import json
from pathlib import Path

from stages.common.calibration import softmax
from stages.common.cam import GradCam, grad_cam, heatmap, require_map
from stages.common.datasets import class_names, load_split
from stages.common.folders import whole_folder
from stages.common.gallery import Picture, draw_gallery
from stages.common.model import load_classifier
from stages.common.params import parse
from stages.common.predictions import load_predictions
from stages.common.showcase import choose
from stages.common.stage import main
from stages.common.tables import write_table
from stages.common.variants import Variant

HEADINGS = {
    "hits": "Typical hits",
    "confident_misses": "The most confident misses",
    "confused_pairs": "The most confused pairs of classes, by typical misses",
}


def run(params: dict, root: Path) -> None:
    freeze, gradcam = parse(params, "freeze", Variant), parse(params, "gradcam", GradCam)
    model = load_classifier(root / f"models/{freeze}.safetensors")
    require_map(gradcam.layer, model.image_size)
    (images, labels), classes = load_split(root, "test"), class_names(root)
    logits = load_predictions(root, freeze, "test", len(classes)).logits
    temperature = json.loads((root / f"results/calibration/{freeze}.json").read_text())["temperature"]
    predicted, confidence = logits.argmax(axis=1), softmax(logits, temperature).max(axis=1)

    table = [
        {
            "index": row,
            "kind": kind,
            "true": classes[labels[row]],
            "predicted": classes[predicted[row]],
            "confidence": confidence[row],
        }
        for kind, rows in choose(labels, predicted, confidence, gradcam.images).items()
        for row in rows.tolist()
    ]
    shown = [row["index"] for row in table]
    heat = [
        heatmap(grad_cam(model, images[shown], targets[shown], gradcam.layer), images.shape[1])
        for targets in (predicted, labels)
    ]
    write_table(root / "results/gradcam.csv", table)
    with whole_folder(root / "plots/gradcam") as folder:
        for kind, heading in HEADINGS.items():
            pictures = [
                Picture(
                    images[row["index"]],
                    f"{row['true']} / {row['predicted']}  p={row['confidence']:.2f}",
                    {f"for {row['predicted']}": of_predicted, f"for {row['true']}": of_true},  # one for a hit
                )
                for row, of_predicted, of_true in zip(table, *heat, strict=True)
                if row["kind"] == kind
            ]
            explanation = (
                "true / predicted, calibrated probability; brighter places speak more for the class "
                f"(Grad-CAM of {freeze} at {gradcam.layer})"
            )
            draw_gallery(folder / f"{kind}.png", heading, explanation, pictures)
    print(f"{len(table)} pictures in {len(HEADINGS)} galleries: {root / 'plots/gradcam'}")


if __name__ == "__main__":
    main(run)
