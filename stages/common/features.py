"""What the frozen backbone yields, computed once: the trunk's activations and the pooled features behind the tail."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

from stages.common.augment import Augment, augmented
from stages.common.device import autocast, device
from stages.common.examples import Examples
from stages.common.model import Classifier

Views = Annotated[int, Field(ge=1, le=32)]  # copies of each training image whose features are kept

BATCH = 250  # images


def augmented_views(images: np.ndarray, count: int, augment: Augment, seed: int) -> Iterator[np.ndarray]:
    """The images themselves, then count - 1 augmented copies. images: uint8 (N, H, W, 3)."""
    generator = torch.Generator().manual_seed(seed)
    yield images
    for _ in range(count - 1):
        yield augmented(torch.from_numpy(images), augment, generator).numpy()


def write_features(
    model: Classifier, folder: Path, split: str, views: Iterator[np.ndarray], shape: tuple[int, int], dtype: type
) -> None:
    """Write trunk_{split}.npy (views, N, K, h, w) and pooled_{split}.npy (views, N, F), batch by batch.

    shape: (views, N), as `views` will yield them. K, h, w and F are the backbone's: 256, S/16, S/16 and 512 of a
    ResNet-18.
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
    bar = tqdm(total=shape[0] * shape[1], desc=split, unit=" images", leave=False, disable=None)
    with bar, torch.inference_mode(), autocast():
        for view, images in enumerate(views):
            for start in range(0, len(images), BATCH):
                rows = slice(start, start + BATCH)
                batch = torch.from_numpy(images[rows]).to(device())
                activations = model.trunk(model.preprocess(batch))
                trunk[view, rows] = activations.float().cpu().numpy()
                pooled[view, rows] = model.tail(activations).float().cpu().numpy()
                bar.update(len(batch))
    trunk.flush()
    pooled.flush()


def load_features(root: Path, kind: str) -> tuple[Examples, Examples, Examples]:
    """The train, val and test splits with their labels; kind is "trunk" or "pooled".

    train's inputs are float16 (views, N, ...), view 0 of the unaltered images; those of val and test are float32
    (N, ...). They stay on disk until they are read.
    """
    train, val, test = (
        Examples(
            np.load(root / f"data/features/{kind}_{split}.npy", mmap_mode="c"),
            np.load(root / f"data/subset/{split}.npz")["labels"],
        )
        for split in ("train", "val", "test")
    )
    return train, val._replace(inputs=val.inputs[0]), test._replace(inputs=test.inputs[0])
