"""Logits of a network over many inputs."""

import numpy as np
import torch
from torch import nn

from study.networks.device import autocast, device


def predict(network: nn.Module, inputs: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """Float32 logits (N, C) of `network` in evaluation mode. inputs: (N, ...), what the network takes."""
    where = device()
    network = network.to(where).eval()
    with torch.inference_mode(), autocast():
        batches = [
            network(torch.from_numpy(inputs[start : start + batch_size]).to(where)).float().cpu().numpy()
            for start in range(0, len(inputs), batch_size)
        ]
    return np.concatenate(batches)
