import io

import numpy as np
import pytest
from PIL import Image

from study.sources import image_files
from study.sources.image_files import InputError, find_pictures, read_bytes, read_image

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
    for name in ("b.PNG", "sub/a.jpeg", "notes.txt", "figure.eps"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub/loop").symlink_to(tmp_path)
    assert find_pictures(tmp_path) == [tmp_path / "b.PNG", tmp_path / "sub/a.jpeg"]
