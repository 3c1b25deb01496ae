"""Train the bundled backbone: torchvision's ResNet-18, from random or given weights, on Tiny ImageNet.

Reads Tiny ImageNet (TINY_IMAGENET_DIR, else the official archive). Writes the weights without their head, float16
safetensors, and beside them as JSON where they come from. An interrupted run goes on after its last whole epoch.

    python -m lab.backbone.train_tinyimagenet --output .cache/backbone/resnet18_tinyimagenet.safetensors
"""

import argparse
import hashlib
import inspect
import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from lab.backbone import augment, cycles, tiny_imagenet
from lab.backbone.cycles import Epoch, plan
from lab.backbone.tiny_imagenet import Split, TinyImageNet
from study.evaluation.scores import accuracy
from study.features.augment import BatchAugment, mixed
from study.networks import classifier as model_module
from study.networks.classifier import Classifier, Head
from study.networks.device import autocast, device, has_native_bf16
from study.networks.inference import predict
from study.networks.stages import PIXEL_MEAN, PIXEL_STD, backbone_state, load_backbone
from study.networks.torchvision_backbones import untrained
from study.pipeline.params import Block, Refusal

CACHE = Path(".cache/backbone")
CUTMIX = BatchAugment(crop=False, flip=False, randaugment=False, cutout=False, augmix=False, mixup=0.0, cutmix=1.0)


class Recipe(Block):
    """SGD with Nesterov momentum and CutMix over random resized crops and flips."""

    cycles: str = "8x48+10x64@0.2 15x64@0.1"
    batch_size: int = 256
    sub_batches: int = 4  # parts of a batch, one pass each; every other one is seen at CIFAR's size
    momentum: float = 0.9
    weight_decay: float = 5e-4  # of matrices and kernels; not of biases and batch norm
    label_smoothing: float = 0.0
    cutmix: float = 0.5  # share of the sub-batches that are mixed
    crop_area: tuple[float, float] = (0.3, 1.0)
    seed: int = 0


def run(output: Path, recipe: Recipe, cache: Path, start: Path | None = None) -> None:
    """Train, then write `output` and, beside it, where it comes from.

    cache: pictures and checkpoint between runs. start: weights without a head, such as the bundled ones; None is random
    weights.
    """
    if output.suffix != ".safetensors":
        raise Refusal(f"--output: {output} must end in .safetensors")
    plan(recipe.cycles)
    output.parent.mkdir(parents=True, exist_ok=True)
    data = tiny_imagenet.load(tiny_imagenet.find(cache), cache)
    started_from = hashlib.sha256(start.read_bytes()).hexdigest() if start else None
    checkpoint = cache / f"{_run_key(recipe, data, started_from)}.pt"

    model, seconds = train(data, recipe, checkpoint, start)

    weights = save(backbone_weights(model))
    card = {
        "file": output.name,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "architecture": "torchvision ResNet-18 without its head, float16",
        "trained_by": "lab/backbone/train_tinyimagenet.py",
        "data": {
            "name": "Tiny ImageNet",
            "source": tiny_imagenet.URL,
            "key": data.key,
            "classes": len(data.classes),
            "train": len(data.train.labels),
            "val": len(data.val.labels),
        },
        "pixel_mean": PIXEL_MEAN,
        "pixel_std": PIXEL_STD,
        "recipe": recipe.model_dump(),
        "started_from_sha256": started_from,
        "top1": top1(model, data.val),
        "top1_through_32px": top1(model, _shrunk(data.val)),
        "train_seconds": seconds,
        "device": device().type,
        "precision": "bfloat16" if has_native_bf16() else "float32",
    }
    partial = output.with_suffix(".partial")
    partial.write_bytes(weights)
    partial.replace(output)
    output.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    checkpoint.unlink()
    print(f"top-1 {card['top1']:.4f}, through 32 px {card['top1_through_32px']:.4f}, sha256 {card['sha256']}")


def train(data: TinyImageNet, recipe: Recipe, checkpoint: Path, start: Path | None = None) -> tuple[Classifier, float]:
    """The trained network under its head, and the seconds that all epochs took; a checkpoint after each of them.

    Every epoch draws from a generator of its own, seeded with its number, so that a resumed run is the same run.
    """
    schedule = plan(recipe.cycles)
    torch.manual_seed(recipe.seed)
    model = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0.0), data.classes, schedule[-1].image_size)
    if start:
        load_backbone(model.backbone, load_file(start))
    model.to(device())
    optimizer = _optimizer(model, recipe)
    done, seconds = _restore(checkpoint, model, optimizer)
    images, labels = (torch.from_numpy(array).to(device()) for array in data.train)

    print("epoch    px  peak lr  train loss  val top-1  seconds", flush=True)
    for number, epoch in enumerate(schedule[done:], start=done + 1):
        began = time.perf_counter()
        generator = torch.Generator(device()).manual_seed(recipe.seed + number)
        model.image_size = epoch.image_size
        loss = _train_epoch(model, optimizer, images, labels, epoch, recipe, generator)
        val_top1 = top1(model, data.val)
        elapsed = time.perf_counter() - began
        seconds += elapsed
        _store(checkpoint, model, optimizer, number, seconds)
        progress = f"{number:>2}/{len(schedule):<2}  {epoch.image_size:4}  {epoch.peak:7.3f}"
        print(f"{progress}  {loss:10.4f}  {val_top1:9.4f}  {elapsed:7.1f}", flush=True)
    return model, seconds


