import numpy as np

from study.corruption.corrupted_set import load_corrupted
from study.pipeline.files import write_json

CONDITIONS = [
    {"corruption": "clean", "group": "clean", "severity": 0},
    {"corruption": "fog", "group": "benchmark", "severity": 1},
]


def test_what_corrupt_wrote_is_read_and_the_images_stay_on_disk(tmp_path):
    folder = tmp_path / "data/corrupted"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 8, 8, 3), np.uint8)
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", np.arange(5))
    write_json(folder / "conditions.json", CONDITIONS)
    found = load_corrupted(tmp_path)
    assert found.conditions == CONDITIONS
    assert isinstance(found.images, np.memmap)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.labels, np.arange(5))
