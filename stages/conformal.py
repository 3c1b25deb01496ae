"""Fix prediction sets and abstention of a variant, such as `fc`, on val; measure them on clean and corrupted images.

Reads results/predictions/{variant}.npz, results/corruption/{variant} (logits.npy), data/corrupted (conditions.json,
labels.npy) and data/subset/dataset.json. Writes in results/conformal/{variant}
- metrics.json: thresholds, and what they give on the test images;
- scores.npy: the LAC scores of the calibration images' right classes, ascending, float64 (n,): for any level;
- sets.csv: a row per condition, score and wanted coverage; condition 0 is the clean images;
- answers.csv: a row per condition and allowed error rate.
Params: conformal.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.conformal.evaluation import fixed_rules, measured_rules, on_test, right_scores
from study.conformal.prediction_sets import Conformal
from study.data.splits import load_facts
from study.evaluation.predictions import Predictions, load_predictions
from study.pipeline.files import read_json, whole_folder, write_json, write_table
from study.pipeline.params import parse
from study.pipeline.stage import main


def run(params: dict[str, Any], root: Path, variant: str) -> None:
    block = parse(params, "conformal", Conformal)
    classes = load_facts(root).classes
    val, test = (load_predictions(root, variant, split, len(classes)) for split in ("val", "test"))
    conditions, labels = read_json(root / "data/corrupted/conditions.json"), np.load(root / "data/corrupted/labels.npy")
    logits = np.load(root / "results/corruption" / variant / "logits.npy")

    rules = fixed_rules(val, block)
    metrics: dict[str, Any] = {"calibration_images": len(val.labels)}
    metrics |= on_test(rules, len(val.labels), test, classes, block.seed)
    rows: dict[str, list[dict[str, Any]]] = {"sets": [], "answers": []}
    for condition, of_condition in zip(conditions, logits, strict=True):
        measured = measured_rules(rules, Predictions(of_condition, labels), block.seed)
        for name, of in measured.items():
            rows[name] += [{"variant": variant, **condition, "images": len(labels), **row} for row in of]
    with whole_folder(root / "results/conformal" / variant) as folder:
        write_json(folder / "metrics.json", metrics)
        np.save(folder / "scores.npy", np.sort(right_scores(val, block.seed)["lac"]))
        for name, of in rows.items():
            write_table(folder / f"{name}.csv", pd.DataFrame(of))
    for row in metrics["sets"]:
        print(
            f"{variant}: {row['score']} sets for {row['target']:.0%} hold the right class of {row['coverage']:.1%}, "
            f"with {row['size']:.2f} classes on average"
        )


if __name__ == "__main__":
    main(run, *sys.argv[1:])
