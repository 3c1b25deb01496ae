"""The conditions that models are evaluated under: clean images, and each corruption at every severity."""

from collections.abc import Sequence
from typing import TypedDict

from study.corruption.catalogue import CORRUPTIONS, SEVERITIES
from study.corruption.official_files import OFFICIAL_GROUPS


class Condition(TypedDict):
    """`group` is as in `study.corruption.catalogue`, or "clean" at severity 0."""

    corruption: str
    group: str
    severity: int


def conditions(corruptions: Sequence[str], official: bool) -> list[Condition]:
    """The clean images, then each corruption at severities 1-5. official: whether the authors' own files are used."""
    groups = {name: corruption.group for name, corruption in CORRUPTIONS.items()}
    if official:
        groups |= OFFICIAL_GROUPS
    return [
        Condition(corruption="clean", group="clean", severity=0),
        *(
            Condition(corruption=name, group=groups[name], severity=severity)
            for name in corruptions
            for severity in SEVERITIES
        ),
    ]
