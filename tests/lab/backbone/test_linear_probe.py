import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lab.backbone.linear_probe import STRENGTHS, frozen, run
from lab.backbone.train_tinyimagenet import backbone_weights
from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head
from study.pipeline.params import Refusal


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_file(
        backbone_weights(Classifier(untrained("resnet18"), Head(hidden=[], dropout=0.0), ["any"], 32)),
        tmp_path / "random.safetensors",
    )
    return tmp_path / "random.safetensors"


def write_subset(root: Path, labels: np.ndarray) -> None:
    """A dark and a bright class under whatever labels; the test split is mislabelled in one image of four."""
    folder = root / "data/subset"
    folder.mkdir(parents=True)
    (folder / "classes.json").write_text(json.dumps(["dark", "bright"]))
    noise = np.random.default_rng(0).integers(0, 60, (len(labels), 32, 32, 3))
    images = (noise + 180 * labels[:, None, None, None]).astype(np.uint8)
    for split in ("train", "val"):
        np.savez(folder / f"{split}.npz", images=images, labels=labels)
    np.savez(folder / "test.npz", images=images[:4], labels=np.array([*labels[:3], 1 - labels[3]]))


def test_a_probe_on_random_features_tells_dark_from_bright(tmp_path: Path, weights: Path) -> None:
    write_subset(tmp_path, np.arange(20) % 2)

    probe = run(tmp_path, weights, 32)

    assert probe.val_accuracy == 1.0
    assert probe.test_accuracy == 3 / 4
    assert probe.strength in STRENGTHS


@pytest.mark.parametrize(("pixels", "white"), [("unit", 1.0), ("raw", 255.0), ("normalised", (1 - 0.485) / 0.229)])
def test_the_backbone_may_see_pixels_that_it_was_not_trained_with(weights: Path, pixels: str, white: float) -> None:
    model = frozen(weights, ["any"], 32, pixels)
    seen = model.preprocess(torch.full((1, 32, 32, 3), 255, dtype=torch.uint8))
    torch.testing.assert_close(seen[0, 0], torch.full((32, 32), white))


def test_without_the_pipelines_images_it_names_the_stage_that_writes_them(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(Refusal, match="data/subset is missing: `dvc repro subsample` writes it"):
        run(tmp_path, weights, 32)
