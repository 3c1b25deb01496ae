"""Lay out the published model as the Hugging Face hub expects it: `python hub.py [FOLDER]`, or `make hub`.

Writes FOLDER (runs/hub): the card as README.md with the pictures that it shows, model.onnx, and config.json with the
classes, the size of the images, the temperature and what the model was exported from. Nothing is sent: the last line
says which command does that. Needs models/model.onnx, which `dvc repro` makes.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import onnxruntime

FOLDER = Path("runs/hub")
CARD, MODEL = Path("MODEL_CARD.md"), Path("models/model.onnx")
LINK = re.compile(r"\]\(([^)#:]+)\)")  # to a file of the project


def main() -> None:
    parser = argparse.ArgumentParser(prog="hub", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="default: %(default)s")
    folder = parser.parse_args().folder
    if folder.exists() and not (folder / "config.json").is_file():
        sys.exit(f"hub: {folder} exists and is no earlier layout: name a folder that does not exist")
    try:
        lay_out(Path(), folder)
    except OSError as fault:
        sys.exit(f"hub: {fault.filename}: {fault.strerror}; `dvc repro` makes the model, its card and their pictures")
    print(f"{folder}: the model as the hub expects it. To send it:")
    print(f"pip install huggingface-hub && hf upload USER/NAME {folder}")


def lay_out(root: Path, folder: Path) -> None:
    """Write the folder anew. Raises OSError, naming the file, when the model, the card or a picture is missing."""
    card = (root / CARD).read_text(encoding="utf-8")
    model = (root / MODEL).read_bytes()
    files = sorted(set(LINK.findall(card)))
    contents = {name: (root / name).read_bytes() for name in files}
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in {**contents, "README.md": card.encode(), "model.onnx": model}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "config.json").write_text(json.dumps(config(model), indent=2) + "\n", encoding="utf-8")


def config(model: bytes) -> dict:
    """What the exported model says of itself, under the hub's usual names."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    _, height, width, channels = session.get_inputs()[0].shape
    classes = json.loads(metadata.pop("classes"))
    return {
        "input": {"name": "images", "dtype": "uint8", "shape": ["batch", height, width, channels]},
        "outputs": ["probabilities", "logits"],
        "id2label": dict(enumerate(classes)),
        **metadata,
    }


if __name__ == "__main__":
    main()
