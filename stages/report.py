"""Bring together what every stage measured: tables, diagrams, a page to explore and the model card.

Reads results/, data/subset (test.npz, dataset.json) and data/corrupted. Writes metrics/ (the summary, its details, the
tables), plots/report/ (the table behind each diagram as CSV, and figures as PNG), MODEL_CARD.md, which quotes metrics/,
the parameters and what others published, and report.html; prints the table of the variants.
Params: freeze; and adapt, adversarial, backbone, calibrate, conformal, corrupt_eval, data, gradcam, interpolate,
mirror, ood and train, which are quoted.
"""

from pathlib import Path
from typing import Any

from study.data.splits import load_facts, load_split
from study.evaluation.predictions import load_predictions
from study.pipeline.files import whole_folder, write_json, write_table, write_text
from study.pipeline.params import parse
from study.pipeline.stage import main
from study.pipeline.variants import variants
from study.reporting.figures import save_png
from study.reporting.model_card import render_card
from study.reporting.page import write_page
from study.reporting.page_data import Study, load_explorer, load_gallery
from study.reporting.plots import draw_figures, plot_tables
from study.reporting.published import published_accuracies
from study.reporting.results import load_results
from study.reporting.results_table import plain_table
from study.reporting.summary import measured_tables, measurements

MEASURED = ("calibrate", "corrupt_eval", "adapt", "interpolate", "conformal", "ood", "adversarial", "gradcam")
QUOTED = ("data", "backbone", "train", *MEASURED)


def run(params: dict[str, Any], root: Path) -> None:
    freeze, names = parse(params, "freeze", str), variants(params)
    quoted: dict[str, Any] = {key: parse(params, key, dict[str, Any]) for key in QUOTED}
    quoted |= {"freeze": freeze, "mirror": parse(params, "mirror", bool)}
    results, facts = load_results(root, names), load_facts(root)
    study = Study(
        params=quoted,
        facts=facts,
        results=results,
        measured=measurements(results, freeze, facts),
        predictions={name: load_predictions(root, name, "test", len(facts.classes)) for name in names},
        gallery=load_gallery(root),
        explorer=load_explorer(root, names, freeze),
        test_images=load_split(root, "test").images,
    )
    tables = measured_tables(results)
    by_corruption = study.measured["robustness"][freeze]["by_corruption"]
    published = published_accuracies(quoted["data"]["dataset"], by_corruption)
    card = render_card(quoted, study.measured, tables, published)
    figures = draw_figures(study, published)

    with whole_folder(root / "metrics") as folder:
        for name, content in study.measured.items():
            write_json(folder / f"{name}.json", content)
        for name, table in tables.items():
            write_table(folder / f"{name}.csv", table)
    with whole_folder(root / "plots/report") as folder:
        for name, table in plot_tables(results, facts.classes).items():
            write_table(folder / f"{name}.csv", table)
        for name, figure in figures.items():
            save_png(figure, folder / f"{name}.png")
    write_text(root / "MODEL_CARD.md", card)
    write_page(root / "report.html", study, figures)
    print(plain_table(study.measured["summary"], results.training, quoted["train"], results.calibration))


if __name__ == "__main__":
    main(run)
