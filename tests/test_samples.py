from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samples.draw import SKETCHES, draw

FOLDER = Path(__file__).parents[1] / "samples"


def test_the_pictures_are_those_that_the_script_draws():
    assert sorted(path.stem for path in FOLDER.glob("*.png")) == sorted(SKETCHES)


@pytest.mark.parametrize("name", SKETCHES)
def test_a_picture_is_what_the_script_draws(name):
    np.testing.assert_array_equal(np.asarray(Image.open(FOLDER / f"{name}.png")), np.asarray(draw(name)))
