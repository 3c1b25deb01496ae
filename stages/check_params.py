"""Check params.yaml, and report its faults in one line before anything expensive runs.

Reads all of params.yaml, the variants of dvc.yaml and, if data.dataset is folder, the names of the pictures under
data.path. Writes data/params.ok, whose content is constant, so that no other stage runs again because of it.
"""

import re
from pathlib import Path
from typing import Any

from study.adaptation.batch_norm import Adapt
from study.adaptation.interpolation import Interpolate
from study.attacks.gradient_attacks import Adversarial
from study.attribution.cam import GradCam, require_map
from study.conformal.prediction_sets import Conformal
from study.corruption.catalogue import CorruptEval
from study.evaluation.temperature import Calibrate
from study.networks.backbones import BackboneName, require_usable, untrained
from study.networks.classifier import Classifier, Head
from study.networks.loading import light_backbone
from study.ood.images import Ood, require_pictures
from study.pipeline.files import write_text
from study.pipeline.params import Block, Refusal, parse, read_yaml
from study.pipeline.stage import main
from study.pipeline.variants import COMMON, fine_tuned, require_published, variants
from study.sources.backbone_weights import BackbonePath, Weights, require_weights
from study.sources.datasets import PUBLISHED
from study.sources.picture_folder import list_pictures, require_enough
from study.sources.stratified_draw import Data
from study.training.fine_tune import Common, FineTuning
from study.training.from_scratch import FromScratch
from study.training.loop import BatchSize
from study.training.recipe import ImagePhase, resolutions

COARSEST = 2  # largest ratio of a picture to the network's input: bilinear resizing skips pixels beyond it


class Backbone(Block):
    name: BackboneName
    weights: Weights
    path: BackbonePath
    head: Head


class Params(Block):
    """params.yaml."""

    freeze: str
    mirror: bool
    data: Data
    backbone: Backbone
    train: dict[str, Any]
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
    require_stages_for(variants(params), root)
    require_published(params)
    common, tuned = parse(params, "train.common", Common), {}
    for variant in fine_tuned(params):
        tuned[variant] = parse(params, f"train.{variant}", FineTuning)
    scratch = {of: parse(params, f"train.{of}", FromScratch) for of in variants(params) if of not in tuned}
    side = checked.data.picture_side()
    sizes = dict.fromkeys(tuned, common.image_size) | {of: block.image_size_for(side) for of, block in scratch.items()}
    keys = dict.fromkeys(tuned, COMMON) | {of: of for of in scratch}  # the block that has image_size and batch_size
    least = {}  # of the sizes that an epoch trains at, which are multiples of 32
    for variant, phase in (tuned | scratch).items():
        require_fitting(variant, phase, sizes[variant], keys[variant], params, checked.data)
        least[variant] = min(resolutions(phase.first_image_size, sizes[variant], phase.epochs))
    name = checked.backbone.name
    require_usable(name, sorted({common.image_size, *(least[variant] for variant in tuned)}))
    require_weights(name, checked.backbone.weights, root / checked.backbone.path)
    published = light_backbone() if checked.freeze in scratch else untrained(name)
    require_map(checked.gradcam.layer, published.stages, sizes[checked.freeze])
    for phase in tuned.values():
        if phase.learns == "batch_norm":
            Classifier(untrained(name), checked.backbone.head, ["", ""], common.image_size).unfreeze_from(
                phase.unfreeze_from, phase.learns
            )
    asked = {
        "corrupt_eval.images": checked.corrupt_eval.images,
        "adversarial.images": checked.adversarial.images,
        "gradcam.faithfulness_images": checked.gradcam.faithfulness_images,
    }
    if checked.data.dataset == "folder":
        require_enough(checked.data, list_pictures(root / checked.data.path), asked)
        inputs: dict[str, tuple[int | None, int]] = {"common.image_size": (common.image_size, common.image_size)}
        inputs |= {f"{of}.image_size": (block.image_size, sizes[of]) for of, block in scratch.items()}
        phases = tuned | scratch
        inputs |= {f"{of}.first_image_size": (phase.first_image_size, least[of]) for of, phase in phases.items()}
        for key, (given, used) in inputs.items():
            if checked.data.side > COARSEST * used:
                trained = "" if used == given else f", which trains at {used},"
                raise Refusal(
                    f"params.yaml: data.side = {checked.data.side}: train.{key} = {given}{trained} is less than half "
                    "of it, and would skip pixels: lower the one or raise the other"
                )
    elif checked.mirror and not PUBLISHED[checked.data.dataset].facts.mirrors:
        raise Refusal(
            f"params.yaml: mirror = true: a mirror image is none of {PUBLISHED[checked.data.dataset].facts.title}: "
            "set it to false"
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


def require_stages_for(names: tuple[str, ...], root: Path) -> None:
    """Raises Refusal when the variants of params.yaml are not those that dvc.yaml trains, or cannot name a file."""
    trained = read_yaml((root / "dvc.yaml").read_bytes())["vars"][0]["variants"]
    if odd := [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)]:
        raise Refusal(f"params.yaml: train.{odd[0]}: a variant's name is small letters, digits and underscores")
    if lacking := [name for name in names if name not in trained]:
        raise Refusal(
            f"params.yaml: train.{lacking[0]}: dvc.yaml has no stage for it: add {lacking[0]} to its `variants`, and a "
            f"stage train_{lacking[0]} like train_layer4 that runs `python -m stages.train {lacking[0]}`"
        )
    if lacking := [name for name in trained if name not in names]:
        raise Refusal(f"params.yaml: train.{lacking[0]} is missing, which dvc.yaml trains")


def require_fitting(
    variant: str, phase: ImagePhase, image_size: int, key: str, params: dict[str, Any], data: Data
) -> None:
    """Raises Refusal when first images are larger than the last, or more processes share a batch than it has images.

    key: the block of `train` that has the variant's image_size and batch_size.
    """
    first = phase.first_image_size
    if first is not None and first > image_size:
        raise Refusal(
            f"params.yaml: train.{variant}.first_image_size = {first}: it is more than train.{key}.image_size = "
            f"{image_size}: lower the one or raise the other"
        )
    images = min(parse(params, f"train.{key}.batch_size", BatchSize), data.train, data.val // 2)
    if phase.processes > images:
        raise Refusal(
            f"params.yaml: train.{variant}.processes = {phase.processes}: there are {images} images to share "
            f"(train.{key}.batch_size, data.train or half of data.val)"
        )


if __name__ == "__main__":
    main(run)
