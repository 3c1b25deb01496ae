"""Train the head on the frozen backbone.

Reads data/subset, data/backbone and data/features. Writes models/fc.safetensors and results/training/fc (curve.csv,
cost.json).
Params: backbone.head, train.common (batch_size, image_size, recipe, seed), train.fc.
"""

from pathlib import Path
from typing import Any

from study.pipeline.params import parse
from study.pipeline.stage import main
from study.training.fine_tune import common_settings, fine_tune
from study.training.recipe import Phase


def run(params: dict[str, Any], root: Path) -> None:
    fine_tune("fc", common_settings(params), None, parse(params, "train.fc", Phase), root)


if __name__ == "__main__":
    main(run)
