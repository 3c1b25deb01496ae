import io
import re
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from study.sources import image_files
from study.sources.image_files import InputError, find_pictures, of_one_colour, read_bytes, read_image

SIZE = (32, 32)


def save(image, path, **options):
    image.save(path, **options)
    return path


def test_an_image_of_the_models_size_reaches_it_unchanged(tmp_path, images):
    path = save(Image.fromarray(images[0]), tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(path.read_bytes(), SIZE), images[0])


def test_a_photo_is_cut_to_the_square_in_its_middle(tmp_path):
    photo = Image.new("RGB", (400, 200), "red")
    photo.paste("lime", (100, 0, 300, 200))
    pixels = read_image(save(photo, tmp_path / "photo.png").read_bytes(), SIZE)
    assert (pixels[:, 4:-4] == [0, 255, 0]).all()


def test_a_large_image_is_averaged_not_sampled(tmp_path):
    checkers = np.indices((320, 320)).sum(axis=0) % 2 * 255
    path = save(Image.fromarray(checkers.astype(np.uint8)), tmp_path / "checkers.png")
    assert np.abs(read_image(path.read_bytes(), SIZE)[4:-4, 4:-4].astype(int) - 127).max() <= 2


def test_an_image_is_turned_upright_by_its_exif_orientation(tmp_path):
    upright = Image.new("RGB", (64, 64), "blue")
    upright.paste("red", (0, 0, 64, 32))  # red above
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned clockwise by 90 degrees
    path = save(upright.transpose(Image.Transpose.ROTATE_90), tmp_path / "turned.png", exif=exif)
    pixels = read_image(path.read_bytes(), SIZE)
    assert (pixels[:12] == [255, 0, 0]).all()
    assert (pixels[20:] == [0, 0, 255]).all()


def test_read_image_gives_pixels_that_may_be_written_to(tmp_path):
    pixels = read_image(save(Image.new("RGB", (40, 40)), tmp_path / "black.png").read_bytes(), SIZE)
    assert pixels.flags.writeable


def test_deep_greys_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(64, axis=0)
    pixels = read_image(save(Image.fromarray(ramp), tmp_path / "ramp.png").read_bytes(), (64, 64))
    np.testing.assert_array_equal(pixels[0, :, 0], np.round(ramp[0] / 257))


def test_more_pixels_than_the_limit_are_refused_before_they_are_decoded():
    side = 8192  # squared, it is the limit
    file = io.BytesIO()
    Image.new("1", (side, side + 1)).save(file, "PNG")
    with pytest.raises(InputError, match=rf"\({side * (side + 1)} pixels\) exceeds limit of {side * side} pixels"):
        read_image(file.getvalue(), SIZE)


@pytest.mark.parametrize("excess", [0, 1])
def test_read_bytes_stops_at_the_limit(monkeypatch, excess):
    monkeypatch.setattr(image_files, "MAX_BYTES", 2**20)
    stream = io.BytesIO(bytes(2**20 + excess))
    if excess:
        with pytest.raises(InputError, match="larger than 1 MB"):
            read_bytes(stream)
    else:
        assert len(read_bytes(stream)) == 2**20


def test_scans_are_counted_up_to_the_end_of_the_jpeg_and_not_in_what_follows_or_in_its_segments():
    file = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(file, "JPEG", comment=b"\xff\xda" * 200)
    assert read_image(file.getvalue() + b"\xff\xda" * 200, SIZE).shape == (32, 32, 3)


def test_libtiff_says_nothing_past_python(capfd):
    file = io.BytesIO()
    Image.effect_noise((40, 40), 50).save(file, "TIFF", compression="tiff_adobe_deflate")
    data = bytearray(file.getvalue())
    data[20:40] = bytes(20)
    with pytest.raises(InputError):
        read_image(bytes(data), SIZE)
    assert capfd.readouterr().err == ""


def test_find_pictures_goes_by_suffix_and_not_into_links(tmp_path):
    for name in ("b.PNG", "sub/a.jpeg", "notes.txt", "figure.eps", "@eaDir/a.png", ".b/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub/loop").symlink_to(tmp_path)
    assert find_pictures(tmp_path) == [tmp_path / "b.PNG", tmp_path / "sub/a.jpeg"]


