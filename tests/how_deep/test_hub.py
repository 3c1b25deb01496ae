"""how-deep hub: the folder that it lays out stands alone."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from how_deep import hub
from study.networks.classifier import Classifier
from study.publishing.onnx_graph import to_onnx


@pytest.fixture
def root(tmp_path, model: Classifier, monkeypatch):
    """A project with a card of two pictures and an exported model."""
    root = tmp_path / "project"
    for name in ("plots/report/reliability.png", "plots/gradcam/hits.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    card = (
        "---\nlibrary_name: onnx\n---\n# Card\n![Reliability](plots/report/reliability.png)\n"
        "[hits](plots/gradcam/hits.png), [limits](#limits), [paper](https://arxiv.org/abs/1706.04599)\n"
    )
    (root / "MODEL_CARD.md").write_text(card)
    (root / "models").mkdir()
    (root / "metrics").mkdir()
    (root / "metrics/summary.json").write_text(json.dumps({"published": {"temperature": 1.25}}))
    metadata = {"classes": json.dumps(model.config["classes"]), "temperature": "1.25", "variant": "full"}
    metadata["checkpoint_sha256"] = "0" * 64
    (root / "models/model.onnx").write_bytes(to_onnx(model, 1.25, (32, 32), metadata))
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["how-deep hub"])
    return root


def test_the_card_is_the_readme_and_every_link_in_it_leads_somewhere(root, capsys):
    hub.main()
    folder = root / "runs/hub"
    assert (folder / "README.md").read_bytes() == (root / "MODEL_CARD.md").read_bytes()
    for name in re.findall(r"\]\((plots[^)]+)\)", (folder / "README.md").read_text()):
        assert (folder / name).read_bytes() == (root / name).read_bytes()
    assert "hf upload USER/NAME runs/hub" in capsys.readouterr().out


def test_the_config_says_what_the_model_takes_and_gives(root, images):
    hub.main()
    config = json.loads((root / "runs/hub/config.json").read_text())
    session = onnxruntime.InferenceSession(root / "runs/hub/model.onnx")
    outputs = session.run(config["outputs"], {config["input"]["name"]: images.astype(config["input"]["dtype"])})
    assert config["input"]["shape"][1:] == list(images.shape[1:])
    assert outputs[0].shape == (len(images), len(config["id2label"]))
    assert np.allclose(outputs[0].sum(axis=1), 1)
    assert (config["id2label"]["0"], config["temperature"], config["variant"]) == ("plane", "1.25", "full")


def test_what_an_earlier_layout_left_goes(root):
    hub.main()
    (root / "runs/hub/old.png").write_bytes(b"")
    hub.main()
    assert not (root / "runs/hub/old.png").exists()


@pytest.mark.parametrize(
    "missing", ["MODEL_CARD.md", "models/model.onnx", "metrics/summary.json", "plots/gradcam/hits.png"]
)
def test_what_is_missing_is_named_in_one_line_and_nothing_is_lost(root, missing):
    hub.main()
    (root / missing).unlink()
    with pytest.raises(SystemExit, match=rf"^hub: {missing}: No such file or directory; `dvc repro` makes .*$"):
        hub.main()
    assert (root / "runs/hub/model.onnx").exists()


def test_a_folder_with_other_things_in_it_is_left_alone(root, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["how-deep hub", "."])
    with pytest.raises(SystemExit, match=r"^hub: \. exists and is no earlier layout"):
        hub.main()
    assert (root / "MODEL_CARD.md").exists()


@pytest.mark.parametrize(
    "there",
    [
        {"config.json": '{"model_type": "bert"}'},
        {"config.json": '{"id2label": {}, "checkpoint_sha256": ""}', ".git": "a clone from the hub"},
        {"config.json": "no JSON"},
        {"config.json": "[{}]"},
    ],
)
def test_another_model_s_folder_is_left_alone(root, monkeypatch, tmp_path, there):
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name, text in there.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(sys, "argv", ["how-deep hub", str(folder)])
    with pytest.raises(SystemExit, match=r"exists and is no earlier layout"):
        hub.main()
    assert {path.name: path.read_text() for path in folder.iterdir()} == there


def test_a_card_and_a_model_of_different_runs_are_not_published_together(root):
    (root / "metrics/summary.json").write_text(json.dumps({"published": {"temperature": 1.5}}))
    with pytest.raises(SystemExit, match=r"^hub: models/model\.onnx is not the model that MODEL_CARD\.md describes"):
        hub.main()
    assert not (root / "runs").exists()


def test_another_model_is_refused_in_one_line_and_nothing_is_lost(root):
    hub.main()
    (root / "models/model.onnx").write_bytes(b"no model")
    with pytest.raises(SystemExit, match=r"^hub: models/model\.onnx: not the model that `dvc repro export` makes .*$"):
        hub.main()
    assert (root / "runs/hub/model.onnx").exists()


def test_a_folder_of_ones_own_may_be_named(root, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["how-deep hub", str(tmp_path / "there")])
    hub.main()
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"README.md", "config.json", "model.onnx", "plots"}


def test_the_links_of_the_committed_card_are_files_that_are_committed():
    project = Path(__file__).parents[2]
    names = hub.LINK.findall((project / "MODEL_CARD.md").read_text(encoding="utf-8"))
    assert names
    assert [name for name in names if not (project / name).is_file()] == []
