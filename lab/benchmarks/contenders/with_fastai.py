"""Transfer learning as fastai's documentation does it.

https://docs.fast.ai/vision.learner.html and https://docs.fast.ai/tutorial.vision.html: `vision_learner`, whose head has
two layers behind pooled averages and maxima, `Resize` and `aug_transforms`, and `fine_tune`, which trains the head for
one epoch and then everything by the one-cycle policy at discriminative rates. The head alone is `fit_one_cycle` of the
frozen learner; the depth between the two is `fine_tune` that unfreezes to the group of the last block, by a splitter.
Batches and learning rates are fastai's own defaults. The model of the last epoch is kept, as there.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lab.benchmarks.contenders.outcome import Outcome
from lab.benchmarks.contenders.pictures import BATCH, Judge, resnet18
from lab.benchmarks.measuring.clock import Clock
from study.data.splits import load_facts, load_split
from study.networks.device import device
from study.networks.stages import PIXEL_MEAN, PIXEL_STD
from study.pipeline.torchvision_shim import torchvision  # noqa: F401  before fastai imports it

from fastai.vision.all import (  # isort: skip
    Callback,
    CategoryBlock,
    DataBlock,
    ImageBlock,
    IndexSplitter,
    Learner,
    Normalize,
    Resize,
    aug_transforms,
    params as parameters_of,
    vision_learner,
)

LR = 2e-3  # the default of fine_tune


class EpochEnd(Callback):
    """Calls the judge in place of fastai's own validation."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def after_epoch(self) -> None:
        self.judge.epoch(self.learn.model)


def train(root: Path, params: dict[str, Any], depth: str, epochs: int) -> Outcome:
    image_size, seed = (params["train"]["common"][name] for name in ("image_size", "seed"))
    torch.manual_seed(seed)
    clock = Clock()
    judge = Judge(root, image_size, clock)
    learn = learner(root, image_size)
    learn.add_cb(EpochEnd(judge))
    with learn.no_bar(), learn.no_logging():
        if depth == "fc":
            learn.fit_one_cycle(epochs, LR)
        else:
            if depth == "layer4":
                learn.unfreeze = partial(learn.freeze_to, -2)
            learn.fine_tune(epochs, base_lr=LR)
    return judge.outcome(learn.model, clock.curve[-1][1])


def learner(root: Path, image_size: int) -> Learner:
    images, labels = load_split(root, "train").examples
    names = load_facts(root).classes
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=names, sort=False)),
        get_x=lambda index: images[index],
        get_y=lambda index: names[labels[index]],
        splitter=IndexSplitter([0]),  # fastai wants an image to validate on
        item_tfms=Resize(image_size),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(PIXEL_MEAN, PIXEL_STD)],
    )
    loaders = block.dataloaders(np.arange(len(labels)), bs=BATCH, device=device())
    return vision_learner(
        loaders,
        lambda pretrained: resnet18(root),
        splitter=groups,
        normalize=False,  # it is in batch_tfms: fastai knows the statistics of torchvision's own networks alone
    )


def groups(model: nn.Sequential) -> list[list[nn.Parameter]]:
    """Body up to layer3, layer4, head."""
    return [parameters_of(part) for part in (model[0][:7], model[0][7:], model[1:])]
