import numpy as np
import pytest
from PIL import Image

from study.attribution.cam import TITLES, heatmap
from study.attribution.galleries import Shown, by_class, by_method, clean_and_corrupted, listing, write_galleries
from study.drawing.heatmap_gallery import overlay

CLASSES = ["plane", "bird", "cat"]


def explain(images, targets):
    """Maps (N, 4, 4) that differ by image, by class and by method."""
    seeds = images.mean(axis=(1, 2, 3)) + 10 * targets
    places = np.arange(16).reshape(4, 4)
    return {
        method: ((places * (rule + 3) + seeds[:, None, None]) % 7).astype(np.float32)
        for rule, method in enumerate(TITLES)
    }


def heated(image, target, method="grad_cam"):
    return overlay(image, heatmap(explain(image[None], np.array([target]))[method], 32)[0])


@pytest.fixture
def shown(images):
    """A hit and a miss."""
    return Shown(images[:2], np.array([0, 1]), np.array([0, 2]), np.array([0.75, 0.5]))


def assert_tiles(picture, expected):
    assert [caption for caption, _ in picture.tiles] == [caption for caption, _ in expected]
    for (_, tile), (_, image) in zip(picture.tiles, expected, strict=True):
        np.testing.assert_array_equal(tile, image)


def test_by_class_a_hit_has_one_map_and_a_miss_has_one_for_either_class(shown):
    hit, miss = by_class(shown, explain, CLASSES)
    assert (hit.title, miss.title) == ("plane / plane  p=0.75", "bird / cat  p=0.50")
    first, second = shown.images
    assert_tiles(hit, [("", first), ("for plane", heated(first, 0))])
    assert_tiles(miss, [("", second), ("for cat", heated(second, 2)), ("for bird", heated(second, 1))])


def test_long_class_names_fit_above_and_below_their_tiles(shown):
    names = ["great spotted woodpecker", "middle spotted woodpecker", "lesser spotted woodpecker"]
    hit, miss = by_class(shown, explain, names)
    assert hit.title == "great…cker / great…cker  p=0.75"
    assert miss.title == "middle sp…odpecker / lesser sp…odpecker  p=0.50"
    captions = [caption for caption, _ in miss.tiles[1:]]
    assert captions == ["for lesse…cker", "for middl…cker"]


def test_by_method_all_maps_are_for_the_predicted_class(shown):
    _, miss = by_method(shown, explain, CLASSES)
    image = shown.images[1]
    expected = [(title, heated(image, 2, method)) for method, title in TITLES.items()]
    assert_tiles(miss, [("", image), *expected])


def test_a_corrupted_image_is_explained_for_the_class_predicted_before_and_for_the_new_one(shown, images):
    corrupted = Shown(images[2:4], shown.true, np.array([0, 1]), np.array([0.625, 0.25]))
    kept, changed = clean_and_corrupted(shown, corrupted, explain, CLASSES)
    assert (kept.title, changed.title) == ("plane p=0.75, then plane p=0.62", "cat p=0.50, then bird p=0.25")
    assert_tiles(
        kept,
        [
            ("clean", images[0]),
            ("for plane", heated(images[0], 0)),
            ("corrupted", images[2]),
            ("for plane", heated(images[2], 0)),
        ],
    )
    assert_tiles(
        changed,
        [
            ("clean", images[1]),
            ("for cat", heated(images[1], 2)),
            ("corrupted", images[3]),
            ("for cat", heated(images[3], 2)),
            ("for bird", heated(images[3], 1)),
        ],
    )


def test_the_listing_has_a_row_for_each_chosen_image_under_its_kind(shown):
    chosen = {"hits": np.array([0]), "confident_misses": np.array([1]), "confused_pairs": np.array([], dtype=np.int64)}
    assert listing(shown, chosen, CLASSES) == [
        {"index": 0, "kind": "hits", "true": "plane", "predicted": "plane", "confidence": 0.75},
        {"index": 1, "kind": "confident_misses", "true": "bird", "predicted": "cat", "confidence": 0.5},
    ]


@pytest.mark.parametrize("hits", [0, 1])
def test_all_five_galleries_are_written_even_of_a_kind_that_is_empty(tmp_path, shown, hits):
    kinds = {
        "hits": shown.rows(slice(0, hits)),
        "confident_misses": shown.rows(slice(1, 2)),
        "confused_pairs": shown.rows(slice(0, 0)),
    }
    write_galleries(tmp_path, kinds, shown, "fog at severity 3", explain, CLASSES, "full at layer3")
    names = {"hits", "confident_misses", "confused_pairs", "corrupted", "methods"}
    assert {path.stem for path in tmp_path.iterdir()} == names
    for path in tmp_path.iterdir():
        Image.open(path).load()
