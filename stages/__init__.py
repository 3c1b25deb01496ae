"""The scripts of the study. In one line, they refuse a Python that lacks what requirements.txt installs."""

import sys
from importlib.util import find_spec

NEEDED = (
    "torch",
    "torchvision",
    "numpy",
    "PIL",
    "filelock",
    "jinja2",
    "markupsafe",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pandas",
    "pydantic",
    "pydantic_core",
    "requests",
    "ruamel",
    "safetensors",
    "scipy",
    "sklearn",
    "tqdm",
    "urllib3",
    "vl_convert",
)
OLDEST = (3, 11)

lacking = [name for name in NEEDED if find_spec(name) is None]
if sys.version_info < OLDEST:
    lacking.insert(0, f"Python {'.'.join(map(str, OLDEST))}")
if lacking:
    more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
    sys.exit(
        f"stages: {sys.executable} runs them and lacks {lacking[0]}{more}: activate the environment first "
        "(. .venv/bin/activate)"
    )
