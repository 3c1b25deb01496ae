"""What prediction sets and abstention, fixed on calibration images, keep of their promise on other images."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from study.conformal.abstention import FAILURE, answer_measures, answering_threshold
from study.conformal.prediction_sets import (
    LEVEL,
    Conformal,
    aps_scores,
    class_coverage,
    class_thresholds,
    coverage_interval,
    lac_scores,
    set_measures,
    threshold,
)
from study.evaluation.predictions import Predictions
from study.evaluation.scores import confidence_and_correct
from study.evaluation.temperature import tempered_softmax

SCORES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "lac": lambda probabilities, _: lac_scores(probabilities),
    "aps": aps_scores,
    "lac_by_class": lambda probabilities, _: lac_scores(probabilities),
}
BY_CLASS = ("lac_by_class",)  # with a threshold for each class
CALIBRATION, OTHER = range(2)  # the parts of the images whose randomised scores have draws of their own


class SetRule(NamedTuple):
    """A set holds the classes whose score is at most their threshold."""

    score: str
    target: float  # the wanted coverage
    thresholds: np.ndarray  # (C,), the same for all classes but for BY_CLASS


class AnswerRule(NamedTuple):
    """Answers are given at or above this confidence, or never (None)."""

    target: float  # the error rate that is allowed among them
    threshold: float | None


class Rules(NamedTuple):
    sets: list[SetRule]
    answers: list[AnswerRule]


def fixed_rules(val: Predictions, block: Conformal) -> Rules:
    """Thresholds from the calibration images.

    Probabilities are those before temperature scaling, here and below: the temperature was fitted on the same images,
    and scores that depend on their labels would not be exchangeable with those of images to come.
    """
    classes = val.logits.shape[1]
    of_label = right_scores(val, block.seed)
    confidence, correct = confidence_and_correct(tempered_softmax(val.logits), val.labels)
    return Rules(
        [
            SetRule(
                name,
                target,
                class_thresholds(scores, val.labels, classes, target)
                if name in BY_CLASS
                else np.full(classes, threshold(scores, target)),
            )
            for name, scores in of_label.items()
            for target in block.coverages
        ],
        [AnswerRule(target, answering_threshold(confidence, correct, target)) for target in block.error_rates],
    )


def right_scores(val: Predictions, seed: int) -> dict[str, np.ndarray]:
    """By kind of score, those of the right classes of the calibration images, (n,)."""
    probabilities, uniform = tempered_softmax(val.logits), draws(len(val.labels), seed, CALIBRATION)
    rows = np.arange(len(val.labels))
    return {name: score(probabilities, uniform)[rows, val.labels] for name, score in SCORES.items()}


def draws(images: int, seed: int, part: int) -> np.ndarray:
    """Uniform in [0, 1), independent between the parts: what a threshold was fixed with must not recur in its test."""
    return np.random.default_rng([seed, part]).random(images)


def sets_of(rule: SetRule, probabilities: np.ndarray, seed: int) -> np.ndarray:
    """The classes in each image's set, bool (N, C). The images are not those of the calibration."""
    return SCORES[rule.score](probabilities, draws(len(probabilities), seed, OTHER)) <= rule.thresholds


def measured_rules(rules: Rules, predictions: Predictions, seed: int) -> dict[str, list[dict[str, Any]]]:
    """A row per rule: what its sets hold, and what its answers are worth, on these images."""
    probabilities = tempered_softmax(predictions.logits)
    confidence, correct = confidence_and_correct(probabilities, predictions.labels)
    return {
        "sets": [
            {"score": rule.score, "target": rule.target}
            | set_measures(sets_of(rule, probabilities, seed), predictions.labels)
            for rule in rules.sets
        ],
        "answers": [
            {"target": rule.target} | answer_measures(confidence, correct, rule.threshold) for rule in rules.answers
        ],
    }


def on_test(
    rules: Rules, calibration: int, test: Predictions, classes: list[str], seed: int
) -> dict[str, list[dict[str, Any]]]:
    """The same with the thresholds, the coverage of each class and, where classes share a threshold, its interval.

    calibration: how many images the thresholds were fixed on.
    """
    probabilities = tempered_softmax(test.logits)
    measured = measured_rules(rules, test, seed)
    for row, rule in zip(measured["sets"], rules.sets, strict=True):
        finite = [float(value) if np.isfinite(value) else None for value in rule.thresholds]
        if rule.score in BY_CLASS:
            row["threshold_of_class"] = dict(zip(classes, finite, strict=True))
        else:
            low, high = coverage_interval(calibration, rule.target, len(test.labels))
            row["threshold"] = finite[0]
            row["expected"] = {"level": LEVEL, "low": low, "high": high}
        row["of_class"] = class_coverage(sets_of(rule, probabilities, seed), test.labels, classes)
    for row, answer in zip(measured["answers"], rules.answers, strict=True):
        row |= {"threshold": answer.threshold, "failure": FAILURE}
    return measured
