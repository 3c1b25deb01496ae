"""Any picture file as the uint8 square that a model takes, in bounded time and memory. Needs only numpy and Pillow."""

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    PREFIXES,
    SAMPLEFORMAT,
    TiffImageFile,
)

# The decoders that a hostile file can reach. Left out: formats that start another program (EPS) or have no signature
# (TGA), rare ones, and plain PPM, where a megabyte of comments costs Pillow minutes.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "AVIF")
UNREADABLE = f"not an image, damaged, or none of {', '.join(FORMATS)}"
UNREADABLE_TIFF = "a TIFF that is damaged or of a kind that is not read: save it as PNG"
MAX_BYTES = 2**27  # of a file, as many as a raw picture of 44 megapixels
MAX_PIXELS = 2**26  # keeps memory under 1 GB, whatever the file
MAX_SCANS = 100  # of a JPEG, as in libtiff; each visits every pixel, and ten are usual
FLAT = 2  # levels of 255, too few to see and more than rounding makes
MAX_PROFILE = 2**24  # bytes, as many as a JPEG can hold
SLIVER = 16  # of a file with more than 8 bits a channel: its greatest value is at least white divided by this
WHITE = {"I;16": 65535, "I;16B": 65535, "I;16L": 65535, "I;16N": 65535, "I": 65535, "F": 1}  # in Pillow's deep greys

Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns above this, and refuses above twice as many
SUFFIXES = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
SYSTEM_NAMES = {"@eaDir", "@__thumb", "@Recycle", "#recycle", "__MACOSX", "Thumbs.db", "desktop.ini"}
JPEG_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")  # those with a length, and the end (D9)
WHITE_OF_DEPTH = {(12, 1): 4095, (16, 2): 32767}  # by a TIFF's bits and sample format (2 is signed)
NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}  # Pillow's raw modes, in the machine's byte order
# What a decoder needs of a file, and what else is used of it: the orientation and the colour profile.
PNG_PIXELS, PNG_METADATA = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}, {b"eXIf", b"iCCP"}
JPEG_PIXELS, JPEG_METADATA = (b"JFIF\0", b"Adobe"), (b"Exif\0\0", b"http://ns.adobe.com/xap", b"ICC_PROFILE\0")
TIFF_METADATA = {282, 283, 296, 700, 33723, 34377, 34665, 34853}  # resolution, XMP, IPTC, Photoshop, EXIF, GPS
ORIENTATION, SHORT = 0x0112, 3  # in EXIF: a tag, and the type of its value
ORIENTATION_IN_XMP = re.compile(r'tiff:Orientation(?:="|>)([1-8])')
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MODE_OF_PROFILE = {"GRAY": "L", "RGB ": "RGB", "CMYK": "CMYK"}


class InputError(Exception):
    """A file that cannot be used. The message is one line that says why, without the file's name."""


def find_pictures(folder: Path) -> list[Path]:
    """The files below `folder` with a suffix of FORMATS, sorted; hidden ones and hidden folders are left out.

    Raises InputError when there are none.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not any(map(hidden, path.relative_to(folder).parts)) and path.is_file()
    )
    if not found:
        raise InputError("no pictures in this folder, nor in those below it")
    return found


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out: a dot in front, or a system's own."""
    return name.startswith(".") or name in SYSTEM_NAMES


def read_bytes(stream: BinaryIO) -> bytes:
    """The whole stream. Raises InputError beyond MAX_BYTES, so an endless device or pipe does no harm."""
    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES >> 20} MB")
    return data


