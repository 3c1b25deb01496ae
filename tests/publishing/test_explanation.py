import io
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from study.attribution.cam import cams, heatmap
from study.drawing.heatmap_gallery import overlay
from study.networks.classifier import save_classifier
from study.publishing.explanation import SEAM, SHOWN_SIDE, Explainer
from study.sources.image_files import InputError, read_image


@pytest.fixture
def metadata(model, tmp_path):
    """What the exported model says of the checkpoint beside it."""
    save_classifier(model, tmp_path / "models/fc.safetensors")
    digest = sha256((tmp_path / "models/fc.safetensors").read_bytes()).hexdigest()
    return {"variant": "fc", "mirror": "false", "checkpoint_sha256": digest}


@pytest.fixture
def picture(images):
    """A file of the size that the model takes: its pixels, and the bytes."""
    file = io.BytesIO()
    Image.fromarray(images[0]).save(file, "PNG")
    return images[0], file.getvalue()


@pytest.mark.parametrize("mirror", ["false", "true"])
def test_the_square_stands_beside_its_grad_cam(model, metadata, picture, tmp_path, mirror):
    image, data = picture
    explainer = Explainer(tmp_path / "why", tmp_path / "models", metadata | {"mirror": mirror})
    assert explainer.model.mirror == (mirror == "true")
    path = explainer.write("photo", data, image, 2)
    assert path == tmp_path / "why/photo_gradcam.png"
    drawn = np.asarray(Image.open(path))
    square = read_image(data, (SHOWN_SIDE, SHOWN_SIDE))
    model.mirror = mirror == "true"
    maps = cams(model, image[None], np.array([2]), "layer2")["grad_cam"]  # the only map of 4x4 here
    heat = heatmap(maps, SHOWN_SIDE)[0]
    np.testing.assert_array_equal(drawn[:, :SHOWN_SIDE], square)
    np.testing.assert_array_equal(drawn[:, SHOWN_SIDE : SHOWN_SIDE + SEAM], 255)
    np.testing.assert_array_equal(drawn[:, SHOWN_SIDE + SEAM :], overlay(square, heat))


def test_pictures_of_one_name_do_not_overwrite_each_other(metadata, picture, tmp_path):
    image, data = picture
    explainer = Explainer(tmp_path, tmp_path / "models", metadata)
    names = [explainer.write(stem, data, image, 0).name for stem in ("photo", "photo", "Photo")]
    assert names == ["photo_gradcam.png", "photo_gradcam_2.png", "Photo_gradcam_3.png"]


def test_another_checkpoint_than_the_exported_one_is_refused(metadata, tmp_path):
    with pytest.raises(InputError, match=r"fc\.safetensors: not what the model was exported from; `dvc repro export`"):
        Explainer(tmp_path, tmp_path / "models", metadata | {"checkpoint_sha256": "0" * 64})


def test_a_missing_checkpoint_is_named_with_the_way_out(metadata, tmp_path):
    with pytest.raises(
        InputError, match=r"full\.safetensors: no such file; --explain needs it beside the model: `dvc repro export`"
    ):
        Explainer(tmp_path, tmp_path / "models", metadata | {"variant": "full"})


@pytest.mark.parametrize("missing", ["variant", "checkpoint_sha256"])
def test_a_model_that_names_no_checkpoint_is_refused(metadata, tmp_path, missing):
    with pytest.raises(InputError, match=r"the model names no checkpoint; `dvc repro export`"):
        Explainer(tmp_path, tmp_path / "models", {key: of for key, of in metadata.items() if key != missing})


def test_a_folder_that_cannot_be_made_is_named(metadata, tmp_path):
    (tmp_path / "why").write_text("a file")
    with pytest.raises(InputError, match=r"why: File exists"):
        Explainer(tmp_path / "why", tmp_path / "models", metadata)


def test_a_picture_that_cannot_be_written_is_named(metadata, picture, tmp_path):
    image, data = picture
    explainer = Explainer(tmp_path, tmp_path / "models", metadata)
    (tmp_path / "photo_gradcam.png").mkdir()
    with pytest.raises(InputError, match=r"photo_gradcam\.png: Is a directory"):
        explainer.write("photo", data, image, 0)
