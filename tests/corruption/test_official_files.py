import tracemalloc

import numpy as np
import pytest

from study.corruption.catalogue import SEVERITIES
from study.corruption.official_files import OFFICIAL_GROUPS, official_images
from study.pipeline.params import Refusal

COUNT = 30  # test images; the real files have 10,000
INDICES = np.array([7, 0, 29, 11])
LABELS = np.arange(COUNT) % 10


def files():
    """What the archive holds, in small: the value of every pixel says which severity and which image it is of."""
    images = np.empty((5 * COUNT, 32, 32, 3), dtype=np.uint8)
    images[:] = np.arange(5 * COUNT)[:, None, None, None]
    return {"fog": images, "labels": np.tile(LABELS, 5).astype(np.uint8)}


def write(folder, **arrays):
    for name, array in (files() | arrays).items():
        np.save(folder / f"{name}.npy", array)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_severity_is_a_slice_of_the_file_in_test_order(severity, tmp_path):
    write(tmp_path)
    images = official_images(tmp_path, "fog", severity, INDICES, LABELS[INDICES])
    assert images.dtype == np.uint8 and images.shape == (4, 32, 32, 3)
    assert images[:, 5, 6, 1].tolist() == [30 * (severity - 1) + index for index in (7, 0, 29, 11)]


def test_only_the_rows_asked_for_are_read(tmp_path):
    write(tmp_path)
    tracemalloc.start()
    images = official_images(tmp_path, "fog", 2, INDICES, LABELS[INDICES])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not isinstance(images, np.memmap) and peak < 5 * COUNT * 32 * 32 * 3 / 2  # half the file, bytes


def test_labels_may_be_of_any_integer_type(tmp_path):
    write(tmp_path, labels=np.tile(LABELS, 5))
    assert len(official_images(tmp_path, "fog", 5, INDICES, LABELS[INDICES])) == 4


def test_the_archive_has_the_nineteen_files_and_its_frost_counts():
    assert len(OFFICIAL_GROUPS) == 19
    assert sum(group == "benchmark" for group in OFFICIAL_GROUPS.values()) == 15
    assert OFFICIAL_GROUPS["frost"] == "benchmark" and OFFICIAL_GROUPS["spatter"] == "extra"
    assert "occlusion" not in OFFICIAL_GROUPS


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"fog": np.zeros((150, 32, 32, 3))},
            r"fog.npy must be uint8 \(5 n, 32, 32, 3\), got float64 \(150, 32, 32, 3\)",
        ),
        ({"fog": np.zeros((150, 3, 32, 32), np.uint8)}, r"fog.npy must be .*, got uint8 \(150, 3, 32, 32\)"),
        ({"fog": np.zeros((149, 32, 32, 3), np.uint8)}, r"fog.npy must be .*, got uint8 \(149, 32, 32, 3\)"),
        (
            {"fog": np.zeros((0, 32, 32, 3), np.uint8), "labels": LABELS[:0]},
            r"fog.npy has 0 images a severity: none for test image 29",
        ),
        ({"labels": LABELS}, r"labels.npy must have a label for each of 150 images, got \(30,\)"),
        (
            {"fog": np.zeros((100, 32, 32, 3), np.uint8), "labels": np.zeros(100)},
            "fog.npy has 20 images a severity: none for test image 29",
        ),
        (
            {"labels": np.tile((LABELS + 1) % 10, 5)},
            r"labels.npy calls test image 7 class 8 and data.dataset calls it 7 \(4 of 4 differ\)",
        ),
    ],
)
def test_files_of_another_kind_are_refused_in_one_line(change, fault, tmp_path):
    write(tmp_path, **change)
    with pytest.raises(Refusal, match=fault) as refusal:
        official_images(tmp_path, "fog", 1, INDICES, LABELS[INDICES])
    line = str(refusal.value)
    assert line.startswith(f"params.yaml: corrupt_eval.cifar10c_dir = {tmp_path}: ") and "\n" not in line
    assert line.endswith("give the folder of the unpacked CIFAR-10-C.tar, or null")


@pytest.mark.parametrize("name", ["fog", "labels"])
def test_a_missing_file_is_named(name, tmp_path):
    write(tmp_path)
    (tmp_path / f"{name}.npy").unlink()
    with pytest.raises(Refusal, match=f"it has no {name}.npy; give the folder"):
        official_images(tmp_path, "fog", 1, INDICES, LABELS[INDICES])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no array", b"cut short"])
def test_a_file_that_is_no_array_is_named(content, tmp_path):
    write(tmp_path)
    path = tmp_path / "fog.npy"
    path.write_bytes(path.read_bytes()[:-5000] if content == b"cut short" else content)
    with pytest.raises(Refusal, match=r"fog.npy cannot be read \(.*\); give the folder") as refusal:
        official_images(tmp_path, "fog", 1, INDICES, LABELS[INDICES])
    assert "\n" not in str(refusal.value)


def test_a_pickle_is_not_opened(tmp_path):
    write(tmp_path, fog=np.array([{}], dtype=object))
    with pytest.raises(Refusal, match=r"fog.npy cannot be read"):
        official_images(tmp_path, "fog", 1, INDICES, LABELS[INDICES])
