"""The results at a glance, one line per variant: for README and the model card, and for the terminal."""

from collections.abc import Callable, Mapping
from typing import Any

from study.evaluation.per_class import listed
from study.evaluation.temperature import why_not_fitted
from study.pipeline.variants import COMMON
from study.reporting.formats import setting, switched_on

HEADINGS = (
    "variant",
    "what learns (parameters)",
    "accuracy",
    "ECE before",
    "ECE after",
    "corrupted accuracy",
    "training",
    "hardware",
)
Summary = Mapping[str, Mapping[str, float]]  # metrics/summary.json
Training = Mapping[str, Mapping[str, Any]]  # metrics/training.json
Calibration = Mapping[str, Mapping[str, Any]]  # metrics/calibration.json
Settings = Mapping[str, Mapping[str, Any]]  # `train` of params.yaml: a block per variant, and `common`


def results_table(summary: Summary, training: Training, settings: Settings) -> str:
    """As a Markdown table, without a line break at its end."""
    headings, *rows = _lines(summary, training, settings, "`{}`")
    return markdown([headings, *rows], ["---", "---", *["---:"] * (len(headings) - 3), "---"])


def plain_table(summary: Summary, training: Training, settings: Settings, calibration: Calibration) -> str:
    """In columns of fixed width, for a terminal, with the remarks under it."""
    lines = _lines(summary, training, settings, "{}")
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*table, *remarks(calibration)])


def settings_table(settings: Settings, mirrors: bool) -> str:
    """What every training was told, as a Markdown table: a column per variant, and first the head's phase `probe`.

    mirrors: as in `switched_on`. A dash stands where a training has no such setting.
    """
    blocks = of_variants(settings)
    columns = {f"`{variant}`": dict(block) for variant, block in blocks.items()}
    if first := [variant for variant, block in blocks.items() if block.get("start") == "probe"]:
        columns = {
            f"phase one of {', '.join(f'`{variant}`' for variant in first)}": settings[COMMON]["probe"]
        } | columns
    names = dict.fromkeys(name for block in [*blocks.values(), *columns.values()] for name in block)
    lines = [["", *columns]]
    for name in names:
        cells = [_setting(name, block[name], mirrors) if name in block else "\N{EN DASH}" for block in columns.values()]
        lines.append([name.replace("_", " "), *cells])
    return markdown(lines, ["---", *["---:"] * len(columns)])


def markdown(lines: list[list[str]], align: list[str]) -> str:
    headings, *rows = lines
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, align, *rows))


def of_variants(settings: Settings) -> dict[str, Mapping[str, Any]]:
    """The block of each variant."""
    return {name: block for name, block in settings.items() if name != COMMON}


def learns(block: Mapping[str, Any]) -> str:
    """Where learning begins in a variant with these settings.

    >>> [learns({"unfreeze_from": name, "learns": "all"}) for name in ("fc", "layer4", "layer3", "stem")]
    ['head', 'last block and head', 'layer3 to head', 'everything']
    >>> learns({"unfreeze_from": "layer3", "learns": "batch_norm"}), learns({"lr": 0.2})
    ('batch norm from layer3 on, and head', 'a light network')
    """
    if "unfreeze_from" not in block:
        return "a light network"
    first = block["unfreeze_from"]
    if first == "fc":
        return "head"
    if block["learns"] == "batch_norm":
        return f"batch norm {'everywhere' if first == 'stem' else f'from {first} on'}, and head"
    return {"layer4": "last block and head", "stem": "everything"}.get(first, f"{first} to head")


def learns_from(block: Mapping[str, Any], views: int) -> str:
    """The images that a variant's own phase sees in an epoch. views: `train.common.views`.

    >>> learns_from({"augment": None}, 3), learns_from({"augment": {"crop": True}}, 3)
    ('3 cached views', 'images augmented anew')
    """
    return f"{views} cached views" if block["augment"] is None else "images augmented anew"


def starts_from(block: Mapping[str, Any]) -> str:
    """
    >>> starts_from({"start": "probe"}), starts_from({"start": "random"}), starts_from({})
    ('a trained head', 'a random head', 'random weights')
    """
    return {"probe": "a trained head", "random": "a random head", None: "random weights"}[block.get("start")]


def remarks(calibration: Calibration, name: str = "{}", show: Callable[[str], str] = str) -> list[str]:
    """What the table does not show, a sentence each: temperatures that were not fitted, and classes never predicted.

    name: how the name of a variant is written; show: how that of a class is.
    """
    said = [
        f"The temperature of {name.format(variant)} was not fitted: {why_not_fitted(of['temperature'])}. "
        f"Its figures after scaling are those at {of['temperature']:g}."
        for variant, of in calibration.items()
        if not of["fitted"]
    ]
    never = [
        f"{name.format(variant)} never predicts {listed([show(of_class) for of_class in of['never_predicted']])}"
        for variant, of in calibration.items()
        if of["never_predicted"]
    ]
    return said + ([f"On the test images, {'; '.join(never)}."] if never else [])


def _lines(summary: Summary, training: Training, settings: Settings, name: str) -> list[list[str]]:
    """The headings and a line for each variant; with balanced accuracy where the summary has it."""
    lines = [list(HEADINGS)]
    for variant, block in of_variants(settings).items():
        scores, cost = summary[variant], training[variant]
        lines.append(
            [
                name.format(variant),
                f"{learns(block)} ({cost['trainable_parameters'] / 1e6:.1f} M)",
                f"{100 * scores['accuracy']:.2f} %",
                f"{scores['ece_before']:.4f}",
                f"{scores['ece_after']:.4f}",
                f"{100 * scores['corrupted_accuracy']:.2f} %",
                f"{scores['train_seconds']:,.0f} s",
                f"{cost['device']}, {cost['precision']}",
            ]
        )
    if all("balanced_accuracy" in summary[variant] for variant in of_variants(settings)):
        balanced = [f"{100 * summary[variant]['balanced_accuracy']:.2f} %" for variant in of_variants(settings)]
        for line, cell in zip(lines, ["balanced accuracy", *balanced], strict=True):
            line.insert(HEADINGS.index("accuracy") + 1, cell)
    return lines


def _setting(name: str, value: Any, mirrors: bool) -> str:
    if name == "augment":
        return "cached views" if value is None else switched_on(value, mirrors)
    return setting(value)
