"""Colour or infrared: by the picture, and not at every flash."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from oddframe.calibration.light import COLOURED, GREY, HOLD_S, Light, colourfulness, lights_of
from oddframe.data import open_dataset


def street(seed=0, size=(120, 160)):
    """Soft patches of grey."""
    rng = np.random.default_rng(seed)
    small = rng.integers(20, 220, (6, 8), np.uint8)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR)


def tinted(grey, tint, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    picture = grey[..., None] * np.array(tint) + noise * rng.normal(size=(*grey.shape, 3))
    return picture.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("tint", [(1, 1, 1), (1, 0.92, 1.0), (0.8, 0.8, 1.0), (0.9, 1.0, 0.9)])
@pytest.mark.parametrize("noise", [0, 4])
def test_grey_is_grey_whatever_its_tint_and_noise(tint, noise):
    assert colourfulness(tinted(street(), tint, noise)) < GREY


def test_colour_is_colour_at_any_size():
    image = tinted(street(), (1, 1, 1))
    image[60:, 40:120] = (40, 160, 60)
    found = [colourfulness(cv2.resize(image, (n, n))) for n in (32, 128, 512)]
    assert min(found) > COLOURED
    assert max(found) < 1.2 * min(found)


def test_a_black_picture_is_grey():
    assert colourfulness(np.zeros((48, 64, 3), np.uint8)) == 0


def run(values, step_s=0.5):
    return lights_of(np.array(values, float), np.arange(len(values)) * step_s)


def test_it_begins_with_what_it_sees():
    assert run([0])[0] == "infrared"
    assert run([20])[0] == "colour"


def test_it_changes_when_the_other_light_has_held_for_a_while():
    found = run([0.3] * 10 + [30] * 20 + [0.3] * 20)
    hold = int(HOLD_S / 0.5)
    assert found[: 10 + hold].tolist() == ["infrared"] * (10 + hold)
    assert found[10 + hold : 30 + hold].tolist() == ["colour"] * 20
    assert set(found[30 + hold :]) == {"infrared"}


def test_a_flash_and_what_lies_between_change_nothing():
    flash = [0.3] * 10 + [40] * 4 + [0.3] * 10
    assert set(run(flash)) == {"infrared"}
    between = (GREY + COLOURED) / 2
    assert set(run([30] + [between] * 50)) == {"colour"}
    assert set(run([0] + [between] * 50)) == {"infrared"}


def test_a_clock_that_goes_back_begins_to_wait_anew():
    light = Light()
    assert light.take(0.1, 100.0) == "infrared"
    assert light.take(30, 101.0) == "infrared"
    assert light.take(30, 0.0) == "infrared"
    assert light.take(30, 1.0) == "infrared"
    assert light.take(30, HOLD_S) == "colour"


@pytest.mark.data
def test_a_real_camera_switches_twice_a_day(real_data):
    """From infrared to colour between seven and eight in the morning, once."""
    videos = {v.name: v for v in open_dataset(real_data("upcam")).train}
    colours, times = [], []
    with videos["00-07"].open() as source:
        for frame in source:
            if frame.index % 10 == 0:
                colours.append(colourfulness(frame.image))
                times.append(frame.pts_s)
    found = lights_of(np.array(colours), np.array(times))
    changes = np.flatnonzero(found[1:] != found[:-1])
    assert len(changes) == 1
    assert (found[0], found[-1]) == ("infrared", "colour")
    assert times[changes[0]] == pytest.approx(1460, abs=10)
