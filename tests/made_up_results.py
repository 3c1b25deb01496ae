"""Made-up results of a whole study, in the formats that the stages write, for tests of what reports them."""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from study.data.splits import Facts
from study.pipeline.files import write_json, write_table
from study.pipeline.variants import variants

CLASSES = ["cat", "dog", "ship"]
FACTS = Facts("CIFAR-10", CLASSES, mirrors=True)
VARIANTS = ("fc", "layer4", "full", "scratch")
FIVE = ("fc", "layer4", "layer3", "full", "scratch")  # what a person gets who adds a depth
TWO = ("fc", "full")  # the fewest: `interpolate` needs them
SEVEN = ("fc", "layer4", "layer3", "layer2", "bn", "full", "scratch")
GROUPS = {
    "gaussian_noise": "benchmark",
    "jpeg_compression": "benchmark",
    "frost": "own",
    "saturate": "extra",
    "ripple": "held_out",
}
SHARED = {"optimizer": "adamw", "schedule": "onecycle", "ema": 0.0, "clip": None, "patience": None}  # by all trainings
RECIPE = {"epochs": 2, "lr": 0.05, "weight_decay": 0.0005, "label_smoothing": 0.1}
AUGMENT = {"crop": True, "flip": True, "randaugment": False, "cutout": False, "augmix": False}
ON_IMAGES = {
    "augment": AUGMENT | {"mixup": 0.2, "cutmix": 0.0},
    "processes": 1,
    "consistency": 0.0,
    "first_image_size": None,
}


def fine_tuning(unfreeze_from, **others):
    deep = {"unfreeze_from": unfreeze_from, "start": "probe", "learns": "all", "layer_decay": 1.0}
    return deep | RECIPE | ON_IMAGES | others


BLOCKS = {
    "fc": fine_tuning("fc", start="random", augment=None),
    "layer4": fine_tuning("layer4"),
    "layer3": fine_tuning("layer3", start="random"),
    "layer2": fine_tuning("layer2"),
    "bn": fine_tuning("layer3", learns="batch_norm"),
    "full": fine_tuning("stem", first_image_size=32),
    "scratch": RECIPE | ON_IMAGES | {"image_size": 32, "batch_size": 16, "seed": 0},
}
PARAMS = {
    "freeze": "layer4",
    "mirror": True,
    "data": {"dataset": "cifar10", "path": "pictures", "side": 64, "train": 60, "val": 30, "test": 90, "seed": 0},
    "backbone": {
        "name": "resnet18",
        "weights": "tinyimagenet",
        "path": "mine.pt",
        "head": {"hidden": [8], "dropout": 0.3},
    },
    "train": {
        "common": {
            "image_size": 64,
            "views": 2,
            "augment": AUGMENT,
            "batch_size": 16,
            "seed": 0,
            "recipe": SHARED,
            "probe": RECIPE,
        },
        **{variant: BLOCKS[variant] for variant in VARIANTS},
    },
    "calibrate": {"bins": 5, "resamples": 321, "seed": 0},
    "corrupt_eval": {"corruptions": list(GROUPS), "images": 40, "seed": 0, "cifar10c_dir": None},
    "adapt": {"images": 20, "batch_sizes": [4, 20], "pseudo_count": 16},
    "interpolate": {"shares": [0.5], "train_images": 20, "images": 10, "seed": 0},
    "conformal": {"coverages": [0.9, 0.95], "error_rates": [0.01, 0.05], "seed": 0},
    "ood": {"images": 20, "train_images": 40, "neighbours": 3, "paths": [], "seed": 0},
    "adversarial": {"images": 25, "epsilons": [2, 8], "steps": 7, "seed": 0},
    "gradcam": {"layer": "layer3", "images": 6, "faithfulness_images": 12, "seed": 0},
}


def params_of(names, freeze="full"):
    """PARAMS with these of the BLOCKS, of which one is published."""
    blocks = {"common": PARAMS["train"]["common"]} | {name: BLOCKS[name] for name in names}
    return PARAMS | {"freeze": freeze, "train": blocks}


ERRORS = ("ece", "ece_equal_mass", "smece")
MEASURES = ("nll", "brier", *ERRORS, "classwise_ece", "mce", "aurc")