def stored(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PHOTO = Image.effect_mandelbrot(SIZE, (-2, -1.5, 1, 1.5), 60).convert("RGB")
PHOTO.paste((200, 90, 30), (4, 4, 14, 20))
PHOTO.paste((20, 60, 220), (16, 2, 30, 12))
PIXELS = np.asarray(PHOTO).astype(int)
GREY = np.asarray(PHOTO.convert("L")).astype(int)
GREYS = np.repeat(GREY[..., None], 3, axis=2)


def off(data, right):
    """The levels by which the picture in a file is off, at each place."""
    return np.abs(read_image(data, SIZE) - right.astype(int))


def tiff(strips, bits=(16,), meaning=1, planes=1, sample=1, order="<", packing=1, more=()):
    """A TIFF of SIZE by hand; meaning 0 is white at 0, 1 is black at 0, 2 is RGB; sample 1 is unsigned, 2 signed."""
    strips = [zlib.compress(strip) if packing == 8 else strip for strip in strips]
    values = {
        256: ("I", [SIZE[0]]), 257: ("I", [SIZE[1]]), 258: ("H", bits), 259: ("H", [packing]), 262: ("H", [meaning]),
        273: ("I", [0] * len(strips)), 277: ("H", [len(bits)]), 278: ("I", [SIZE[1]]),
        279: ("I", [len(strip) for strip in strips]), 284: ("H", [planes]), 339: ("H", [sample] * len(bits)),
    } | dict(more)  # fmt: skip

    def content(kind, numbers):
        return numbers if kind == "s" else struct.pack(f"{order}{len(numbers)}{kind}", *numbers)

    long = {tag: content(*entry) for tag, entry in values.items() if len(content(*entry)) > 4}
    start = 8 + 2 + 12 * len(values) + 4
    places = dict(zip(long, start + np.cumsum([0, *map(len, long.values())]), strict=False))
    first = start + sum(map(len, long.values()))
    values[273] = ("I", [int(first + sum(map(len, strips[:number]))) for number in range(len(strips))])
    if 273 in long:
        long[273] = content(*values[273])
    directory = b""
    for tag, (kind, numbers) in sorted(values.items()):
        number = {"s": 2, "H": 3, "I": 4}[kind]
        held = struct.pack(order + "I", places[tag]) if tag in long else content(kind, numbers).ljust(4, b"\0")
        directory += struct.pack(order + "HHI", tag, number, len(numbers)) + held
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(values))
    return b"".join([head, directory, bytes(4), *long.values(), *strips])


def twelve_bits(greys):
    """Rows of 12-bit values, two in three bytes."""
    pairs = greys.reshape(-1, 2).astype(int)
    return np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1).astype(
        np.uint8
    )


def kind_of(order):
    return np.dtype(f"{order}u2")


