"""Bring together what every stage measured: tables, diagrams, a page to explore and the model card.

Reads results/, data/subset/test.npz and data/corrupted. Writes metrics/ (the summary, its details, the tables),
plots/report/ (the table behind each diagram as CSV, and figures as PNG), MODEL_CARD.md, which quotes metrics/, the
parameters and what others published, and report.html; prints the table of the variants.
Params: freeze; and adapt, adversarial, backbone, calibrate, conformal, corrupt_eval, data, gradcam, interpolate,
mirror, ood and train, which are quoted.
"""

from pathlib import Path
from typing import Any

from study.data.splits import load_split
from study.evaluation.predictions import load_predictions
from study.label_errors.figure import label_errors_figure
from study.pipeline.files import whole_folder, write_json, write_table, write_text
from study.pipeline.params import parse
from study.pipeline.stage import main
from study.pipeline.variants import VARIANTS, Variant
from study.reporting.figures import draw_figures, save_png
from study.reporting.model_card import render_card
from study.reporting.page import write_page
from study.reporting.page_data import load_explorer, load_gallery
from study.reporting.plot_tables import plot_tables
from study.reporting.published import published_accuracies
from study.reporting.results import load_results
from study.reporting.results_table import plain_table
from study.reporting.shift_figures import adaptation_figure, interpolation_figure
from study.reporting.summary import measured_tables, measurements
from study.reporting.uncertainty_figures import conformal_figure, ood_figure

MEASURED = ("calibrate", "corrupt_eval", "adapt", "interpolate", "conformal", "ood", "adversarial", "gradcam")
QUOTED = ("data", "backbone", "train", *MEASURED)


def run(params: dict[str, Any], root: Path) -> None:
    freeze: Variant = parse(params, "freeze", Variant)
    quoted = {key: parse(params, key, dict[str, Any]) for key in QUOTED} | {"mirror": parse(params, "mirror", bool)}
    results = load_results(root)
    classes = list(results.calibration[freeze]["per_class"])
    predictions = {variant: load_predictions(root, variant, "test", len(classes)) for variant in VARIANTS}
    gallery, explorer = load_gallery(root), load_explorer(root, freeze)
    test_images, _ = load_split(root, "test")

    measured, tables = measurements(results, freeze), measured_tables(results)
    summary, robustness = measured["summary"], measured["robustness"]
    published = published_accuracies(quoted["data"]["dataset"], robustness[freeze]["by_corruption"])
    card = render_card(freeze, quoted, measured, tables, published)

    with whole_folder(root / "metrics") as folder:
        for name, content in measured.items():
            write_json(folder / f"{name}.json", content)
        for name, table in tables.items():
            write_table(folder / f"{name}.csv", table)
    with whole_folder(root / "plots/report") as folder:
        for name, table in plot_tables(results, classes).items():
            write_table(folder / f"{name}.csv", table)
        drawn = draw_figures(results, robustness, published)
        drawn |= {
            "adaptation": adaptation_figure(results.adaptation),
            "interpolation": interpolation_figure(results.interpolation),
            "conformal": conformal_figure(results.sets, results.answers),
            "ood": ood_figure(results.ood),
        }
        if not results.wrong_labels.empty:
            drawn["label_errors"] = label_errors_figure(test_images, results.wrong_labels, freeze)
        for name, figure in drawn.items():
            save_png(figure, folder / f"{name}.png")
    write_text(root / "MODEL_CARD.md", card)
    write_page(
        *(root / "report.html", freeze, quoted, classes, summary, results),
        *(measured["conformal"], predictions, gallery, explorer, test_images),
    )
    print(plain_table(summary, results.training, results.calibration))


if __name__ == "__main__":
    main(run)
