import csv
import json
from itertools import pairwise

import numpy as np
import pytest

from stages import report
from stages.common.params import Refusal
from stages.common.tables import write_table

CLASSES = ["cat", "dog", "ship"]
VARIANTS = ("fc", "layer4", "full")
RECIPE = {"epochs": 2, "lr": 0.05, "weight_decay": 0.0005, "label_smoothing": 0.1}
PARAMS = {
    "freeze": "layer4",
    "data": {"dataset": "cifar10", "train": 60, "val": 30, "test": 90, "seed": 0},
    "backbone": {"weights": "tinyimagenet", "head": {"hidden": [8], "dropout": 0.3}},
    "train": {
        "common": {"image_size": 64, "views": 2, "batch_size": 16, "seed": 0, "probe": RECIPE},
        "fc": RECIPE,
        "layer4": RECIPE,
        "full": RECIPE,
    },
    "calibrate": {"bins": 5},
    "corrupt_eval": {"corruptions": ["gaussian_noise", "jpeg_compression"], "images": 40, "seed": 0},
}
SUMMARY_KEYS = [
    "accuracy",
    "ece_before",
    "ece_after",
    "nll_before",
    "nll_after",
    "brier_after",
    "macro_f1",
    "temperature",
    "corrupted_accuracy",
    "corrupted_ece_before",
    "corrupted_ece_after",
    "train_seconds",
]


@pytest.fixture
def root(tmp_path):
    """What the other stages leave behind, with random figures, in the formats that they write."""
    rng = np.random.default_rng(0)
    results = tmp_path / "results"
    for variant in VARIANTS:
        write_variant(results, variant, rng)
    write_json(results / "training/features.json", {"seconds": 12.5})
    write_json(results / "export.json", {"variant": "layer4", "images": 90, "max_logit_difference": 3.2e-6})
    picture = {"index": 4, "kind": "confident_misses", "true": "cat", "predicted": "dog", "confidence": 0.91}
    write_table(results / "gradcam.csv", [picture])
    return tmp_path


def write_variant(results, variant, rng):
    names = ("accuracy", "nll", "brier", "ece", "macro_precision", "macro_recall", "macro_f1")
    before, after = ({name: rng.random() for name in names} for _ in range(2))
    scores = {name: {"precision": rng.random(), "recall": 0.5, "f1": rng.random(), "support": 30} for name in CLASSES}
    confused = [{"true": "cat", "predicted": "dog", "count": 7, "rate": 7 / 30}]
    measured = {"temperature": 1.25, "before": before, "after": after, "per_class": scores, "confused": confused}
    write_json(results / f"calibration/{variant}.json", measured)
    edges = np.linspace(0, 1, 6)
    bins = [
        {
            "variant": variant,
            "calibration": calibration,
            "bin_lower": lower,
            "bin_upper": upper,
            "confidence": None if lower == 0 else (lower + upper) / 2,
            "accuracy": None if lower == 0 else rng.random(),
            "count": 0 if lower == 0 else 20,
        }
        for calibration in ("before", "after")
        for lower, upper in pairwise(edges)
    ]
    write_table(results / f"calibration/{variant}_reliability.csv", bins)
    pairs = [{"variant": variant, "actual": CLASSES[i % 3], "predicted": CLASSES[i % 2]} for i in range(90)]
    write_table(results / f"calibration/{variant}_confusion.csv", pairs)
    conditions = [("clean", 0), *((name, s) for name in PARAMS["corrupt_eval"]["corruptions"] for s in range(1, 6))]
    corrupted = [
        {"variant": variant, "corruption": name, "severity": severity, "images": 40}
        | {key: rng.random() for key in ("accuracy", "nll_before", "nll_after", "ece_before", "ece_after")}
        for name, severity in conditions
    ]
    write_table(results / f"corruption/{variant}.csv", corrupted)
    curve = [
        {"phase": phase, "epoch": epoch, "lr": 0.1, "train_loss": 1.0, "val_loss": 1.0, "val_accuracy": rng.random()}
        for phase in (["head"] if variant == "fc" else ["head", variant])
        for epoch in (1, 2)
    ]
    write_table(results / f"training/{variant}.csv", curve)
    cost = {"train_seconds": 100 * rng.random(), "trainable_parameters": 4321, "device": "cpu", "precision": "float32"}
    write_json(results / f"training/{variant}.json", cost)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def read_table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def written(root):
    files = [*(root / "metrics").iterdir(), *(root / "plots").iterdir(), root / "MODEL_CARD.md"]
    return {file.name: file.read_bytes() for file in files if file.is_file()}


