"""Refuse a bad params.yaml in one line, before anything expensive runs.

Reads params.yaml, whole, and the names of the pictures under data.path where data.dataset is folder. Writes
data/params.ok, whose constant content lets nothing downstream run again.
"""

from pathlib import Path
from typing import Any

from stages.common.attack import Adversarial
from stages.common.backbones import BackboneName
from stages.common.calibration import Calibrate
from stages.common.cam import GradCam, require_map
from stages.common.corruption import CorruptEval
from stages.common.datasets import Data
from stages.common.light_resnet import LightClassifier
from stages.common.model import Head
from stages.common.optimisation import Recipe
from stages.common.params import Block, Refusal, parse
from stages.common.picture_folder import list_pictures, require_enough
from stages.common.stage import main
from stages.common.training import Common, ImageRecipe, ScratchRecipe
from stages.common.variants import Variant
from stages.common.weights import Weights, require_bundled

COARSEST = 2  # times that the network's input may be smaller than a picture: bilinear resizing sees the nearest pixels


class Backbone(Block):
    name: BackboneName
    weights: Weights
    head: Head


class Train(Block):
    common: Common
    fc: Recipe
    layer4: Recipe
    full: ImageRecipe
    scratch: ScratchRecipe


class Params(Block):
    """params.yaml."""

    freeze: Variant
    data: Data
    backbone: Backbone
    train: Train
    calibrate: Calibrate
    corrupt_eval: CorruptEval
    adversarial: Adversarial
    gradcam: GradCam


def run(params: dict[str, Any], root: Path) -> None:
    checked = parse(params, "", Params)
    require_bundled(checked.backbone.name, checked.backbone.weights)
    common, scratch = checked.train.common, checked.train.scratch
    if checked.freeze == "scratch":
        require_map(checked.gradcam.layer, scratch.image_size, LightClassifier.map_size)
    else:
        require_map(checked.gradcam.layer, common.image_size)
    for name, recipe, block in (("full", checked.train.full, "common"), ("scratch", scratch, "scratch")):
        images = min(getattr(checked.train, block).batch_size, checked.data.train, checked.data.val // 2)
        if recipe.processes > images:
            raise Refusal(
                f"params.yaml: train.{name}.processes = {recipe.processes}: there are {images} images to share "
                f"(train.{block}.batch_size, data.train or half of data.val)"
            )
    asked = {
        "corrupt_eval.images": checked.corrupt_eval.images,
        "adversarial.images": checked.adversarial.images,
        "gradcam.faithfulness_images": checked.gradcam.faithfulness_images,
    }
    if checked.data.dataset == "folder":
        require_enough(checked.data, list_pictures(root / checked.data.path), asked)
        for name, block in (("common", common), ("scratch", scratch)):
            if checked.data.side > COARSEST * block.image_size:
                raise Refusal(
                    f"params.yaml: data.side = {checked.data.side}: train.{name}.image_size = {block.image_size} is "
                    "less than half of it, and would skip pixels: lower the one or raise the other"
                )
    if checked.data.dataset != "cifar10" and checked.corrupt_eval.cifar10c_dir is not None:
        raise Refusal(
            f"params.yaml: corrupt_eval.cifar10c_dir: its files are of CIFAR-10, and data.dataset = "
            f"{checked.data.dataset}: set it to null"
        )
    for key, images in asked.items():
        if images > checked.data.test:
            raise Refusal(f"params.yaml: {key} = {images}: there are {checked.data.test} test images (data.test)")
    marker = root / "data/params.ok"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text("params.yaml is valid\n")


if __name__ == "__main__":
    main(run)
