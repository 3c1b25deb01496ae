"""The whole pipeline on pictures of one's own: three classes of shapes, of many sizes and kinds, written here."""

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import inference
from stages import check_params
from study.data.splits import load_facts
from study.pipeline.params import Refusal, read_params
from tests.test_dvc_yaml import STAGES, VARIANTS, declared_params, module_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
KINDS = (
    ("png", "RGB"),
    ("jpg", "RGB"),
    ("gif", "P"),
    ("webp", "RGBA"),
    ("jpeg", "CMYK"),
    ("tiff", "L"),
    ("bmp", "RGB"),
)
CLASSES = ["discs, red | $x$", "squares & <script>", "triangles of a name that is far too long for any column"]
SMALL = {
    "data": {"dataset": "folder", "side": 48, "train": 60, "val": 30, "test": 30},
    "train.common": {"image_size": 32, "views": 2, "batch_size": 15},
    "train.common.augment": {"augmix": False},  # too much for so short a training
    "train.common.probe": {"epochs": 2},
    "train.fc": {"epochs": 3},
    "train.layer4": {"epochs": 1},
    "train.full": {"epochs": 1, "first_image_size": None},
    "train.full.augment": {"augmix": False},
    "train.scratch": {"epochs": 2, "batch_size": 15},
    "train.scratch.augment": {"augmix": False},
    "calibrate": {"resamples": 20},
    "corrupt_eval": {"corruptions": ["gaussian_noise", "zoom_blur", "fog", "occlusion"], "images": 10},
    "adversarial": {"images": 10, "epsilons": [4], "steps": 2},
    "gradcam": {"layer": "layer2", "images": 20, "faithfulness_images": 10, "corruption": "pixelate"},
}


def draw(label, rng):
    """A shape on a ground of its own; one in five is of another class than its folder says, so that not all is easy."""
    width, height = rng.integers(20, 150, 2).tolist()
    picture = Image.new("RGB", (width, height), tuple(rng.integers(150, 256, 3).tolist()))
    shape = int(rng.integers(3)) if rng.random() < 0.2 else label
    colour = tuple(np.eye(3, dtype=int)[[0, 2, 1][shape]] * 150 + rng.integers(0, 50, 3))
    reach, x, y = min(width, height) * rng.uniform(0.3, 0.45), width / 2, height / 2
    box = (x - reach, y - reach, x + reach, y + reach)
    pen = ImageDraw.Draw(picture)
    if shape == 0:
        pen.ellipse(box, fill=colour)
    elif shape == 1:
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon([(x, y - reach), (x - reach, y + reach), (x + reach, y + reach)], fill=colour)
    return picture


def write_pictures(folder, each):
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        (folder / name / "Thumbs.db").write_bytes(b"no picture")
        for number in range(each):
            suffix, mode = KINDS[number % len(KINDS)]
            draw(label, rng).convert(mode).save(folder / name / f"{number}.{suffix}")


def small_params(folder):
    params = read_params(ROOT / "params.yaml")
    for key, values in SMALL.items():
        block = params
        for part in key.split("."):
            block = block[part]
        block |= values
    params["data"]["path"] = str(folder)
    return params


def run_alone(name, params, root, variant=None):
    """Run a stage in a folder with what dvc.yaml says that it reads, and nothing else; move what it writes to `root`.

    Fails where the stage misses anything, or writes other files than dvc.yaml says.
    """
    alone = root.with_name(f"{name}-{variant}")

    def resolved(path):
        values = {"${item.variant}": variant, "${freeze}": params["freeze"], "${data.path}": params["data"]["path"]}
        for pattern, value in values.items():
            path = path.replace(pattern, str(value))
        return path

    alone.mkdir()
    for dep in map(resolved, STAGES[name]["deps"]):
        if not dep.startswith(("study", "stages/", "params.yaml", "/")):
            (alone / dep).parent.mkdir(parents=True, exist_ok=True)
            (alone / dep).symlink_to(root / dep)
    stage = import_module(module_of(STAGES[name]))
    stage.run(declared_params(name, params), alone, *([variant] if variant else []))
    for out in STAGES[name]["outs"]:
        out = resolved(out if isinstance(out, str) else next(iter(out)))
        (root / out).parent.mkdir(parents=True, exist_ok=True)
        (alone / out).rename(root / out)
    assert [path for path in alone.rglob("*") if path.is_file() and not path.is_symlink()] == []


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The root of a project in which every stage ran, in dvc.yaml's order, and its parameters."""
    folder, root = tmp_path_factory.mktemp("my pictures"), tmp_path_factory.mktemp("all") / "project"
    write_pictures(folder, 40)
    params = small_params(folder)
    shutil.copytree(ROOT / "weights", root / "weights")
    for name, stage in STAGES.items():
        for variant in VARIANTS if "matrix" in stage else [None]:
            run_alone(name, params, root, variant)
    return root, params


def test_something_was_learned_from_one_s_own_pictures(study):
    root, _ = study
    summary = json.loads((root / "metrics/summary.json").read_text())
    assert max(summary[variant]["accuracy"] for variant in VARIANTS) > 0.5  # a third is by chance


def test_the_card_and_the_page_speak_of_these_classes_and_of_no_others(study):
    root, _ = study
    card, page = ((root / name).read_text() for name in ("MODEL_CARD.md", "report.html"))
    assert "automobile" not in card and "handwritten digits" not in card and "uoft-cs/cifar10" not in card
    assert "triangles of a name that is far too long for any column" in card
    assert "squares & <script>" not in page and "squares &amp; &lt;script&gt;" in page


def test_the_tables_have_three_classes(study):
    root, _ = study
    per_class = (root / "metrics/per_class.csv").read_text().splitlines()
    assert len(per_class) == 1 + 3 * len(VARIANTS)
    assert load_facts(root).classes == CLASSES


def test_inference_sees_a_picture_of_the_folder_as_training_did(study, monkeypatch, capsys):
    root, params = study
    files = sorted(Path(params["data"]["path"]).rglob("*.png"))[:3]
    command = ["inference.py", "--model", str(root / "models/model.onnx"), "--json", "--image", *map(str, files)]
    monkeypatch.setattr(sys, "argv", command)
    assert inference.main() == 0
    answers = json.loads(capsys.readouterr().out)
    assert [{row["class"] for row in answer["predictions"]} for answer in answers] == [set(CLASSES)] * 3
    model = inference.load_model(root / "models/model.onnx")
    trained_on = np.load(root / "data/raw/train_images.npy")
    for file, answer in zip(files, answers, strict=True):
        seen = inference.read_image(file.read_bytes(), model.size)
        assert (trained_on == seen).all(axis=(1, 2, 3)).any()
        best = model.probabilities_and_logits(seen)[0].max()
        assert answer["predictions"][0]["probability"] == pytest.approx(best)


def test_numbers_that_the_folder_lacks_are_refused_at_once_with_numbers_that_work(study, tmp_path):
    _, params = study
    asked = params | {"data": params["data"] | {"train": 45_000, "val": 5_000, "test": 10_000}}
    with pytest.raises(Refusal, match=r"there are 120 images; .* -S data.train=84 -S data.val=12 -S data.test=24$"):
        check_params.run(asked, tmp_path)
