"""README against what was measured: its table is what metrics/ gives, and its sentences are what the figures say."""

import re
from itertools import pairwise
from pathlib import Path

import pandas as pd

from study.pipeline.files import read_json
from study.pipeline.params import read_params
from study.reporting.results_table import results_table

ROOT = Path(__file__).parents[1]
FINE_TUNED = ("fc", "layer4", "full")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SIZES = 1000, 10000, 45000  # training images


def metrics(name):
    return read_json(ROOT / f"metrics/{name}.json")


def by_size(measure):
    """Of the study of data sizes: means over the seeds, a row per number of training images, a column per variant."""
    table = pd.read_csv(ROOT / "lab/experiments/results/data_size.csv")
    return table.pivot_table(index="train_images", columns="variant", values=measure)


def spread(measure):
    """The standard deviations over the seeds; missing where there is one seed."""
    table = pd.read_csv(ROOT / "lab/experiments/results/data_size.csv")
    return table.groupby(["train_images", "variant"])[measure].std().unstack()


def test_the_results_table_is_the_one_that_the_metrics_give():
    table = results_table(metrics("summary"), metrics("training"), read_params(ROOT / "params.yaml")["train"])
    assert f"<!-- results -->\n{table}\n<!-- /results -->\n" in README


def test_it_is_short():
    assert len(README.splitlines()) <= 150


def test_its_first_screen_has_two_bold_sentences_two_commands_and_a_figure_before_the_table():
    screen, _ = README.split("<!-- results -->")
    assert len(re.findall(r"^\*\*[^*]+\.\*\*$", screen, re.MULTILINE)) == 2
    assert re.findall(r"^make (\S+)", screen, re.MULTILINE) == ["run", "test"]
    assert screen.count("](lab/experiments/results/data_size.png)") == 1


def test_no_measured_figure_stands_in_its_sentences():
    """They are in its table and on the pages that it links, where tests hold them."""
    sentences = re.sub(r"```.*?```|<!-- (\w+) -->.*?<!-- /\1 -->", "", README, flags=re.DOTALL)
    assert set(re.findall(r"\d+\.\d+", sentences)) == {"0.95"}  # the coverage of a prediction set


def test_what_another_seed_changes_is_the_table_of_the_study():
    table = (ROOT / "lab/experiments/results/data_size.md").read_text(encoding="utf-8")
    assert f"<!-- seeds -->\n{table}<!-- /seeds -->\n" in README
    seeds = pd.read_csv(ROOT / "lab/experiments/results/data_size.csv").groupby("train_images")["seed"].nunique()
    assert "[three at 1,000 and 10,000 images](#what-another-seed-changes), one at 45,000" in README
    assert tuple(seeds.index) == SIZES and tuple(seeds) == (3, 3, 1)


def test_no_other_depth_is_more_accurate_than_everything_unfrozen_at_any_size():
    assert "neither of the other two depths is more accurate" in README
    for measure in ("accuracy", "corrupted_accuracy"):
        depths = by_size(measure)[list(FINE_TUNED)]
        assert tuple(depths.index) == SIZES
        assert (depths.idxmax(axis=1) == "full").all()


def test_its_lead_is_beyond_the_seeds_but_for_clean_images_at_the_smallest_size():
    assert "with 1,000 images, `full` and `layer4` are level on clean images" in README
    assert "Everywhere else `full` leads the next depth." in README
    assert "Where we ran three seeds, the lead is larger than their spread." in README
    leads = []
    for measure in ("accuracy", "corrupted_accuracy"):
        mean, deviation = by_size(measure), spread(measure)
        assert (mean["layer4"] > mean["fc"]).all()  # the next depth
        noise = (deviation["full"] + deviation["layer4"]).fillna(deviation[["full", "layer4"]].sum(axis=1).max())
        leads += list(mean["full"] - mean["layer4"] > noise)
    assert leads == [False, True, True, True, True, True]


def test_pretraining_wins_on_few_images_and_its_lead_shrinks():
    few = "with 1,000 of them, every depth beats a small network from random weights by more than ten points"
    assert f"{few} on clean images" in README
    clean = by_size("accuracy")
    assert (clean.loc[1000, list(FINE_TUNED)] - clean.loc[1000, "scratch"] > 0.1).all()
    assert "With 10,000, `full` leads the small network by two to four points on clean images" in README
    assert "With 45,000 the two lie within a point of each other" in README
    lead, noise = clean["full"] - clean["scratch"], spread("accuracy")
    assert 0.02 < lead[10000] < 0.04
    assert lead[10000] > noise["full"][10000] + noise["scratch"][10000]
    assert abs(lead[45000]) < 0.01