def results(rng, params=PARAMS):
    """{path below results/: what it holds}, a dict for JSON and a DataFrame for CSV, every figure random."""
    names = variants(params)
    content = {
        "training/features.json": {"seconds": 1000 * rng.random()},
        "comparison.json": comparison(rng, names),
        "label_errors/summary.json": label_errors(rng, names),
        "label_errors/images.csv": wrong_labels(rng, names),
        "gradcam/attribution.json": attribution(rng, params["freeze"]),
        "interpolation.csv": interpolation(rng),
        "export.json": {"variant": params["freeze"], "images": 90, "max_logit_difference": 1e-5 * rng.random()},
        "gradcam/shown.csv": pd.DataFrame(
            {"index": 4, "kind": kind, "true": "cat", "predicted": "dog", "confidence": rng.random()}
            for kind in ("hits", "confident_misses")
        ),
    }
    for variant in names:
        phases = phases_of(variant, params)
        content |= {
            f"calibration/{variant}/metrics.json": calibration(rng),
            f"calibration/{variant}/reliability.csv": reliability(variant, rng),
            f"calibration/{variant}/confusion.csv": pd.DataFrame(
                {"variant": variant, "actual": CLASSES[i % 3], "predicted": CLASSES[i % 2]} for i in range(90)
            ),
            f"corruption/{variant}/conditions.csv": corruption(variant, rng),
            f"adaptation/{variant}/conditions.csv": adaptation(variant, rng),
            f"conformal/{variant}/metrics.json": conformal(rng),
            f"conformal/{variant}/sets.csv": sets(variant, rng),
            f"conformal/{variant}/answers.csv": withheld(variant, rng),
            f"ood/{variant}/scores.csv": ood(variant, rng),
            f"adversarial/{variant}/accuracy.csv": adversarial(variant, rng),
            f"adversarial/{variant}/checks.json": {
                "steps": 7,
                "step_size": 2,
                "checks": [
                    {"check": "PGD is at least as strong as FGSM", "passed": True, "detail": f"{rng.random():.3f}"},
                    {"check": "No image lacks a gradient", "passed": variant != "full", "detail": "some"},
                ],
            },
            f"training/{variant}/curve.csv": pd.DataFrame(
                {"phase": phase, "epoch": epoch, "lr": 0.1, "train_loss": 1.0, "val_loss": 1.0}
                | {"val_accuracy": rng.random()}
                for phase in phases
                for epoch in (1, 2)
            ),
            f"training/{variant}/cost.json": {
                "train_seconds": 100 * rng.random(),
                "epoch_seconds": [2.5] * 2 * len(phases),
                "trainable_parameters": 4_300_000,
                "cached_features": params["train"][variant].get("augment") is None or "head" in phases,
                "device": "cpu",
                "precision": "float",
                "libraries": {"Python": "3.11.7", "torch": "2.13.0"},
            },
        }
    return content


def phases_of(variant, params):
    """The phases of its learning curve, of two epochs each."""
    return ["head", variant] if params["train"][variant].get("start") == "probe" else [variant]


def write_results(root, content):
    for name, held in content.items():
        write = write_table if isinstance(held, pd.DataFrame) else write_json
        write(root / "results" / name, held)


def write_corrupted(root, rng, names=VARIANTS):
    """data/corrupted without features, of 40 images of 32 pixels, and every variant's logits of them."""
    folder, named = (
        root / "data/corrupted",
        [{"corruption": name, "group": of, "severity": s} for name, of, s in conditions()],
    )
    folder.mkdir(parents=True)
    write_json(folder / "conditions.json", named)
    np.save(folder / "images.npy", rng.integers(0, 256, (len(named), 40, 32, 32, 3), dtype=np.uint8))
    np.save(folder / "labels.npy", np.arange(40) % len(CLASSES))
    for variant in names:
        logits = rng.normal(size=(len(named), 40, len(CLASSES))).astype(np.float32)
        np.save(root / "results/corruption" / variant / "logits.npy", logits)


def interval(rng, middle="mean"):
    low, value, high = sorted(rng.random(3) - 0.5)
    return {middle: value, "low": low, "high": high}


