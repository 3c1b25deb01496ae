"""Bring together what every stage measured: the summary, its details, the table behind each diagram, the model card.

Reads results/ (calibration, corruption, training, export.json, gradcam.csv). Writes metrics/, plots/ (reliability,
confusion, learning_curves and corruption as CSV, reliability and corruption as PNG) and MODEL_CARD.md; prints the
table of the variants.
Params: freeze; and data, backbone, train, calibrate and corrupt_eval, which the card quotes.
"""

import json
from pathlib import Path
from typing import Any

from stages.common.diagrams import MEAN, confusion_table, corruption_table, learning_curves_table
from stages.common.figures import corruption_figure, reliability_figure, save_png
from stages.common.model_card import render_card
from stages.common.params import parse
from stages.common.results import load_results
from stages.common.results_table import plain_table
from stages.common.stage import main
from stages.common.summary import per_class_table, summarise
from stages.common.tables import write_table
from stages.common.variants import Variant

QUOTED = ("data", "backbone", "train", "calibrate", "corrupt_eval")


def run(params: dict, root: Path) -> None:
    freeze = parse(params, "freeze", Variant)
    quoted = {key: parse(params, key, dict) for key in QUOTED}
    results = load_results(root)

    summary = summarise(results.calibration, results.corruption, results.training)
    summary["published"] = summary[freeze]
    classes = list(results.calibration[freeze]["per_class"])
    robustness = corruption_table(results.corruption)
    card = render_card(
        freeze,
        quoted,
        summary,
        results.training,
        results.calibration,
        robustness,
        results.cams,
        results.export,
    )

    metrics, plots = root / "metrics", root / "plots"
    metrics.mkdir(exist_ok=True)
    write_json(metrics / "summary.json", summary)
    write_json(metrics / "calibration.json", results.calibration)
    write_json(metrics / "training.json", results.training)
    write_json(metrics / "export.json", results.export)
    write_table(metrics / "per_class.csv", per_class_table(results.calibration))
    write_table(metrics / "corruption.csv", results.corruption)
    write_table(plots / "reliability.csv", results.reliability)
    write_table(plots / "confusion.csv", confusion_table(results.confusion, classes))
    write_table(plots / "corruption.csv", robustness)
    write_table(plots / "learning_curves.csv", learning_curves_table(results.curves))
    save_png(reliability_figure(results.reliability, summary), plots / "reliability.png")
    save_png(corruption_figure([row for row in robustness if row["corruption"] == MEAN]), plots / "corruption.png")
    (root / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    print(plain_table(summary, results.training))


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(run)
