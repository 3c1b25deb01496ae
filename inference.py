"""Classify pictures with the published model: `python inference.py --image photo.jpg`.

Takes files, folders and `-` (one picture on standard input). A picture may have any size: it is turned upright, its
transparent parts become white, and the square in its middle is brought to the size of the training images. The rest
(resizing, normalising, the network, the temperature) is in models/model.onnx, which `dvc repro export` makes. With
`--set 0.95`, each answer has the set of classes that holds the right one with that probability, for pictures like the
training images. With `--model A --model B`, each model answers.
Needs numpy, onnxruntime and Pillow; --explain also needs all of requirements.txt and the checkpoint beside the model.
"""

import argparse
import json
import os
import signal
import sys
from base64 import b64decode
from io import TextIOWrapper
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnxruntime

from study.sources.image_files import InputError, find_pictures, of_one_colour, read_bytes, read_image, reason

if TYPE_CHECKING:
    from study.publishing.explanation import Explainer

MODEL = Path(__file__).parent / "models/model.onnx"
STDIN = "-"
BAR = 30  # characters for a probability of 1
EMPTY = "no class is probable enough"  # of a set; it does not say that the picture shows something else


class Model(NamedTuple):
    path: Path
    session: onnxruntime.InferenceSession
    metadata: dict[str, str]
    classes: list[str]
    size: tuple[int, int]  # width, height

    def probabilities_and_logits(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Calibrated probabilities (C,) and logits (C,) of an image, uint8 (H, W, 3)."""
        probabilities, logits = self.session.run(["probabilities", "logits"], {"images": image[None]})
        return probabilities[0], logits[0].astype(np.float64)

    def set_threshold(self, coverage: float) -> float:
        """The largest score, one minus the probability, of a class in a set. Raises InputError when it is not known.

        It is the k-th smallest score of the n calibration images, k = ceil((n + 1) * coverage).
        """
        if not 0 < coverage < 1:
            raise InputError(f"--set {coverage:g}: choose a probability between 0 and 1, such as 0.95")
        if "set_scores" not in self.metadata:
            raise InputError(f"--set: {shown(str(self.path))} has no thresholds; `dvc repro export` makes one that has")
        scores = np.frombuffer(b64decode(self.metadata["set_scores"]), "<f8")
        place = ceil(round((len(scores) + 1) * coverage, 9))  # rounded, because 0.9 * 10 may be a little more than 9
        if place > len(scores):
            most = len(scores) / (len(scores) + 1)
            raise InputError(
                f"--set {coverage:g}: {len(scores)} calibration images promise {floor(1e4 * most) / 1e4:g} at most"
            )
        return float(scores[place - 1])

    def prediction_set(self, logits: np.ndarray, coverage: float) -> list[str]:
        """The classes that hold the right one with this probability, the most probable first: a LAC set."""
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()  # those before temperature scaling, which the scores are of
        ranked = np.argsort(-probabilities, kind="stable")
        threshold = self.set_threshold(coverage)
        return [self.classes[label] for label in ranked if 1 - probabilities[label] <= threshold]

    def is_unlike(self, logits: np.ndarray) -> bool:
        """Whether 95 % of validation images have more energy, logsumexp(logits), than this one."""
        if "least_energy" not in self.metadata:
            return False
        energy = logits.max() + np.log(np.exp(logits - logits.max()).sum())
        return bool(energy < float(self.metadata["least_energy"]))


def load_model(path: Path) -> Model:
    """Raises InputError when the file is missing or is not what the export stage writes."""
    if not os.path.isfile(path):  # unlike Path's, False where it may not look
        raise InputError(f"{path}: no such file; `dvc repro export` makes it")
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        _, height, width, _ = session.get_inputs()[0].shape
        return Model(path, session, metadata, json.loads(metadata["classes"]), (width, height))
    except Exception as fault:  # onnxruntime's errors have no base of their own
        raise InputError(f"{path}: not the model that `dvc repro export` makes ({reason(fault)})") from fault


def sources(name: str) -> list[str]:
    """What a name on the command line stands for: itself, or the pictures in the folder of that name.

    Raises InputError when there are none in it, it cannot be read, or the name is empty.
    """
    if not name:
        raise InputError("an empty path; the current folder is .")
    if name == STDIN or not os.path.isdir(name):  # unlike Path's, False where it may not look: `read` says why
        return [name]
    try:
        return [str(path) for path in find_pictures(Path(name))]
    except OSError as fault:
        raise InputError(reason(fault)) from fault


def read(name: str) -> bytes:
    """Raises InputError when there is no such file, or it cannot be read."""
    try:
        if name == STDIN:
            return read_bytes(sys.stdin.buffer)
        with open(name, "rb") as file:
            return read_bytes(file)
    except OSError as fault:
        raise InputError(reason(fault)) from fault


def table(answer: dict[str, Any]) -> str:
    """The picture's name, then a line for each class: name, probability and a bar; then what else is known of it."""
    heading = " ".join(shown(answer[key]) for key in ("image", "model") if key in answer)
    width = max(len(row["class"]) for row in answer["predictions"])
    lines = [
        f"  {row['class']:<{width}}  {row['probability']:6.1%}  {'#' * round(BAR * row['probability'])}".rstrip()
        for row in answer["predictions"]
    ]
    if "set" in answer:
        lines.append(f"  {100 * answer['coverage']:g} % set: {', '.join(answer['set']) or EMPTY}")
    if answer["unlike_training_images"]:
        lines.append("  unlike the training images: do not rely on this answer")
    if answer["one_colour"]:
        lines.append("  of one colour: there is nothing to see in this picture")
    if "explanation" in answer:
        lines.append(f"  Grad-CAM: {shown(answer['explanation'])}")
    return "\n".join([heading, *lines])


def shown(name: str) -> str:
    """A file's name on one line, harmless to a terminal."""
    return name if name and name.isprintable() else repr(name)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Classify pictures with the published model.")
    parser.add_argument(
        "--image",
        nargs="+",
        action="extend",
        required=True,
        metavar="PATH",
        help="pictures, folders of them (with those below), or - for one picture on standard input",
    )
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        metavar="FILE",
        help="default: models/model.onnx; more than once to see the answers of several side by side",
    )
    parser.add_argument("--top", type=positive, default=3, metavar="K", help="classes to show (default: 3)")
    parser.add_argument(
        "--set",
        type=float,
        metavar="COVERAGE",
        help="also show the set of classes that holds the right one with this probability, such as 0.95",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of tables")
    parser.add_argument(
        "--explain",
        type=Path,
        metavar="FOLDER",
        help="write there, as PNG, what spoke for each answer (Grad-CAM); needs torch and the model's checkpoint",
    )
    options = parser.parse_args()
    options.model = options.model or [MODEL]
    return options


def main() -> int:
    """Answers go to standard output, faults to standard error, a line each; 1 if there was any, else 0."""
    options = arguments()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names that the terminal's encoding lacks
    explainer = None
    try:
        models = {path: load_model(path) for path in options.model}
        if options.set is not None:
            for model in models.values():
                model.set_threshold(options.set)
        if options.explain:
            if len(models) > 1:
                return complain("--explain takes one --model")
            from study.publishing.explanation import Explainer  # only here, because it imports torch

            ((path, model),) = models.items()
            explainer = Explainer(options.explain, path.parent, model.metadata)
    except InputError as fault:
        return complain(str(fault))
    except ImportError as fault:
        return complain(f"--explain needs what requirements.txt lists ({fault})")
    status, answers, names = 0, [], []
    for name in options.image:
        try:
            names += sources(name)
        except InputError as fault:
            status = complain(f"{shown(name)}: {fault}")
    for name in names:
        try:
            data = read(name)
            found = [answer(name, data, model, options, explainer) for model in models.values()]
        except InputError as fault:
            status = complain(f"{shown(name)}: {fault}")
            continue
        if len(models) > 1:
            found = [{"image": name, "model": str(path)} | one for path, one in zip(models, found, strict=True)]
        answers += found
        if not options.json:
            print("\n".join(map(table, found)))
    if options.json:
        print(json.dumps(answers, indent=2))
    return status


def answer(
    name: str, data: bytes, model: Model, options: argparse.Namespace, explainer: "Explainer | None"
) -> dict[str, Any]:
    """The most probable classes of one picture, whose file holds `data`. Raises InputError when that is none."""
    image = read_image(data, model.size)
    probabilities, logits = model.probabilities_and_logits(image)
    best = np.argsort(-probabilities, kind="stable")[: options.top]
    rows = [{"class": model.classes[label], "probability": float(probabilities[label])} for label in best]
    found: dict[str, Any] = {"image": name, "predictions": rows}
    found |= {"unlike_training_images": model.is_unlike(logits), "one_colour": of_one_colour(image)}
    if options.set is not None:
        found |= {"coverage": options.set, "set": model.prediction_set(logits, options.set)}
    if explainer:
        found["explanation"] = str(explainer.write("stdin" if name == STDIN else Path(name).stem, data, image, best[0]))
    return found


def complain(fault: str) -> int:
    """One line to standard error. Returns the exit status."""
    print(f"inference.py: {fault}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    for name in {"SIGINT", "SIGPIPE"} & set(dir(signal)):  # ended by Ctrl-C, or by a `head` that has enough: quietly
        signal.signal(signal.Signals[name], signal.SIG_DFL)
    sys.exit(main())