def calibration(rng):
    def scores():
        names = ("accuracy", *MEASURES, "macro_precision", "macro_recall", "macro_f1")
        return {name: rng.random() for name in names} | {
            "risk_at_coverage": {share: rng.random() for share in ("0.7", "0.8", "0.9", "1.0")},
            "null": {name: {"mean": rng.random() / 2, "upper": rng.random()} for name in ERRORS},
        }

    pair = {"true": "cat", "predicted": "dog", "count": int(rng.integers(1000)), "rate": rng.random()}
    return {
        "temperature": 0.5 + rng.random(),
        "fitted": True,
        "before": scores(),
        "after": scores(),
        "intervals": {"level": 0.95, "resamples": 321, "accuracy": {"low": rng.random(), "high": rng.random()}},
        "differences": {name: interval(rng, "difference") for name in MEASURES},
        "majority_accuracy": rng.random(),
        "never_predicted": [],
        "per_class": {
            name: {"precision": rng.random(), "recall": 0.5, "f1": rng.random(), "support": 30} for name in CLASSES
        },
        "confused": [pair],
        "confusable": [pair, pair | {"true": "dog", "predicted": "cat", "rate": rng.random()}],
    }


def held_out():
    return ["held_out"] if "held_out" in GROUPS.values() else []


def comparison(rng, names):
    pairs = [
        {"first": first, "second": second}
        | {name: interval(rng, "difference") for name in ("accuracy", "ece", "nll", "corrupted_accuracy")}
        | {"mcnemar": {"only_first": int(rng.integers(500)), "only_second": 8, "p_value": 0.1, "p_holm": rng.random()}}
        for first, second in combinations(names, 2)
    ]
    shift = {
        variant: {group: {"accuracy": interval(rng), "ece": interval(rng)} for group in ("corrupted", *held_out())}
        | {
            "adapted": {"images": 20, "accuracy": interval(rng), "ece": interval(rng)}
            | {"change": {name: interval(rng, "difference") for name in ("accuracy", "ece")}}
        }
        for variant in names
    }
    return {"level": 0.95, "resamples": 321, "shift": shift, "pairs": pairs}


RULES = [(score, target) for score in ("lac", "aps") for target in PARAMS["conformal"]["coverages"]]


def set_measures(rng):
    return {name: rng.random() for name in ("coverage", "size", "singletons", "empty")}


def conformal(rng):
    """No threshold keeps the lower error rate."""
    return {
        "calibration_images": 15,
        "sets": [
            {"score": score, "target": target, **set_measures(rng), "threshold": rng.random()}
            | {"expected": {"level": 0.99, "low": rng.random() / 2, "high": 0.5 + rng.random() / 2}}
            | {"of_class": {name: rng.random() for name in CLASSES}}
            for score, target in RULES
        ]
        + [
            {"score": "lac_by_class", "target": target, **set_measures(rng)}
            | {"threshold_of_class": dict.fromkeys(CLASSES, 0.9), "of_class": {name: rng.random() for name in CLASSES}}
            for target in PARAMS["conformal"]["coverages"]
        ],
        "answers": [
            {"target": 0.01, "answered": 0.0, "wrong": None, "threshold": None, "failure": 0.05},
            {"target": 0.05, "answered": rng.random(), "wrong": rng.random(), "threshold": 0.9, "failure": 0.05},
        ],
    }


def sets(variant, rng):
    return pd.DataFrame(
        {"variant": variant, "corruption": name, "group": group, "severity": severity, "images": 40}
        | {"score": score, "target": target, **set_measures(rng)}
        for name, group, severity in conditions()
        for score, target in [*RULES, ("lac_by_class", 0.9), ("lac_by_class", 0.95)]
    )


def withheld(variant, rng):
    return pd.DataFrame(
        {"variant": variant, "corruption": name, "group": group, "severity": severity, "images": 40, "target": target}
        | {"answered": 0.0 if target == 0.01 else rng.random(), "wrong": None if target == 0.01 else rng.random()}
        for name, group, severity in conditions()
        for target in (0.01, 0.05)
    )


def ood(variant, rng):
    scores = ("maximum_probability", "energy", "maximum_logit", "mahalanobis", "nearest_neighbour")
    return pd.DataFrame(
        {"variant": variant, "set": name, "images": 20, "score": score, "auroc": rng.random()}
        | {"fpr95": (share := rng.random())}
        | {"passed": None if score in ("mahalanobis", "nearest_neighbour") else 1 - share}
        for name in ("digits", "patch_shuffled", "uniform_noise")
        for score in scores
    )


