"""What stays: seconds that are counted, against a plain loop, and what must not count."""

import cv2
import numpy as np
import pytest

from oddframe.pictures import resize_bgr
from oddframe.scoring.local import box_mean
from oddframe.scoring.stay import BLOCK_PX, LEVELS_PER_S, MOST_S, Stay, differs, fitted, small
from oddframe.scoring.ways import GRID


def ground():
    return np.random.default_rng(3).integers(90, 130, (256, 256), np.uint8)


def with_bag(picture, level=80, row=120, column=60, size=16):
    out = picture.astype(int)
    out[row : row + size, column : column + size] += level
    return np.clip(out, 0, 255).astype(np.uint8)


def test_differences_are_means_of_windows_without_what_is_shared():
    picture, bag = small(ground()), small(with_bag(ground()))
    found = differs(bag, picture)
    assert found.shape == (GRID, GRID)
    inside = np.abs(bag.astype(float) - picture)
    half = BLOCK_PX // 2
    for row, column in ((32, 17), (31, 15), (30, 14), (10, 50)):
        r, c = 2 * row, 2 * column
        want = inside[r - half : r - half + BLOCK_PX, c - half : c - half + BLOCK_PX].mean()
        assert found[row, column] == pytest.approx(want, abs=0.5)
    assert differs(picture, picture).max() < 0.05


def test_light_that_changes_is_no_difference():
    picture, bag = ground(), with_bag(ground())
    slope = np.linspace(0, 80, 256).astype(np.uint8)[:, None]  # the sun comes round a corner
    apart = lambda grey: float(differs(small(grey), small(picture)).max())  # noqa: E731
    assert apart(picture + 60) < 2.5
    assert apart(picture + slope) < 6
    assert apart(bag + 40) == pytest.approx(apart(bag), abs=3)


def test_a_model_of_128_px_learned_from_what_a_camera_shows():
    """What was stored at 128 px, and the same frame at 256: no edge is a difference."""
    rng = np.random.default_rng(0)
    frame = cv2.GaussianBlur(rng.integers(0, 255, (480, 640, 3), np.uint8), (0, 0), 2)
    stored = resize_bgr(resize_bgr(frame, 128), 256)
    a, b = (cv2.cvtColor(x, cv2.COLOR_BGR2GRAY) for x in (stored, resize_bgr(frame, 256)))
    assert differs(small(a), small(b)).max() < 1


def street():
    """A picture with edges, light and dark."""
    rng = np.random.default_rng(8)
    picture = np.full((256, 256), 110, np.uint8)
    for _ in range(40):
        x, y = (int(v) for v in rng.integers(0, 220, 2))
        level = int(rng.integers(30, 230))
        cv2.rectangle(picture, (x, y), (x + 30, y + 22), level, -1)
    return cv2.GaussianBlur(picture, (0, 0), 1.2)  # as lenses do


@pytest.mark.parametrize("factor", [0.88, 0.95, 1.06, 1.12])
def test_an_exposure_that_is_set_anew_is_no_difference(factor):
    picture = street()
    other = np.clip(picture * factor, 0, 255).astype(np.uint8)
    assert differs(small(other), small(picture)).max() < 2
    bag = np.clip(with_bag(picture, -60) * factor, 0, 255).astype(np.uint8)
    assert differs(small(bag), small(picture)).max() > 15


def test_a_camera_that_sags_by_half_a_pixel_is_no_difference():
    picture = street()
    down = np.float32([[1, 0, 0.6], [0, 1, 1.0]])
    other = cv2.warpAffine(picture, down, (256, 256), borderMode=cv2.BORDER_REPLICATE)
    now, usual = (small(x).astype(np.float32) for x in (other, picture))
    apart = box_mean(np.abs(now - usual), BLOCK_PX).max()
    assert differs(small(other), small(picture)).max() < apart / 3
    assert differs(small(with_bag(other)), small(picture)).max() > 25


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_flat_picture_is_fitted_to_by_its_level_alone(level):
    flat, noise = np.full((128, 128), level, np.float32), np.random.default_rng(0).normal(0, 2)
    for now in (flat, flat * 0 + 120, flat + np.float32(noise)):
        assert np.isfinite(fitted(flat, now)).all()
        assert np.ptp(now - fitted(flat, now)) < 1


@pytest.mark.parametrize("fps", [5.0, 25.0])
def test_seconds_are_those_of_a_plain_loop(fps):
    picture, rng = ground(), np.random.default_rng(0)
    stay, stayed, want = Stay(small(picture), fps), None, np.zeros((GRID, GRID))
    for _ in range(40):
        level = int(rng.integers(0, 120))
        grey = with_bag(picture, level, column=int(rng.integers(40, 70)))
        stayed = stay.after(stayed, grey)
        levels = differs(small(grey), stay.picture)
        for at in np.ndindex(want.shape):
            want[at] = min(levels[at] / LEVELS_PER_S, want[at] + 1 / fps, MOST_S)
        np.testing.assert_allclose(stayed, want, atol=1e-4)


def test_a_bag_counts_longer_and_longer_and_who_walks_by_does_not():
    picture = ground()
    stay = Stay(small(picture), 25.0)
    seconds, stayed = [], None
    for _ in range(25 * 10):
        stayed = stay.after(stayed, with_bag(picture, 80))
        seconds.append(float(stayed.max()))
    assert seconds[24] == pytest.approx(1, abs=0.01)
    assert seconds[74] == pytest.approx(3, abs=0.01)
    assert seconds[-1] == pytest.approx(
        differs(small(with_bag(picture, 80)), stay.picture).max() / 12
    )
    assert stay.memory == 200
    walked, most = None, 0.0
    for t in range(200):
        walked = stay.after(walked, with_bag(picture, 100, column=t))  # 25 px a second
        most = max(most, float(walked.max()))
    assert most < 1.2
    assert stay.after(walked, picture).max() == 0  # gone is gone


def test_a_shadow_never_counts_for_long():
    picture = ground()
    stay, stayed = Stay(small(picture), 25.0), None
    for _ in range(500):
        stayed = stay.after(stayed, with_bag(picture, -18, size=40))
    assert stayed.max() < 1.6


def test_what_was_before_its_memory_does_not_matter():
    picture, rng = ground(), np.random.default_rng(1)
    stay, far = Stay(small(picture), 5.0), np.full((GRID, GRID), MOST_S, np.float32)
    near = None
    for _ in range(stay.memory):
        noise = rng.integers(0, 255, (256, 256), np.uint8)
        grey = cv2.addWeighted(picture, 0.5, noise, 0.5, 0)
        near, far = stay.after(near, grey), stay.after(far, grey)
    np.testing.assert_array_equal(near, far)
