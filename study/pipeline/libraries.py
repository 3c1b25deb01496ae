"""The libraries that numbers come from. Every stage that computes depends on requirements/numeric.txt, their pins."""

import platform
from importlib.metadata import version

NUMERIC = ("numpy", "pillow", "scikit-learn", "scipy", "torch", "torchvision")


def libraries() -> dict[str, str]:
    """The versions of Python and of each of NUMERIC that run now, by name."""
    return {"Python": platform.python_version()} | {name: version(name) for name in NUMERIC}
