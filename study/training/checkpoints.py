"""Resume an interrupted training from its last finished epoch."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from study.networks.device import device
from study.pipeline.libraries import libraries
from study.pipeline.params import Block

STUDY = Path(__file__).parents[1]
CODE = ("data", "features", "light_resnet", "networks", "pipeline", "training")  # the packages that training imports


class Checkpoints:
    """The state of a variant's training phases, under root/.cache/checkpoints/{variant}.

    The key is a hash of settings, inputs, training code, the libraries' versions, the device and the number of threads.
    A training with another key starts afresh and removes the variant's old checkpoints.
    """

    def __init__(self, root: Path, variant: str, settings: Iterable[Block], inputs: Iterable[Path]) -> None:
        digest = hashlib.sha256(f"{libraries()} {device()} {torch.get_num_threads()}".encode())
        for block in settings:
            digest.update(block.model_dump_json().encode())
        for path in [*inputs, *(path for package in CODE for path in sorted((STUDY / package).glob("[!.]*.py")))]:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        self._folder = root / ".cache/checkpoints" / variant / digest.hexdigest()[:16]
        for stale in self._folder.parent.glob("*"):
            if stale != self._folder:
                shutil.rmtree(stale)
        self._folder.mkdir(parents=True, exist_ok=True)

    def save(self, phase: str, state: dict[str, Any]) -> None:
        """Replace the phase's state atomically: a reader finds either the old or the new one."""
        content = BytesIO()  # saving to a file, torch hides a full disk behind its own error
        torch.save(state, content)
        draft = self._folder / f"{phase}.part"
        draft.write_bytes(content.getbuffer())
        os.replace(draft, self._folder / f"{phase}.pt")

    def load(self, phase: str) -> dict[str, Any] | None:
        """The phase's last state, on the CPU; None if there is none."""
        path = self._folder / f"{phase}.pt"
        if not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def remove(self) -> None:
        """Remove every phase, once the training's results are written."""
        shutil.rmtree(self._folder.parent)
