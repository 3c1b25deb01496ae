"""What the alternatives share: the images one by one as PIL's, the backbone as torchvision's, and how they are judged.

Their data path is the one of torchvision's CIFAR10 class: arrays in memory, an image object for each example,
transformed by itself. Augmentation is the same as this project's (padded by 4 pixels, cropped, mirrored).
"""

import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lab.benchmarks.contenders.outcome import Outcome
from lab.benchmarks.measuring.clock import Clock
from study.data.splits import Examples, load_facts, load_split
from study.features.augment import PAD
from study.networks.classifier import backbone_path
from study.networks.device import device
from study.networks.stages import PIXEL_MEAN, PIXEL_STD
from study.pipeline.torchvision_shim import torchvision

transforms = torchvision.transforms

BATCH = 64  # images, the default of fastai
WORKERS = min(4, os.cpu_count())  # the tutorial has 4; more than there are cores only cost
JUDGED = 250  # images at a time


class Pictures(Dataset):
    def __init__(self, examples: Examples, transform: Callable[[Image.Image], Tensor]) -> None:
        """examples.inputs: uint8 (N, H, W, 3)."""
        self._examples = examples
        self._transform = transform

    def __len__(self) -> int:
        return len(self._examples.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._examples.inputs[index])), int(self._examples.labels[index])


def training_loader(root: Path, image_size: int) -> DataLoader:
    train = load_split(root, "train").examples
    augmentation = [
        transforms.RandomCrop(train.inputs.shape[1:3], padding=PAD, padding_mode="reflect"),
        transforms.RandomHorizontalFlip(),
    ]
    dataset = Pictures(train, transforms.Compose([*augmentation, *_to_pixels(image_size)]))
    return DataLoader(dataset, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)


def _to_pixels(image_size: int) -> list[Callable[[Any], Any]]:
    return [
        transforms.Resize((image_size, image_size)),
        transforms.ToTensor(),
        transforms.Normalize(PIXEL_MEAN, PIXEL_STD),
    ]


def resnet18(root: Path) -> nn.Module:
    """torchvision's, with the weights under `root`, and a linear layer for the classes of its images."""
    network = torchvision.models.resnet18(weights=None)
    features = network.fc.in_features
    network.fc = nn.Identity()
    weights = load_file(backbone_path(root))
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    network.fc = nn.Linear(features, len(load_facts(root).classes))
    return network


def logits(network: nn.Module, images: np.ndarray, image_size: int) -> np.ndarray:
    """Float32 (N, C), for uint8 images (N, H, W, 3); every module is left in the mode that it was in."""
    transform = transforms.Compose(_to_pixels(image_size))
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    batches = [images[start : start + JUDGED] for start in range(0, len(images), JUDGED)]
    with torch.no_grad():
        outputs = [
            network(torch.stack([transform(Image.fromarray(image)) for image in batch]).to(device())).cpu().numpy()
            for batch in batches
        ]
    for module, mode in modes:
        module.training = mode
    return np.concatenate(outputs)


class Judge:
    """Judges a network after every epoch, off the clock, and at the end as it is or as its best epoch left it."""

    def __init__(self, root: Path, image_size: int, clock: Clock) -> None:
        self._image_size = image_size
        self._clock = clock
        self._best_accuracy = -1.0  # below any
        self._best: dict[str, Tensor] = {}
        with clock.paused():
            self._selection, self._calibration, self._test = (
                load_split(root, split).examples for split in ("selection", "calibration", "test")
            )

    def epoch(self, network: nn.Module) -> None:
        """Add a point to the clock's curve."""
        with self._clock.paused():
            predicted = logits(network, self._selection.inputs, self._image_size).argmax(axis=1)
            accuracy = float((predicted == self._selection.labels).mean())
            if accuracy > self._best_accuracy:
                self._best_accuracy, self._best = accuracy, deepcopy(network.state_dict())
        self._clock.judged(accuracy)

    def best_outcome(self, network: nn.Module) -> Outcome:
        """Puts the weights of the best epoch back into the network, and judges that."""
        network.load_state_dict(self._best)
        return self.outcome(network, self._best_accuracy)

    def outcome(self, network: nn.Module, kept: float) -> Outcome:
        return Outcome(
            self._clock.curve,
            kept,
            logits(network, self._calibration.inputs, self._image_size),
            self._calibration.labels,
            logits(network, self._test.inputs, self._image_size),
            self._test.labels,
        )