@pytest.mark.parametrize("packing", [1, 8])
def test_twelve_bits_of_a_tiff_are_scaled_by_their_own_white(packing):
    data = tiff([twelve_bits(GREY * 4095 // 255).tobytes()], bits=(12,), packing=packing)
    assert off(data, GREYS).max() <= 1


@pytest.mark.parametrize("packing", [1, 8])
def test_greys_of_a_tiff_whose_white_is_zero_are_inverted(packing):
    deep = tiff([(65535 - GREY * 257).astype("<u2").tobytes()], meaning=0, packing=packing)
    floats = tiff([(1 - GREY / 255).astype("<f4").tobytes()], (32,), meaning=0, sample=3, packing=packing)
    assert off(deep, GREYS).max() == off(floats, GREYS).max() == 0


@pytest.mark.parametrize("packing", [1, 8])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("white, bits, sample, dtype", [(32767, 16, 2, "i2"), (65535, 32, 2, "i4"), (1, 32, 3, "f4")])
def test_signed_and_float_greys_of_a_tiff_are_scaled_in_either_byte_order(white, bits, sample, dtype, order, packing):
    greys = (GREY / 255 * white).astype(order + dtype)
    assert off(tiff([greys.tobytes()], (bits,), sample=sample, order=order, packing=packing), GREYS).max() <= 1


@pytest.mark.parametrize("packing", [1, 8])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("depth", [8, 16])
def test_the_planes_of_a_tiff_are_joined(depth, order, packing):
    samples = PIXELS.astype("u1") if depth == 8 else (PIXELS * 257).astype(order + "u2")
    planes = [samples[..., channel].tobytes() for channel in range(3)]
    assert off(tiff(planes, [depth] * 3, 2, planes=2, order=order, packing=packing), PIXELS).max() == 0


@pytest.mark.parametrize(
    "data, why",
    [
        (tiff([GREY.astype("i1").tobytes()], (8,), sample=2), "a TIFF of signed 8-bit values: "),
        (tiff([bytes(2048)] * 4, [16] * 4, 5, planes=2), "a TIFF with a plane for each channel, of a kind "),
        (tiff([bytes(1024)] * 3, [8] * 3, 8, planes=2), "a TIFF with a plane for each channel, of a kind "),
        (tiff([bytes(1024)] * 2, [8] * 2, 1, planes=2, more={338: ("H", [2])}.items()), "a TIFF with a plane for each"),
        (tiff([bytes(2048)], meaning=0, order=">"), "a TIFF that is damaged or of a kind that is not read: "),
    ],
    ids=[
        "signed bytes",
        "CMYK planes of 16 bits",
        "CIELAB planes",
        "grey and alpha in planes",
        "big-endian, white is 0",
    ],
)
def test_a_tiff_that_would_be_misread_is_refused_by_name(data, why):
    with pytest.raises(InputError, match=why):
        read_image(data, SIZE)


def deep_png(pixels):
    """A PNG of 16 bits a channel in colour, by hand: Pillow writes none."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = {b"IHDR": struct.pack(">IIBBBBB", *SIZE, 16, 2, 0, 0, 0), b"IDAT": zlib.compress(rows), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks.items()
    )


SLIVERS = {
    "12 of 16 bits": (stored(Image.fromarray((GREY * 16).astype(np.uint16)), "PNG"), GREY.max() * 16, 65535),
    "8 of 12 bits": (tiff([twelve_bits(GREY).tobytes()], bits=(12,)), GREY.max(), 4095),
    "8 of 16 bits, signed": (tiff([GREY.astype("<i2").tobytes()], sample=2), GREY.max(), 32767),
    "8 of 16 bits, white is 0": (tiff([GREY.astype("<u2").tobytes()], meaning=0), GREY.max(), 65535),
    "8 of 32 bits": (stored(Image.fromarray(GREY.astype(np.int32)), "TIFF"), GREY.max(), 65535),
    "floats": (stored(Image.fromarray((GREY / 255 / 20).astype(np.float32)), "TIFF"), GREY.max() / 255 / 20, 1),
    "12 of 16 bits in colour": (deep_png(PIXELS * 16), PIXELS.max() * 16 | 255, 65535),
    "8 of 16 bits in colour": (tiff([PIXELS.astype("<u2").tobytes()], [16] * 3, 2), 255, 65535),
}


@pytest.mark.parametrize("kind", SLIVERS)
def test_a_file_that_declares_more_bits_than_it_uses_is_refused_with_its_range(kind):
    data, high, white = SLIVERS[kind]
    why = f"^it uses a sliver of its range: no value is above {high:g}, and {white:g} is full; stretch"
    with pytest.raises(InputError, match=why):
        read_image(data, SIZE)


def test_a_dark_picture_that_uses_a_sixteenth_of_its_range_is_read():
    dark = GREY.astype(float) * 4112 / GREY.max()  # 4112 is 16 levels of 8 bits
    data = stored(Image.fromarray(dark.astype(np.uint16)), "PNG")
    assert off(data, np.repeat(dark[..., None] / 257, 3, axis=2)).max() <= 1
    assert off(deep_png(dark[..., None].repeat(3, axis=2)), np.repeat(dark[..., None] / 257, 3, axis=2)).max() <= 1


def bmp_with_alpha(image):
    """A BMP of 32 bits whose header has a mask for alpha: Pillow writes none."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHI20x", 108, SIZE[0], -SIZE[1], 1, 32, 3) + masks + bytes(52)  # from the top: height < 0
    return struct.pack("<2sIII", b"BM", 14 + 108 + 4096, 0, 14 + 108) + head + image.tobytes("raw", "BGRA")


def test_an_alpha_of_zero_everywhere_is_ignored():
    seen = PHOTO.copy()
    seen.putalpha(0)
    for data in (bmp_with_alpha(seen), stored(seen, "PNG"), stored(seen, "WEBP", lossless=True, exact=True)):
        assert off(data, PIXELS).max() == 0
    seen.putpixel((0, 0), (0, 0, 0, 255))
    assert (read_image(stored(seen, "PNG"), SIZE)[1:] == 255).all()


@pytest.mark.parametrize("spread, flat", [(0, True), (2, True), (3, False)])
def test_a_picture_is_of_one_colour_if_no_channel_spans_more_than_two_levels(spread, flat):
    image = np.full((4, 4, 3), (250, 100, 0), np.uint8)
    image[1, 2, 1] += spread
    assert of_one_colour(image) is flat


def entry(tag, kind, value):
    return struct.pack("<HHI4s", tag, kind, len(value) if kind == 2 else 1, value.ljust(4, b"\0"))


TURN = entry(0x0112, 3, b"\6\0")
EXIFS = {
    "an earlier tag points beyond its end": struct.pack("<HHII", 0x010E, 2, 2**16, 2**16) + TURN,
    "a resolution is text": TURN + entry(0x011A, 2, b"72\0"),
}


@pytest.mark.parametrize("kind", EXIFS)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_read_whatever_is_wrong_with_other_tags(kind, form):
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + EXIFS[kind] + bytes(4)
    turned = PHOTO.transpose(Image.Transpose.ROTATE_90)
    without = read_image(stored(turned, form), SIZE)
    assert off(stored(turned, form, exif=exif), np.rot90(without, -1)).max() == 0


def with_chunk(name, content, where=2):
    """PHOTO as a PNG with a chunk of metadata, before its pixels or, with `where` 3, after."""
    parts = re.split(rb"(?=....IDAT|....IEND)", stored(PHOTO, "PNG"), flags=re.DOTALL)
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return b"".join([*parts[: where - 1], chunk, *parts[where - 1 :]])


ZEROS = zlib.compress(bytes(3 * 2**20))
TEXT_FOR_NUMBERS = {282: ("s", b"72\0"), 283: ("s", b"72\0"), 296: ("H", [3])}  # resolutions, in centimetres
NO_TAGS = b"Exif\0\0II*\0\x08\0\0\0" + bytes(6)
FLAGGED = Image.Exif()
FLAGGED[0x0112] = 6  # orientation: to be turned
METADATA = {
    "EXIF of no sense": with_chunk(b"eXIf", b"Exif\0\0garbage!"),
    "EXIF with a wrong sum": with_chunk(b"eXIf", b"Exif").replace(b"eXIfExif", b"eXIfexif"),
    "3 MB of text": with_chunk(b"zTXt", b"a\0\0" + ZEROS),
    "3 MB of text after the pixels": with_chunk(b"zTXt", b"a\0\0" + ZEROS, 3),
    "text packed in an unknown way": with_chunk(b"zTXt", b"a\0\1" + ZEROS),
    "a profile of 3 MB": with_chunk(b"iCCP", b"a\0\0" + ZEROS),
    "a profile of no sense": stored(PHOTO, "PNG", icc_profile=b"no profile"),
    "a TIFF whose resolution is text": tiff([PIXELS.astype("u1").tobytes()], [8] * 3, 2, more=TEXT_FOR_NUMBERS.items()),
    "EXIF of no sense in an AVIF": stored(PHOTO, "AVIF", quality=100, subsampling="4:4:4", exif=NO_TAGS).replace(
        b"II*\0", b"none"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", METADATA)
def test_whatever_is_wrong_in_metadata_the_pixels_count(kind):
    assert off(METADATA[kind], PIXELS).max() <= 4 * ("AVIF" in kind)


@pytest.mark.parametrize("marker, content", [(0xE0, b"JFIF\0"), (0xEE, b"Adobe"), (0xED, b"Photoshop 3.0\x008BIM\4\4")])
def test_a_short_segment_of_a_jpeg_is_dropped(marker, content):
    plain = stored(PHOTO, "JPEG", quality=95)
    segment = b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
    assert off(plain[:2] + segment + plain[2:], read_image(plain, SIZE)).max() == 0


def test_a_bomb_of_text_does_not_hide_the_orientation():
    text = PngInfo()
    text.add_text("a", "b" * 3 * 2**20, zip=True)
    assert off(stored(PHOTO.transpose(Image.Transpose.ROTATE_90), "PNG", exif=FLAGGED, pnginfo=text), PIXELS).max() == 0


def profile(kind, space, pcs, tags):
    """An ICC profile (version 4) by hand."""
    tags = {b"wtpt": xyz(0.9642, 1, 0.8249)} | tags
    start, table = 132 + 12 * len(tags), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", start, len(content))
        start += len(content)
    head = struct.pack(">I4xI4s4s4s12x4s28x3i", start, 0x04300000, kind, space, pcs, b"acsp", 63190, 65536, 54061)
    return b"".join([head.ljust(128, b"\0"), struct.pack(">I", len(tags)), table, *tags.values()])


def xyz(*values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in values))


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREEN_FIRST = SRGB.replace(b"rXYZ", b"gxyz").replace(b"gXYZ", b"rXYZ").replace(b"gxyz", b"gXYZ")  # swaps two primaries
LINEAR = b"curv" + bytes(8)
LINEAR_GREY = profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": LINEAR})
IDENTITY = struct.pack(">9i", *np.eye(3, dtype=int).ravel() * 65536)
NODES = b"".join(
    bytes([255 - ink, 128, 128]) for ink in [0, 255] * 8
)  # CIELAB for no and all ink; black changes fastest
TABLES = b"mft1\0\0\0\0\4\3\2\0" + IDENTITY + bytes(range(256)) * 4 + NODES + bytes(range(256)) * 3
ONLY_BLACK = profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": TABLES})  # the other inks leave no trace


@pytest.mark.parametrize("kind, options", [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})])
@pytest.mark.parametrize("alpha", [False, True])
def test_colours_are_converted_to_srgb_by_the_profile(kind, options, alpha):
    red, green, blue = PHOTO.split()
    swapped = Image.merge("RGB", (green, red, blue))
    if alpha:
        swapped.putalpha(255)
    assert off(stored(swapped, kind, icc_profile=GREEN_FIRST, **options), PIXELS).max() <= 1


def test_colours_of_a_jpeg_are_converted_by_its_profile():
    red, green, blue = PHOTO.split()
    data = stored(Image.merge("RGB", (green, red, blue)), "JPEG", quality=95, subsampling=0, icc_profile=GREEN_FIRST)
    assert off(data, read_image(stored(PHOTO, "JPEG", quality=95, subsampling=0), SIZE)).mean() < 2


def test_an_srgb_profile_changes_nothing():
    assert off(stored(PHOTO, "PNG", icc_profile=SRGB), PIXELS).max() == 0


@pytest.mark.parametrize("kind, deep", [("PNG", False), ("PNG", True), ("TIFF", True)])
def test_greys_are_converted_by_a_profile_of_greys(kind, deep):
    greys = np.repeat(np.arange(32, 256, 7).astype(np.uint8)[None], 32, axis=0)
    image = Image.fromarray(greys.astype(np.uint16) * 257 if deep else greys)
    right = 255 * (1.055 * (greys / 255) ** (1 / 2.4) - 0.055)  # sRGB's curve above 0.0031
    assert off(stored(image, kind, icc_profile=LINEAR_GREY), np.round(right)[..., None]).max() <= 1


def test_inks_are_converted_by_a_profile_of_inks():
    cyan, black = Image.new("CMYK", SIZE, (255, 0, 0, 0)), Image.new("CMYK", SIZE, (0, 0, 0, 255))
    for form in ("JPEG", "TIFF"):
        assert (read_image(stored(cyan, form), SIZE)[..., 0] == 0).all()
        assert (read_image(stored(cyan, form, icc_profile=ONLY_BLACK), SIZE) >= 254).all()
        assert (read_image(stored(black, form, icc_profile=ONLY_BLACK), SIZE) <= 1).all()


@pytest.mark.parametrize("foreign", [LINEAR_GREY, ONLY_BLACK, SRGB[:200], bytes(2**17)])
def test_a_profile_that_is_damaged_or_of_another_mode_is_ignored(foreign):
    assert off(stored(PHOTO, "PNG", icc_profile=foreign), PIXELS).max() == 0


def test_threads_convert_as_one_does():
    red, green, blue = PHOTO.split()
    data = stored(Image.merge("RGB", (green, red, blue)), "PNG", icc_profile=GREEN_FIRST)
    with image_files.silence(), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: image_files.decode(data, SIZE), range(64)))
    np.testing.assert_array_equal(found, [read_image(data, SIZE)] * 64)
