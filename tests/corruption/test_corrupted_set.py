import json

import numpy as np
import pytest

from study.corruption.conditions import conditions
from study.corruption.corrupted_set import load_corrupted, load_corrupted_images


@pytest.fixture
def folder(tmp_path):
    """data/corrupted with four labels under six conditions, but without inputs."""
    folder = tmp_path / "data/corrupted"
    folder.mkdir(parents=True)
    np.save(folder / "labels.npy", np.arange(4))
    (folder / "conditions.json").write_text(json.dumps(conditions(["fog"], official=False)))
    return folder


@pytest.mark.parametrize("ways", [1, 2])
def test_each_variant_gets_what_its_trained_part_takes_and_the_files_stay_as_they_are(tmp_path, folder, ways):
    shapes = {"images": (32, 32, 3), "trunk_corrupted": (256, 2, 2), "pooled_corrupted": (512,)}
    for name, shape in shapes.items():
        rows = 6 if name == "images" else 6 * ways
        np.save(folder / f"{name}.npy", np.zeros((rows, 4, *shape), dtype=np.float16))
    for variant, name in (("fc", "pooled_corrupted"), ("layer4", "trunk_corrupted"), ("full", "images")):
        loaded = load_corrupted(tmp_path, variant)
        assert isinstance(loaded.inputs, np.memmap)
        assert loaded.inputs.shape == (6, 1 if name == "images" else ways, 4, *shapes[name])
        assert loaded.conditions == conditions(["fog"], official=False)
        assert loaded.labels.tolist() == [0, 1, 2, 3]
        loaded.inputs[:] = 1
        assert not np.load(folder / f"{name}.npy").any()


def test_the_images_are_read_whatever_features_there_are_and_the_file_stays_as_it_is(tmp_path, folder):
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 32, 32, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    loaded = load_corrupted_images(tmp_path)
    assert isinstance(loaded.inputs, np.memmap)
    np.testing.assert_array_equal(loaded.inputs, images)
    assert (loaded.conditions, loaded.labels.tolist()) == (conditions(["fog"], official=False), [0, 1, 2, 3])
    loaded.inputs[:] = 1
    np.testing.assert_array_equal(np.load(folder / "images.npy"), images)