def label_errors(rng, names):
    return {
        "dataset": "cifar10",
        "flagged": 9,
        "wrong": 2,
        "upheld_with_both": 1,
        "level": 0.95,
        "resamples": 321,
        "variants": {
            variant: {"accuracy": interval(rng), "accuracy_without": interval(rng)}
            | {"change": interval(rng, "difference"), "answers": {"given": 1, "suggested": 1, "another": 0}}
            | {"misses": {"images": 20, "flagged": 4, "wrong": 2}}
            | {"confident_misses": {"images": 5, "flagged": 2, "wrong": int(rng.integers(3))}}
            for variant in names
        },
    }


def wrong_labels(rng, names):
    return pd.DataFrame(
        {"row": row, "test_index": row, "given": "cat", "suggested": "dog", "judges_given": 0, "judges_suggested": 5}
        | {"judges_both": 0, "judges_neither": 0, "doubt": rng.random()}
        | {f"{variant}_predicted": "dog" for variant in names}
        | {f"{variant}_confidence": rng.random() for variant in names}
        for row in (4, 7)
    )


def attribution(rng, freeze):
    methods = ("grad_cam", "hirescam", "layer_cam")
    sides = ("deletion", "insertion")
    return {
        "variant": freeze,
        "layer": "layer3",
        "images": 12,
        "steps": 16,
        "faithfulness": {name: {side: interval(rng) for side in sides} for name in (*methods, "random", "centre")},
        "over_baselines": {
            name: {side: {base: interval(rng, "difference") for base in ("random", "centre")} for side in sides}
            for name in methods
        },
        "randomisation": {
            name: [{"through": layer, "rank_correlation": interval(rng)} for layer in ("head", "layer4", "layer1")]
            for name in methods
        },
        "checks": [{"check": "Grad-CAM shows something else", "passed": True, "detail": f"{rng.random():.2f}"}],
    }


def reliability(variant, rng):
    """Five bins before and after, the lowest of them empty."""
    return pd.DataFrame(
        {
            "variant": variant,
            "calibration": side,
            "bin_lower": lower,
            "bin_upper": upper,
            "confidence": None if lower == 0 else (lower + upper) / 2,
            "accuracy": None if lower == 0 else rng.random(),
            "count": 0 if lower == 0 else 20,
        }
        for side in ("before", "after")
        for lower, upper in pairwise(np.linspace(0, 1, 6))
    )


def conditions():
    return [("clean", "clean", 0), *((name, group, s) for name, group in GROUPS.items() for s in range(1, 6))]


def adaptation(variant, rng):
    """Of 4 images at a time at severity 5 alone."""
    return pd.DataFrame(
        {"variant": variant, "corruption": name, "group": group, "severity": severity, "batch_size": size}
        | {"images": 20, "accuracy": rng.random(), "ece": rng.random()}
        for name, group, severity in conditions()
        for size in ((0, 4, 20) if severity in (0, 5) else (0, 20))
    )


def interpolation(rng):
    measures = [
        f"{group}{name}"
        for group in ("", "corrupted_", *(f"{of}_" for of in held_out()))
        for name in ("accuracy", "ece")
    ]
    gains = [f"{name}_gain{end}" for name in measures if name.endswith("accuracy") for end in ("", "_low", "_high")]
    return pd.DataFrame(
        {"share": share, "temperature": 1 + rng.random()}
        | {name: rng.random() for name in measures}
        | {name: rng.random() - 0.5 for name in gains}
        for share in (0.0, 0.5, 1.0)
    )


def corruption(variant, rng):
    measures = ("accuracy", "nll_before", "nll_after", "ece_before", "ece_after", "ece_null_mean", "ece_null_upper")
    return pd.DataFrame(
        {"variant": variant, "corruption": name, "group": group, "severity": severity, "images": 40}
        | {measure: rng.random() for measure in measures}
        for name, group, severity in conditions()
    )


def adversarial(variant, rng):
    clean = {"attack": "clean", "epsilon": 0, "images": 25, "accuracy": rng.random(), "zero_gradients": None}
    attacked = [
        {"attack": attack, "epsilon": epsilon, "images": 25, "accuracy": rng.random()}
        | {"zero_gradients": None if attack == "noise" else rng.random()}
        for attack in ("noise", "fgsm", "pgd")
        for epsilon in PARAMS["adversarial"]["epsilons"]
    ]
    return pd.DataFrame({"variant": variant, **row} for row in (clean, *attacked))
