"""3x3 convolutions that stay fast on the 2x2 maps of a network's last block."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution, stride 1, padding 1, that trains on 2x2 maps as one matrix product.

    On such a map every output sees every input exactly once: 16 products per pair of channels, not 36 with the zeros of
    the padding. On a CPU without AVX-512 the convolution's weight gradient is also much slower than a matrix product.
    """

    @classmethod
    def like(cls, layer: nn.Conv2d) -> "Conv3x3":
        """A layer that shares the parameters of `layer`, without drawing any random numbers."""
        new = cls(layer.in_channels, layer.out_channels, 3, padding=1, bias=layer.bias is not None, device="meta")
        new.weight, new.bias = layer.weight, layer.bias
        return new

    def forward(self, maps: Tensor) -> Tensor:
        if self.training and maps.shape[2:] == (2, 2) and not maps.is_cuda:
            return self._as_matrix_product(maps)
        return super().forward(maps)

    def _as_matrix_product(self, maps: Tensor) -> Tensor:
        """maps: (N, C, 2, 2). The tap between input (i, j) and output (p, q) is weight[:, :, i - p + 1, j - q + 1]."""
        weight = self.weight.to(maps.dtype)  # for autocast, which then converts 9 values per pair of channels, not 16
        taps = weight.permute(2, 3, 0, 1)  # (3, 3, outputs, inputs)
        rows = [
            taps[1 - p : 3 - p, 1 - q : 3 - q].flatten(0, 1).permute(1, 0, 2).flatten(1) for p in (0, 1) for q in (0, 1)
        ]
        bias = None if self.bias is None else self.bias.repeat(4)
        outputs = F.linear(maps.permute(0, 2, 3, 1).flatten(1), torch.cat(rows), bias)
        return outputs.view(-1, 2, 2, self.out_channels).permute(0, 3, 1, 2)


def use_matrix_products(network: nn.Module) -> None:
    """Replace every dense 3x3 nn.Conv2d of stride 1 and padding 1 by a Conv3x3 with the same parameters.

    Subclasses stay: they may compute something else, as weight-standardised convolutions do.
    """
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.Conv2d and _is_dense_3x3(layer):
                setattr(parent, name, Conv3x3.like(layer))


def _is_dense_3x3(layer: nn.Conv2d) -> bool:
    shape = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")
