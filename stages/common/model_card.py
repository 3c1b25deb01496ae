"""The model card: a template filled with what was measured. No figure is typed into it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages.common.diagrams import MEAN
from stages.common.results_table import Summary, Training, results_table
from stages.common.variants import VARIANTS, Variant

TEMPLATES = Path(__file__).parents[1] / "templates"


def percent(share: float | str) -> str:
    """
    >>> percent(0.94321)
    '94.32 %'
    """
    return f"{100 * float(share):.2f} %"


def fixed(value: float | str) -> str:
    """
    >>> fixed(0.0061499)
    '0.0061'
    """
    return f"{float(value):.4f}"


def seconds(value: float | str) -> str:
    """
    >>> seconds(1234.5)
    '1,234 s'
    """
    return f"{float(value):,.0f} s"


def setting(value: Any) -> str:
    """A parameter, or a figure of any kind, as short as it can be told.

    >>> setting(45000), setting(0.0005), setting(1.5e-06), setting(True), setting([512, 64])
    ('45,000', '0.0005', '1.5e-06', 'yes', '512, 64')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(setting, value)) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def leaves(block: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names.

    >>> leaves({"seed": 0, "probe": {"lr": 0.1}})
    {'seed': 0, 'probe.lr': 0.1}
    """
    flat: dict[str, Any] = {}
    for key, value in block.items():
        flat |= leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def render_card(
    freeze: Variant,
    params: Mapping[str, Any],
    summary: Summary,
    training: Training,
    calibration: Mapping[str, Any],
    robustness: list[Mapping[str, Any]],
    cams: list[Mapping[str, str]],
    export: Mapping[str, Any],
) -> str:
    """The card of variant `freeze` in Markdown, under a Hugging Face metadata head.

    params: the blocks data, backbone, train, calibrate and corrupt_eval. The tables are as in metrics/*.json,
    plots/corruption.csv (robustness) and results/gradcam.csv.
    Raises jinja2.UndefinedError when a figure that the card quotes is absent.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for filter_ in (percent, fixed, seconds, setting, leaves):
        environment.filters[filter_.__name__] = filter_
    return environment.get_template("MODEL_CARD.md.j2").render(
        freeze=freeze,
        params=params,
        summary=summary,
        training=training,
        calibration=calibration,
        robustness=robustness,
        cams=cams,
        export=export,
        variants=[{"name": variant, **summary[variant]} for variant in VARIANTS],
        mean=MEAN,
        results_table=results_table(summary, training),
    )
