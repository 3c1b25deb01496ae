"""Train a light network from random weights, on the same images as the other variants.

Reads data/subset. Writes models/scratch.safetensors and results/training/scratch (curve.csv, cost.json).
Params: train.common.recipe, train.scratch.
"""

from pathlib import Path
from typing import Any

from study.pipeline.params import parse
from study.pipeline.stage import main
from study.training.from_scratch import FromScratch, train_from_scratch
from study.training.processes import in_processes
from study.training.recipe import Recipe


def run(params: dict[str, Any], root: Path) -> None:
    recipe, phase = parse(params, "train.common.recipe", Recipe), parse(params, "train.scratch", FromScratch)
    in_processes(phase.processes, lambda: train_from_scratch(recipe, phase, root))


if __name__ == "__main__":
    main(run)
