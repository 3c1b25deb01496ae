"""report.html: everything that was measured and the pictures behind it, in one page that loads nothing."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert
from markupsafe import Markup
from matplotlib.figure import Figure

from study.evaluation.robustness import means, robustness
from study.pipeline.files import write_text
from study.reporting.figures import COLOURS, COLOURS_ON_DARK, columns, in_256_colours, rendered
from study.reporting.formats import TEMPLATES, fixed, level, origin, percent, points, records, signed, templates
from study.reporting.page_data import Study, packed_explorer, packed_gallery, packed_predictions, webp
from study.reporting.plots import MEAN, corruption_table, learning_curves_table
from study.reporting.results import Results
from study.reporting.results_table import Summary, learns, learns_from, of_variants, remarks, starts_from
from study.reporting.summary import shared_seconds, trained_with

VEGA_LITE = "6.4"
SCRIPTS = ("report", "report_diagrams", "report_charts", "report_calibration", "report_pictures", "report_page")
DRAWINGS = ("corruption", "adaptation", "interpolation", "conformal", "ood", "label_errors")  # shown as they are
PHOTOGRAPHS = "label_errors"  # the one that holds some


def write_page(path: Path, study: Study, figures: Mapping[str, Figure]) -> None:
    """One HTML file with its script, style, pictures and data inside. The same inputs give the same bytes.

    figures: of study.reporting.plots. Raises jinja2.UndefinedError or KeyError when a figure that the page quotes
    is absent.
    """
    params, results, freeze, variants = study.params, study.results, study.freeze, study.results.variants
    summary = study.measured["summary"]
    blocks = of_variants(params["train"])
    fine_tuned = [variant for variant in variants if "unfreeze_from" in blocks[variant]]
    by_severity = corruption_table(results.corruption)
    ranked = sorted(variants, key=lambda variant: -results.calibration[variant]["after"]["accuracy"])
    (closest,) = (pair for pair in results.comparison["pairs"] if {pair["first"], pair["second"]} == set(ranked[:2]))
    data = {
        "freeze": freeze,
        "variants": variants,
        "heads": [variant for variant in fine_tuned if blocks[variant]["unfreeze_from"] == "fc"],
        "colours": len(COLOURS),
        "classes": study.facts.classes,
        "bins": params["calibrate"]["bins"],
        "mean": MEAN,
        "robustness": records(by_severity),
        "curves": _timed_curves(results),
        "shared_seconds": {variant: shared_seconds(results.training, variant) for variant in variants},
        "results": _charted_results(summary, results),
        "adversarial": records(results.adversarial[["variant", "attack", "epsilon", "images", "accuracy"]]),
        "predictions": packed_predictions(study.predictions, summary),
        "gallery": packed_gallery(study.gallery, study.predictions, summary),
        "explorer": packed_explorer(study.explorer, summary),
    }
    corrupted = results.corruption[results.corruption["severity"] > 0]
    environment = templates(autoescape=True)
    measured = {show.__name__: typeset(show) for show in (percent, level, fixed, points, signed)}
    environment.filters |= measured | {"words": words}
    environment.globals |= measured
    page = environment.get_template("report.html.j2").render(
        freeze=freeze,
        params=params,
        dataset=study.facts.title,
        origin=origin(params["backbone"]),
        classes=study.facts.classes,
        summary=summary,
        calibration=results.calibration,
        remarks=remarks(results.calibration),
        comparison=results.comparison,
        training=results.training,
        adversarial=records(results.adversarial),
        adversarial_checks=results.adversarial_checks,
        attribution=results.attribution,
        groups=dict(zip(corrupted["corruption"], corrupted["group"], strict=True)),
        overview=_overview(by_severity),
        drawings={of: drawn(figures[of], lossless=of != PHOTOGRAPHS) for of in DRAWINGS if of in figures},
        conformal=study.measured["conformal"],
        label_errors=results.label_errors,
        pictures=len(study.gallery.rows),
        explored=len(study.explorer.labels),
        corruptions=[corruption for corruption, severity in study.explorer.conditions if severity == 1],
        charts=data["results"],
        tested=len(study.predictions[freeze].labels),
        ranked=ranked,
        closest=closest,
        learns={variant: learns(blocks[variant]) for variant in variants},
        learns_from={variant: learns_from(blocks[variant], params["train"]["common"]["views"]) for variant in variants},
        starts_from={variant: starts_from(blocks[variant]) for variant in variants},
        variants=variants,
        fine_tuned=fine_tuned,
        from_scratch=[variant for variant in variants if variant not in fine_tuned],
        columns=columns(len(variants)),
        mean=MEAN,
        libraries=trained_with(results.training),
        style=_series_colours() + _asset("report.css"),
        script=Markup("\n").join(_asset(f"{name}.js") for name in SCRIPTS),
        vega=Markup(vl_convert.javascript_bundle(vl_version=VEGA_LITE)),  # type: ignore[call-arg]  # optional, despite its stub
        data=_json(data),
    )
    write_text(path, page)


def words(name: str) -> str:
    """
    >>> words("gaussian_noise")
    'gaussian noise'
    """
    return name.replace("_", " ")


def typeset(show: Callable[[float], str]) -> Callable[[float], str]:
    """`show` with a minus sign as long as its plus, and no line break before a percent sign.

    >>> typeset("{:+.1f} %".format)(-0.5)
    '\N{MINUS SIGN}0.5\\xa0%'
    """
    return lambda value: show(value).replace("-", "\N{MINUS SIGN}").replace(" %", "\N{NO-BREAK SPACE}%")


def drawn(figure: Figure, lossless: bool = True) -> str:
    """The figure as the data URL of a WebP. lossless: in 256 colours, and not for photographs."""
    picture = rendered(figure)
    if lossless:
        return webp(in_256_colours(picture).convert("RGB"), quality=100, lossless=True)
    return webp(picture, quality=75)


def _charted_results(summary: Summary, results: Results) -> list[dict[str, Any]]:
    """The charts of the results: a title, a unit, and per variant a value, with its interval `low` to `high` if known.

    `before` is the value before scaling. `chance` is the ECE that chance alone may give: on clean images the upper end
    of its band; under corruption, a mean over many conditions, the mean of theirs.
    """
    calibration, shift, corrupted = results.calibration, results.comparison["shift"], robustness(results.corruption)
    charts: dict[tuple[str, str], Callable[[str], dict[str, float]]] = {
        ("Accuracy, clean images", "percent"): lambda variant: {
            "value": summary[variant]["accuracy"],
            **_ends(calibration[variant]["intervals"]["accuracy"]),
        },
        ("Accuracy, corrupted images", "percent"): lambda variant: {
            "value": summary[variant]["corrupted_accuracy"],
            **_ends(shift[variant]["corrupted"]["accuracy"]),
        },
        ("Accuracy, held-out corruptions", "percent"): lambda variant: {
            "value": shift[variant]["held_out"]["accuracy"]["mean"],
            **_ends(shift[variant]["held_out"]["accuracy"]),
        },
        ("Calibration error, clean images", "error"): lambda variant: {
            "value": summary[variant]["ece_after"],
            "before": summary[variant]["ece_before"],
            "chance": calibration[variant]["after"]["null"]["ece"]["upper"],
        },
        ("Calibration error, corrupted images", "error"): lambda variant: {
            "value": summary[variant]["corrupted_ece_after"],
            "before": summary[variant]["corrupted_ece_before"],
            "chance": corrupted[variant]["corrupted"]["ece_null_mean"],
            **_ends(shift[variant]["corrupted"]["ece"]),
        },
        ("Training, seconds", "seconds"): lambda variant: {"value": summary[variant]["train_seconds"]},
    }
    return [
        {"title": title, "unit": unit, "rows": [{"variant": variant, **row(variant)} for variant in results.variants]}
        for (title, unit), row in charts.items()
        if "held-out" not in title or "held_out" in shift[results.variants[0]]
    ]


def _ends(bounds: Mapping[str, float]) -> dict[str, float]:
    return {"low": bounds["low"], "high": bounds["high"]}


def _timed_curves(results: Results) -> list[dict[str, Any]]:
    """The learning curves with the seconds of every epoch."""
    seconds = [second for variant in results.variants for second in results.training[variant]["epoch_seconds"]]
    return records(learning_curves_table(results.curves).assign(seconds=seconds))


def _overview(by_severity: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """By corruption and variant the means over the severities, without the clean images."""
    corrupted = by_severity[by_severity["severity"] > 0]
    return {
        str(corruption): {str(variant): means(of) for variant, of in rows.groupby("variant", sort=False)}
        for corruption, rows in corrupted.groupby("corruption", sort=False)
    }


def _json(data: Mapping[str, Any]) -> Markup:
    """JSON that cannot end the <script> that it stands in, whatever a class is named."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))


def _series_colours() -> Markup:
    """As variables of the style sheet, --series-0 and so on."""
    pairs = enumerate(zip(COLOURS, COLOURS_ON_DARK, strict=True))
    lines = [f"  --series-{place}: light-dark({light.lower()}, {dark.lower()});" for place, (light, dark) in pairs]
    return Markup("\n".join([":root {", *lines, "}\n"]))


def _asset(name: str) -> Markup:
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))
