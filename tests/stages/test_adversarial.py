import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score

from stages.adversarial import run
from study.attacks.gradient_attacks import ascent, fgsm
from study.evaluation.temperature import save_temperature
from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head, save_classifier
from study.networks.loading import load_classifier
from study.pipeline.params import Refusal

PARAMS = {"adversarial": {"images": 15, "epsilons": [1, 8], "steps": 3, "seed": 0}, "mirror": True}
IMAGES = np.random.default_rng(0).integers(0, 256, (18, 32, 32, 3), dtype=np.uint8)


def answers(model, images):
    """In float32, as the attacks are: in bfloat16 a tie may fall the other way."""
    with torch.inference_mode():
        return model(torch.from_numpy(images)).argmax(dim=1).numpy()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project where the stage has run on an untrained `fc` and 15 of a test split of 18 images in 3 classes.

    Ten of its images have the label that the model gives them, so that there is something to lose.
    """
    root = tmp_path_factory.mktemp("project")
    torch.manual_seed(0)
    model = Classifier(untrained("resnet18"), Head(hidden=[], dropout=0), ["a", "b", "c"], 32)
    model.mirror = True
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(IMAGES))
        model.head[-1].bias -= logits.mean(dim=0)  # or it would give all of them one label
    save_classifier(model, root / "models/fc.safetensors")
    labels = answers(model, IMAGES)
    labels[10:] = np.arange(8) % 3
    (root / "data/subset").mkdir(parents=True)
    np.savez(root / "data/subset/test.npz", images=IMAGES, labels=labels, indices=np.arange(18))
    save_temperature(root, "fc", 2.0)
    run(PARAMS, root, "fc")
    return root


def table(root):
    return pd.read_csv(root / "results/adversarial/fc/accuracy.csv")


def test_the_table_has_the_clean_images_then_every_attack_at_every_epsilon(root):
    found = table(root)
    assert list(found) == ["variant", "attack", "epsilon", "images", "accuracy", "zero_gradients"]
    assert list(zip(found["attack"], found["epsilon"], strict=True)) == [
        ("clean", 0), ("noise", 1), ("fgsm", 1), ("pgd", 1), ("noise", 8), ("fgsm", 8), ("pgd", 8)
    ]  # fmt: skip
    assert set(found["variant"]) == {"fc"} and set(found["images"]) == {15}
    by_gradient = found["attack"].isin(["fgsm", "pgd"])
    assert (found["zero_gradients"][by_gradient] == 0).all()
    assert found["zero_gradients"][~by_gradient].isna().all()


def test_the_accuracies_are_those_of_the_attacked_images(root):
    whole = PARAMS | {"adversarial": PARAMS["adversarial"] | {"images": 18}}
    run(whole, root, "fc")
    measured = table(root).set_index(["attack", "epsilon"])["accuracy"]
    run(PARAMS, root, "fc")
    model = load_classifier(root / "models/fc.safetensors", mirror=True)
    labels = np.load(root / "data/subset/test.npz")["labels"]
    attacked = fgsm(IMAGES, ascent(model, IMAGES, labels), 1)
    assert measured["clean", 0] == accuracy_score(labels, answers(model, IMAGES)) > 0.5
    assert measured["fgsm", 1] == accuracy_score(labels, answers(model, attacked))
    assert measured["pgd", 8] <= measured["fgsm", 1] < measured["clean", 0]


def test_the_checks_come_with_the_steps_and_hold(root):
    result = json.loads((root / "results/adversarial/fc/checks.json").read_text())
    assert (result["steps"], result["step_size"]) == (3, 2)
    assert all(set(row) == {"check", "passed", "detail"} for row in result["checks"])
    verdicts = {row["check"]: row["passed"] for row in result["checks"]}
    assert len(verdicts) == 8
    assert verdicts["No value of an attacked image, as uint8, is further than epsilon from its original"]
    assert verdicts["FGSM does the same with and without the temperature"]


def test_the_same_seed_gives_the_same_bytes(root):
    def written():
        run(PARAMS, root, "fc")
        return {path.name: path.read_bytes() for path in (root / "results/adversarial/fc").iterdir()}

    assert written() == written() and set(written()) == {"accuracy.csv", "checks.json"}


def test_more_images_than_there_are_is_refused_in_one_line_and_the_table_stays(root):
    before = table(root)
    with pytest.raises(Refusal, match=r"^params.yaml: adversarial.images = 19: the test split has 18 images; [^\n]+$"):
        run({"adversarial": PARAMS["adversarial"] | {"images": 19}}, root, "fc")
    pd.testing.assert_frame_equal(table(root), before)
