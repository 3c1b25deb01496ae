"""Pooled features and logits of a classifier, from the same pass over the images."""

import numpy as np
import torch
from torch import Tensor

from study.networks.classifier import Classifier
from study.networks.device import autocast, device


def features_and_logits(model: Classifier, images: np.ndarray, batch_size: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Pooled features (N, F) and logits (N, C) of `model` in evaluation mode, float32. images: uint8 (N, H, W, 3).

    The logits are those of `predict`. With `model.mirror`, features and logits are each the mean of those for the image
    and for its mirror image.
    """
    model = model.to(device()).eval()
    all_features, all_logits = [], []
    with torch.inference_mode(), autocast():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size]).to(device())
            views = [batch, batch.flip(2)] if model.mirror else [batch]
            features = [model.pooled(view) for view in views]
            all_features.append(_mean(features))
            all_logits.append(_mean([model.head(of_view) for of_view in features]))
    return np.concatenate(all_features), np.concatenate(all_logits)


def _mean(views: list[Tensor]) -> np.ndarray:
    mean: np.ndarray = torch.stack([view.float() for view in views]).mean(dim=0).cpu().numpy()
    return mean
