import json

import numpy as np
import pytest

from stages import calibrate, report
from study.data.splits import save_facts
from study.pipeline.files import read_table
from study.pipeline.params import Refusal
from study.pipeline.variants import variants
from tests.made_up_results import (
    CLASSES,
    FACTS,
    FIVE,
    GROUPS,
    PARAMS,
    TWO,
    VARIANTS,
    params_of,
    results,
    write_corrupted,
    write_results,
)

SUMMARY_KEYS = [
    "accuracy",
    "classes_never_predicted",
    "ece_before",
    "ece_after",
    "nll_before",
    "nll_after",
    "brier_after",
    "macro_f1",
    "temperature",
    "fitted",
    "corrupted_accuracy",
    "corrupted_ece_before",
    "corrupted_ece_after",
    "train_seconds",
    "held_out_accuracy",
    "held_out_ece",
    "adapted_accuracy_change",
    "adapted_ece_change",
    "set_coverage",
    "set_size",
    "corrupted_set_coverage",
    "corrupted_set_size",
    "ood_auroc",
]


def write_study(root, params=PARAMS):
    """What the other stages leave behind, with random figures."""
    rng = np.random.default_rng(0)
    write_results(root, results(rng, params))
    write_corrupted(root, rng, variants(params))
    labels, images = np.arange(90) % len(CLASSES), rng.integers(0, 256, (90, 32, 32, 3), dtype=np.uint8)
    (root / "results/predictions").mkdir()
    for variant in variants(params):
        logits = rng.normal(size=(90, len(CLASSES))).astype(np.float32)
        np.savez(root / f"results/predictions/{variant}.npz", test_logits=logits, test_labels=labels)
    (root / "data/subset").mkdir(parents=True)
    np.savez(root / "data/subset/test.npz", images=images, labels=labels, indices=np.arange(90))
    save_facts(FACTS, root / "data/subset")
    np.savez(root / "results/gradcam/gallery.npz", index=np.arange(5), maps=rng.random((5, 4, 4)).astype(np.float16))


