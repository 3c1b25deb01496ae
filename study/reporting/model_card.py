"""The model card: a template filled with what was measured. No figure is typed into it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from study.pipeline.variants import VARIANTS, Variant
from study.reporting.formats import fixed, percent, plain, points, records, templates
from study.reporting.results_table import remarks, results_table
from study.reporting.summary import trained_with


def render_card(
    freeze: Variant,
    params: Mapping[str, Any],
    figures: Mapping[str, Mapping[str, Any]],
    tables: Mapping[str, pd.DataFrame],
    published: Mapping[str, Mapping[str, Any]],
) -> str:
    """The card of variant `freeze` in Markdown, under a Hugging Face metadata head.

    params: `mirror`, and the blocks data, backbone, train, calibrate, corrupt_eval, adapt, conformal, ood and
    adversarial. figures: what metrics/*.json hold, and tables: those of metrics/*.csv, both by the name of the file
    without its ending.
    published: of study.reporting.published.
    Raises jinja2.UndefinedError when a figure that the card quotes is absent.
    """
    summary = figures["summary"]
    return (
        templates()
        .get_template("MODEL_CARD.md.j2")
        .render(
            **figures,
            tables={name: records(table) for name, table in tables.items()},
            freeze=freeze,
            params=params,
            variants=[{"name": variant, **summary[variant]} for variant in VARIANTS],
            literature=published,
            results_table=results_table(summary, figures["training"]),
            libraries=trained_with(figures["training"]),
            remarks=remarks(figures["calibration"], "`{}`", plain),
            percent=percent,
            fixed=fixed,
            points=points,
        )
    )
