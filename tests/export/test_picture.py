"""Resizing inside a graph, against OpenCV and against area means by their definition."""

import cv2
import numpy as np
import pytest
import torch
from exporting import picture

from oddframe.data.frames import to_model, to_picture
from oddframe.export.picture import area, to_frames


def by_definition(row, size):
    """The mean over each of `size` equal cells of a row, place by place."""
    n = len(row)
    out = np.zeros(size)
    for i in range(size):
        for j in range(n):
            out[i] += max(0.0, min((i + 1) * n / size, j + 1) - max(i * n / size, j)) * row[j]
    return out * size / n


@pytest.mark.parametrize(("n", "size"), [(7, 7), (20, 7), (9, 4), (5, 8), (64, 32), (1, 3)])
def test_cells_are_area_means(n, size):
    row = np.random.default_rng(n).integers(0, 256, n).astype(np.float64)
    found = area(torch.from_numpy(row)[None, None], 2, size)[0, 0]
    np.testing.assert_allclose(found, by_definition(row, size), rtol=1e-5)


def test_at_the_models_size_the_bits_are_those_of_python():
    image = picture(3, 48, 48)
    found = to_frames(torch.from_numpy(image)[None], 48)[0]
    assert np.array_equal(found, to_model(image, 48))


@pytest.mark.parametrize("shape", [(720, 1280), (480, 640), (100, 333), (128, 256), (40, 50)])
def test_from_another_size_one_level_is_the_most(shape):
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8), (5, 5), 0
    )
    found = to_frames(torch.from_numpy(image)[None], 64)[0].numpy()
    levels = np.abs(found - to_model(image, 64)) * 127.5
    assert levels.max() < 1.01
    assert (levels > 0.5).mean() < 0.3
    # One that samples instead of averaging is far off.
    coarse = cv2.resize(image, (64, 64), interpolation=cv2.INTER_NEAREST)
    assert np.abs(to_model(coarse, 64) - found).max() * 127.5 > 10


def test_a_frame_becomes_its_picture_again():
    image = np.arange(256 * 3, dtype=np.int64).astype(np.uint8).reshape(16, 16, 3)
    assert np.array_equal(to_picture(to_model(image, 16)), image)
