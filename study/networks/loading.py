"""Load trained classifiers of any variant, as `save_classifier` wrote them."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file

from study.networks.classifier import Classifier, Head
from study.networks.light_classifier import LIGHT_RESNET, LightClassifier


def load_classifier(path: Path, mirror: bool) -> Classifier:
    """The saved model, in evaluation mode. `model.config` has its classes and image size.

    mirror: whether it answers with the mean logits of an image and its mirror image.
    """
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
    kind = LightClassifier if config["backbone"] == LIGHT_RESNET else Classifier
    model = kind(Head(**config["head"]), config["classes"], config["image_size"], config["backbone"])
    model.load_state_dict(load_file(path))
    model.mirror = mirror
    return model.eval()
