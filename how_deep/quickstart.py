"""The whole pipeline at a small size, as the DVC experiment `quickstart`: a few minutes on a laptop.

It runs on CIFAR-10 where that is at hand and on the embedded digits otherwise, in a temporary copy of what git tracks,
with its uncommitted changes: the working tree keeps the committed study. Results are copied to runs/quickstart. An
earlier run's stay until this one has finished, and so does its experiment.
"""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from dvc.api import DVCFileSystem

from lab.experiments.environment import experiment_environment, require_ascii
from study.pipeline.files import read_json, whole_folder
from study.pipeline.params import Refusal, read_params
from study.reporting.results_table import plain_table
from study.sources.cifar10 import CIFAR10

NAME = "quickstart"
UNFINISHED = f"{NAME}-new"  # the name until the run has finished
SIZES = {
    "cifar10": {"data.train": 2000, "data.val": 1000, "data.test": 1000},
    "digits": {"data.train": 900, "data.val": 400, "data.test": 360},
}
SHORT = {
    "backbone.weights": "tinyimagenet",  # which learned at 64 pixels; ImageNet's need more, and more time
    "train.common.image_size": 64,
    "train.common.probe.epochs": 5,
    "train.fc.epochs": 10,
    "train.layer4.epochs": 3,
    "train.full.epochs": 2,
    "train.scratch.epochs": 12,
    "corrupt_eval.images": 40,
    "ood.images": 100,
    "ood.train_images": 500,
    "adversarial.images": 20,
    "gradcam.faithfulness_images": 10,
}


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    os.chdir(root)
    try:
        require_ascii(root)
    except Refusal as fault:
        sys.exit(f"quickstart: {fault}")
    dataset = choose_dataset(root)
    command = ["dvc", "exp", "run", "--temp", "--name", UNFINISHED, "--set-param", f"data.dataset={dataset}"]
    for key, value in (SIZES[dataset] | SHORT).items():
        command += ["--set-param", f"{key}={value}"]
    environment = experiment_environment(root)
    subprocess.run(["dvc", "exp", "remove", UNFINISHED], env=environment, capture_output=True)
    print(f"Backbone: resnet18, from the bundled weights `{SHORT['backbone.weights']}`.")
    print("$", " ".join(command), flush=True)
    run_experiment(command, environment)
    replace_experiment()
    folder = copy_results(root)
    summary, training, calibration = (
        read_json(folder / f"metrics/{name}.json") for name in ("summary", "training", "calibration")
    )
    settings = read_params(root / "params.yaml")["train"]  # whose depths the small size does not change
    print(f"\nThe variants on {dataset}, at a small size:\n\n{plain_table(summary, training, settings, calibration)}\n")
    print(f"Open {folder}/report.html in a browser. Pictures: {folder}/plots. Model card: {folder}/MODEL_CARD.md.")
    print(f"Classify a picture: python inference.py --model {folder}/model.onnx --image PICTURE")
    print(f"`dvc exp show` sets the experiment beside the committed run; `dvc exp apply {NAME}` brings all of it here.")


def run_experiment(command: list[str], environment: dict[str, str]) -> None:
    """Exits when it does not finish. Ctrl-C reaches DVC too, which needs a moment to remove its copy."""
    process = subprocess.Popen(command, env=environment)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()
        sys.exit("quickstart: stopped; the next run begins with the stages that were not finished")
    if status:
        sys.exit("quickstart: the experiment did not finish; its last lines above say why")


def choose_dataset(root: Path) -> str:
    """CIFAR-10 where it is at hand, else the digits; says which, and how to get the other."""
    if CIFAR10.at_hand(root):
        print("Dataset: CIFAR-10. README has the command for the digits, which need no data.")
        return "cifar10"
    print(
        "Dataset: scikit-learn's handwritten digits, because CIFAR-10 is not at hand. To have it, set CIFAR10_DIR to a "
        "folder that holds cifar-10-batches-py/ or cifar-10-python.tar.gz, or let `dvc repro download` fetch it."
    )
    return "digits"


def references(name: str) -> list[str]:
    """Git's, of the experiments with this name: one for each commit that they started from."""
    refs = subprocess.check_output(["git", "for-each-ref", "--format=%(refname)", "refs/exps"], text=True)
    return [ref for ref in refs.split() if ref.endswith(f"/{name}")]


def replace_experiment() -> None:
    """Give the finished experiment its name, which an earlier one loses: git does both, or neither."""
    (finished,) = references(UNFINISHED)
    named = f"{finished.removesuffix(UNFINISHED)}{NAME}"
    changes = {ref: f"delete {ref}\n" for ref in (finished, *references(NAME))}
    changes[named] = f"update {named} {finished}\n"
    subprocess.run(["git", "update-ref", "--stdin"], input="".join(changes.values()), text=True, check=True)


def copy_results(root: Path) -> Path:
    """Copy what the experiment measured, drew and exported into runs/quickstart."""
    (ref,) = references(NAME)
    archive = subprocess.check_output(["git", "archive", ref, "metrics", "plots", "MODEL_CARD.md", "report.html"])
    folder = root / "runs" / NAME
    with whole_folder(folder) as part, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 and later have it
        files.extractall(part)
        DVCFileSystem(str(root), rev=ref).get_file("models/model.onnx", str(part / "model.onnx"))
    return folder.relative_to(root)


if __name__ == "__main__":
    main()
