"""Download large files: resumed, retried, verified, and with a timeout."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3
from tqdm import tqdm

from study.pipeline.torchvision_shim import torchvision

TIMEOUT = 15  # seconds to connect, and between two chunks
ATTEMPTS = 3  # in a row without a new byte
PAUSE = 2  # seconds between attempts
PIECE = 1 << 18  # bytes

check_integrity = torchvision.datasets.utils.check_integrity  # whether a file exists and has this md5


def fetch(urls: list[str], target: Path, md5: str) -> None:
    """Download `target` from the first of `urls` that yields a file with this md5.

    An interrupted download resumes from `<target>.part`, in a later run too; `target` itself is always complete. Raises
    ConnectionError that says what went wrong with each address.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    faults = []
    for url in urls:
        failures = 0
        while failures < ATTEMPTS:
            before = _size(part)
            try:
                _append(url, part)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as fault:
                reason = type(fault).__name__
            else:
                if check_integrity(part, md5):
                    part.replace(target)
                    return
                part.unlink()
                reason = f"not the file with md5 {md5}"
            failures = 0 if _size(part) > before else failures + 1
            time.sleep(PAUSE)
        faults.append(f"{urlsplit(url).hostname or url}: {reason}")
    raise ConnectionError("; ".join(faults))


def delivers(url: str, size: int, seconds: float) -> bool:
    """Whether the first `size` bytes of `url`, or all of it, arrive within about `seconds`."""
    deadline = time.monotonic() + seconds
    received = 0
    try:
        with requests.get(url, stream=True, timeout=seconds) as response:
            response.raise_for_status()
            for piece in response.iter_content(PIECE):
                received += len(piece)
                if received >= size or time.monotonic() > deadline:
                    break
    except requests.RequestException:
        return False
    return time.monotonic() <= deadline


def _append(url: str, part: Path) -> None:
    start = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # the file is already complete
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            start = 0
        total = start + int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        with (
            part.open("ab" if start else "wb") as file,
            tqdm(desc=part.stem, initial=start, total=total, unit="B", unit_scale=True) as bar,
        ):
            for piece in response.raw.stream(PIECE, decode_content=False):
                file.write(piece)
                bar.update(len(piece))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
