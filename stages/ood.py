"""Measure how well a variant, such as `fc`, tells images of none of its classes from the test images.

Reads models/{variant}.safetensors and data/subset (train.npz, calibration.npz, test.npz, dataset.json), and the
pictures in the folders of ood.paths. Writes in results/ood/{variant}
- scores.csv: a row per set of images outside the classes and score, with the number of its images, the AUROC, the share
  that passes where 95 % of the test images pass (fpr95), and the share that passes the threshold below (passed);
- thresholds.json: of each score that logits alone give, the threshold that 95 % of the images of `calibration`
  reach, and the share of test images below it. The logits are those before temperature scaling.
Params: mirror, ood.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from study.data.sampling import draw_rows
from study.data.splits import load_facts, load_split
from study.networks.inference import predict
from study.networks.loading import load_model
from study.ood.features import features_and_logits
from study.ood.images import Ood, outside_sets
from study.ood.scores import all_scores, auroc, fpr_at_tpr, thresholds
from study.pipeline.files import whole_folder, write_json, write_table
from study.pipeline.params import parse
from study.pipeline.stage import main


def run(params: dict[str, Any], root: Path, variant: str) -> None:
    block = parse(params, "ood", Ood)
    model = load_model(root, variant, parse(params, "mirror", bool))
    train, calibration, test = (load_split(root, split) for split in ("train", "calibration", "test"))
    drawn = np.random.default_rng(block.seed).permutation(len(train.labels))[: block.train_images]
    rows = draw_rows(test.labels, min(block.images, len(test.labels)), block.seed, "ood.images")
    images = test.images[rows]
    sets = outside_sets(images, load_facts(root).classes, block, [root / path for path in block.paths])

    train_features, _ = features_and_logits(model, train.images[drawn])
    reference = train_features, train.labels[drawn], min(block.neighbours, len(drawn))
    features, logits = features_and_logits(model, images)
    inside = all_scores(*reference, features, logits)
    limits = thresholds(predict(model, calibration.images), logits)
    lines: list[dict[str, Any]] = []
    for name, outside in tqdm(sets, f"ood {variant}", disable=None):
        lines += [
            {"variant": variant, "set": name, "images": len(outside), "score": score}
            | {"auroc": auroc(inside[score], values), "fpr95": fpr_at_tpr(inside[score], values)}
            | {"passed": float((values >= limits[score]["threshold"]).mean()) if score in limits else None}
            for score, values in all_scores(*reference, *features_and_logits(model, outside)).items()
        ]

    table = pd.DataFrame(lines)
    with whole_folder(root / "results/ood" / variant) as folder:
        write_table(folder / "scores.csv", table)
        write_json(folder / "thresholds.json", limits)
    means = table.groupby("score", sort=False)["auroc"].mean()
    print(f"{variant}: mean AUROC " + ", ".join(f"{mean:.4f} {name}" for name, mean in means.items()))


if __name__ == "__main__":
    main(run, *sys.argv[1:])
