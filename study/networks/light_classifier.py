"""A classifier on a light residual network, trained from random weights."""

from typing import cast

import numpy as np
import torch

from study.light_resnet.network import Whitening, light_resnet, map_size
from study.networks.classifier import Classifier
from study.networks.trunk_and_tail import Backbone, Layer

LIGHT_RESNET = "light_resnet"  # in place of a backbone's name
MAPS: dict[Layer, str] = {"layer2": "trunk.layer2", "layer3": "trunk.layer3", "layer4": "tail.layer4"}


class LightClassifier(Classifier):
    """A light residual network under a linear head, drawn from torch's global random state.

    Fit its first layer with `whiten` before training.
    """

    map_size = staticmethod(map_size)

    @staticmethod
    def untrained(_name: str) -> Backbone:
        trunk, tail, features = light_resnet()
        return Backbone(trunk, tail, features, MAPS)

    @torch.inference_mode()
    def whiten(self, images: np.ndarray) -> None:
        """Fit the first layer to training images, uint8 (N, H, W, 3)."""
        cast(Whitening, self.trunk.whitening).fit(self.preprocess(torch.from_numpy(images)))