def test_the_summary_has_exactly_the_agreed_keys(root):
    report.run(PARAMS, root)
    summary = json.loads((root / "metrics/summary.json").read_text())
    assert list(summary) == [*VARIANTS, "published"]
    assert [list(figures) for figures in summary.values()] == 4 * [SUMMARY_KEYS]


@pytest.mark.parametrize("freeze", VARIANTS)
def test_what_is_published_is_the_variant_that_freeze_names(root, freeze):
    report.run(PARAMS | {"freeze": freeze}, root)
    summary = json.loads((root / "metrics/summary.json").read_text())
    assert summary["published"] == summary[freeze]
    assert f"variant `{freeze}`" in (root / "MODEL_CARD.md").read_text()


def test_every_table_and_picture_is_written(root):
    report.run(PARAMS, root)
    assert set(written(root)) == {
        "summary.json",
        "calibration.json",
        "training.json",
        "export.json",
        "per_class.csv",
        "corruption.csv",
        "reliability.csv",
        "confusion.csv",
        "learning_curves.csv",
        "reliability.png",
        "corruption.png",
        "MODEL_CARD.md",
    }


def test_the_tables_hold_a_row_for_everything_measured(root):
    report.run(PARAMS, root)
    assert len(read_table(root / "metrics/per_class.csv")) == 3 * len(CLASSES)
    assert len(read_table(root / "metrics/corruption.csv")) == 3 * (1 + 2 * 5)
    assert len(read_table(root / "plots/reliability.csv")) == 3 * 2 * 5
    assert len(read_table(root / "plots/confusion.csv")) == 3 * 3**2
    assert len(read_table(root / "plots/corruption.csv")) == 3 * (2 + 1) * 6
    assert len(read_table(root / "plots/learning_curves.csv")) == 2 + 4 + 4


def test_what_is_copied_keeps_every_digit(root):
    report.run(PARAMS, root)
    copied = (root / "metrics/corruption.csv").read_text().splitlines()
    measured = [(root / f"results/corruption/{variant}.csv").read_text().splitlines() for variant in VARIANTS]
    assert copied == [measured[0][0], *(line for table in measured for line in table[1:])]


@pytest.mark.parametrize(
    ("missing", "stage"),
    [
        ("results/calibration/layer4.json", "calibrate@layer4"),
        ("results/calibration/fc_reliability.csv", "calibrate@fc"),
        ("results/corruption/full.csv", "corrupt_eval@full"),
        ("results/training/full.json", "train_full"),
        ("results/training/features.json", "features"),
        ("results/export.json", "export"),
        ("results/gradcam.csv", "gradcam"),
    ],
)
def test_a_missing_file_is_refused_in_one_line_before_anything_is_written(root, missing, stage):
    (root / missing).unlink()
    with pytest.raises(Refusal) as refusal:
        report.run(PARAMS, root)
    assert str(refusal.value) == f"{root / missing} is missing: `dvc repro {stage}` makes it"
    assert not (root / "metrics").exists()


def test_an_unknown_variant_is_refused(root):
    with pytest.raises(Refusal, match="freeze = 'layer3'"):
        report.run(PARAMS | {"freeze": "layer3"}, root)


def test_the_same_results_give_the_same_bytes(root):
    report.run(PARAMS, root)
    first = written(root)
    report.run(PARAMS, root)
    assert written(root) == first


def test_the_pictures_are_small_enough_for_git(root):
    report.run(PARAMS, root)
    assert all(len(written(root)[name]) < 150_000 for name in ("reliability.png", "corruption.png"))


def test_the_table_of_the_variants_is_printed(root, capsys):
    report.run(PARAMS, root)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["variant", *VARIANTS]
