import json

import numpy as np
import pytest

from stages.label_errors import run
from study.data.splits import Facts, save_facts
from study.evaluation.temperature import save_temperature, tempered_softmax
from study.label_errors.flagged import load_flagged
from study.pipeline.files import read_table
from study.pipeline.params import Refusal

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
VARIANTS = ["fc", "layer4", "full", "scratch"]
PARAMS = {
    "data": {"dataset": "cifar10"},
    "calibrate": {"resamples": 50, "seed": 0},
    "train": {name: {} for name in VARIANTS},
}
TEMPERATURE = 2.0
# Two wrong labels (frogs labelled cat and deer), one that was upheld, and as the rest images that were not flagged.
INDICES = np.array([2128, 0, 20, 1, 2405, *range(2, 19)])


@pytest.fixture
def root(tmp_path):
    """A project with 22 test images: `full` answers with the suggested class, the others with the given one."""
    for folder in ("data/subset", "results/predictions"):
        (tmp_path / folder).mkdir(parents=True)
    save_facts(Facts("made up", CLASSES, mirrors=True), tmp_path / "data/subset")
    save_split(tmp_path, labels())
    for variant in VARIANTS:
        np.savez(tmp_path / f"results/predictions/{variant}.npz", test_logits=logits(variant), test_labels=labels())
        save_temperature(tmp_path, variant, TEMPERATURE)
    return tmp_path


def labels():
    given = dict(load_flagged("cifar10")[["test_index", "given"]].itertuples(index=False))
    return np.array([CLASSES.index(given.get(index, "ship")) for index in INDICES])


def logits(variant):
    answers = labels()
    if variant == "full":
        answers[[0, 2, 4]] = [CLASSES.index(name) for name in ("frog", "dog", "frog")]
    scores = np.zeros((len(answers), 10), dtype=np.float32)
    scores[np.arange(len(answers)), answers] = np.linspace(4, 8, len(answers))
    return scores


def save_split(root, labels):
    images = np.zeros((len(labels), 32, 32, 3), dtype=np.uint8)
    np.savez(root / "data/subset/test.npz", images=images, labels=labels, indices=INDICES)


def summary(root):
    return json.loads((root / "results/label_errors/summary.json").read_text())


def table(root):
    return read_table(root / "results/label_errors/images.csv")


def test_the_summary_counts_the_flagged_and_the_wrong_labels_of_the_split(root):
    run(PARAMS, root)
    told = summary(root)
    assert (told["dataset"], told["flagged"], told["wrong"], told["upheld_with_both"]) == ("cifar10", 3, 2, 0)
    assert (told["level"], told["resamples"], list(told["variants"])) == (0.95, 50, VARIANTS)


def test_wrong_labels_cost_accuracy_only_whom_they_contradict(root):
    run(PARAMS, root)
    fc, full = (summary(root)["variants"][variant] for variant in ("fc", "full"))
    assert fc["change"] == {"difference": 0, "low": 0, "high": 0}
    assert full["accuracy"]["mean"] == pytest.approx(19 / 22)
    assert full["accuracy_without"]["mean"] == pytest.approx(19 / 20)
    assert full["change"]["difference"] == pytest.approx(19 / 20 - 19 / 22)
    assert fc["answers"] == {"given": 2, "suggested": 0, "another": 0}
    assert full["answers"] == {"given": 0, "suggested": 2, "another": 0}
    assert full["misses"] == full["confident_misses"] == {"images": 3, "flagged": 3, "wrong": 2}


def test_the_table_has_a_row_per_wrong_label_with_every_variant_s_scaled_answer(root):
    run(PARAMS, root)
    found = table(root)
    assert found[["row", "test_index", "given", "suggested"]].values.tolist() == [
        [4, 2405, "cat", "frog"],
        [0, 2128, "deer", "frog"],
    ]
    assert found["judges_suggested"].tolist() == [5, 2]
    assert found["full_predicted"].tolist() == ["frog", "frog"]
    assert found["scratch_predicted"].tolist() == ["cat", "deer"]
    for variant in VARIANTS:
        probabilities = tempered_softmax(logits(variant), TEMPERATURE)
        assert found[f"{variant}_confidence"].tolist() == pytest.approx(probabilities[[4, 0]].max(axis=1).tolist())


def test_another_dataset_has_no_known_label_errors(root):
    run(PARAMS, root)
    columns = list(table(root))
    run({**PARAMS, "data": {"dataset": "digits"}}, root)
    told = summary(root)
    assert (told["dataset"], told["flagged"], told["wrong"], told["variants"]) == ("digits", 0, 0, {})
    assert (len(table(root)), list(table(root))) == (0, columns)


def test_a_split_with_other_labels_is_refused_and_nothing_is_written(root):
    changed = labels()
    changed[4] = CLASSES.index("frog")
    save_split(root, changed)
    with pytest.raises(Refusal, match="image 2405 is labelled frog, not cat"):
        run(PARAMS, root)
    assert not (root / "results/label_errors").exists()


def test_predictions_of_other_images_are_refused(root):
    path = root / "results/predictions/layer4.npz"
    np.savez(path, test_logits=logits("layer4"), test_labels=labels()[::-1])
    with pytest.raises(Refusal, match=r"layer4\.npz: test_labels are not those of.*dvc repro predict@layer4"):
        run(PARAMS, root)


def test_the_same_predictions_give_the_same_bytes_and_another_seed_others(root):
    def written(seed):
        run({**PARAMS, "calibrate": {"resamples": 50, "seed": seed}}, root)
        return [path.read_bytes() for path in sorted((root / "results/label_errors").iterdir())]

    assert written(0) == written(0) != written(1)
