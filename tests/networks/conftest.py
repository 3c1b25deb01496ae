"""What the tests of torchvision's and timm's networks share."""

import pytest
import torch

from study.networks.stages import load_backbone


@pytest.fixture
def shapes_alone():
    """Networks have shapes and no numbers: to draw hundreds of millions takes seconds."""
    with torch.device("meta"):
        yield


@pytest.fixture
def require_same_features():
    """Require that a backbone with the weights of `reference`, a network without its head, computes the same."""

    def require(reference, backbone, rtol, atol):
        """atol: as a share of the largest feature."""
        load_backbone(backbone.stages, reference.state_dict())
        pixels = torch.randn(2, 3, 64, 64)
        with torch.inference_mode():
            pooled, expected = backbone.stages.eval()(pixels), reference(pixels)
        torch.testing.assert_close(pooled, expected, rtol=rtol, atol=atol * expected.abs().max().item())
        assert pooled.shape == (2, backbone.features)

    return require
