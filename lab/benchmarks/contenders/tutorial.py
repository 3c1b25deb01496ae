"""Transfer learning as PyTorch's official tutorial does it.

https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html (S. Chilamkurthy): float32, SGD with
momentum 0.9, the learning rate divided by ten by StepLR, frozen layers (`requires_grad = False`) computed anew in every
epoch and the best epoch kept. Its settings are for 244 images and 25 epochs: the learning rate of 0.001 at 4 images a
batch is taken to BATCH images by the linear rule of Goyal et al. 2017, and the step comes before the last third of the
epochs. What the tutorial does not have, a depth between its two, is the frozen network with layer4 left unfrozen.
"""

from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from lab.benchmarks.contenders.outcome import Outcome
from lab.benchmarks.contenders.pictures import BATCH, Judge, resnet18, training_loader
from lab.benchmarks.measuring.clock import Clock
from study.networks.device import device

LR = 0.001 * BATCH / 4


def train(root: Path, params: dict[str, Any], depth: str, epochs: int) -> Outcome:
    image_size, seed = (params["train"]["common"][name] for name in ("image_size", "seed"))
    torch.manual_seed(seed)
    clock = Clock()
    judge = Judge(root, image_size, clock)
    loader = training_loader(root, image_size)
    model = resnet18(root).to(device())
    model.requires_grad_(depth == "full")
    if depth == "layer4":
        model.layer4.requires_grad_(True)
    model.fc.requires_grad_(True)
    criterion = nn.CrossEntropyLoss()
    optimizer = SGD([parameter for parameter in model.parameters() if parameter.requires_grad], lr=LR, momentum=0.9)
    scheduler = StepLR(optimizer, step_size=ceil(2 * epochs / 3), gamma=0.1)

    for _ in range(epochs):
        model.train()
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs.to(device())), labels.to(device()))
            loss.backward()
            optimizer.step()
        scheduler.step()
        judge.epoch(model)
    return judge.best_outcome(model)
