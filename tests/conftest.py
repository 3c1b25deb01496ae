"""Small real inputs that many tests share."""

import os

import numpy as np
import pytest
import torch

from study.networks.classifier import Classifier, Head

CLASSES = ["plane", "bird", "cat"]


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # of pytest -n, whose workers' threads would wait for each other
        os.environ["OMP_NUM_THREADS"] = "1"  # of the scripts that tests start
        torch.set_num_threads(1)


@pytest.fixture
def images() -> np.ndarray:
    """Forty uint8 images, (40, 32, 32, 3)."""
    return np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def model() -> Classifier:
    """A small-resolution classifier with random weights, in evaluation mode."""
    torch.manual_seed(0)
    return Classifier(Head(hidden=[8], dropout=0.5), CLASSES, image_size=32).eval()
