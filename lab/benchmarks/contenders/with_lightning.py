"""Transfer learning as Lightning's documentation does it.

https://lightning.ai/docs/pytorch/stable/advanced/finetuning.html: a frozen feature extractor in evaluation mode and
without gradients under a linear classifier, Adam at 1e-3; and `BackboneFinetuning`
(https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.BackboneFinetuning.html), which trains the
classifier for one epoch and then unfreezes the backbone, at a tenth of the rate, which doubles with every epoch up to
the whole rate. Later epochs can be worse, so the best one is kept.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lab.benchmarks.contenders.outcome import Outcome
from lab.benchmarks.contenders.pictures import Judge, resnet18, training_loader
from lab.benchmarks.measuring.clock import Clock
from study.networks.device import device
from study.pipeline.torchvision_shim import torchvision  # noqa: F401  before Lightning imports it

from lightning.pytorch import Callback, LightningModule, Trainer  # isort: skip
from lightning.pytorch.callbacks import BackboneFinetuning  # isort: skip

LR = 1e-3
CUT = {"fc": 9, "layer4": 7, "full": 0}  # of ResNet's children: those before it stay frozen


class Transfer(LightningModule):
    def __init__(self, network: nn.Module, depth: str) -> None:
        super().__init__()
        *body, self.classifier = network.children()
        self.feature_extractor = nn.Sequential(*body[: CUT[depth]]).eval().requires_grad_(False)
        self.backbone = nn.Sequential(*body[CUT[depth] :])

    def forward(self, pixels: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.feature_extractor(pixels)
        return self.classifier(self.backbone(features).flatten(1))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        pixels, labels = batch
        return F.cross_entropy(self(pixels), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam([parameter for parameter in self.parameters() if parameter.requires_grad], lr=LR)


class EpochEnd(Callback):
    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._judge.epoch(module)


def train(root: Path, params: dict[str, Any], depth: str, epochs: int) -> Outcome:
    image_size, seed = (params["train"]["common"][name] for name in ("image_size", "seed"))
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    torch.manual_seed(seed)
    clock = Clock()
    judge = Judge(root, image_size, clock)
    unfreezing = [] if depth == "fc" else [BackboneFinetuning(unfreeze_backbone_at_epoch=1)]
    trainer = Trainer(
        accelerator="gpu" if device().type == "cuda" else "cpu",
        devices=1,
        max_epochs=epochs + len(unfreezing),
        callbacks=[*unfreezing, EpochEnd(judge)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Transfer(resnet18(root), depth)
    trainer.fit(model, training_loader(root, image_size))
    return judge.best_outcome(model.to(device()))