@pytest.fixture
def root(tmp_path, monkeypatch, undrawn):
    """The study before its report; and no pictures are drawn, which takes seconds."""
    write_study(tmp_path)
    monkeypatch.setattr(report, "save_png", lambda figure, path: None)
    return tmp_path


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The same with the whole report written."""
    root = tmp_path_factory.mktemp("reported")
    write_study(root)
    report.run(PARAMS, root)
    return root


def written(root):
    folders = [*(root / "metrics").iterdir(), *(root / "plots/report").iterdir()]
    files = [*folders, root / "MODEL_CARD.md", root / "report.html"]
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


def test_the_summary_has_exactly_the_agreed_keys(reported):
    summary = json.loads((reported / "metrics/summary.json").read_text())
    assert list(summary) == [*VARIANTS, "published", "majority"]
    assert all(list(summary[name]) == SUMMARY_KEYS for name in (*VARIANTS, "published"))
    assert list(summary["majority"]) == ["accuracy"]


@pytest.mark.parametrize("freeze", VARIANTS)
def test_what_is_published_is_the_variant_that_freeze_names(root, freeze):
    report.run(PARAMS | {"freeze": freeze}, root)
    summary = json.loads((root / "metrics/summary.json").read_text())
    assert summary["published"] == summary[freeze]
    assert f"variant `{freeze}`" in (root / "MODEL_CARD.md").read_text()


def test_every_table_and_picture_is_written(reported):
    assert set(written(reported)) == {
        "metrics/summary.json",
        "metrics/calibration.json",
        "metrics/comparison.json",
        "metrics/robustness.json",
        "metrics/conformal.json",
        "metrics/label_errors.json",
        "metrics/ood.json",
        "metrics/adversarial.json",
        "metrics/attribution.json",
        "metrics/training.json",
        "metrics/export.json",
        "metrics/dataset.json",
        "metrics/per_class.csv",
        "metrics/corruption.csv",
        "metrics/adaptation.csv",
        "metrics/adversarial.csv",
        "metrics/interpolation.csv",
        "metrics/gradcam.csv",
        "metrics/ood.csv",
        "metrics/wrong_labels.csv",
        "plots/report/reliability.csv",
        "plots/report/confusion.csv",
        "plots/report/learning_curves.csv",
        "plots/report/corruption.csv",
        "plots/report/reliability.png",
        "plots/report/adaptation.png",
        "plots/report/conformal.png",
        "plots/report/label_errors.png",
        "plots/report/ood.png",
        "plots/report/interpolation.png",
        "plots/report/by_corruption.png",
        "plots/report/corruption.png",
        "plots/report/corruption_map.png",
        "MODEL_CARD.md",
        "report.html",
    }


def test_the_tables_hold_a_row_for_everything_measured(reported):
    assert len(read_table(reported / "metrics/per_class.csv")) == len(VARIANTS) * len(CLASSES)
    assert len(read_table(reported / "metrics/corruption.csv")) == len(VARIANTS) * (1 + len(GROUPS) * 5)
    assert len(read_table(reported / "metrics/adversarial.csv")) == len(VARIANTS) * (1 + 3 * 2)
    assert len(read_table(reported / "plots/report/reliability.csv")) == len(VARIANTS) * 2 * 5
    assert len(read_table(reported / "plots/report/confusion.csv")) == len(VARIANTS) * 3**2
    assert len(read_table(reported / "plots/report/corruption.csv")) == len(VARIANTS) * (len(GROUPS) + 1) * 6
    assert len(read_table(reported / "plots/report/learning_curves.csv")) == 2 + 4 + 4 + 2  # fc has no first phase


@pytest.mark.parametrize(
    ("copy", "measured"),
    [
        ("metrics/corruption.csv", "results/corruption/{}/conditions.csv"),
        ("metrics/adaptation.csv", "results/adaptation/{}/conditions.csv"),
        ("metrics/adversarial.csv", "results/adversarial/{}/accuracy.csv"),
        ("plots/report/reliability.csv", "results/calibration/{}/reliability.csv"),
    ],
)
def test_what_is_copied_keeps_every_digit(reported, copy, measured):
    copied = (reported / copy).read_text().splitlines()
    measured = [(reported / measured.format(variant)).read_text().splitlines() for variant in VARIANTS]
    assert copied == [measured[0][0], *(line for table in measured for line in table[1:])]


@pytest.mark.parametrize(
    ("missing", "stage"),
    [
        ("results/calibration/layer4/metrics.json", "calibrate@layer4"),
        ("results/calibration/fc/reliability.csv", "calibrate@fc"),
        ("results/corruption/full/conditions.csv", "corrupt_eval@full"),
        ("results/adaptation/full/conditions.csv", "adapt@full"),
        ("results/interpolation.csv", "interpolate"),
        ("results/training/full/cost.json", "train_full"),
        ("results/training/fc/curve.csv", "train_fc"),
        ("results/training/features.json", "features"),
        ("results/export.json", "export"),
        ("results/gradcam/shown.csv", "gradcam"),
        ("results/gradcam/attribution.json", "gradcam"),
        ("results/comparison.json", "compare"),
        ("results/adversarial/layer4/accuracy.csv", "adversarial@layer4"),
        ("results/adversarial/full/checks.json", "adversarial@full"),
    ],
)
def test_a_missing_file_is_refused_in_one_line_before_anything_is_written(root, missing, stage):
    (root / missing).unlink()
    with pytest.raises(Refusal) as refusal:
        report.run(PARAMS, root)
    assert str(refusal.value) == f"{root / missing} is missing: `dvc repro {stage}` makes it"
    assert not (root / "metrics").exists()


def test_a_file_that_an_earlier_report_left_goes(root):
    for folder in ("metrics", "plots/report"):
        (root / folder).mkdir(parents=True)
        (root / folder / "old.csv").touch()
    report.run(PARAMS, root)
    assert not {"metrics/old.csv", "plots/report/old.csv"} & set(written(root))


def test_an_unknown_variant_is_refused(root):
    with pytest.raises(Refusal, match="freeze = 'layer3'"):
        report.run(PARAMS | {"freeze": "layer3"}, root)


def test_the_same_results_give_the_same_bytes(reported, tmp_path):
    write_study(tmp_path)
    report.run(PARAMS, tmp_path)
    assert written(tmp_path) == written(reported)


def test_the_pictures_are_small_enough_for_git(reported):
    assert all(len(content) < 150_000 for name, content in written(reported).items() if name.endswith(".png"))


def test_other_data_than_cifar10_is_not_set_beside_published_figures(root):
    save_facts(FACTS._replace(title="handwritten digits"), root / "data/subset")
    report.run(PARAMS | {"data": PARAMS["data"] | {"dataset": "digits"}}, root)
    card = (root / "MODEL_CARD.md").read_text()
    assert "published, not measured" not in card and "CIFAR-10 " not in card
    assert "on handwritten digits, calibrated" in card


@pytest.mark.parametrize("names", [TWO, FIVE])
def test_the_variants_of_the_parameters_are_reported_and_no_others(tmp_path, monkeypatch, undrawn, capsys, names):
    monkeypatch.setattr(report, "save_png", lambda figure, path: None)
    write_study(tmp_path, params_of(names))
    report.run(params_of(names), tmp_path)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["variant", *names]
    assert list(json.loads((tmp_path / "metrics/summary.json").read_text())) == [*names, "published", "majority"]
    for path in ("metrics/corruption.csv", "plots/report/learning_curves.csv", "plots/report/reliability.csv"):
        assert read_table(tmp_path / path)["variant"].unique().tolist() == list(names)


def test_other_weights_of_the_same_results_change_what_the_card_says_of_the_backbone(root):
    report.run(PARAMS | {"backbone": PARAMS["backbone"] | {"weights": "imagenet"}}, root)
    assert "`weights/LICENSE-imagenet`" in (root / "MODEL_CARD.md").read_text()


def one_hot(labels):
    return np.eye(len(CLASSES), dtype=np.float32)[labels]


@pytest.fixture
def imbalanced(root):
    """81 of 90 test images are cats, and so are as many of those that fit temperatures.

    `fc` always says cat and `scratch` ship, surely; `layer4` is always right; `full` misses every dog and one cat.
    """
    labels = np.repeat([0, 1, 2], [81, 5, 4])
    full = labels * (labels != 1)
    full[0] = 1
    logits = {
        "fc": 3 * one_hot(0 * labels),
        "layer4": 9 * one_hot(labels),
        "full": 4 * one_hot(full),
        "scratch": 50 * one_hot(0 * labels + 2),
    }
    train = np.repeat([0, 1, 2], [180, 11, 9])
    np.savez(root / "data/subset/train.npz", images=np.zeros((200, 1, 1, 3)), labels=train, indices=np.arange(200))
    for variant, of in logits.items():
        arrays = {"val_logits": of, "val_labels": labels, "test_logits": of, "test_labels": labels}
        np.savez(root / f"results/predictions/{variant}.npz", **arrays)
        calibrate.run(PARAMS, root, variant)
    return root


def test_classes_of_unequal_number_and_temperatures_without_a_fit_are_told_everywhere(imbalanced, capsys):
    report.run(PARAMS, imbalanced)
    summary = json.loads((imbalanced / "metrics/summary.json").read_text())
    assert summary["majority"] == {"accuracy": 81 / 90}
    names = ("accuracy", "balanced_accuracy", "classes_never_predicted", "fitted")
    assert {variant: tuple(summary[variant][name] for name in names) for variant in VARIANTS} == {
        "fc": (81 / 90, pytest.approx((1 + 0 + 0) / 3), 2, True),
        "layer4": (1, 1, 0, False),
        "full": (84 / 90, pytest.approx((80 / 81 + 0 + 1) / 3), 0, True),
        "scratch": (4 / 90, pytest.approx((0 + 0 + 1) / 3), 2, False),
    }
    assert (summary["layer4"]["temperature"], summary["scratch"]["temperature"]) == (1, 20)

    printed = capsys.readouterr().out
    card = (imbalanced / "MODEL_CARD.md").read_text()
    page = (imbalanced / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    never = "On the test images, {0}fc{0} never predicts dog, ship; {0}scratch{0} never predicts cat, dog."
    assert never.format("") in printed and never.format("") in page and never.format("`") in card
    unfitted = "The temperature of {0}scratch{0} was not fitted: the best one for its validation images is above 20"
    assert unfitted.format("") in printed and unfitted.format("") in page and unfitted.format("`") in card
    assert " 90.00 %   33.33 % " in printed
    assert "| 90.00 % | 33.33 % |" in card
    assert '<th scope="row">balanced accuracy</th><td>33.33 %</td>' in page
    baseline = "Always answering the commonest class of the training images would be right for 90.00 %."
    assert card.count(baseline) == page.count(baseline) == 1


def test_the_card_of_a_model_without_a_fitted_temperature_does_not_call_it_calibrated(imbalanced):
    report.run(PARAMS | {"freeze": "scratch"}, imbalanced)
    card, page = (imbalanced / "MODEL_CARD.md").read_text(), (imbalanced / "report.html").read_text()
    assert "and not calibrated, since its temperature could not be fitted" in card
    assert "calibrated: variant" not in card and "gives calibrated" not in card and "with calibrated" not in card
    assert "| 20.0000 (not fitted) |" in card
    assert "The temperature was not fitted; " in page and '<span class="interval">not fitted</span>' in page


def test_classes_of_equal_number_have_no_balanced_accuracy(reported):
    for name in ("MODEL_CARD.md", "report.html", "metrics/summary.json"):
        text = (reported / name).read_text()
        assert "balanced" not in text.lower() and "never predict" not in text and "not fitted" not in text, name


def test_the_table_of_the_variants_is_printed(root, capsys):
    report.run(PARAMS, root)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["variant", *VARIANTS]


@pytest.mark.parametrize("group", sorted(set(GROUPS.values())))
def test_corruptions_of_one_group_alone_are_reported(tmp_path, monkeypatch, undrawn, group):
    monkeypatch.setattr("tests.made_up_results.GROUPS", {name: of for name, of in GROUPS.items() if of == group})
    monkeypatch.setattr(report, "save_png", lambda figure, path: None)
    write_study(tmp_path)
    report.run(PARAMS, tmp_path)
    assert (tmp_path / "MODEL_CARD.md").exists() and (tmp_path / "report.html").exists()
