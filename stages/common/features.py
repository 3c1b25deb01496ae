"""What the frozen backbone yields, computed once: layer3's activations and the pooled features behind layer4."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

from stages.common.augment import pad_crop_flip
from stages.common.device import autocast, device
from stages.common.examples import Examples
from stages.common.model import Classifier

Views = Annotated[int, Field(ge=1, le=32)]  # copies of each training image whose features are kept

BATCH = 250  # images


def augmented_views(images: np.ndarray, count: int, seed: int) -> Iterator[np.ndarray]:
    """The images themselves, then count - 1 cropped and flipped copies. images: uint8 (N, H, W, 3)."""
    generator = torch.Generator().manual_seed(seed)
    yield images
    for _ in range(count - 1):
        yield pad_crop_flip(torch.from_numpy(images), generator).numpy()


def write_features(
    model: Classifier, folder: Path, split: str, views: Iterator[np.ndarray], shape: tuple[int, int], dtype: type
) -> None:
    """Write layer3_{split}.npy (views, N, 256, S/16, S/16) and pooled_{split}.npy (views, N, 512), batch by batch.

    shape: (views, N), as `views` will yield them.
    """
    model = model.to(device()).eval()
    side = -(-model.image_size // 16)
    layer3 = np.lib.format.open_memmap(folder / f"layer3_{split}.npy", "w+", dtype, (*shape, 256, side, side))
    pooled = np.lib.format.open_memmap(folder / f"pooled_{split}.npy", "w+", dtype, (*shape, 512))
    bar = tqdm(total=shape[0] * shape[1], desc=split, unit=" images", leave=False, disable=None)
    with bar, torch.inference_mode(), autocast():
        for view, images in enumerate(views):
            for start in range(0, len(images), BATCH):
                rows = slice(start, start + BATCH)
                batch = torch.from_numpy(images[rows]).to(device())
                activations = model.trunk(model.preprocess(batch))
                layer3[view, rows] = activations.float().cpu().numpy()
                pooled[view, rows] = model.tail(activations).float().cpu().numpy()
                bar.update(len(batch))
    layer3.flush()
    pooled.flush()


def load_features(root: Path, kind: str) -> tuple[Examples, Examples, Examples]:
    """The train, val and test splits with their labels; kind is "layer3" or "pooled".

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
