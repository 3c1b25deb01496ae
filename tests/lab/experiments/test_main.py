from pathlib import Path

import pytest

from lab.experiments.__main__ import run
from study.pipeline.params import Refusal


def test_an_unknown_study_is_refused():
    with pytest.raises(
        Refusal, match="there is no study dropout: there are augmentation, augmix, data_size, recipes, systems"
    ):
        run({}, Path(), "dropout")
