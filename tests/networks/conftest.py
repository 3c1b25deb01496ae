"""What the tests of torchvision's and timm's networks share."""

import pytest
import torch


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
        state = reference.state_dict()
        for part in (backbone.trunk, backbone.tail):
            part.load_state_dict({key: state.pop(key) for key in part.state_dict()})
            part.eval()
        assert not state
        pixels = torch.randn(2, 3, 64, 64)
        with torch.inference_mode():
            pooled, expected = backbone.tail(backbone.trunk(pixels)), reference(pixels)
        torch.testing.assert_close(pooled, expected, rtol=rtol, atol=atol * expected.abs().max().item())
        assert pooled.shape == (2, backbone.features)

    return require
