"""Grad-CAM pictures for the predictions of the exported model."""

from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from study.attribution.cam import cams, deepest_layer, heatmap
from study.drawing.heatmap_gallery import overlay
from study.networks.loading import load_classifier
from study.sources.image_files import InputError, read_image, reason

SHOWN_SIDE = 256  # pixels per side of the square shown
SEAM = 8  # pixels between the square and its overlay


class Explainer:
    """Writes to `folder`, for each prediction, the square that the model saw beside its Grad-CAM overlay."""

    def __init__(self, folder: Path, models: Path, metadata: Mapping[str, str]) -> None:
        """models: the folder of checkpoints; metadata: the exported model's, which names its checkpoint.

        Raises InputError when the checkpoint is not named, is missing or has changed, or the folder cannot be created.
        """
        if not {"variant", "checkpoint_sha256"} <= metadata.keys():
            raise InputError("--explain: the model names no checkpoint; `dvc repro export` makes one that does")
        checkpoint = models / f"{metadata['variant']}.safetensors"
        if not checkpoint.is_file():
            raise InputError(
                f"{checkpoint}: no such file; --explain needs it beside the model: `dvc repro export` makes both, "
                "`dvc exp apply quickstart` brings those of `make run` into models/"
            )
        if sha256(checkpoint.read_bytes()).hexdigest() != metadata["checkpoint_sha256"]:
            raise InputError(f"{checkpoint}: not what the model was exported from; `dvc repro export` puts it right")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise InputError(f"{folder}: {reason(fault)}") from fault
        self.folder = folder
        self.model = load_classifier(checkpoint, metadata.get("mirror") == "true")
        self.layer = deepest_layer(self.model)
        self.written = Counter[str]()

    def write(self, stem: str, data: bytes, image: np.ndarray, label: int) -> Path:
        """data: the picture's file; image: what the model saw of it, uint8 (H, W, 3); label: its prediction.

        Returns the new file's path: STEM_gradcam.png, with a number if an earlier picture had the same stem.
        Raises InputError when it cannot be written.
        """
        heat = heatmap(cams(self.model, image[None], np.array([label]), self.layer)["grad_cam"], SHOWN_SIDE)[0]
        square = read_image(data, (SHOWN_SIDE, SHOWN_SIDE))
        seam = np.full((SHOWN_SIDE, SEAM, 3), 255, dtype=np.uint8)
        self.written[stem.lower()] += 1
        count = self.written[stem.lower()]
        path = self.folder / f"{stem}_gradcam{f'_{count}' if count > 1 else ''}.png"
        try:
            Image.fromarray(np.hstack([square, seam, overlay(square, heat)])).save(path)
        except OSError as fault:  # a full disk, no permission
            raise InputError(f"{path}: {reason(fault)}") from fault
        return path
