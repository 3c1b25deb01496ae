"""Logits of a network over many inputs."""

import numpy as np
import torch
from torch import nn

from stages.common.device import autocast, device


def predict(network: nn.Module, inputs: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """Float32 logits (N, C) of `network`, in evaluation mode, for inputs (N, ...) of the kind that it takes."""
    where = device()
    network = network.to(where).eval()
    with torch.inference_mode(), autocast():
        batches = [
            network(torch.from_numpy(inputs[start : start + batch_size]).to(where)).float().cpu().numpy()
            for start in range(0, len(inputs), batch_size)
        ]
    return np.concatenate(batches)
