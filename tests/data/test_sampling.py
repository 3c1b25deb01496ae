import numpy as np
import pytest

from study.data.sampling import draw_rows
from study.pipeline.params import Refusal

LABELS = np.repeat([0, 1, 2], [20, 10, 10])


def test_rows_are_drawn_once_each_with_the_classes_in_proportion():
    rows = draw_rows(LABELS, 12, seed=0, key="corrupt_eval.images")
    assert len(set(rows)) == 12
    assert np.bincount(LABELS[rows]).tolist() == [6, 3, 3]


def test_the_seed_decides_which():
    first, again, other = (draw_rows(LABELS, 12, seed, "corrupt_eval.images").tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_all_rows_can_be_asked_for():
    assert sorted(draw_rows(LABELS, 40, 0, "corrupt_eval.images")) == list(range(40))


def test_more_rows_than_there_are_is_refused_in_one_line():
    line = r"^params.yaml: adversarial.images = 41: the test split has 40 images; lower it or raise data.test$"
    with pytest.raises(Refusal, match=line):
        draw_rows(LABELS, 41, 0, "adversarial.images")
