import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import inference

CLASSES = ["red", "green", "blue"]
SIZE = (32, 32)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A graph whose probabilities are the mean colour: softmax of log(mean of a channel), thus its share of all."""
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "places"], ["means"], keepdims=0),
        helper.make_node("ReduceSum", ["means", "channels"], ["sums"], keepdims=1),
        helper.make_node("Div", ["means", "sums"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 32, 32, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])],
        [
            helper.make_tensor("places", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("channels", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"classes": json.dumps(CLASSES)})
    path = tmp_path_factory.mktemp("models") / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def classify(model_file, monkeypatch, capsys):
    """Run the command line; returns the exit status, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["inference.py", "--model", str(model_file), *map(str, arguments)])
        status = inference.main()
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (50, 40), (192, 48, 0)).save(path)
    return path


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
        {"image": str(photo), "predictions": [{"class": "red", "probability": pytest.approx(0.8)}]},
        {"image": str(blue), "predictions": [{"class": "blue", "probability": pytest.approx(1.0)}]},
    ]


def test_an_image_of_the_models_size_reaches_it_unchanged(tmp_path, images):
    path = save(Image.fromarray(images[0]), tmp_path / "image.png")
    np.testing.assert_array_equal(inference.read_image(path, SIZE), images[0])


def test_a_photo_is_cut_to_the_square_in_its_middle(tmp_path):
    photo = Image.new("RGB", (400, 200), "red")
    photo.paste("lime", (100, 0, 300, 200))
    pixels = inference.read_image(save(photo, tmp_path / "photo.png"), SIZE)
    assert (pixels[:, 4:-4] == [0, 255, 0]).all()


def test_a_large_image_is_averaged_not_sampled(tmp_path):
    checkers = np.indices((320, 320)).sum(axis=0) % 2 * 255
    path = save(Image.fromarray(checkers.astype(np.uint8)), tmp_path / "checkers.png")
    assert np.abs(inference.read_image(path, SIZE)[4:-4, 4:-4].astype(int) - 127).max() <= 2


GREY = (128, 128, 128)


@pytest.mark.parametrize(
    ("name", "image", "colour"),
    [
        ("grey.png", Image.new("L", (40, 40), 128), GREY),
        ("black_and_white.png", Image.new("1", (40, 40), 1), (255, 255, 255)),
        ("grey_alpha.png", Image.new("LA", (40, 40), (0, 127)), GREY),  # black, half transparent, over white
        ("alpha.png", Image.new("RGBA", (40, 40), (255, 0, 0, 0)), (255, 255, 255)),
        ("palette.gif", Image.new("RGB", (40, 40), (0, 0, 255)).quantize(), (0, 0, 255)),
        ("cmyk.tiff", Image.new("CMYK", (40, 40), (0, 255, 255, 0)), (255, 0, 0)),
        ("cmyk.jpg", Image.new("CMYK", (40, 40), (0, 255, 255, 0)), (254, 0, 0)),
        ("deep.png", Image.fromarray(np.full((40, 40), 128 * 257, dtype=np.uint16)), GREY),
        ("deep.pgm", Image.fromarray(np.full((40, 40), 128 * 257, dtype=np.uint16)), GREY),
        ("integers.tiff", Image.fromarray(np.full((40, 40), 128 * 257, dtype=np.int32)), GREY),
        ("floats.tiff", Image.fromarray(np.full((40, 40), 128 / 255, dtype=np.float32)), GREY),
        ("one_pixel.png", Image.new("RGB", (1, 1), (0, 0, 255)), (0, 0, 255)),
        ("sliver.png", Image.new("RGB", (1, 3000), (0, 0, 255)), (0, 0, 255)),
        ("wide.webp", Image.new("RGB", (900, 20), (0, 0, 0)), (0, 0, 0)),
    ],
)
def test_every_kind_of_image_becomes_rgb(tmp_path, name, image, colour):
    pixels = inference.read_image(save(image, tmp_path / name), SIZE)
    assert (pixels.shape, pixels.dtype) == ((32, 32, 3), np.uint8)
    assert np.abs(pixels - np.array(colour)).max() <= 1


def test_a_transparent_palette_colour_becomes_white(tmp_path):
    image = Image.new("RGB", (40, 40), "red").quantize()
    path = save(image, tmp_path / "palette.png", transparency=0)
    assert (inference.read_image(path, SIZE) == 255).all()


def test_an_image_is_turned_upright_by_its_exif_orientation(tmp_path):
    upright = Image.new("RGB", (64, 64), "blue")
    upright.paste("red", (0, 0, 64, 32))  # red above
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned clockwise by 90 degrees
    path = save(upright.transpose(Image.Transpose.ROTATE_90), tmp_path / "turned.png", exif=exif)
    pixels = inference.read_image(path, SIZE)
    assert (pixels[:12] == [255, 0, 0]).all()
    assert (pixels[20:] == [0, 0, 255]).all()


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("no image\n")


def cut(path):
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-1500])


def folder(path):
    path.mkdir()


def missing(path):
    pass


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (empty, "not an image"),
        (text, "not an image"),
        (cut, "truncated"),
        (folder, "Is a directory"),
        (missing, "No such file"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_answered(classify, photo, tmp_path, spoil, reason):
    spoilt = tmp_path / "spoilt.png"
    spoil(spoilt)
    status, out, err = classify("--image", spoilt, photo)
    assert status == 1
    assert out.startswith(f"{photo}\n  red ")
    (line,) = err.splitlines()
    assert line.startswith(f"inference.py: {spoilt}: ")
    assert reason in line


def test_json_leaves_out_what_cannot_be_read(classify, photo, tmp_path):
    status, out, err = classify("--image", tmp_path / "missing.png", photo, "--json")
    assert (status, len(err.splitlines())) == (1, 1)
    assert [answer["image"] for answer in json.loads(out)] == [str(photo)]


def test_an_image_too_large_to_be_honest_is_named(classify, tmp_path, monkeypatch, photo):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    status, out, err = classify("--image", photo)
    assert (status, out) == (1, "")
    assert "exceeds limit" in err
    assert len(err.splitlines()) == 1


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
def test_a_wrong_command_line_is_refused_with_its_usage(classify, capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        classify(*arguments)
    assert "usage: " in capsys.readouterr().err


def test_inference_needs_neither_torch_nor_the_stages():
    imported = "import sys, inference; print(*{name.partition('.')[0] for name in sys.modules})"
    root = Path(inference.__file__).parent
    done = subprocess.run([sys.executable, "-c", imported], cwd=root, capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert "onnxruntime" in names
    assert not {"torch", "stages"} & set(names)
