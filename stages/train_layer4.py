"""Train the head, then the last block and the head.

Reads data/subset, data/backbone and data/features. Writes models/layer4.safetensors and results/training/layer4
(curve.csv, cost.json).
Params: backbone.head, train.common (batch_size, image_size, probe, recipe, seed), train.layer4.
"""

from pathlib import Path
from typing import Any

from study.pipeline.params import parse
from study.pipeline.stage import main
from study.training.fine_tune import common_settings, fine_tune
from study.training.recipe import Phase


def run(params: dict[str, Any], root: Path) -> None:
    probe, phase = parse(params, "train.common.probe", Phase), parse(params, "train.layer4", Phase)
    fine_tune("layer4", common_settings(params), probe, phase, root)


if __name__ == "__main__":
    main(run)
