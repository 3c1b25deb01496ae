"""The test labels of CIFAR-10 that are known to be wrong, and what a variant answers on their images.

Confident learning flagged 275 test labels and suggested another for each. Five people then judged each image: it shows
the given class, the suggested one, both or neither. A label is wrong here when fewer than three of them chose the given
class alone, as 54 are. Counting "both" as well, 17 of those 54 would be upheld. Labels that were not flagged were not
judged. cifar10.csv has the votes, NOTICE their source: Northcutt, Athalye and Mueller 2021, "Pervasive Label Errors in
Test Sets Destabilize Machine Learning Benchmarks".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.evaluation.bootstrap import bootstrap, difference, interval
from study.evaluation.scores import confidence_and_correct
from study.pipeline.files import read_table
from study.pipeline.params import Refusal

TABLE = Path(__file__).with_name("cifar10.csv")
MAJORITY = 3  # of the five judges
MISSES = 50  # the most confident ones of a variant


def load_flagged(dataset: str) -> pd.DataFrame:
    """A row per flagged label: test_index (in the published test set), given, suggested, the votes, and `wrong`.

    The votes are judges_given, judges_suggested, judges_both and judges_neither, five in all. `wrong`: bool. Another
    dataset than "cifar10" has no rows.
    """
    table = read_table(TABLE)
    table = table.assign(wrong=table["judges_given"] < MAJORITY)
    return table if dataset == "cifar10" else table[:0]


def in_split(flagged: pd.DataFrame, labels: np.ndarray, indices: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """The flagged labels of a test split, in its order. The new first column `row` is the image's place in the split.

    labels: int64 (N,), in [0, C); indices: int64 (N,), places in the published test set. Raises Refusal when the
    split's label of a flagged image is not the given one.
    """
    places = pd.DataFrame({"row": np.arange(len(indices)), "test_index": indices})
    found = places.merge(flagged, on="test_index")
    names = _names(classes, labels[found["row"]])
    differ = np.flatnonzero(names != found["given"].to_numpy())
    if len(differ):
        first = found.iloc[differ[0]]
        raise Refusal(
            f"data/subset/test.npz: {len(differ)} of {len(found)} labels are not CIFAR-10's: image "
            f"{first['test_index']} is labelled {names[differ[0]]}, not {first['given']}: run `dvc repro -f subsample`"
        )
    return found


def counts(found: pd.DataFrame) -> dict[str, int]:
    """How many labels of `in_split` are flagged, how many wrong, and how many of these "both" would uphold."""
    with_both = found["judges_given"] + found["judges_both"] >= MAJORITY
    return {
        "flagged": len(found),
        "wrong": int(found["wrong"].sum()),
        "upheld_with_both": int((found["wrong"] & with_both).sum()),
    }


def measured(
    probabilities: np.ndarray, labels: np.ndarray, found: pd.DataFrame, classes: list[str], resamples: int, seed: int
) -> dict[str, Any]:
    """Everything told of one variant, as results/label_errors/summary.json has it.

    probabilities: (N, C), after scaling; labels: int64 (N,); found: of `in_split`.
    """
    confidence, correct = confidence_and_correct(probabilities, labels)
    wrong = found[found["wrong"]]
    predicted = _names(classes, probabilities.argmax(axis=1)[wrong["row"]])
    return {
        **accuracy_without(correct, wrong["row"].to_numpy(), resamples, seed),
        "answers": answers(predicted, wrong),
        "misses": misses(confidence, correct, found, len(correct)),
        "confident_misses": misses(confidence, correct, found, MISSES),
    }


def accuracy_without(
    correct: np.ndarray, left_out: np.ndarray, resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """Accuracy on all N images, accuracy without the rows `left_out`, and the change from the first to the second.

    correct: bool (N,). Accuracies are in [0, 1]: mean, low and high; the change: difference, low and high, from samples
    of all N images that both accuracies share. Raises ValueError when no image is left.

    >>> figures = accuracy_without(np.array([True, True, True, False] * 9), np.array([3]), resamples=20, seed=0)
    >>> round(36 * figures["accuracy"]["mean"]), round(35 * figures["accuracy_without"]["mean"])
    (27, 27)
    """
    kept = np.ones(len(correct))
    kept[left_out] = 0
    if not kept.any():
        raise ValueError(f"all {len(correct)} images are left out")
    right = correct.astype(np.float64)

    def on_all(weights: np.ndarray) -> np.ndarray:
        mean: np.ndarray = (weights * right).mean(axis=-1)
        return mean

    def on_kept(weights: np.ndarray) -> np.ndarray:
        mean: np.ndarray = (weights * kept * right).sum(axis=-1) / (weights * kept).sum(axis=-1)
        return mean

    figures = bootstrap({"accuracy": on_all, "accuracy_without": on_kept}, len(correct), resamples, seed)
    told = {name: {"mean": figure.estimate, **interval(figure)} for name, figure in figures.items()}
    return {**told, "change": difference(figures["accuracy"], figures["accuracy_without"])}


def answers(predicted: np.ndarray, wrong: pd.DataFrame) -> dict[str, int]:
    """How many of the predicted class names (M,) are the given label, the suggested one, or another, summing to M."""
    given, suggested = (int((predicted == wrong[name].to_numpy()).sum()) for name in ("given", "suggested"))
    return {"given": given, "suggested": suggested, "another": len(wrong) - given - suggested}


def misses(confidence: np.ndarray, correct: np.ndarray, found: pd.DataFrame, most: int) -> dict[str, int]:
    """The number of misses, `most` or all there are, taking the most confident ones; and of these flagged and wrong.

    confidence: (N,); correct: bool (N,), against the given labels; found: of `in_split`.
    """
    missed = np.flatnonzero(~correct)
    missed = missed[np.argsort(-confidence[missed], kind="stable")][:most]
    among = found[found["row"].isin(missed)]
    return {"images": len(missed), "flagged": len(among), "wrong": int(among["wrong"].sum())}


def images_table(found: pd.DataFrame, probabilities: Mapping[str, np.ndarray], classes: list[str]) -> pd.DataFrame:
    """A row per wrong label: that of `in_split`, `doubt`, and {variant}_predicted and {variant}_confidence of each.

    probabilities: (N, C) by variant, after scaling. `doubt`: the highest probability of another class than the given
    one, as a mean over the variants, in [0, 1]. The label in most doubt comes first.
    """
    table = found[found["wrong"]].drop(columns="wrong").assign(doubt=0.0)
    given = np.array([classes.index(name) for name in table["given"]], dtype=np.int64)
    for variant, of_all in probabilities.items():
        scores = of_all[table["row"]]
        table[f"{variant}_predicted"] = _names(classes, scores.argmax(axis=1))
        table[f"{variant}_confidence"] = scores.max(axis=1)
        scores[np.arange(len(scores)), given] = 0
        table["doubt"] += scores.max(axis=1) / len(probabilities)
    return table.sort_values("doubt", ascending=False, kind="stable", ignore_index=True)


def _names(classes: list[str], labels: np.ndarray) -> np.ndarray:
    names: np.ndarray = np.array(classes, dtype=object)[labels]
    return names
