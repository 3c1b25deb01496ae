"""Classify images with the published model: `python inference.py --image photo.jpg`.

Any image that Pillow opens, of any size: it is turned upright, its transparent parts become white, and the square in
its middle is brought to the model's size. The rest (normalising, the network, the temperature) is in models/model.onnx,
which `dvc repro export` makes. Needs numpy, onnxruntime and Pillow.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from PIL import Image, ImageOps, UnidentifiedImageError

MODEL = Path(__file__).parent / "models/model.onnx"
BAR = 30  # characters for a probability of 1
DEEP_WHITE = {"I;16": 65535, "I;16B": 65535, "I;16L": 65535, "I;16N": 65535, "I": 65535, "F": 1}  # by Pillow's mode


class InputError(Exception):
    """A file that cannot be used: one line that names it and says why."""


class Model(NamedTuple):
    session: onnxruntime.InferenceSession
    classes: list[str]
    size: tuple[int, int]  # width, height

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (C,) of an image, uint8 (H, W, 3)."""
        (probabilities,) = self.session.run(["probabilities"], {"images": image[None]})
        return probabilities[0]


def load_model(path: Path) -> Model:
    """Raises InputError when the file is missing or is not what the export stage writes."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro export` makes it")
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
        _, height, width, _ = session.get_inputs()[0].shape
    except Exception as fault:  # onnxruntime's errors have no base of their own
        raise InputError(f"{path}: not the model that `dvc repro export` makes ({_reason(fault)})") from fault
    return Model(session, classes, (width, height))


def read_image(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The picture as the model takes it: uint8 (height, width, 3).

    Raises InputError when there is no such file, or when it is damaged or no image.
    """
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file)
            return np.asarray(ImageOps.fit(_rgb(upright), size, Image.Resampling.LANCZOS))
    except UnidentifiedImageError:
        raise InputError(f"{path}: not an image, or of a kind that Pillow does not read") from None
    except Exception as fault:  # on a damaged file Pillow's decoders raise almost anything
        raise InputError(f"{path}: {_reason(fault)}") from fault


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB over white. Pillow itself would clip deep greys instead of scaling them."""
    if image.mode in DEEP_WHITE:
        share = np.nan_to_num(np.asarray(image, dtype=np.float64)) / DEEP_WHITE[image.mode]
        image = Image.fromarray(np.round(255 * share.clip(0, 1)).astype(np.uint8))
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _reason(fault: Exception) -> str:
    reason = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
    return " ".join(reason.split())


def table(answer: dict) -> str:
    """The picture's name, then a line for each class: name, probability and a bar."""
    width = max(len(row["class"]) for row in answer["predictions"])
    lines = [
        f"  {row['class']:<{width}}  {row['probability']:6.1%}  {'#' * round(BAR * row['probability'])}".rstrip()
        for row in answer["predictions"]
    ]
    return "\n".join([answer["image"], *lines])


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Classify images with the published model.")
    parser.add_argument(
        "--image", nargs="+", action="extend", type=Path, required=True, metavar="FILE", help="one picture or more"
    )
    parser.add_argument("--model", type=Path, default=MODEL, metavar="FILE", help="default: models/model.onnx")
    parser.add_argument("--top", type=positive, default=3, metavar="K", help="classes to show (default: 3)")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of tables")
    return parser.parse_args()


def main() -> int:
    """Answers go to standard output, faults to standard error, a line each; 1 if there was any, else 0."""
    options = arguments()
    sys.stdout.reconfigure(errors="backslashreplace")  # for file names that are not text
    warnings.simplefilter("ignore")  # Pillow's remarks on odd files: what can be read is answered
    try:
        model = load_model(options.model)
    except InputError as fault:
        return complain(fault)
    status, answers = 0, []
    for path in options.image:
        try:
            probabilities = model.probabilities(read_image(path, model.size))
        except InputError as fault:
            status = complain(fault)
            continue
        best = np.argsort(-probabilities, kind="stable")[: options.top]
        rows = [{"class": model.classes[label], "probability": float(probabilities[label])} for label in best]
        answers.append({"image": str(path), "predictions": rows})
        if not options.json:
            print(table(answers[-1]))
    if options.json:
        print(json.dumps(answers, indent=2))
    return status


def complain(fault: InputError) -> int:
    """One line to standard error. Returns the exit status."""
    print(f"inference.py: {fault}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
