"""The model card: a template filled with what was measured. No figure is typed into it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from study.reporting.formats import bundled_imagenet, fixed, origin, percent, plain, points, records, templates, terms
from study.reporting.published import TOP_1, TOP_5
from study.reporting.results_table import learns, of_variants, remarks, results_table, settings_table
from study.reporting.summary import trained_with


def render_card(
    params: Mapping[str, Any],
    figures: Mapping[str, Mapping[str, Any]],
    tables: Mapping[str, pd.DataFrame],
    published: Mapping[str, Mapping[str, Any]],
) -> str:
    """The card of the variant `freeze` in Markdown, under a Hugging Face metadata head.

    params: `freeze`, `mirror`, and the blocks data, backbone, train, calibrate, corrupt_eval, adapt, conformal, ood and
    adversarial. figures: what metrics/*.json hold, and tables: those of metrics/*.csv, both by the name of the file
    without its ending.
    published: of study.reporting.published.
    Raises jinja2.UndefinedError when a figure that the card quotes is absent.
    """
    summary, settings, backbone = figures["summary"], params["train"], params["backbone"]
    blocks = of_variants(settings)
    fine_tuned = [variant for variant, block in blocks.items() if "unfreeze_from" in block]
    return (
        templates()
        .get_template("MODEL_CARD.md.j2")
        .render(
            **figures,
            tables={name: records(table) for name, table in tables.items()},
            freeze=params["freeze"],
            params=params,
            variants=[{"name": variant, **summary[variant]} for variant in blocks],
            fine_tuned=fine_tuned,
            from_scratch=[variant for variant in blocks if variant not in fine_tuned],
            learns={variant: learns(block) for variant, block in blocks.items()},
            origin=origin(backbone),
            terms=terms(backbone),
            microsoft={"top_1": TOP_1, "top_5": TOP_5} if bundled_imagenet(backbone) else None,
            literature=published,
            results_table=results_table(summary, figures["training"], settings),
            settings_table=settings_table(settings, figures["dataset"]["mirrors"]),
            libraries=trained_with(figures["training"]),
            remarks=remarks(figures["calibration"], "`{}`", plain),
            percent=percent,
            fixed=fixed,
            points=points,
        )
    )
