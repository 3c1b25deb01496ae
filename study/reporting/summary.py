"""What metrics/ holds: the headline figures of every variant, which `dvc metrics diff` compares, and their details."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from study.data.splits import Facts
from study.evaluation.per_class import unequal
from study.evaluation.robustness import adapted_changes, counted, held_out, means, robustness
from study.reporting.results import Results


def measurements(results: Results, freeze: str, facts: Facts) -> dict[str, dict[str, Any]]:
    """The content of each metrics/*.json, by the name of the file without its ending.

    freeze: the published variant; facts: of the dataset.
    """
    summary = headlines(results.calibration, results.corruption, results.training)
    for variant, shift in results.comparison["shift"].items():
        summary[variant] |= shift_headlines(shift)
    conformal = {
        variant: figures | under_corruption(variant, results.sets, results.answers)
        for variant, figures in results.conformal.items()
    }
    for variant, figures in conformal.items():
        summary[variant] |= beyond_confidence(figures, mean_auroc(results.ood)[variant])
    changes = adapted_changes(results.adaptation)
    return {
        "summary": summary
        | {"published": summary[freeze], "majority": {"accuracy": results.calibration[freeze]["majority_accuracy"]}},
        "calibration": results.calibration,
        "comparison": results.comparison,
        "robustness": {
            variant: scores | {"adapted_change": changes[variant]}
            for variant, scores in robustness(results.corruption).items()
        },
        "conformal": conformal,
        "label_errors": results.label_errors,
        "ood": mean_auroc(results.ood),
        "adversarial": results.adversarial_checks,
        "attribution": results.attribution,
        "training": results.training,
        "export": results.export,
        "dataset": facts._asdict(),
    }


def measured_tables(results: Results) -> dict[str, pd.DataFrame]:
    """Each metrics/*.csv, by the name of the file without its ending."""
    return {
        "per_class": per_class_table(results.calibration),
        "corruption": results.corruption,
        "adaptation": results.adaptation,
        "interpolation": results.interpolation,
        "ood": results.ood,
        "wrong_labels": results.wrong_labels,
        "adversarial": results.adversarial,
        "gradcam": results.shown,
    }


def headlines(
    calibration: Mapping[str, Mapping[str, Any]],
    corruption: pd.DataFrame,
    training: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, float]]:
    """Per variant: what it got right on the test images, how honest its probabilities are, and what it cost.

    Accuracy, ECE and macro F1 in [0, 1], NLL in nats, Brier in [0, 2]; `before` and `after` temperature scaling.
    Balanced accuracy, which is the mean recall of the classes, only where the test images of the classes differ in
    number.
    `corrupted_*` are means over the conditions that `robustness.counted` counts. `train_seconds` includes
    `shared_seconds`, because each variant alone would need them.
    """
    corrupted = {str(variant): means(counted(rows)) for variant, rows in corruption.groupby("variant")}
    return {
        variant: {
            "accuracy": scores["after"]["accuracy"],
            **({"balanced_accuracy": scores["after"]["macro_recall"]} if unequal(scores["per_class"]) else {}),
            "classes_never_predicted": len(scores["never_predicted"]),
            "ece_before": scores["before"]["ece"],
            "ece_after": scores["after"]["ece"],
            "nll_before": scores["before"]["nll"],
            "nll_after": scores["after"]["nll"],
            "brier_after": scores["after"]["brier"],
            "macro_f1": scores["after"]["macro_f1"],
            "temperature": scores["temperature"],
            "fitted": scores["fitted"],
            "corrupted_accuracy": corrupted[variant]["accuracy"],
            "corrupted_ece_before": corrupted[variant]["ece_before"],
            "corrupted_ece_after": corrupted[variant]["ece_after"],
            "train_seconds": shared_seconds(training, variant) + training[variant]["train_seconds"],
        }
        for variant, scores in calibration.items()
    }


def shift_headlines(shift: Mapping[str, Any]) -> dict[str, float]:
    """The held-out corruptions' means, where there are any, and what adapted batch-norm statistics change."""
    held_out = {f"held_out_{name}": figure["mean"] for name, figure in shift.get("held_out", {}).items()}
    return held_out | {f"adapted_{name}_change": of["difference"] for name, of in shift["adapted"]["change"].items()}


def under_corruption(variant: str, sets: pd.DataFrame, answers: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """What sets and answers keep of their promise, over the conditions that count and over those held out.

    A row per score and wanted coverage, of means over the conditions; and per allowed error rate, where `wrong` is the
    share among all answers that are given under them, None if there are none.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, pick in (("corrupted", counted), ("held_out", held_out)):
        of_sets, of_answers = (pick(table[table["variant"] == variant]) for table in (sets, answers))
        if of_sets.empty:
            continue
        measures = ["coverage", "size", "singletons", "empty"]
        rows = of_sets.groupby(["score", "target"], sort=False)[measures].mean().reset_index()
        found[name] = {
            "sets": [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")],
            "answers": [
                {"target": float(str(target)), "answered": float(of["answered"].mean()), "wrong": pooled_errors(of)}
                for target, of in of_answers.groupby("target", sort=False)
            ],
        }
    return found


def pooled_errors(answers: pd.DataFrame) -> float | None:
    """The share of wrong ones among all answers. answers: `answered`, and `wrong` (missing where none is answered)."""
    given = float(answers["answered"].sum())
    return float((answers["answered"] * answers["wrong"].fillna(0)).sum()) / given if given else None


def beyond_confidence(conformal: Mapping[str, Any], auroc: Mapping[str, float]) -> dict[str, float]:
    """The LAC sets of the highest wanted coverage, clean and corrupted, and the mean AUROC of the energy."""

    def highest(rows: list[Mapping[str, Any]]) -> Mapping[str, Any]:
        return max((row for row in rows if row["score"] == "lac"), key=lambda row: float(row["target"]))

    clean, corrupted = highest(conformal["sets"]), highest(conformal["corrupted"]["sets"])
    return {
        "set_coverage": clean["coverage"],
        "set_size": clean["size"],
        "corrupted_set_coverage": corrupted["coverage"],
        "corrupted_set_size": corrupted["size"],
        "ood_auroc": auroc["energy"],
    }


def mean_auroc(ood: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Per variant and score, the mean AUROC over the sets of images outside the classes."""
    means_of = ood.groupby(["variant", "score"], sort=False)["auroc"].mean()
    return {
        str(variant): {str(score): float(mean) for score, mean in scores.droplevel("variant").items()}
        for variant, scores in means_of.groupby("variant", sort=False)
    }


def shared_seconds(training: Mapping[str, Mapping[str, Any]], variant: str) -> float:
    """Seconds of the pass through the frozen backbone, 0 where the variant's training took none of its features."""
    return float(training["features"]["seconds"]) if training[variant]["cached_features"] else 0.0


def trained_with(training: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The version of Python and of each library that the trainings ran with; where variants differ, those of each.

    >>> trained_with({"fc": {"libraries": {"torch": "2.13.0"}}, "full": {"libraries": {"torch": "2.14.1"}}})
    {'torch': '2.13.0 (fc), 2.14.1 (full)'}
    """
    found: dict[str, dict[str, list[str]]] = {}
    for variant, cost in training.items():
        for name, version in cost.get("libraries", {}).items():
            found.setdefault(name, {}).setdefault(version, []).append(variant)
    return {
        name: ", ".join(version if len(of) == 1 else f"{version} ({', '.join(who)})" for version, who in of.items())
        for name, of in found.items()
    }


def per_class_table(calibration: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row per variant and class: precision, recall and F1 in [0, 1], and how many test images there are."""
    parts = {of: pd.DataFrame.from_dict(scores["per_class"], orient="index") for of, scores in calibration.items()}
    return pd.concat(parts, names=["variant", "class"]).reset_index()
