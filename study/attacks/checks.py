"""Checks that hold if the attacks work. A table that fails one says little about the classifier.

Carlini et al. 2019, "On Evaluating Adversarial Robustness".
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

HARMLESS = 0.05  # of the images: what noise may cost, where an attack of the same size costs most
BREAKING = 8  # of 255: breaks a network that was not trained on attacked images
BROKEN = 0.02  # of the images: the highest accuracy of a broken network


class Findings(NamedTuple):
    """Results of the attacks. Accuracies are in [0, 1], one for each of the ascending `epsilons`."""

    epsilons: Sequence[int]  # of 255
    clean: float  # accuracy without an attack
    noise: Sequence[float]
    fgsm: Sequence[float]
    pgd: Sequence[float]
    tempered: Sequence[float]  # FGSM on the logits divided by the temperature
    furthest: Sequence[int]  # of 255: the largest change of a value by any attack
    zero_gradients: float  # the largest share of images, over attacks, with a gradient of zero


def checks(found: Findings) -> list[dict[str, Any]]:
    """Rows (check, passed, detail): a sentence, whether it holds, and the figures behind it."""
    at = f"at {', '.join(map(str, found.epsilons))} / 255"
    noise, fgsm, pgd, tempered = map(_listed, (found.noise, found.fgsm, found.pgd, found.tempered))
    rows = [
        ("FGSM leaves no more images right at a larger epsilon", _falls(found.fgsm), f"accuracy {fgsm} {at}"),
        ("PGD leaves no more images right at a larger epsilon", _falls(found.pgd), f"accuracy {pgd} {at}"),
        (
            "PGD is at least as strong as FGSM at every epsilon",
            all(many <= one for many, one in zip(found.pgd, found.fgsm, strict=True)),
            f"accuracy {pgd} under PGD, {fgsm} under FGSM {at}",
        ),
        (
            f"Random noise of the same size costs at most {HARMLESS:.0%} of the images",
            all(round(found.clean - accuracy, 9) <= HARMLESS for accuracy in found.noise),
            f"accuracy {found.clean:.3f} on clean images, {noise} {at}",
        ),
        (
            "No value of an attacked image, as uint8, is further than epsilon from its original",
            all(change <= epsilon for change, epsilon in zip(found.furthest, found.epsilons, strict=True)),
            f"changed by at most {', '.join(map(str, found.furthest))} {at}",
        ),
        (
            "FGSM does the same with and without the temperature",
            list(found.tempered) == list(found.fgsm),
            f"accuracy {tempered} with it, {fgsm} without {at}",
        ),
        ("No image lacks a gradient to follow", found.zero_gradients == 0, f"{found.zero_gradients:.1%} of the images"),
    ]
    if found.epsilons[-1] >= BREAKING:
        name = f"PGD leaves at most {BROKEN:.0%} of the images right at {found.epsilons[-1]} / 255"
        rows.append((name, found.pgd[-1] <= BROKEN, f"accuracy {found.pgd[-1]:.3f}"))
    return [{"check": check, "passed": passed, "detail": detail} for check, passed, detail in rows]


def _falls(accuracies: Sequence[float]) -> bool:
    return all(after <= before for before, after in pairwise(accuracies))


def _listed(accuracies: Sequence[float]) -> str:
    return ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
