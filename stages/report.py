"""Bring together what every stage measured: the summary, its details, the table behind each diagram, the model card.

Reads results/ (calibration, comparison.json, predictions, corruption, adversarial, training, export.json, gradcam.csv,
attribution.json, gallery.npz) and data/subset/test.npz. Writes metrics/, plots/ (reliability, confusion,
learning_curves and corruption as CSV; reliability, by_corruption, corruption and corruption_map as PNG), MODEL_CARD.md,
which quotes metrics/, the parameters and what others published, and report.html; prints the table of the variants.
Params: freeze; and data, backbone, train, calibrate, corrupt_eval, adversarial and gradcam, which are quoted.
"""

import json
from pathlib import Path
from typing import Any

from stages.common.diagrams import confusion_table, corruption_table, learning_curves_table
from stages.common.figures import (
    by_corruption_figure,
    corruption_figure,
    corruption_map_figure,
    reliability_figure,
    save_png,
)
from stages.common.model_card import render_card
from stages.common.page import load_gallery, write_page
from stages.common.params import parse
from stages.common.predictions import load_predictions
from stages.common.published import published_accuracies
from stages.common.results import load_results
from stages.common.results_table import plain_table
from stages.common.robustness import robustness
from stages.common.stage import main
from stages.common.summary import per_class_table, summarise
from stages.common.tables import write_table
from stages.common.variants import VARIANTS, Variant

QUOTED = ("data", "backbone", "train", "calibrate", "corrupt_eval", "adversarial", "gradcam")


def run(params: dict, root: Path) -> None:
    freeze = parse(params, "freeze", Variant)
    quoted = {key: parse(params, key, dict) for key in QUOTED}
    results = load_results(root)

    summary = summarise(results.calibration, results.corruption, results.training)
    summary["published"] = summary[freeze]
    figures = {
        "summary": summary,
        "calibration": results.calibration,
        "comparison": results.comparison,
        "robustness": robustness(results.corruption),
        "adversarial": results.adversarial_checks,
        "attribution": results.attribution,
        "training": results.training,
        "export": results.export,
    }
    tables = {
        "per_class": per_class_table(results.calibration),
        "corruption": results.corruption,
        "adversarial": results.adversarial,
        "gradcam": results.cams,
    }
    published = published_accuracies(quoted["data"]["dataset"], figures["robustness"][freeze]["by_corruption"])
    card = render_card(freeze, quoted, figures, tables, published)

    metrics, plots = root / "metrics", root / "plots"
    metrics.mkdir(exist_ok=True)
    for name, content in figures.items():
        write_json(metrics / f"{name}.json", content)
    for name, rows in tables.items():
        write_table(metrics / f"{name}.csv", rows)
    classes = list(results.calibration[freeze]["per_class"])
    write_table(plots / "reliability.csv", results.reliability)
    write_table(plots / "confusion.csv", confusion_table(results.confusion, classes))
    write_table(plots / "corruption.csv", corruption_table(results.corruption))
    write_table(plots / "learning_curves.csv", learning_curves_table(results.curves))
    save_png(reliability_figure(results.reliability, results.calibration), plots / "reliability.png")
    save_png(corruption_figure(figures["robustness"]), plots / "corruption.png")
    save_png(corruption_map_figure(results.corruption), plots / "corruption_map.png")
    save_png(by_corruption_figure(figures["robustness"], published), plots / "by_corruption.png")
    (root / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    predictions = {variant: load_predictions(root, variant, "test", len(classes)) for variant in VARIANTS}
    write_page(root / "report.html", freeze, quoted, classes, summary, results, predictions, load_gallery(root))
    print(plain_table(summary, results.training))


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(run)
