"""The datasets by name. A new one is a module beside this one, and a line here."""

from typing import Literal, get_args

from study.sources import cifar10, cifar100, digits
from study.sources.published import Published

PublishedName = Literal["cifar10", "cifar100", "digits"]
Dataset = Literal["cifar10", "cifar100", "digits", "folder"]  # folder: the user's own pictures

PUBLISHED: dict[PublishedName, Published] = dict(
    zip(get_args(PublishedName), (cifar10.DATASET, cifar100.DATASET, digits.DATASET), strict=True)
)
