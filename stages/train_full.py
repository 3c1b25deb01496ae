"""Train the head, then everything.

Reads data/subset, data/backbone and data/features. Writes models/full.safetensors and results/training/full (curve.csv,
cost.json).
Params: backbone.head, train.common (batch_size, image_size, probe, recipe, seed), train.full.
"""

from pathlib import Path
from typing import Any

from study.pipeline.params import parse
from study.pipeline.stage import main
from study.training.fine_tune import common_settings, fine_tune
from study.training.processes import in_processes
from study.training.recipe import ImagePhase, Phase


def run(params: dict[str, Any], root: Path) -> None:
    probe, phase = parse(params, "train.common.probe", Phase), parse(params, "train.full", ImagePhase)
    in_processes(phase.processes, lambda: fine_tune("full", common_settings(params), probe, phase, root))


if __name__ == "__main__":
    main(run)
