import io
import json
import os
import resource
import struct
import subprocess
import sys
import zlib
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import inference
from study.conformal.prediction_sets import threshold
from study.networks.classifier import save_classifier
from study.sources import image_files
from study.sources.image_files import read_image

CLASSES = ["red", "green", "blue"]
SIZE = (32, 32)
# Of 19 calibration images: the 10th, 18th and 19th are the thresholds of .5, .9 and .95.
SCORES = np.r_[np.full(10, 0.1), np.full(8, 0.25), 0.9]
KNOWN = {"set_scores": b64encode(SCORES.astype("<f8").tobytes()).decode(), "least_energy": "4.6"}
LIKE = {"unlike_training_images": False, "one_colour": False}


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A graph whose probabilities are the mean colour: softmax of log(mean of a channel), thus its share of all.

    Its energy is the log of the means' sum: dark pictures have little.
    """
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "places"], ["means"], keepdims=0),
        helper.make_node("ReduceSum", ["means", "channels"], ["sums"], keepdims=1),
        helper.make_node("Div", ["means", "sums"], ["probabilities"]),
        helper.make_node("Add", ["means", "tiny"], ["positive"]),  # black has a logarithm too
        helper.make_node("Log", ["positive"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 32, 32, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("probabilities", "logits")],
        [
            helper.make_tensor("places", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("channels", TensorProto.INT64, [1], [1]),
            helper.make_tensor("tiny", TensorProto.FLOAT, [1], [1e-6]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"classes": json.dumps(CLASSES)} | KNOWN)
    path = tmp_path_factory.mktemp("models") / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def classify(model_file, monkeypatch, capfd):
    """Run the command line, with `model_file` where no model is named; returns status, standard output and error."""

    def run(*arguments):
        named = () if "--model" in arguments else ("--model", model_file)
        monkeypatch.setattr(sys, "argv", ["inference.py", *map(str, (*named, *arguments))])
        status = inference.main()
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def photo(tmp_path):
    """Four parts of red to one of green, in two shades."""
    picture = Image.new("RGB", (50, 40), (200, 50, 0))
    picture.paste((184, 46, 0), (0, 0, 25, 40))
    return save(picture, tmp_path / "photo.png")


def save(image, path, **options):
    image.save(path, **options)
    return path


def test_the_most_probable_classes_are_printed_in_order(classify, photo):
    assert classify("--image", photo, "--top", 2) == (
        0,
        f"{photo}\n  red     80.0%  {'#' * 24}\n  green   20.0%  {'#' * 6}\n",
        "",
    )


def test_more_classes_than_there_are_gives_them_all(classify, photo):
    status, out, _ = classify("--image", photo, "--top", 99)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == CLASSES


def test_json_has_the_same_answers(classify, photo, tmp_path):
    blue = save(Image.new("RGB", SIZE, "blue"), tmp_path / "blue.bmp")
    status, out, _ = classify("--image", photo, blue, "--top", 1, "--json")
    assert status == 0
    assert json.loads(out) == [
        {"image": str(photo), "predictions": [{"class": "red", "probability": pytest.approx(0.8)}]} | LIKE,
        {"image": str(blue), "predictions": [{"class": "blue", "probability": pytest.approx(1.0)}]}
        | LIKE
        | {"one_colour": True},
    ]


def test_the_same_picture_gets_the_same_answer_to_the_last_byte(classify, photo):
    assert classify("--image", photo, "--json") == classify("--image", photo, "--json")


def test_a_folder_stands_for_its_pictures_sorted_and_for_those_below(classify, tmp_path):
    names = ["b.png", "a/z.JPG", "a/y.webp", "c.tiff"]
    for name in [*names, ".hidden.png", "a/._y.webp", ".trash/b.png"]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, "red").save(path)
    (tmp_path / "photos/notes.txt").write_text("no picture, and not looked at")
    (tmp_path / "photos/d.png").mkdir()
    status, out, err = classify("--image", tmp_path / "photos", "--json")
    assert (status, err) == (0, "")
    below = ["a/y.webp", "a/z.JPG", "b.png", "c.tiff"]
    assert [answer["image"] for answer in json.loads(out)] == [str(tmp_path / "photos" / name) for name in below]


def test_an_empty_path_is_refused_and_stands_for_no_folder(classify, photo):
    status, out, err = classify("--image", "", photo)
    assert (status, out.splitlines()[0]) == (1, str(photo))
    assert err == "inference.py: '': an empty path; the current folder is .\n"


def test_a_folder_without_pictures_is_named_and_the_others_are_answered(classify, photo, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    status, out, err = classify("--image", folder, photo)
    assert (status, out.splitlines()[0]) == (1, str(photo))
    assert err == f"inference.py: {folder}: no pictures in this folder, nor in those below it\n"


def test_a_dash_stands_for_a_picture_on_standard_input(classify, photo, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))
    status, out, err = classify("--image", "-", "--top", 1)
    assert (status, out, err) == (0, f"-\n  red   80.0%  {'#' * 24}\n", "")


def test_a_pipe_without_end_is_refused_at_the_limit(classify, photo, monkeypatch):
    monkeypatch.setattr(image_files, "MAX_BYTES", 2**20)
    status, out, err = classify("--image", "/dev/zero", photo)
    assert (status, out.splitlines()[0]) == (1, str(photo))
    assert err == "inference.py: /dev/zero: larger than 1 MB\n"


def test_a_name_that_is_not_one_line_is_quoted(classify, photo):
    odd = photo.rename(photo.with_name("two\nlines\x1b[2J.png"))
    status, out, _ = classify("--image", odd, "--top", 1)
    assert (status, out.splitlines()[0]) == (0, repr(str(odd)))
    status, _, err = classify("--image", f"{odd}.missing")
    assert (status, err) == (1, f"inference.py: {str(odd) + '.missing'!r}: No such file or directory\n")


RED, BLUE, WHITE, GREY = (255, 0, 0), (0, 0, 255), (255, 255, 255), (128, 128, 128)
RED_PICTURE, BLUE_PICTURE = Image.new("RGB", (40, 40), RED), Image.new("RGB", (40, 40), BLUE)
DEEP = Image.fromarray(np.full((40, 40), 128 * 257, dtype=np.uint16))
FLAGGED = Image.Exif()
FLAGGED[0x0112] = 6  # orientation: to be turned


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, *chunks, depth=8, rows=b""):
    """A PNG in colour by hand: its rows come with the filter's byte, and may be fewer than it says."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def big_endian_tiff():
    """16-bit grey, 40x40: nine tags, then the pixels at byte 122."""
    short = {256: 40, 257: 40, 258: 16, 259: 1, 262: 1, 277: 1, 278: 40}
    long = {273: 122, 279: 3200}
    entries = {tag: struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in short.items()}
    entries |= {tag: struct.pack(">HHII", tag, 4, 1, value) for tag, value in long.items()}
    directory = struct.pack(">H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return b"MM\0*" + struct.pack(">I", 8) + directory + struct.pack(">H", 128 * 257) * 1600


def jpeg_of_many_scans():
    """A progressive JPEG whose last scan comes ten thousand times."""
    data = encoded(Image.new("L", (64, 64), 128), "JPEG", progressive=True)
    scan = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + 10**4 * scan + data[-2:]


ODD = {
    "grey": (encoded(Image.new("L", (40, 40), 128), "PNG"), GREY),
    "black and white": (encoded(Image.new("1", (40, 40), 1), "PNG"), WHITE),
    "two bits": (encoded(RED_PICTURE.quantize(3), "PNG", bits=2), RED),
    "grey, half transparent": (encoded(Image.new("LA", (40, 40), (0, 127)), "PNG"), GREY),  # black over white
    "all but transparent": (encoded(Image.new("RGBA", (40, 40), (*RED, 1)), "PNG"), WHITE),
    "all but transparent WebP": (encoded(Image.new("RGBA", (40, 40), (*RED, 1)), "WEBP", lossless=True), WHITE),
    "transparent everywhere": (encoded(Image.new("RGBA", (40, 40), (*RED, 0)), "PNG"), RED),
    "transparent WebP": (encoded(Image.new("RGBA", (40, 40), (*RED, 0)), "WEBP", lossless=True, exact=True), RED),
    "transparent colour of a palette": (encoded(RED_PICTURE.quantize(), "PNG", transparency=0), RED),
    "transparent colour without a palette": (encoded(RED_PICTURE, "PNG", transparency=RED), RED),
    "palette": (encoded(BLUE_PICTURE.quantize(), "GIF"), BLUE),
    "palette in a BMP": (encoded(BLUE_PICTURE.quantize(), "BMP"), BLUE),
    "CMYK TIFF": (encoded(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "TIFF"), RED),
    "CMYK JPEG": (encoded(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG"), (254, 0, 0)),
    "YCbCr TIFF": (encoded(RED_PICTURE.convert("YCbCr"), "TIFF"), (254, 0, 0)),
    "CIELAB TIFF": (encoded(Image.new("LAB", (40, 40), (255, 128, 128)), "TIFF"), WHITE),
    "16-bit grey PNG": (encoded(DEEP, "PNG"), GREY),
    "16-bit grey TIFF": (encoded(DEEP, "TIFF"), GREY),
    "16-bit grey TIFF, big-endian": (big_endian_tiff(), GREY),
    "16-bit colour PNG": (png(2, 2, depth=16, rows=(b"\0" + b"\x80\x80" * 6) * 2), GREY),
    "32-bit integers": (encoded(Image.fromarray(np.full((40, 40), 128 * 257, dtype=np.int32)), "TIFF"), GREY),
    "floats": (encoded(Image.fromarray(np.full((40, 40), 128 / 255, dtype=np.float32)), "TIFF"), GREY),
    "one pixel": (encoded(Image.new("RGB", (1, 1), BLUE), "PNG"), BLUE),
    "sliver": (encoded(Image.new("RGB", (1, 3000), BLUE), "PNG"), BLUE),
    "band": (encoded(Image.new("RGB", (9000, 2), BLUE), "PNG"), BLUE),
    "flagged as turned": (encoded(RED_PICTURE, "JPEG", exif=FLAGGED), (254, 0, 0)),
    "EXIF of no sense": (encoded(RED_PICTURE, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), (254, 0, 0)),
    "colour profile of no sense": (encoded(RED_PICTURE, "PNG", icc_profile=b"no profile"), RED),
    "animated GIF": (encoded(RED_PICTURE, "GIF", save_all=True, append_images=[BLUE_PICTURE]), RED),
    "animated WebP": (encoded(RED_PICTURE, "WEBP", save_all=True, append_images=[BLUE_PICTURE], lossless=True), RED),
    "animated PNG": (encoded(RED_PICTURE, "PNG", save_all=True, append_images=[BLUE_PICTURE]), RED),
    "TIFF of two pages": (encoded(RED_PICTURE, "TIFF", save_all=True, append_images=[BLUE_PICTURE]), RED),
    "two pictures in a JPEG": (encoded(RED_PICTURE, "MPO", save_all=True, append_images=[BLUE_PICTURE]), (254, 0, 0)),
    "icon": (encoded(RED_PICTURE, "ICO", sizes=[(16, 16), (32, 32)]), RED),
    "AVIF": (encoded(Image.new("RGB", (40, 40), GREY), "AVIF"), GREY),
    "interlaced GIF": (encoded(BLUE_PICTURE, "GIF", interlace=True), BLUE),
    "progressive JPEG": (encoded(Image.new("RGB", (40, 40), GREY), "JPEG", progressive=True), GREY),
    "text that unpacks to 100 MB": (
        png(2, 2, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))), rows=(b"\0" + bytes(GREY) * 2) * 2),
        GREY,
    ),
    "text after its end": (encoded(RED_PICTURE, "PNG") + b"<script>alert(1)</script>", RED),
}


