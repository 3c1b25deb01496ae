"""Train the head, then everything: `train.full`. stages/train.py says what is read and written."""

from functools import partial

from study.pipeline.stage import main
from study.training.fine_tune import train_variant

run = partial(train_variant, variant="full")

if __name__ == "__main__":
    main(run)
