"""Temporary project roots with what `subsample` and `backbone` would have written, and the parameters to go with them.

Only .cache/benchmarks of the project itself is written to.
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from study.data.splits import Facts, Raw, Split, SplitName, save_facts, save_split
from study.networks.classifier import backbone_path
from study.pipeline.params import read_params
from study.sources.backbone_weights import backbone_weights
from study.sources.datasets import PUBLISHED
from study.sources.stratified_draw import Data, draw

BACKBONE = "resnet18"
WEIGHTS = "imagenet"  # bundled
SPLITS = {"cifar10": (5_000, 2_500, 10_000), "digits": (160, 100, 100)}  # train, val, test
QUICK_EPOCHS = {"fc": 2, "layer4": 1, "full": 1}


def work_folder(project: Path, name: str) -> Path:
    return project / ".cache/benchmarks" / name


def raw_images(project: Path, quick: bool) -> Raw:
    return PUBLISHED["digits" if quick else "cifar10"].load(project)


def prepare(project: Path, root: Path, quick: bool) -> None:
    """The images and the backbone under `root`: a stratified draw by seed 0, the same for everybody."""
    dataset = "digits" if quick else "cifar10"
    train, val, test = SPLITS[dataset]
    data = Data(dataset=dataset, path=".", side=32, train=train, val=val, test=test, seed=0)
    raw = raw_images(project, quick)
    write_root(project, root, draw(raw, data), raw.facts)


def write_root(project: Path, root: Path, splits: dict[SplitName, Split], facts: Facts) -> None:
    for folder in ("data/subset", "data/backbone"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, split in splits.items():
        save_split(split, root / "data/subset", name)
    save_facts(facts, root / "data/subset")
    weights = backbone_weights(BACKBONE, WEIGHTS, project)
    save_file(weights, backbone_path(root), {"backbone": BACKBONE})


def parameters(project: Path, quick: bool, image_size: int, seed: int) -> dict[str, Any]:
    """The project's own, at this resolution and this seed; hardly any epochs for a quick run."""
    params = json.loads(json.dumps(read_params(project / "params.yaml")))
    train = params["train"]
    train["common"] |= {"image_size": image_size, "seed": seed}
    if (train["full"]["first_image_size"] or 0) >= image_size:
        train["full"]["first_image_size"] = None
    if quick:
        params["mirror"] = False  # a digit's mirror image is no digit
        train["common"]["views"] = 2
        train["common"]["probe"]["epochs"] = QUICK_EPOCHS["fc"]
        for depth, epochs in QUICK_EPOCHS.items():
            train[depth]["epochs"] = epochs
    return params
