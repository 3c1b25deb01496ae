import numpy as np

from study.corruption.pixel_values import to_uint8


def test_pixels_are_clipped_and_truncated():
    assert to_uint8(np.array([-0.1, 0, 0.999 / 255, 1.999 / 255, 0.9999, 1, 7])).tolist() == [0, 0, 0, 1, 254, 255, 255]


def test_every_byte_survives_division_by_255():
    bytes_ = np.arange(256)
    np.testing.assert_array_equal(to_uint8(bytes_ / 255), bytes_)
