"""Another number of alarms from the same footage: as if it had been calibrated for it."""

import numpy as np
import pytest

from oddframe.calibration.aim import aimed
from oddframe.calibration.calibrate import calibrate
from oddframe.errors import ConfigError

FPS = 2.0


def days(n=2, seed=0):
    """Clips of a day each: noise, and a burst of a few seconds some hundred times a day."""
    rng, clips = np.random.default_rng(seed), []
    for _ in range(n):
        clip = rng.normal(0, 0.3, int(86400 * FPS))
        for at in rng.integers(0, len(clip) - 20, 150):
            clip[at : at + 8] += rng.exponential(1.0)
        clips.append(clip)
    return clips


@pytest.fixture(scope="module")
def known():
    return calibrate(days(), FPS, 1.0)


@pytest.mark.parametrize("wanted", [0.3, 2.0, 5.0, 20.0])
def test_it_is_what_calibrate_would_have_said(known, wanted):
    found, anew = aimed(known, wanted), calibrate(days(), FPS, wanted)
    assert found["alarms_per_day"] == wanted
    assert found["threshold"] == pytest.approx(anew["threshold"], rel=1e-6)
    assert (found["above"], found["peaks"]) == (anew["above"], anew["peaks"])
    assert found["low"] <= found["threshold"] <= found["high"]
    assert f"for {wanted:g} false alarms a day" in found["text"]
    assert found["count_high"] >= known["count_high"] or wanted < 1


def test_the_same_number_changes_nothing(known):
    assert aimed(known, 1.0) == known


def test_each_light_is_aimed_by_itself():
    clips = days()
    lights = [np.where(np.arange(len(c)) < len(c) // 2, "day", "night") for c in clips]
    clips = [c + 2.0 * (light == "night") for c, light in zip(clips, lights, strict=True)]
    known, anew = (calibrate(clips, FPS, n, modes=lights) for n in (1.0, 4.0))
    found = aimed(known, 4.0)
    assert set(found["modes"]) == {"day", "night"}
    for light, side in found["modes"].items():
        assert side["threshold"] == pytest.approx(anew["modes"][light]["threshold"], rel=1e-6)
        assert side["threshold"] < known["modes"][light]["threshold"]


def test_more_than_its_peaks_tell_is_refused(known):
    with pytest.raises(ConfigError, match="--alarms-per-day 140"):
        aimed(known, 140.0)


def test_too_little_footage_is_refused():
    short = calibrate([np.random.default_rng(0).normal(0, 1, 200)], FPS, 1.0)
    with pytest.raises(ConfigError, match="too little footage"):
        aimed(short, 2.0)
