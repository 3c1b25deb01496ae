"""Pooled features of the frozen backbone, computed once for every head that is trained on them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

from study.data.splits import Examples, load_labels
from study.features.augment import Augment, augmented
from study.networks.classifier import Classifier
from study.networks.device import autocast, device

Views = Annotated[int, Field(ge=1, le=32)]  # copies of each training image

BATCH = 250  # images
PIECE = 50_000 * 32 * 32  # pixels augmented at a time: all of CIFAR-10, a thousand pictures of 224x224


def training_views(images: np.ndarray, count: int, augment: Augment, seed: int) -> Iterator[np.ndarray]:
    """The images themselves, uint8 (N, H, W, 3), then count - 1 augmented copies, each in pieces of at most PIECE."""
    generator = torch.Generator().manual_seed(seed)
    pieces = torch.from_numpy(images).split(max(1, PIECE // (images.shape[1] * images.shape[2])))
    yield images
    for _ in range(count - 1):
        for piece in pieces:
            yield augmented(piece, augment, generator).numpy()


def write_pooled(
    model: Classifier, path: Path, views: Iterable[np.ndarray], shape: tuple[int, ...], dtype: type
) -> None:
    """Write the model's pooled features, (*shape, F), batch by batch.

    views: the images, one view after the other, in pieces of any size. shape: (views, N) or (N,), of all of them.
    """
    model = model.to(device()).eval()
    pooled = np.lib.format.open_memmap(path, "w+", dtype, (*shape, model.features))
    rows = pooled.reshape(-1, model.features)
    written = 0
    bar = tqdm(total=len(rows), desc=path.stem, unit=" images", leave=False, disable=None)
    with bar, torch.inference_mode(), autocast():
        for images in views:
            for batch in torch.from_numpy(images).split(BATCH):
                rows[written : written + len(batch)] = model.pooled(batch.to(device())).float().cpu().numpy()
                written += len(batch)
                bar.update(len(batch))
    pooled.flush()


def features_path(root: Path, split: Literal["train", "selection"]) -> Path:
    return root / f"data/features/{split}.npy"


def load_features(root: Path) -> tuple[Examples, Examples]:
    """The train and selection splits with their labels.

    train's inputs are float16 (views, N, F), where view 0 is the unaltered images; selection's are float32 (N, F). They
    stay on disk until read.
    """
    train, selection = (
        Examples(np.load(features_path(root, split), mmap_mode="c"), load_labels(root, split))
        for split in ("train", "selection")
    )
    return train, selection
