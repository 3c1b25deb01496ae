"""A classifier on a light residual network, trained from random weights."""

from typing import cast

import numpy as np
import torch
from torch import Tensor

from study.light_resnet.network import Whitening, light_resnet, map_size
from study.networks.backbones import Backbone
from study.networks.classifier import Classifier

LIGHT_RESNET = "light_resnet"  # in place of a backbone's name


class LightClassifier(Classifier):
    """A light residual network under a linear head, drawn from torch's global random state.

    Fit its first layer with `whiten` before training. In evaluation mode the logits are the mean of those for the image
    and for its mirror image.
    """

    map_size = staticmethod(map_size)

    @staticmethod
    def untrained(_name: str) -> Backbone:
        return Backbone(*light_resnet())

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            return super().forward(images)
        return (super().forward(images) + super().forward(images.flip(2))) / 2

    @torch.inference_mode()
    def whiten(self, images: np.ndarray) -> None:
        """Fit the first layer to training images, uint8 (N, H, W, 3)."""
        cast(Whitening, self.trunk.whitening).fit(self.preprocess(torch.from_numpy(images)))