def test_the_lead_under_corruption_at_the_largest_size_is_of_one_seed():
    said = "With all 45,000, `full` leads the small network by three to four points on corrupted images"
    assert f"{said}: from one seed, so it may not hold" in README
    of = metrics("summary")
    assert 0.03 < of["full"]["corrupted_accuracy"] - of["scratch"]["corrupted_accuracy"] < 0.04


def test_the_calibration_of_no_variant_survives():
    assert "the mean ECE of every variant lies above what chance explains" in README
    for variant, scores in metrics("robustness").items():
        shifted = metrics("comparison")["shift"][variant]["corrupted"]["ece"]
        assert shifted["low"] > scores["corrupted"]["ece_null_mean"]


def test_adapted_batch_norm_helps_every_variant_and_no_mixture_does():
    assert "It raises the mean accuracy of every variant by more than chance" in README
    assert all(of["adapted"]["change"]["accuracy"]["low"] > 0 for of in metrics("comparison")["shift"].values())
    assert "every mixture is less accurate than `full`, clean and corrupted" in README
    table = pd.read_csv(ROOT / "metrics/interpolation.csv")
    mixtures = table[table["share"].between(0.01, 0.99)]
    assert len(mixtures) == 3
    assert (mixtures[["accuracy_gain_high", "corrupted_accuracy_gain_high"]] < 0).all(axis=None)


def test_prediction_sets_keep_their_promise_on_clean_images_alone():
    assert "On clean test images every variant keeps that promise. On corrupted images none does." in README
    for of in metrics("conformal").values():
        assert all(row["expected"]["low"] <= row["coverage"] <= row["expected"]["high"] for row in of["sets"])
        lac = [row for row in of["corrupted"]["sets"] if row["score"] == "lac"]
        assert lac and all(row["coverage"] < row["target"] - 0.02 for row in lac)


def test_the_warning_misses_a_fifth_of_the_digits():
    assert "it missed about a fifth of the handwritten digits" in README
    table = pd.read_csv(ROOT / "metrics/ood.csv").query("variant == 'full' and score == 'energy' and set == 'digits'")
    assert 0.15 < table["passed"].item() < 0.25


def test_wrong_labels_cost_every_variant_something_and_change_no_ranking():
    assert "Leaving these images out raises every accuracy and changes no ranking" in README
    found = metrics("label_errors")
    assert f"At {found['wrong']} of these labels, fewer than three of them agreed with the dataset" in README
    assert all(of["change"]["low"] > 0 for of in found["variants"].values())
    ranks = [
        sorted(found["variants"], key=lambda variant: found["variants"][variant][measure]["mean"])
        for measure in ("accuracy", "accuracy_without")
    ]
    assert ranks[0] == ranks[1]


def test_augmix_makes_every_variant_more_accurate_on_corrupted_images():
    assert "it makes every variant more accurate on corrupted images, `scratch` most" in README
    table = pd.read_csv(ROOT / "lab/experiments/results/augmix.csv")
    corrupted = table.pivot(index="variant", columns="setting", values="corrupted_accuracy")
    gains = (corrupted["augmix"] - corrupted["plain"])[["fc", "layer4", "full", "scratch"]]
    assert (gains > 0.02).all() and gains.is_monotonic_increasing
    noise = spread("corrupted_accuracy").loc[10000]
    assert gains["scratch"] - gains["full"] > noise["scratch"] + noise["full"]


def test_the_columns_are_explained_with_the_numbers_of_images_that_were_measured():
    robustness, correct = metrics("robustness")["full"], metrics("export")["images"]
    assert f"share of the {correct:,} clean test images" in README
    counted = [name for name, scores in robustness["by_corruption"].items() if scores["group"] == "benchmark"]
    assert f"mean over {len(counted)} corruptions at 5 severities, on {robustness['images']:,} test images" in README
    assert robustness["conditions"] == 5 * len(counted)


def test_its_sections_come_in_the_order_of_what_a_newcomer_needs():
    sections = re.findall(r"^## (.+)$", README, re.MULTILINE)
    needed = ["Results", "Quick start", "Your own pictures", "The full study", "Change one thing", "Hardware", "Limits"]
    found = [next(place for place, section in enumerate(sections) if section.startswith(name)) for name in needed]
    assert all(before < after for before, after in pairwise(found))