def read_image(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """The picture as uint8 (height, width, 3): upright, in sRGB over white, its middle cropped and resized to `size`.

    `size` is (width, height); a picture of that size keeps its pixels. An animation gives its first frame. An alpha
    channel that is zero everywhere is ignored, and so is whatever is wrong in metadata.
    Raises InputError when the data is damaged, too large, not a picture of FORMATS, or of a kind whose values would be
    misread.
    """
    with silence():
        return decode(data, size)


def decode(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """`read_image` for threads. They must share one `silence`, which redirects the whole process."""
    if data.startswith(b"\xff\xd8"):
        _require_few_scans(data)
    try:
        return np.array(_square(_upright(_load(data)), size))
    except InputError:
        raise
    except UnidentifiedImageError:
        kind = UNREADABLE_TIFF if data.startswith(tuple(PREFIXES)) else UNREADABLE
        raise InputError(kind if data else "empty file") from None
    except Exception as fault:  # Pillow's decoders raise almost anything on a damaged file
        raise InputError(reason(fault)) from fault


def of_one_colour(image: np.ndarray) -> bool:
    """Whether nothing can be seen in the picture, uint8 (H, W, 3): no channel spans more than FLAT levels."""
    return int(np.ptp(image, axis=(0, 1)).max()) <= FLAT


def reason(fault: Exception) -> str:
    """The error's text, on one line."""
    text = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
    return " ".join(text.split())


def _load(data: bytes) -> Image.Image:
    """The picture as Pillow decodes it, from the file without its metadata if Pillow fails on those."""
    for metadata in (True, False):
        try:
            return _open(data)
        except Exception as fault:
            of_pixels = isinstance(fault, OSError) and not isinstance(fault, UnidentifiedImageError)
            if of_pixels or isinstance(fault, InputError):
                raise
            data = _stripped(data, metadata)
    return _open(data)


def _open(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data), formats=FORMATS)
    if isinstance(image, TiffImageFile):
        _mend_tiff(image)
    cut = image.format in ("PNG", "TIFF") and image.mode not in WHITE and ";16" in str(image.tile[:1])
    image.load()
    if cut:  # to the upper 8 of 16 bits
        colours = cast(tuple[tuple[int, int], ...], image.getextrema())[: 4 if image.mode == "CMYK" else 3]
        _require_range(256 * max(high for _, high in colours) + 255, 65535)
    return image


def _mend_tiff(image: TiffImageFile) -> None:
    """Tell Pillow how samples are stored where it would misread them. Raises InputError where it cannot be told."""
    tags = image.tag_v2
    little, packed = tags.prefix == b"II", image.tile[0].codec_name == "libtiff"
    if image.mode == "L" and tags.get(SAMPLEFORMAT, (1,))[0] == 2:
        raise InputError("a TIFF of signed 8-bit values: save it with values from 0 (black) to 255 (white)")
    if tags.get(PLANAR_CONFIGURATION) == 2 and len(image.getbands()) > 1:
        stored = {_rawmode(tile) for tile in image.tile}
        deep = 16 in tags[BITSPERSAMPLE]
        if image.mode not in ("RGB", "RGBA", "CMYK") or not (packed or stored <= set("RGBA" if deep else "RGBACMYK")):
            raise InputError("a TIFF with a plane for each channel, of a kind that is not read: save it as PNG")
        if deep and not packed:
            order = "L" if little else "B"
            image.tile = [_with_rawmode(tile, f"{_rawmode(tile)};16{order}") for tile in image.tile]
    elif packed and not little:  # libtiff has swapped the bytes
        image.tile = [_with_rawmode(tile, NATIVE.get(_rawmode(tile), _rawmode(tile))) for tile in image.tile]


def _rawmode(tile: ImageFile._Tile) -> str:
    return str(cast(tuple[Any, ...], tile.args)[0])


def _with_rawmode(tile: ImageFile._Tile, rawmode: str) -> ImageFile._Tile:
    return tile._replace(args=(rawmode, *cast(tuple[Any, ...], tile.args)[1:]))


def _stripped(data: bytes, metadata: bool) -> bytes:
    """The file with what its pixels need, and the orientation and the colour profile if `metadata`."""
    if data.startswith(b"\x89PNG"):
        parts, start = [data[:8]], 8
        while kind := data[start + 4 : start + 8]:
            end = start + 12 + int.from_bytes(data[start : start + 4])
            if kind in PNG_PIXELS or (metadata and kind in PNG_METADATA):
                parts.append(data[start:end])
            start = end
        return b"".join(parts)
    if data.startswith(b"\xff\xd8"):
        parts, start = [], 0
        for marker, place, end in _segments(data):
            if 0xE0 <= marker <= 0xEF or marker == 0xFE:
                parts.append(data[start:place])
                start = end
                content = data[place + 4 : end]
                if len(content) >= 12 and content.startswith(JPEG_PIXELS + (JPEG_METADATA if metadata else ())):
                    parts.append(data[place:end])
        return b"".join([*parts, data[start:]])
    if data.startswith(tuple(PREFIXES)):
        mended = bytearray(data)
        for tag, place in _tags(data):
            if tag in TIFF_METADATA:
                mended[place : place + 12] = b"\xff" * 12
        return bytes(mended)
    return data.replace(b"Exif", b"free", 1) if data[4:8] == b"ftyp" else data  # AVIF: its turn is not in EXIF


def _upright(image: Image.Image) -> Image.Image:
    if isinstance(image, TiffImageFile):  # Pillow has turned it
        return image
    turn = UPRIGHT.get(_orientation(image.info))
    return image if turn is None else image.transpose(turn)


def _orientation(info: Mapping[str | tuple[int, int], Any]) -> int:
    """1 to 8, by EXIF, or by XMP without it; 1 without both. No other tag is read, so any of them may be wrong."""
    exif = info.get("exif") or _from_hexadecimal(info.get("Raw profile type exif", ""))
    tiff = exif.removeprefix(b"Exif\0\0")
    for tag, place in _tags(tiff):
        if tag == ORIENTATION:
            kind, value = (int.from_bytes(tiff[at : at + 2], _byte_order(tiff)) for at in (place + 2, place + 8))
            return value if kind == SHORT else 1
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp", "")
    found = ORIENTATION_IN_XMP.search(xmp if isinstance(xmp, str) else xmp.decode("latin-1"))
    return int(found[1]) if found else 1


def _from_hexadecimal(profile: str) -> bytes:
    """The EXIF that ImageMagick wrote as text: three lines of heading, then its bytes."""
    try:
        return bytes.fromhex("".join(profile.split("\n")[3:]))
    except ValueError:
        return b""


def _tags(tiff: bytes) -> Iterator[tuple[int, int]]:
    """The tags of the first directory of a TIFF, which EXIF is too, and where their entries of 12 bytes start."""
    start = int.from_bytes(tiff[4:8], _byte_order(tiff))
    count = int.from_bytes(tiff[start : start + 2], _byte_order(tiff))
    for place in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        yield int.from_bytes(tiff[place : place + 2], _byte_order(tiff)), place


def _byte_order(tiff: bytes) -> Literal["little", "big"]:
    return "little" if tiff.startswith(b"II") else "big"


def _square(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of an image of any mode, as sRGB over white, resized to `size`."""
    profile = image.info.get("icc_profile")
    if image.mode in WHITE:
        image = _shallow(image)
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA") if image.mode != "LA" else image
        alpha = image.getchannel("A")
        if alpha.getextrema() == (0, 0):
            alpha = None
    image = _srgb(image, profile)
    if alpha is None:
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    image.putalpha(alpha)
    fitted = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    return Image.alpha_composite(Image.new("RGBA", size, "white"), fitted).convert("RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours of an image as RGB, converted by its profile, unless that cannot be used or is of another mode.

    To save memory, an RGB image is converted in place.
    """
    grey = image.mode in ("L", "LA")
    colours = image if image.mode in ("RGB", "CMYK") else image.convert("L" if grey else "RGB")
    transform = _to_srgb(profile, colours.mode) if profile else None
    if colours.mode != "RGB":
        return transform.apply(colours) if transform else colours.convert("RGB")
    if transform:
        transform.apply_in_place(colours)
    return colours


@lru_cache(maxsize=4)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion by an ICC profile, milliseconds to set up; None where it cannot be read or is of another mode."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile[:MAX_PROFILE]))
        if MODE_OF_PROFILE.get(source.profile.xcolor_space) == mode:
            srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            return ImageCms.ImageCmsTransform(source, srgb, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        pass
    return None


def _shallow(image: Image.Image) -> Image.Image:
    """A deep grey image in 8 bits, black being 0. Pillow itself would clip instead of scaling."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    depth = (tags.get(BITSPERSAMPLE, (16,))[0], tags.get(SAMPLEFORMAT, (1,))[0])
    white = WHITE_OF_DEPTH.get(depth, WHITE[image.mode])
    deep = image if image.mode in ("I", "F") else image.convert("I")
    low, high = cast(tuple[float, float], deep.getextrema())  # of its one channel
    mean = np.asarray(deep.resize((1, 1), Image.Resampling.BOX))  # not finite if any value is not
    if not (low >= 0 and high <= white and np.isfinite(mean).all()):
        raise InputError(f"its greys go from {low:g} to {high:g}, not from 0 (black) to {white} (white)")
    _require_range(high, white)
    black, scale = (255, -255 / white) if tags.get(PHOTOMETRIC_INTERPRETATION) == 0 else (0, 255 / white)
    return deep.point(lambda value: value * scale + (black + 0.5)).convert("L")  # which cuts off the fraction


def _require_range(high: float, white: float) -> None:
    """Raises InputError when the greatest value shows that the file declares more bits than it uses."""
    if SLIVER * high < white:
        raise InputError(
            f"it uses a sliver of its range: no value is above {high:g}, and {white:g} is full; "
            "stretch its values over the whole range, or save it with 8 bits"
        )


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


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each segment of a JPEG up to its end: marker, start, end. What is coded after it belongs to none."""
    marker = JPEG_MARKER.search(data, 2)
    while marker and marker[1] != b"\xd9":
        end = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
        yield marker[1][0], marker.start(), end
        marker = JPEG_MARKER.search(data, end)


def _require_few_scans(data: bytes) -> None:
    """Raises InputError when a JPEG has more than MAX_SCANS scans: a few kB of them could cost minutes."""
    scans = (marker for marker, _, _ in _segments(data) if marker == 0xDA)
    if next(islice(scans, MAX_SCANS, None), None):
        raise InputError(f"a JPEG of more than {MAX_SCANS} scans, could be a decompression bomb")
