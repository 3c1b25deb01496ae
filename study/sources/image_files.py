"""Any picture file as the uint8 square that a model takes, in bounded time and memory. Needs only numpy and Pillow."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# The decoders that a hostile file can reach. Left out: formats that start another program (EPS) or have no signature
# (TGA), rare ones, and plain PPM, where a megabyte of comments costs Pillow minutes.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "AVIF")
UNREADABLE = f"not an image, damaged, or none of {', '.join(FORMATS)}"
MAX_BYTES = 2**27  # of a file, as many as a raw picture of 44 megapixels
MAX_PIXELS = 2**26  # keeps memory under 1 GB, whatever the file
MAX_SCANS = 100  # of a JPEG, as in libtiff; each visits every pixel, and ten are usual
WHITE = {"I;16": 65535, "I;16B": 65535, "I;16L": 65535, "I;16N": 65535, "I": 65535, "F": 1}  # in Pillow's deep greys

Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns above this, and refuses above twice as many
SUFFIXES = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
JPEG_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")  # those with a length, and the end (D9)


class InputError(Exception):
    """A file that cannot be used. The message is one line that says why, without the file's name."""


def find_pictures(folder: Path) -> list[Path]:
    """The files below `folder` with a suffix of FORMATS, sorted; hidden ones and hidden folders are left out.

    Raises InputError when there are none.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not _hidden(path.relative_to(folder)) and path.is_file()
    )
    if not found:
        raise InputError("no pictures in this folder, nor in those below it")
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read_bytes(stream: BinaryIO) -> bytes:
    """The whole stream. Raises InputError beyond MAX_BYTES, so an endless device or pipe does no harm."""
    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES >> 20} MB")
    return data


def read_image(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """The picture as uint8 (height, width, 3): upright, over white, cropped to the middle and resized to `size`.

    `size` is (width, height); a picture of that size keeps its pixels. An animation gives its first frame.
    Raises InputError when the data is damaged, too large, or not a picture of FORMATS.
    """
    with silence():
        return decode(data, size)


def decode(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """`read_image` for threads. They must share one `silence`, which redirects the whole process."""
    if data.startswith(b"\xff\xd8"):
        _require_few_scans(data)
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as file:
            ImageOps.exif_transpose(file, in_place=True)
            return np.array(_rgb(file, size))
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError("empty file" if not data else UNREADABLE) from None
    except Exception as fault:  # Pillow's decoders raise almost anything on a damaged file
        raise InputError(reason(fault)) from fault


def reason(fault: Exception) -> str:
    """The error's text, on one line."""
    text = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
    return " ".join(text.split())


def _rgb(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of an image of any mode, as RGB over white, resized to `size`."""
    if image.mode in WHITE:
        image = _shallow(image, size)
    fitted = ImageOps.fit(
        image.convert("RGBA" if image.has_transparency_data else "RGB"), size, Image.Resampling.LANCZOS
    )
    if fitted.mode == "RGB":
        return fitted
    return Image.alpha_composite(Image.new("RGBA", size, "white"), fitted).convert("RGB")


def _shallow(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of a deep grey image in 8 bits, resized to `size`. Pillow itself would clip instead of scaling."""
    white, deep = WHITE[image.mode], image.convert("F")
    low, high = cast(tuple[float, float], deep.getextrema())  # of its one channel
    grey = np.asarray(ImageOps.fit(deep, size, Image.Resampling.LANCZOS)) / white
    if not (low >= 0 and high <= white and np.isfinite(grey).all()):
        raise InputError(f"its greys go from {low:g} to {high:g}, not from 0 (black) to {white} (white)")
    return Image.fromarray(np.round(255 * grey.clip(0, 1)).astype(np.uint8))


@contextmanager
def silence() -> Iterator[None]:
    """Suppress remarks on odd files: Pillow's warnings, and what libtiff writes to file descriptor 2."""
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.dup2(nothing.fileno(), 2)
            yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _require_few_scans(data: bytes) -> None:
    """Raises InputError when a JPEG has more than MAX_SCANS scans: a few kB of them could cost minutes."""
    scans, marker = 0, JPEG_MARKER.search(data, 2)
    while marker and marker[1] != b"\xd9":
        scans += marker[1] == b"\xda"
        if scans > MAX_SCANS:
            raise InputError(f"a JPEG of more than {MAX_SCANS} scans, could be a decompression bomb")
        length = int.from_bytes(data[marker.end() : marker.end() + 2])
        marker = JPEG_MARKER.search(data, marker.end() + length)
