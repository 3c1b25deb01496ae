"""Lay out the published model as the Hugging Face hub expects it: `how-deep hub [FOLDER]`, or `make hub`.

Writes FOLDER (runs/hub): the card as README.md with the pictures that it shows, model.onnx, and config.json with the
classes, the size of the images, the temperature and what the model was exported from. Nothing is sent: the last line
says which command does that. Needs models/model.onnx, which `dvc repro` makes.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from inference import Model, load_model
from study.pipeline.files import whole_folder
from study.sources.image_files import InputError

FOLDER = Path("runs/hub")
CARD, MODEL, SUMMARY = Path("MODEL_CARD.md"), Path("models/model.onnx"), Path("metrics/summary.json")
LINK = re.compile(r"\]\(([^)#:]+)\)")  # to a file of the project


def main() -> None:
    parser = argparse.ArgumentParser(prog="how-deep hub", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="default: %(default)s")
    folder = parser.parse_args().folder
    if folder.exists() and not is_layout(folder):
        sys.exit(f"hub: {folder} exists and is no earlier layout: name a folder that does not exist")
    try:
        lay_out(Path(), folder)
    except InputError as fault:
        sys.exit(f"hub: {fault}")
    except OSError as fault:
        sys.exit(f"hub: {fault.filename}: {fault.strerror}; `dvc repro` makes the model, its card and their pictures")
    print(f"{folder}: the model as the hub expects it. To send it:")
    print(f"pip install huggingface-hub && hf upload USER/NAME {folder}")


def is_layout(folder: Path) -> bool:
    """Whether an earlier call wrote the folder, and it is no git repository, as a clone from the hub is."""
    try:
        written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    ours = isinstance(written, dict) and {"id2label", "checkpoint_sha256"} <= written.keys()
    return ours and not (folder / ".git").exists()


def lay_out(root: Path, folder: Path) -> None:
    """Write the folder anew, once all that goes into it has been read.

    Raises OSError, naming the file, when the model, the card or a picture is missing; InputError when the model is not
    what the export stage writes, or not the one that the card describes.
    """
    card, model = (root / CARD).read_bytes(), (root / MODEL).read_bytes()
    contents = {name: (root / name).read_bytes() for name in LINK.findall(card.decode())}
    loaded = load_model(root / MODEL)
    measured = json.loads((root / SUMMARY).read_text(encoding="utf-8"))["published"]["temperature"]
    if float(loaded.metadata["temperature"]) != measured:
        raise InputError(f"{MODEL} is not the model that {CARD} describes: `dvc checkout` or `dvc repro` puts it right")
    described = json.dumps(config(loaded), indent=2) + "\n"
    contents |= {"README.md": card, "model.onnx": model, "config.json": described.encode()}
    with whole_folder(folder.resolve()) as part:
        for name, content in contents.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(content)


def config(model: Model) -> dict[str, Any]:
    """What the exported model says of itself, under the hub's usual names."""
    width, height = model.size
    return {
        "input": {"name": "images", "dtype": "uint8", "shape": ["batch", height, width, 3]},
        "outputs": ["probabilities", "logits"],
        "id2label": dict(enumerate(model.classes)),
        **{name: text for name, text in model.metadata.items() if name != "classes"},
    }


if __name__ == "__main__":
    main()
