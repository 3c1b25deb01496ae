"""Fine-tune a variant, such as `layer3`: the block of this name in params.yaml's `train` says from where it learns.

Reads data/subset (train.npz, selection.npz, dataset.json), data/backbone and data/features. Writes
models/{variant}.safetensors and results/training/{variant} (curve.csv, cost.json).
Params: backbone.head, train.common (batch_size, image_size, probe, recipe, seed), train.{variant}.
"""

import sys

from study.pipeline.stage import main
from study.training.fine_tune import train_variant

run = train_variant

if __name__ == "__main__":
    main(run, *sys.argv[1:])
