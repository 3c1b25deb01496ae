import pytest

from study.drawing.labels import short


@pytest.mark.parametrize(
    ("name", "most", "shown"),
    [
        ("cat", 3, "cat"),
        ("tiger", 4, "ti…r"),
        ("tiger", 3, "t…r"),
        ("n02085620-Chihuahua", 9, "n020…ahua"),
        ("", 5, ""),
    ],
)
def test_a_long_name_keeps_both_its_ends(name, most, shown):
    assert short(name, most) == shown and len(shown) <= most
