from pathlib import Path

import pytest
from PIL import Image

COLOURS = {"n01": (200, 30, 30), "n02": (30, 200, 30), "n03": (30, 30, 200), "n04": (200, 200, 30)}


@pytest.fixture
def official_folder(tmp_path: Path) -> Path:
    """Four classes of one colour each in Tiny ImageNet's layout: 6 pictures to train on and 2 to validate on."""
    folder = tmp_path / "tiny-imagenet-200"
    annotations = []
    for number, (wnid, colour) in enumerate(COLOURS.items()):
        images = folder / "train" / wnid / "images"
        images.mkdir(parents=True)
        for index in range(6):
            Image.new("RGB", (64, 64), colour).save(images / f"{wnid}_{index}.JPEG")
        val = folder / "val" / "images"
        val.mkdir(parents=True, exist_ok=True)
        for index in (number, number + 4):
            Image.new("RGB", (64, 64), colour).save(val / f"val_{index}.JPEG")
            annotations.append(f"val_{index}.JPEG\t{wnid}\t0\t0\t62\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(annotations))
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in COLOURS))
    return folder
