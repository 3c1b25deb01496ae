"""CIFAR-10: small colour photographs in ten classes."""

from study.data.splits import Facts
from study.pipeline.torchvision_shim import torchvision
from study.sources.cifar import SIDE, TEST, TRAIN, Cifar
from study.sources.published import Published

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

CIFAR10 = Cifar(torchvision.datasets.CIFAR10, "cifar10", Facts("CIFAR-10", CLASSES, mirrors=True))
DATASET = Published(CIFAR10.load, CIFAR10.facts, SIDE, TRAIN, TEST)
