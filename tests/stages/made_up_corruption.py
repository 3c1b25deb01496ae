"""Corrupted images, and made-up answers to them, for tests of the stages that read both."""

import numpy as np

from study.corruption.catalogue import corrupt
from study.corruption.conditions import conditions
from study.corruption.corrupted_set import Corrupted
from study.pipeline.files import write_json


def save_corrupted(root, images):
    """Clean, then under fog and, held out, ripple, both at severities 1 and 5. Three classes take turns."""
    planned = [each for each in conditions(["fog", "ripple"], official=False) if each["severity"] in (0, 1, 5)]
    under = [corrupt(images, each["corruption"], each["severity"], seed=0) for each in planned[1:]]
    corrupted = Corrupted(planned, np.stack([images, *under]), np.arange(len(images)) % 3)
    folder = root / "data/corrupted"
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", corrupted.images)
    np.save(folder / "labels.npy", corrupted.labels)
    write_json(folder / "conditions.json", planned)
    return corrupted


def answers(seed, accuracy, shape):
    """confidence and correct (conditions, images): right as often as that, with confidence that knows little of it."""
    rng = np.random.default_rng(seed)
    correct = rng.random(shape) < accuracy
    return 0.4 + 0.1 * correct + 0.5 * rng.random(shape), correct


def save_answers(folder, confidence, correct):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "confidence.npy", confidence)
    np.save(folder / "correct.npy", correct)
