import pytest
import torch

from study.light_resnet.network import light_resnet
from study.networks.loading import light_backbone
from study.networks.stages import POOL, STAGES, backbone_state, load_backbone, map_size
from study.networks.torchvision_backbones import untrained
from study.pipeline.torchvision_shim import torchvision


def reference_state():
    state = torchvision.models.resnet18(weights=None).state_dict()
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def test_a_row_s_names_without_the_stage_are_the_library_s():
    stages = untrained("resnet18").stages
    assert [name for name, _ in stages.named_children()] == [*STAGES, POOL]
    assert backbone_state(stages).keys() == reference_state().keys()


def test_weights_come_back_under_the_names_that_they_went_in_with():
    stages, state = untrained("resnet18").stages, reference_state()
    load_backbone(stages, state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in backbone_state(stages).items())


def test_halves_become_the_network_s_own_numbers():
    stages = untrained("resnet18").stages
    load_backbone(stages, {name: tensor.half() for name, tensor in reference_state().items()})
    assert {tensor.dtype for tensor in stages.state_dict().values()} == {torch.float32, torch.int64}


def test_counters_of_batch_norm_may_be_missing():
    state = {name: tensor for name, tensor in reference_state().items() if "num_batches" not in name}
    assert len(state) < len(reference_state())
    load_backbone(untrained("resnet18").stages, state)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"extra": torch.zeros(1)}, "unexpected tensors: extra"),
        ({"conv1.weight": None}, "missing tensors: conv1.weight"),
    ],
)
def test_other_tensors_are_refused_by_name(change, said):
    state = {name: tensor for name, tensor in (reference_state() | change).items() if tensor is not None}
    with pytest.raises(RuntimeError, match=said):
        load_backbone(untrained("resnet18").stages, state)


@pytest.mark.parametrize("image_size", [32, 64, 96, 225])
def test_a_resnet_s_maps_have_as_many_cells_as_strides_fit(image_size):
    stages = untrained("resnet18").stages.train()
    found = [map_size(stages, layer, image_size) for layer in ("layer2", "layer3", "layer4")]
    assert found == [-(-image_size // stride) for stride in (8, 16, 32)]  # rounded up
    assert stages.training


@pytest.mark.parametrize("image_size", [32, 64, 97])
def test_the_light_network_s_maps_are_pooled_from_one_cell_less(image_size):
    stages = light_backbone().stages
    found = [map_size(stages, layer, image_size) for layer in ("layer2", "layer3", "layer4")]
    assert found == [(image_size - 1) // cells for cells in (2, 4, 8)]


def test_the_light_network_as_a_row_computes_what_it_computes_whole():
    torch.manual_seed(0)
    network, features = light_resnet()
    torch.manual_seed(0)
    backbone = light_backbone()
    pixels = torch.randn(2, 3, 32, 32)
    assert torch.equal(backbone.stages.eval()(pixels), network.eval()(pixels))
    assert backbone.features == features == 256
    assert [name for name, _ in backbone.stages.named_children()] == ["stem", "layer2", "layer3", "layer4", POOL]
