"""Train the head, then the last block and the head: `train.layer4`. stages/train.py says what is read and written."""

from functools import partial

from study.pipeline.stage import main
from study.training.fine_tune import train_variant

run = partial(train_variant, variant="layer4")

if __name__ == "__main__":
    main(run)