@pytest.mark.parametrize("kind", ODD)
def test_every_odd_kind_of_picture_becomes_rgb(kind):
    data, colour = ODD[kind]
    pixels = read_image(data, SIZE)
    assert (pixels.shape, pixels.dtype) == ((32, 32, 3), np.uint8)
    assert np.abs(pixels - np.array(colour)).max() <= 1


NOISE = Image.effect_noise((64, 64), 50)
BAD = {
    "empty": (b"", "empty file"),
    "text": (b"no image\n", "not an image"),
    "HTML": (b"<!doctype html><title>404</title><img src=cat.png>", "not an image"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>', "not an image"),
    "PDF": (b"%PDF-1.7\n%%EOF\n", "not an image"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "archive": (b"PK\3\4" + bytes(60), "not an image"),
    "zeros": (bytes(1000), "not an image"),
    "random bytes": (np.random.default_rng(0).bytes(1000), "not an image"),
    "comments without end": (b"P3 2000 2000 255 " + b"#\n" * 10**6, "not an image"),
    "signature of a PNG alone": (b"\x89PNG\r\n\x1a\n", "not an image"),
    "start of a JPEG alone": (b"\xff\xd8\xff", "not an image"),
    "header of a GIF alone": (b"GIF89a", "not an image"),
    "cut PNG": (encoded(NOISE, "PNG")[:-1500], "truncated"),
    "cut JPEG": (encoded(NOISE, "JPEG")[:-1500], "truncated"),
    "cut GIF": (encoded(NOISE, "GIF")[:-1500], "truncated"),
    "cut WebP": (encoded(NOISE, "WEBP")[:-500], ""),
    "cut TIFF": (encoded(NOISE, "TIFF", compression="tiff_lzw")[:-1500], ""),
    "cut BMP": (encoded(NOISE, "BMP")[:-1500], "truncated"),
    "cut AVIF": (encoded(NOISE, "AVIF")[:-500], ""),
    "PNG without pixels": (png(32, 32), "truncated"),
    "PNG of no width": (png(0, 32), ""),
    "damaged TIFF": (encoded(NOISE, "TIFF", compression="tiff_adobe_deflate").replace(b"x\x9c", b"xxxx"), ""),
    "greys beyond white": (
        encoded(Image.fromarray(np.full((9, 9), 255, np.float32)), "TIFF"),
        "greys go from 255 to 255",
    ),
    "greys below black": (encoded(Image.fromarray(np.full((9, 9), -5, np.int32)), "TIFF"), "greys go from -5 to -5"),
    "no numbers": (encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"), "greys go from nan to nan"),
    "PNG bomb": (png(30000, 30000, rows=bytes(10**6)), "decompression bomb"),
    "GIF bomb": (b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + bytes(20), ""),
    "BMP bomb": (encoded(NOISE, "BMP").replace(struct.pack("<ii", 64, 64), struct.pack("<ii", 2**30, 2**30)), "bomb"),
    "JPEG of many scans": (jpeg_of_many_scans(), "more than 100 scans"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_read_gets_one_line_and_the_rest_is_answered(classify, photo, tmp_path, kind):
    data, why = BAD[kind]
    spoilt = tmp_path / "spoilt.png"
    spoilt.write_bytes(data)
    status, out, err = classify("--image", spoilt, photo)
    assert status == 1
    assert out.startswith(f"{photo}\n  red ")
    (line,) = err.splitlines()
    assert line.startswith(f"inference.py: {spoilt}: ")
    assert why in line


def test_a_name_that_no_file_can_have_gets_one_line(classify, photo):
    """Pathlib raises where the system refuses to look, as it does for a long name or in a folder of someone else's."""
    long = "x" * 5000
    status, out, err = classify("--image", long, photo)
    assert (status, out.splitlines()[0]) == (1, str(photo))
    assert err == f"inference.py: {long}: File name too long\n"
    status, out, err = classify("--image", photo, "--model", long)
    assert (status, out) == (1, "")
    assert err == f"inference.py: {long}: no such file; `dvc repro export` makes it\n"


def test_a_missing_file_gets_one_line(classify, photo, tmp_path):
    status, out, err = classify("--image", tmp_path / "missing.png", photo)
    assert (status, out.splitlines()[0]) == (1, str(photo))
    assert err == f"inference.py: {tmp_path / 'missing.png'}: No such file or directory\n"


PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8))
SEEDS = {
    "PNG": [
        encoded(PHOTO, "PNG", exif=FLAGGED),
        encoded(PHOTO.quantize(), "PNG", transparency=0),
        encoded(DEEP, "PNG"),
    ],
    "JPEG": [encoded(PHOTO, "JPEG", exif=FLAGGED), encoded(PHOTO, "JPEG", progressive=True)],
    "GIF": [encoded(PHOTO, "GIF"), encoded(PHOTO, "GIF", save_all=True, append_images=[PHOTO.rotate(90)])],
    "WebP": [encoded(PHOTO, "WEBP"), encoded(PHOTO, "WEBP", lossless=True, exif=FLAGGED)],
    "TIFF": [
        encoded(PHOTO, "TIFF", compression=packing) for packing in (None, "tiff_lzw", "jpeg", "tiff_adobe_deflate")
    ],
    "BMP": [encoded(PHOTO, "BMP"), encoded(PHOTO.quantize(), "BMP"), encoded(PHOTO.convert("1"), "BMP")],
}
TIMES = int(os.environ.get("FAULT_TIMES", 1))  # how-deep faults takes more
MUTANTS = 60 * TIMES  # of each format


def mutated(data, rng):
    """One to five changes of one kind, half of them in the first 80 bytes, where headers are."""
    data, kind = bytearray(data), rng.integers(6)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(len(data) if rng.integers(2) else 80))
        match kind:
            case 0:
                data[at : at + 1] = rng.bytes(1)
            case 1:
                data[at : at + 4] = [b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\xff\xff"][rng.integers(4)]
            case 2:
                del data[at : at + rng.integers(1, 20)]
            case 3:
                data[at:at] = rng.bytes(rng.integers(1, 20))
            case 4:
                data[at : at + 8] = data[-at - 8 : -at or None]
            case 5:
                return bytes(data[:at])
    return bytes(data)


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_pictures_are_answered_or_refused_in_one_line_each(classify, tmp_path, kind, record_property):
    rng = np.random.default_rng([TIMES, list(SEEDS).index(kind)])
    for number in range(MUTANTS):
        (tmp_path / f"{number:03}.png").write_bytes(mutated(SEEDS[kind][number % len(SEEDS[kind])], rng))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _, out, err = classify("--image", tmp_path, "--json")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 600_000  # kB, on Linux
    lines = err.splitlines()
    answered, refused = len(json.loads(out)), len(lines)
    record_property("answered", answered)
    record_property("refused in one line", refused)
    assert answered + refused == MUTANTS
    assert 0 < refused < MUTANTS
    assert all(line.startswith(f"inference.py: {tmp_path}/") for line in lines)


@pytest.mark.parametrize(
    "coverage, line",
    [(0.5, "50 % set: no class is probable enough"), (0.9, "90 % set: red"), (0.95, "95 % set: red, green")],
)
def test_a_set_holds_the_classes_that_fit(classify, photo, coverage, line):
    _, out, _ = classify("--image", photo, "--set", coverage)
    assert out.splitlines()[-1] == f"  {line}"
    _, out, _ = classify("--image", photo, "--set", coverage, "--json")
    named = [] if coverage == 0.5 else line.split(": ")[1].split(", ")
    assert {key: json.loads(out)[0][key] for key in ("coverage", "set")} == {"coverage": coverage, "set": named}


def test_any_level_has_the_threshold_that_split_conformal_prediction_gives_it():
    model = inference.Model(Path("any"), None, KNOWN, [], (1, 1))
    for coverage in (0.001, 0.05, 0.33, 0.5, 0.7, 0.9, 0.91, 0.95):
        assert model.set_threshold(coverage) == threshold(SCORES, coverage)


@pytest.mark.parametrize("coverage", [0.951, 0.99])
def test_a_level_that_so_few_calibration_images_cannot_promise_is_refused_once(classify, photo, coverage):
    said = f"inference.py: --set {coverage:g}: 19 calibration images promise 0.95 at most\n"
    assert classify("--image", photo, photo, "--set", coverage) == (1, "", said)


@pytest.mark.parametrize("coverage", [0, 1, 1.5, -1, "nan"])
def test_a_coverage_that_is_no_probability_is_refused_once(classify, photo, coverage):
    said = f"inference.py: --set {float(coverage):g}: choose a probability between 0 and 1, such as 0.95\n"
    assert classify("--image", photo, photo, "--set", coverage) == (1, "", said)


def test_a_picture_with_less_energy_than_the_training_images_have_is_said_to_be_unlike_them(classify, tmp_path):
    dark = save(Image.new("RGB", (40, 40), (60, 20, 10)), tmp_path / "dark.png")  # log(90) < 4.6 < log(240)
    _, out, _ = classify("--image", dark)
    assert "  unlike the training images: do not rely on this answer" in out.splitlines()
    _, out, _ = classify("--image", dark, "--json")
    assert json.loads(out)[0]["unlike_training_images"]


def test_a_picture_of_one_colour_is_named(classify, photo, tmp_path):
    white = save(Image.new("RGB", (40, 40), "white"), tmp_path / "white.png")
    _, out, _ = classify("--image", white, photo)
    assert out.count("  of one colour: there is nothing to see in this picture\n") == 1
    assert out.index("of one colour") < out.index(str(photo))


def test_several_models_answer_side_by_side(classify, photo, model_file, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(model_file.read_bytes())
    status, out, err = classify("--model", model_file, "--model", other, "--image", photo, "--top", 1)
    alone = classify("--image", photo, "--top", 1)[1].splitlines()
    assert (status, err) == (0, "")
    assert out.splitlines() == [f"{photo} {model_file}", *alone[1:], f"{photo} {other}", *alone[1:]]
    found = json.loads(classify("--model", model_file, "--model", other, "--image", photo, "--json")[1])
    assert [answer["model"] for answer in found] == [str(model_file), str(other)]


def test_several_models_read_standard_input_once(classify, photo, model_file, tmp_path, monkeypatch):
    other = tmp_path / "other.onnx"
    other.write_bytes(model_file.read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))
    status, out, _ = classify("--model", model_file, "--model", other, "--image", "-")
    assert (status, out.count("red")) == (0, 2)


def test_explain_is_refused_where_several_models_answer(classify, photo, model_file, tmp_path):
    (other := tmp_path / "other.onnx").write_bytes(model_file.read_bytes())
    status, out, err = classify(
        "--model", model_file, "--model", other, "--image", photo, "--explain", tmp_path / "maps"
    )
    assert (status, out, err) == (1, "", "inference.py: --explain takes one --model\n")


def test_json_leaves_out_what_cannot_be_read(classify, photo, tmp_path):
    status, out, err = classify("--image", tmp_path / "missing.png", photo, "--json")
    assert (status, len(err.splitlines())) == (1, 1)
    assert [answer["image"] for answer in json.loads(out)] == [str(photo)]


@pytest.mark.parametrize("content", [None, b"", b"not a graph"])
def test_a_model_that_is_missing_or_broken_is_named_with_the_way_out(classify, photo, tmp_path, content):
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    status, out, err = classify("--image", photo, "--model", path)
    assert (status, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith(f"inference.py: {path}: ")
    assert "`dvc repro export` makes" in line


@pytest.mark.parametrize(
    "arguments", [[], ["--image"], ["--image", "a.png", "--top", "0"], ["--image", "a.png", "--top", "x"]]
)
def test_a_wrong_command_line_is_refused_with_its_usage(classify, capfd, arguments):
    with pytest.raises(SystemExit, match="2"):
        classify(*arguments)
    assert "usage: " in capfd.readouterr().err


def test_explain_without_its_libraries_is_one_line(classify, photo, model_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "study.publishing.explanation", None)
    status, out, errors = classify("--image", photo, "--model", model_file, "--explain", tmp_path / "why")
    assert (status, out) == (1, "")
    assert errors.startswith("inference.py: --explain needs what requirements.txt lists (") and errors.count("\n") == 1


def test_explain_writes_the_grad_cam_of_the_answer_and_names_it(classify, photo, model, model_file, tmp_path):
    checkpoint = tmp_path / "full.safetensors"
    save_classifier(model, checkpoint)
    graph = onnx.load(model_file)
    metadata = {"variant": "full", "mirror": "true", "checkpoint_sha256": sha256(checkpoint.read_bytes()).hexdigest()}
    helper.set_model_props(graph, {"classes": json.dumps(CLASSES)} | metadata)
    onnx.save(graph, tmp_path / "model.onnx")
    call = ("--image", photo, "--top", 1, "--model", tmp_path / "model.onnx", "--explain", tmp_path / "why")
    written = tmp_path / "why/photo_gradcam.png"

    assert classify(*call) == (0, f"{photo}\n  red   80.0%  {'#' * 24}\n  Grad-CAM: {written}\n", "")
    first = written.read_bytes()
    status, out, _ = classify(*call, "--json")
    assert (status, json.loads(out)[0]["explanation"]) == (0, str(written))
    assert written.read_bytes() == first

    checkpoint.unlink()
    status, out, err = classify(*call)
    assert (status, out) == (1, "")
    assert err.startswith(f"inference.py: {checkpoint}: no such file; ")
    assert len(err.splitlines()) == 1


def test_a_reader_that_stops_early_is_no_fault_of_ours(model_file, photo):
    script = Path(inference.__file__)
    command = [sys.executable, script, "--model", model_file, "--image", *[photo] * 2000]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_inference_imports_numpy_onnxruntime_and_pillow_alone():
    imported = "import sys, inference; print(*{name.partition('.')[0] for name in sys.modules})"
    root = Path(inference.__file__).parent
    done = subprocess.run([sys.executable, "-c", imported], cwd=root, capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert "onnxruntime" in names
    assert not {"torch", "torchvision", "scipy", "matplotlib", "pydantic"} & set(names)
