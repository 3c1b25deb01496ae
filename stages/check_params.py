"""Check params.yaml, and report its faults in one line before anything expensive runs.

Reads all of params.yaml and, if data.dataset is folder, the names of the pictures under data.path. Writes
data/params.ok, whose content is constant, so that no other stage runs again because of it.
"""

from pathlib import Path
from typing import Any

from study.adaptation.batch_norm import Adapt
from study.adaptation.interpolation import Interpolate
from study.attacks.gradient_attacks import Adversarial
from study.attribution.cam import GradCam, require_map
from study.conformal.prediction_sets import Conformal
from study.corruption.catalogue import CorruptEval
from study.corruption.pixel_values import REFERENCE_SIDE
from study.evaluation.temperature import Calibrate
from study.networks.backbones import BackboneName, require_usable
from study.networks.classifier import Head
from study.networks.light_classifier import LightClassifier
from study.ood.images import Ood, require_pictures
from study.pipeline.files import write_text
from study.pipeline.params import Block, Refusal, parse
from study.pipeline.stage import main
from study.pipeline.variants import Variant
from study.sources.backbone_weights import Weights, require_weights
from study.sources.picture_folder import list_pictures, require_enough
from study.sources.stratified_draw import Data
from study.training.fine_tune import Common, resolutions
from study.training.from_scratch import ScratchPhase
from study.training.recipe import ImagePhase, Phase

COARSEST = 2  # largest ratio of a picture to the network's input: bilinear resizing skips pixels beyond it


class Backbone(Block):
    name: BackboneName
    weights: Weights
    head: Head


class Train(Block):
    common: Common
    fc: Phase
    layer4: Phase
    full: ImagePhase
    scratch: ScratchPhase


class Params(Block):
    """params.yaml."""

    freeze: Variant
    mirror: bool
    data: Data
    backbone: Backbone
    train: Train
    calibrate: Calibrate
    corrupt_eval: CorruptEval
    adapt: Adapt
    interpolate: Interpolate
    conformal: Conformal
    ood: Ood
    adversarial: Adversarial
    gradcam: GradCam


def run(params: dict[str, Any], root: Path) -> None:
    checked = parse(params, "", Params)
    common, full, scratch = checked.train.common, checked.train.full, checked.train.scratch
    side = checked.data.side if checked.data.dataset == "folder" else REFERENCE_SIDE
    scratch_size = scratch.image_size_for(side)
    for name, recipe, block, last in (
        ("full", full, "common", common.image_size),
        ("scratch", scratch, "scratch", scratch_size),
    ):
        first = recipe.first_image_size
        if first is not None and first > last:
            raise Refusal(
                f"params.yaml: train.{name}.first_image_size = {first}: it is more than train.{block}.image_size = "
                f"{last}: lower the one or raise the other"
            )
    # Of the sizes that an epoch trains at, which are multiples of 32, the least.
    full_least = min(resolutions(full.first_image_size, common.image_size, full.epochs))
    scratch_least = min(resolutions(scratch.first_image_size, scratch_size, scratch.epochs))
    require_usable(checked.backbone.name, [common.image_size, full_least])
    require_weights(checked.backbone.name, checked.backbone.weights)
    if checked.freeze == "scratch":
        require_map(checked.gradcam.layer, scratch_size, LightClassifier.map_size)
    else:
        require_map(checked.gradcam.layer, common.image_size)
    for name, recipe, block in (("full", full, "common"), ("scratch", scratch, "scratch")):
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
        sizes = {
            "common.image_size": (common.image_size, common.image_size),
            "full.first_image_size": (full.first_image_size, full_least),
            "scratch.image_size": (scratch.image_size, scratch_size),
            "scratch.first_image_size": (scratch.first_image_size, scratch_least),
        }
        for name, (given, used) in sizes.items():
            if checked.data.side > COARSEST * used:
                trained = "" if used == given else f", which trains at {used},"
                raise Refusal(
                    f"params.yaml: data.side = {checked.data.side}: train.{name} = {given}{trained} is less than half "
                    "of it, and would skip pixels: lower the one or raise the other"
                )
    if checked.data.dataset != "cifar10" and checked.corrupt_eval.cifar10c_dir is not None:
        raise Refusal(
            f"params.yaml: corrupt_eval.cifar10c_dir: its files are of CIFAR-10, and data.dataset = "
            f"{checked.data.dataset}: set it to null"
        )
    for key, images in asked.items():
        if images > checked.data.test:
            raise Refusal(f"params.yaml: {key} = {images}: there are {checked.data.test} test images (data.test)")
    require_pictures([root / path for path in checked.ood.paths])
    write_text(root / "data/params.ok", "params.yaml is valid\n")


if __name__ == "__main__":
    main(run)