def top1(model: Classifier, split: Split) -> float:
    """Accuracy in [0, 1] on images of any size."""
    return accuracy(predict(model, split.images), split.labels)


def backbone_weights(model: Classifier) -> dict[str, Tensor]:
    """The backbone under torchvision's names, float16; the counters of batch norm stay int64."""
    weights = backbone_state(model.backbone)
    return {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in weights.items()
    }


def _train_epoch(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    epoch: Epoch,
    recipe: Recipe,
    generator: torch.Generator,
) -> float:
    """Every picture once, in batches whose sizes differ by at most one. Returns the mean loss."""
    model.train()
    order = torch.randperm(len(labels), generator=generator, device=labels.device)
    batches = order.tensor_split(-(-len(order) // recipe.batch_size))
    draws = torch.Generator().manual_seed(generator.initial_seed())  # torchvision's CutMix draws on the CPU
    classes = len(model.config["classes"])
    total = torch.zeros((), device=labels.device)
    for step, batch in enumerate(tqdm(batches, leave=False, disable=None)):
        for group in optimizer.param_groups:
            group["lr"] = epoch.lr((step + 0.5) / len(batches))
        optimizer.zero_grad()
        crops = augment.resized_crop_flip(images[batch], epoch.image_size, recipe.crop_area, generator)
        parts = zip(crops.tensor_split(recipe.sub_batches), labels[batch].tensor_split(recipe.sub_batches), strict=True)
        for index, (pixels, targets) in enumerate(parts):
            if torch.rand((), generator=draws) < recipe.cutmix:
                pixels, targets = mixed(pixels, targets, CUTMIX, classes, draws)
            pixels = augment.shrink(pixels) if index % 2 else pixels
            with autocast():
                logits = model(pixels)
            smoothing = recipe.label_smoothing
            loss = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum") / len(batch)
            loss.backward()
            total += loss.detach()
        optimizer.step()
    return total.item() / len(batches)


def _optimizer(model: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=0.0, momentum=recipe.momentum, nesterov=True, foreach=True)


def _run_key(recipe: Recipe, data: TinyImageNet, started_from: str | None = None) -> str:
    """Changes with recipe, pictures, starting weights and code, so that no run goes on from another's checkpoint."""
    code = "".join(map(inspect.getsource, (augment, cycles, model_module, sys.modules[__name__])))
    return hashlib.sha256(f"{recipe.model_dump_json()}\n{data.key}\n{started_from}\n{code}".encode()).hexdigest()[:16]


def _store(checkpoint: Path, model: Classifier, optimizer: torch.optim.Optimizer, epochs: int, seconds: float) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epochs": epochs,
        "seconds": seconds,
    }
    partial = checkpoint.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(checkpoint)


def _restore(checkpoint: Path, model: Classifier, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """The number of epochs done and the seconds that they took."""
    if not checkpoint.exists():
        return 0, 0.0
    state = torch.load(checkpoint, map_location=device(), weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    print(f"going on after epoch {state['epochs']}", flush=True)
    return state["epochs"], state["seconds"]


def _shrunk(split: Split) -> Split:
    parts = torch.from_numpy(split.images).split(500)
    return Split(torch.cat([augment.shrink(part) for part in parts]).numpy(), split.labels)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="the .safetensors file; a .json is put beside it")
    parser.add_argument(
        "--cycles", default=Recipe().cycles, help=f"cycles, each {cycles.FORMAT} (default: %(default)s)"
    )
    parser.add_argument(
        "--cutmix", type=_share, default=Recipe().cutmix, help="share of sub-batches mixed (default: %(default)s)"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="start from these .safetensors (default: random weights)"
    )
    arguments = parser.parse_args()
    try:
        recipe = Recipe(cycles=arguments.cycles, cutmix=arguments.cutmix)
        run(arguments.output, recipe, CACHE, arguments.weights)
    except (Refusal, OSError) as fault:
        sys.exit(f"train_tinyimagenet: {fault}")


if __name__ == "__main__":
    main()
