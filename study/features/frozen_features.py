"""Features of the frozen backbone, computed once: the trunk's activations and the tail's pooled features."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

from study.data.splits import Examples
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


def with_mirror_images(views: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Each of the views, uint8 (N, H, W, 3), followed by its mirror images."""
    for images in views:
        yield images
        yield np.ascontiguousarray(images[:, :, ::-1])


def write_features(
    model: Classifier, folder: Path, split: str, views: Iterator[np.ndarray], shape: tuple[int, int], dtype: type
) -> None:
    """Write trunk_{split}.npy (views, N, K, h, w) and pooled_{split}.npy (views, N, F), batch by batch.

    views: the images of one view after the other, in pieces of any size. shape: (views, N), of all of them. K, h, w and
    F depend on the backbone: 256, S/16, S/16 and 512 for a ResNet-18.
    """
    model = model.to(device()).eval()
    one = torch.zeros(1, 3, model.image_size, model.image_size, device=device())
    with torch.inference_mode():
        activations = model.trunk(one)
        kept = {"trunk": activations, "pooled": model.tail(activations)}
    trunk, pooled = (
        np.lib.format.open_memmap(folder / f"{kind}_{split}.npy", "w+", dtype, (*shape, *like.shape[1:]))
        for kind, like in kept.items()
    )
    all_trunk, all_pooled = (array.reshape(-1, *array.shape[2:]) for array in (trunk, pooled))
    written = 0
    bar = tqdm(total=shape[0] * shape[1], desc=split, unit=" images", leave=False, disable=None)
    with bar, torch.inference_mode(), autocast():
        for images in views:
            for batch in torch.from_numpy(images).split(BATCH):
                rows = slice(written, written + len(batch))
                activations = model.trunk(model.preprocess(batch.to(device())))
                all_trunk[rows] = activations.float().cpu().numpy()
                all_pooled[rows] = model.tail(activations).float().cpu().numpy()
                written += len(batch)
                bar.update(len(batch))
    trunk.flush()
    pooled.flush()


def load_features(root: Path, kind: str) -> tuple[Examples, Examples]:
    """The train and val splits with their labels; kind is "trunk" or "pooled".

    train's inputs are float16 (views, N, ...), where view 0 is the unaltered images; val's are float32 (N, ...). They
    stay on disk until read.
    """
    train, val = (
        Examples(
            np.load(root / f"data/features/{kind}_{split}.npy", mmap_mode="c"),
            np.load(root / f"data/subset/{split}.npz")["labels"],
        )
        for split in ("train", "val")
    )
    return train, val._replace(inputs=val.inputs[0])
