import json

import pytest

from stages.common.params import Refusal
from stages.common.results import load_results
from stages.common.variants import VARIANTS


@pytest.fixture
def root(tmp_path):
    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    for variant in VARIANTS:
        write(f"results/calibration/{variant}.json", json.dumps({"temperature": 1.5}))
        write(f"results/calibration/{variant}_reliability.csv", "variant,accuracy\nfc,0.10\nfc,\n")
        write(f"results/calibration/{variant}_confusion.csv", 'actual,predicted\n"cat, grey",dog\n')
        write(f"results/corruption/{variant}.csv", "severity\n1\n")
        write(f"results/adversarial/{variant}.csv", "attack\nclean\n")
        write(f"results/adversarial/{variant}.json", json.dumps({"steps": 2}))
        write(f"results/training/{variant}.csv", "epoch\n1\n")
        write(f"results/training/{variant}.json", json.dumps({"device": variant}))
    write("results/training/features.json", json.dumps({"seconds": 3.5}))
    write("results/export.json", json.dumps({"images": 5}))
    write("results/gradcam.csv", "index\n7\n")
    write("results/comparison.json", json.dumps({"pairs": []}))
    write("results/attribution.json", json.dumps({"layer": "layer3"}))
    return tmp_path


def test_figures_are_kept_by_variant(root):
    results = load_results(root)
    assert results.calibration == {variant: {"temperature": 1.5} for variant in VARIANTS}
    assert results.training == {"features": {"seconds": 3.5}} | {variant: {"device": variant} for variant in VARIANTS}
    assert results.adversarial_checks == {variant: {"steps": 2} for variant in VARIANTS}
    assert results.export == {"images": 5}
    assert results.comparison == {"pairs": []}
    assert results.attribution == {"layer": "layer3"}


def test_rows_of_all_variants_follow_each_other_as_text_with_their_variant(root):
    results = load_results(root)
    assert results.curves == [{"variant": variant, "epoch": "1"} for variant in VARIANTS]
    assert results.adversarial == [{"variant": variant, "attack": "clean"} for variant in VARIANTS]
    assert results.reliability[:2] == [{"variant": "fc", "accuracy": "0.10"}, {"variant": "fc", "accuracy": ""}]
    assert results.confusion[0] == {"variant": "fc", "actual": "cat, grey", "predicted": "dog"}
    assert results.cams == [{"index": "7"}]


def test_a_missing_file_is_refused_with_the_stage_that_makes_it(root):
    path = root / "results/corruption/layer4.csv"
    path.unlink()
    with pytest.raises(Refusal, match=r"layer4\.csv is missing: `dvc repro corrupt_eval@layer4` makes it"):
        load_results(root)
