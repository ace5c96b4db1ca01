"""The ring: the last minute in little memory."""

import cv2
import numpy as np
import pytest

from oddframe.events.ring import OVERHEAD, ClipConfig, Ring
from oddframe.pictures import Plain


def noise(width=640, height=360, seed=0):
    """A picture that a JPEG can do nothing about: the worst case."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def grey(value, width=64, height=48):
    return np.full((height, width, 3), value, np.uint8)


def stamps(ring):
    return [round(s.pts_s, 3) for s in ring.frames(-1e9, 1e9)]


@pytest.mark.parametrize(
    ("rate", "kept"), [(25, 5), (15, 5), (8, 5), (5, 5), (4, 4), (1, 1), (30, 5), (12.5, 5)]
)
def test_so_many_frames_a_second_are_kept_at_most(rate, kept):
    ring = Ring()
    for i in range(round(20 * rate)):
        ring.push(1e9 + i / rate, i / rate, grey(0))
    assert len(ring) == pytest.approx(20 * kept, abs=1)
    assert min(np.diff(stamps(ring))) >= min(1 / rate, 0.2) - 0.001


def test_frames_of_a_rate_that_divides_come_evenly():
    ring = Ring()
    for i in range(250):
        ring.push(0.0, i / 25, grey(0))
    assert np.diff(stamps(ring)) == pytest.approx([0.2] * 49)


def test_after_a_pause_frames_do_not_come_in_a_burst():
    ring = Ring()
    for at in (*np.arange(0, 1, 0.04), *np.arange(10, 11, 0.04)):
        ring.push(at, at, grey(0))
    assert min(np.diff(stamps(ring))) > 0.19


def test_the_oldest_go_after_their_seconds():
    config = ClipConfig(longest_s=10)
    ring = Ring(config)
    for i in range(600):
        ring.push(1e9 + i / 5, i / 5, grey(i % 256))
    assert stamps(ring)[0] == pytest.approx(119.8 - config.ring_s)
    assert stamps(ring)[-1] == 119.8
    assert len(ring) == config.ring_s * 5 + 1
    assert ring.bytes == sum(len(s.jpeg) + OVERHEAD for s in ring.frames(0, 1e9))


def test_memory_has_a_limit_whatever_is_seen():
    config = ClipConfig(ring_mb=2.0)
    ring = Ring(config)
    image = noise()
    for i in range(100):
        ring.push(0.0, i / 5, image)
        assert ring.bytes <= 2_000_000
    assert 5 < len(ring) < 20
    assert stamps(ring)[-1] == 19.8  # the newest are there
    small = Ring(ClipConfig(ring_mb=0.01))
    small.push(0.0, 0.0, image)
    assert (len(small), small.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("size", "kept"), [((1280, 720), (640, 360)), ((320, 240), (320, 240)), ((641, 99), (640, 99))]
)
def test_pictures_are_kept_small(size, kept):
    ring = Ring()
    ring.push(0.0, 0.0, noise(*size))
    (shot,) = ring.frames(0, 1)
    image = cv2.imdecode(np.frombuffer(shot.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1::-1] == kept


def test_the_picture_that_went_in_comes_out():
    ring = Ring()
    image = cv2.GaussianBlur(noise(), (0, 0), 9)
    ring.push(0.0, 0.0, image)
    (shot,) = ring.frames(0, 1)
    found = cv2.imdecode(np.frombuffer(shot.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert cv2.PSNR(found, image) > 38


def test_what_is_not_kept_is_not_looked_at():
    class Counted(Plain):
        looks = 0

        def whole(self):
            Counted.looks += 1
            return super().whole()

    ring = Ring()
    kept = sum(ring.push(0.0, i / 25, Counted(grey(0))) for i in range(100))
    assert kept == Counted.looks == 20


def test_frames_of_a_time():
    ring = Ring()
    for i in range(50):
        ring.push(1e9 + i / 5, i / 5, grey(0))
    assert [s.pts_s for s in ring.frames(2.0, 3.0)] == [2.0, 2.2, 2.4, 2.6, 2.8, 3.0]
    assert ring.frames(50.0, 60.0) == []


def test_a_stream_that_begins_again_forgets_what_was_before():
    ring = Ring()
    for at in (100.0, 101.0, 0.0, 0.1, 1.0):
        ring.push(at, at, grey(0))
    assert stamps(ring) == [0.0, 1.0]
    ring.clear()
    assert (len(ring), ring.bytes) == (0, 0)


def test_the_clock_on_the_wall_leads_to_the_stream():
    ring = Ring()
    assert ring.pts_at(1e9) is None
    for i in range(20):
        ring.push(1e9 + i, 50.0 + i, grey(0))
    assert ring.pts_at(1e9 + 7.25) == pytest.approx(57.25)
    assert ring.pts_at(1e9 - 3) == pytest.approx(47.0)
