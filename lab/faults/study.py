"""A small study on the digits in a folder of its own: run, finished, and compared with an undisturbed one."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

from study.pipeline.params import read_params

ROOT = Path(__file__).parents[2]
SMALL = {
    "data": {"dataset": "digits", "train": 100, "val": 40, "test": 60},
    "backbone": {"weights": "none"},
    "train.common": {"image_size": 32, "views": 2, "batch_size": 20},
    "train.common.augment": {"augmix": False},  # too much for so short a training
    "train.full": {"lr": 0.005, "first_image_size": None},
    "train.full.augment": {"augmix": False},
    "train.scratch": {"batch_size": 10},
    "train.scratch.augment": {"augmix": False},
    "calibrate": {"resamples": 20},
    "corrupt_eval": {"images": 20, "corruptions": ["gaussian_noise", "frost", "saturate"]},
    "adversarial": {"images": 10, "epsilons": [2], "steps": 2},
    "gradcam": {"layer": "layer2", "faithfulness_images": 10},
}
EPOCHS = 5  # of every training
OUTPUTS = ("data", "models", "results", "metrics", "plots")  # beside them MODEL_CARD.md and report.html, with seconds
IDENTITY = ("-c", "user.name=Faults", "-c", "user.email=faults@example.org")
REFUSED = "holds this stage"  # a script's word to a second one
RWLOCK = "Unable to read RWLock-file"  # dvc's, when it was killed while it wrote that file
LAST = 500  # characters of what a failed run printed
PATIENCE = 1800  # seconds after which a study hangs


@dataclass
class Outcome:
    """What became of the tries of a fault."""

    tries: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # results lost, silently wrong or never finished


class Repro(NamedTuple):
    """`dvc repro` at work, the leader of a process group of its own, and what it and its scripts print."""

    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> tuple[int, str]:
        """Wait for it, no longer than PATIENCE. Returns its status and all that was printed."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            status = self.process.wait()
        return status, self.log.read_text()


class Study(NamedTuple):
    """A repository with nothing run, the digests of what an undisturbed run leaves, and the seconds it takes."""

    base: Path
    reference: dict[str, str]
    seconds: float

    def copy(self, folder: Path) -> Path:
        """A copy of the repository in this folder, new or empty."""
        return shutil.copytree(self.base, folder, symlinks=True, dirs_exist_ok=True)

    def finish(self, folder: Path, outcome: Outcome) -> None:
        """Run `dvc repro` to the end, once orphaned scripts are through, and compare what is there."""
        status, printed = start(folder).end()
        while status and mended(folder, printed, outcome):
            status, printed = start(folder).end()
        outcome.counts["trainings carried on"] += printed.count("carrying on after epoch")
        if status:
            outcome.wrong.append(f"not finished: {printed[-LAST:]}")
            return
        found = contents(folder)
        outcome.wrong.extend(name for name, digest in self.reference.items() if found.get(name) != digest)
        for name in found.keys() - self.reference.keys():
            if any(part.startswith(".") for part in Path(name).parts):
                outcome.counts["hidden files left behind"] += 1
            else:
                outcome.wrong.append(f"{name} is left over")
        outcome.wrong.extend(f"{path} is damaged" for path in damaged(folder / ".dvc/cache"))


def prepare(base: Path, undisturbed: Path) -> Study:
    """Run the study that is in this folder in another one."""
    shutil.copytree(base, undisturbed, symlinks=True)
    began = time.monotonic()
    status, printed = start(undisturbed).end()
    if status:
        sys.exit(f"the undisturbed run failed:\n{printed}")
    return Study(base, contents(undisturbed), time.monotonic() - began)


def clone(folder: Path) -> None:
    """A repository, in this new folder, of what git tracks here, with small parameters and nothing run."""
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, text=True
    )
    for name in listed.splitlines():
        if (ROOT / name).exists() and name != "dvc.lock" and not name.startswith(("metrics/", "plots/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = read_params(folder / "params.yaml")
    for key, values in SMALL.items():
        block = params
        for part in key.split("."):
            block = block[part]
        block |= values
    for phase in (params["train"]["common"]["probe"], *params["train"].values()):
        if "epochs" in phase:
            phase["epochs"] = EPOCHS
    (folder / "params.yaml").write_text(json.dumps(params, indent=2))
    for command in (["init"], ["add", "--all"], [*IDENTITY, "commit", "--message", "Start"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)


def start(folder: Path, *before: str) -> Repro:
    """`dvc repro` in this folder, as an argument of the command `before`."""
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
        "OMP_NUM_THREADS": "1",  # two faults are tried at a time
    }
    with NamedTemporaryFile("w", dir=folder.parent, suffix=".log", delete=False) as log:
        process = subprocess.Popen(
            [*before, "dvc", "repro"], cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    return Repro(process, Path(log.name))


def mended(folder: Path, printed: str, outcome: Outcome) -> bool:
    """Whether it is worth running `dvc repro` again after one that failed with these words, as README has it."""
    if RWLOCK in printed:
        (folder / ".dvc/tmp/rwlock").unlink()
        outcome.counts["times dvc's own lock file had to be removed"] += 1
    elif REFUSED in printed:
        outcome.counts["runs refused while a script was at work"] += 1
        time.sleep(1)
    else:
        return False
    return True


def contents(folder: Path) -> dict[str, str]:
    """A digest of every file that the study leaves and that holds no seconds; a JSON file without those it holds."""
    files = (path for name in OUTPUTS for path in (folder / name).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): _digest(path) for path in files}


def damaged(cache: Path) -> list[Path]:
    """The files of a DVC cache that do not hold what their name says; hidden ones are what it did not finish."""
    files = (path for path in (cache / "files/md5").rglob("[!.]*") if path.is_file())
    return [path for path in files if path.parent.name + path.stem != hashlib.md5(path.read_bytes()).hexdigest()]


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(_without_seconds(json.loads(content))).encode()
    return hashlib.sha256(content).hexdigest()


def _without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_seconds(inner) for key, inner in value.items() if "seconds" not in key}
    return value
