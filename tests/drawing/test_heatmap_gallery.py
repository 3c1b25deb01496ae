import matplotlib
import numpy as np
import pytest
from PIL import Image

from study.drawing.heatmap_gallery import OPACITY, SMALL_TILE, TILE, WIDTH, Picture, draw_gallery, overlay


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def picture(seed=0, tiles=3):
    return Picture("cat / dog  p=0.98", [(f"for {tile}", noise([seed, tile])) for tile in range(tiles)])


def test_no_heat_leaves_the_image_in_grey():
    image = noise()
    grey = np.asarray(Image.fromarray(image).convert("L"))
    np.testing.assert_array_equal(overlay(image, np.zeros((32, 32))), np.stack([grey] * 3, axis=-1))


def test_full_heat_is_the_brightest_colour_over_the_grey():
    black = np.zeros((32, 32, 3), dtype=np.uint8)
    brightest = np.array(matplotlib.colormaps["inferno"](1.0)[:3])
    np.testing.assert_array_equal(overlay(black, np.ones((32, 32)))[0, 0], np.round(255 * OPACITY * brightest))


@pytest.mark.parametrize(("tiles", "side"), [(2, TILE), (3, TILE), (4, SMALL_TILE), (5, SMALL_TILE)])
def test_every_tile_is_in_the_gallery_once_and_enlarged(tmp_path, tiles, side):
    pictures = [picture(seed, tiles) for seed in range(4)]
    draw_gallery(tmp_path / "gallery.png", "Misses", "true / predicted", pictures)
    with Image.open(tmp_path / "gallery.png") as file:
        gallery = np.asarray(file.convert("RGB"))
    for _, image in (tile for picture in pictures for tile in picture.tiles):
        enlarged = image.repeat(side // 32, axis=0).repeat(side // 32, axis=1)
        corners = np.argwhere((gallery[: -side + 1, : -side + 1] == enlarged[0, 0]).all(axis=-1))
        found = [(gallery[y : y + side, x : x + side] == enlarged).all() for y, x in corners]
        assert sum(found) == 1


def test_a_long_explanation_is_wrapped_rather_than_cut(tmp_path):
    heights = []
    for words in (5, 60):
        draw_gallery(tmp_path / "gallery.png", "Misses", "word " * words, [picture()])
        with Image.open(tmp_path / "gallery.png") as gallery:
            heights.append(gallery.height)
            right = np.asarray(gallery.convert("L"))[:, -10:]
        assert (right == 255).all()
    assert heights[1] > heights[0]


def test_the_same_pictures_give_the_same_bytes(tmp_path):
    for name in ("one.png", "two.png"):
        draw_gallery(tmp_path / name, "Misses", "true / predicted", [picture()])
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize("tiles", [2, 3, 4, 5])
def test_strips_stand_in_columns_side_by_side(tmp_path, tiles):
    heights = []
    for count in (1, 2, 4):
        draw_gallery(tmp_path / "gallery.png", "Misses", "true / predicted", [picture(tiles=tiles)] * count)
        with Image.open(tmp_path / "gallery.png") as gallery:
            heights.append(gallery.height)
            assert gallery.width <= WIDTH
    assert heights[0] == heights[1] < heights[2]


@pytest.mark.parametrize("count", [0, 1, 13])
def test_any_number_of_pictures_makes_a_gallery(tmp_path, count):
    draw_gallery(tmp_path / "gallery.png", "Misses", "true / predicted", [picture()] * count)
    with Image.open(tmp_path / "gallery.png") as gallery:
        width, height = gallery.size
    assert 600 < width <= WIDTH
    assert height > 30 * count


def test_a_dollar_sign_in_a_name_is_no_formula_and_any_side_is_enlarged(tmp_path):
    for side in (20, 48, 64, 200):
        tile = ("for $\\frac{$", np.zeros((side, side, 3), dtype=np.uint8))
        draw_gallery(tmp_path / "gallery.png", "Misses", "a", [Picture("$\\nonsense{$ / a", [tile, tile])])
        with Image.open(tmp_path / "gallery.png") as file:
            black = (np.asarray(file.convert("L")) == 0).sum()
        assert 2 * TILE**2 <= black < 2 * TILE**2 + 2000  # the letters
