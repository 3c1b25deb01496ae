"""What the models are tried on: the clean images, and each corruption at every severity."""

from collections.abc import Sequence
from typing import TypedDict

from stages.common.corruption import CORRUPTIONS, SEVERITIES
from stages.common.official import OFFICIAL_GROUPS


class Condition(TypedDict):
    """`group` is that of `stages.common.corruption`, or "clean", of severity 0."""

    corruption: str
    group: str
    severity: int


def conditions(corruptions: Sequence[str], official: bool) -> list[Condition]:
    """The clean images, then each corruption at severities 1-5; `official` when the authors' own files are read."""
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
