"""A training carried on from its last finished epoch after an interruption."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from stages.common.device import device
from stages.common.params import Block

CODE = Path(__file__).parents[1]


class Checkpoints:
    """The state of a variant's training phases, under root/.cache/checkpoints.

    They belong to these settings, these inputs, this code, this version of torch and this kind and number of
    processors: anything else starts from nothing, and removes what it cannot use.
    """

    def __init__(self, root: Path, variant: str, settings: Iterable[Block], inputs: Iterable[Path]) -> None:
        digest = hashlib.sha256(f"{torch.__version__} {device()} {torch.get_num_threads()}".encode())
        for block in settings:
            digest.update(block.model_dump_json().encode())
        for path in [*inputs, *sorted(CODE.rglob("*.py"))]:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        parent = root / ".cache/checkpoints"
        self._folder = parent / f"{variant}-{digest.hexdigest()[:16]}"
        for stale in parent.glob(f"{variant}-*"):
            if stale != self._folder:
                shutil.rmtree(stale)
        self._folder.mkdir(parents=True, exist_ok=True)

    def save(self, phase: str, state: dict[str, Any]) -> None:
        """Replace the phase's state at once: a reader finds the old one or the new one, whole."""
        content = BytesIO()  # torch itself reports a full disk as an error of its own, without the file's name
        torch.save(state, content)
        draft = self._folder / f"{phase}.part"
        draft.write_bytes(content.getbuffer())
        os.replace(draft, self._folder / f"{phase}.pt")

    def load(self, phase: str) -> dict[str, Any] | None:
        """The phase's last state, on the CPU; None when it has none."""
        path = self._folder / f"{phase}.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None

    def remove(self) -> None:
        """Forget every phase, once the training's results are written."""
        shutil.rmtree(self._folder)
