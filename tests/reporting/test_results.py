import json

import numpy as np
import pytest

from study.pipeline.params import Refusal
from study.reporting.results import load_results
from tests.made_up_results import VARIANTS


@pytest.fixture
def root(tmp_path):
    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    for variant in VARIANTS:
        write(f"results/calibration/{variant}/metrics.json", json.dumps({"temperature": 1.5}))
        write(f"results/calibration/{variant}/reliability.csv", f"variant,accuracy\n{variant},0.1\n{variant},\n")
        write(f"results/calibration/{variant}/confusion.csv", 'actual,predicted\n"cat, grey",007\nNA,nan\n')
        write(f"results/corruption/{variant}/conditions.csv", "severity\n1\n")
        write(f"results/adaptation/{variant}/conditions.csv", "batch_size\n0\n")
        write(f"results/conformal/{variant}/metrics.json", json.dumps({"calibration_images": 9}))
        write(f"results/conformal/{variant}/sets.csv", "target\n0.9\n")
        write(f"results/conformal/{variant}/answers.csv", "target\n0.05\n")
        write(f"results/ood/{variant}/scores.csv", "score\nenergy\n")
        write(f"results/adversarial/{variant}/accuracy.csv", "attack\nclean\n")
        write(f"results/adversarial/{variant}/checks.json", json.dumps({"steps": 2}))
        write(f"results/training/{variant}/curve.csv", "epoch\n1\n")
        write(f"results/training/{variant}/cost.json", json.dumps({"device": variant}))
    write("results/training/features.json", json.dumps({"seconds": 3.5}))
    write("results/interpolation.csv", "share\n0.5\n")
    write("results/label_errors/summary.json", json.dumps({"wrong": 1}))
    write("results/label_errors/images.csv", "row,given\n")
    write("results/export.json", json.dumps({"images": 5}))
    write("results/gradcam/shown.csv", "index\n7\n")
    write("results/comparison.json", json.dumps({"pairs": []}))
    write("results/gradcam/attribution.json", json.dumps({"layer": "layer3"}))
    return tmp_path


def test_figures_are_kept_by_variant(root):
    results = load_results(root, VARIANTS)
    assert results.calibration == {variant: {"temperature": 1.5} for variant in VARIANTS}
    assert results.training == {"features": {"seconds": 3.5}} | {variant: {"device": variant} for variant in VARIANTS}
    assert results.adversarial_checks == {variant: {"steps": 2} for variant in VARIANTS}
    assert results.export == {"images": 5}
    assert results.comparison == {"pairs": []}
    assert results.conformal == {variant: {"calibration_images": 9} for variant in VARIANTS}
    assert results.label_errors == {"wrong": 1}
    assert results.attribution == {"layer": "layer3"}


def test_the_rows_of_all_variants_follow_each_other_with_their_variant(root):
    results = load_results(root, VARIANTS)
    assert results.curves.to_dict("records") == [{"variant": variant, "epoch": 1} for variant in VARIANTS]
    assert results.adversarial.to_dict("records") == [{"variant": variant, "attack": "clean"} for variant in VARIANTS]
    assert results.reliability.columns.tolist() == ["variant", "accuracy"]
    assert results.reliability["variant"].tolist() == [variant for variant in VARIANTS for _ in range(2)]
    assert results.reliability.index.tolist() == list(range(2 * len(VARIANTS)))
    np.testing.assert_array_equal(results.reliability["accuracy"], len(VARIANTS) * [0.1, np.nan])
    assert results.adaptation.to_dict("records") == [{"variant": variant, "batch_size": 0} for variant in VARIANTS]
    assert results.ood.to_dict("records") == [{"variant": variant, "score": "energy"} for variant in VARIANTS]
    assert results.wrong_labels.empty and list(results.wrong_labels) == ["row", "given"]
    assert results.shown.to_dict("records") == [{"index": 7}]
    assert results.interpolation.to_dict("records") == [{"share": 0.5}]


def test_class_names_stay_text_whatever_they_look_like(root):
    confusion = load_results(root, VARIANTS).confusion
    assert confusion[["actual", "predicted"]].to_numpy().tolist()[:2] == [["cat, grey", "007"], ["NA", "nan"]]


def test_a_missing_file_is_refused_with_the_stage_that_makes_it(root):
    path = root / "results/corruption/layer4/conditions.csv"
    path.unlink()
    with pytest.raises(Refusal, match=r"layer4/conditions\.csv is missing: `dvc repro corrupt_eval@layer4` makes it"):
        load_results(root, VARIANTS)


def test_the_variants_that_are_asked_for_are_loaded_in_their_order(root):
    results = load_results(root, ["full", "fc"])
    assert results.variants == ("full", "fc")
    assert results.curves["variant"].tolist() == ["full", "fc"]


def test_a_variant_without_results_is_refused_with_the_stage_that_trains_it(root):
    with pytest.raises(Refusal, match=r"layer3/metrics\.json is missing: `dvc repro calibrate@layer3` makes it"):
        load_results(root, ["fc", "layer3"])
