"""No picture of a change is scored, from its first one on."""

import numpy as np
import pytest

from oddframe.pictures import Plain
from oddframe.runtime.watch.feed import Feed
from oddframe.runtime.watch.intake import LOOK_S, Intake
from oddframe.runtime.watch.settings import ReaderConfig
from oddframe.runtime.watch.upheaval import HOLD_S, SETTLE_S
from oddframe.synth import SynthConfig, render_clip

FPS, WHEN = 25, 60
"""Frames a second, and the frame at which something happens: between two looks."""


@pytest.fixture(scope="module")
def street():
    config = SynthConfig(seed=5, fps=FPS, people=8, width=240, height=160)
    return [frame.image for frame in render_clip(config, 1, None, 7.0)]


def handed_on(images):
    """Numbers of the frames that go on to be scored."""
    intake, found = Intake(ReaderConfig(frozen_s=0), Feed(live=False), files=True), []
    intake.connected()
    for i, image in enumerate(images):
        frame = intake.take((Plain(image), i / FPS, False), i / FPS, 1.7e9 + i / FPS)
        found += [] if frame is None else [i]
    return found


def dimmed(image):
    return (image * 0.5).astype(np.uint8)


@pytest.mark.parametrize("when", [WHEN, WHEN + 1, WHEN + 2, WHEN + 3, WHEN + 4])
def test_a_light_that_is_switched_is_scored_in_no_frame(street, when):
    switched = [dimmed(image) if i >= when else image for i, image in enumerate(street)]
    found = handed_on(switched)
    assert found[:when] == list(range(when))
    assert found[when] - when >= FPS * (HOLD_S + SETTLE_S)  # and then it goes on
    assert len(found) > when + FPS


def test_a_flash_costs_its_own_frames_and_hardly_more(street):
    flash = [dimmed(image) if WHEN <= i < WHEN + 3 else image for i, image in enumerate(street)]
    missing = sorted(set(range(len(street))) - set(handed_on(flash)))
    assert set(missing) >= {WHEN, WHEN + 1, WHEN + 2}
    assert max(missing) - WHEN <= FPS * 2 * LOOK_S


def test_nothing_is_left_out_of_what_is_normal(street):
    assert handed_on(street) == list(range(len(street)))
