"""Another camera's video is noticed; another light, or a crowd, is not one."""

from itertools import islice

import cv2
import numpy as np
import pytest

from oddframe.pictures import as_picture
from oddframe.runtime.familiar import EVERY, LOOKS, Familiar
from oddframe.scoring.stay import small
from oddframe.sources import open_source


def place(seed):
    """A street of boxes, (256, 256) grey."""
    rng = np.random.default_rng(seed)
    image = np.full((256, 256), 120, np.uint8)
    for _ in range(400):
        x, y = rng.integers(0, 250, 2)
        w, h = rng.integers(4, 40, 2)
        image[y : y + h, x : x + w] = rng.integers(30, 220)
    return cv2.blur(image, (3, 3))


def known(seed):
    return cv2.resize(place(seed), (128, 128), interpolation=cv2.INTER_AREA)


def said(familiar, image, frames):
    """Everything that is said of so many frames, and behind which of them."""
    found = []
    for i in range(frames):
        text = familiar.take(as_picture(np.repeat(image[..., None], 3, 2)))
        found += [(i, text)] if text else []
    last = familiar.finish()
    return found + ([(frames, last)] if last else [])


def test_another_place_is_said_once_and_soon():
    ((at, text),) = said(Familiar(known(0)), place(1), 300)
    assert at == EVERY * (LOOKS - 1)
    assert "another camera" in text


def test_of_a_short_video_at_its_end():
    ((at, _),) = said(Familiar(known(0)), place(1), 15)
    assert at == 15


@pytest.mark.parametrize("gain", [0.5, 1.2])
def test_the_same_place_in_another_light_behind_a_crowd_is_no_other(gain):
    image = np.clip(place(0) * gain, 0, 255).astype(np.uint8)
    image[100:200, :] = 60  # two fifths of it hidden
    assert not said(Familiar(known(0)), image, 200)


@pytest.mark.parametrize("picture", [None, np.full((128, 128), 90, np.uint8)], ids=["old", "blank"])
def test_where_nothing_is_known_nothing_is_said(picture):
    assert not said(Familiar(picture), place(1), 200)


@pytest.mark.data
def test_real_places_are_told_apart(real_data):
    clips = {
        "ped2": ["ped2/training/01.mp4", "ped2/testing/01.mp4"],
        "office": ["scenes/office-empty.mp4", "scenes/office-visited.mp4"],
        "motorway": ["scenes/cdnet_highway.avi"],
        "campus": ["scenes/pets2001_ds3_cam1.mp4"],
    }
    frames = {
        place: [first_frames(real_data(name)) for name in names] for place, names in clips.items()
    }
    for place, (normal, *_) in frames.items():
        greys = [cv2.cvtColor(f.picture.at(256), cv2.COLOR_BGR2GRAY) for f in normal[::EVERY]]
        picture = small(np.median(greys, axis=0).astype(np.uint8))
        for other, videos in frames.items():
            for video in videos:
                familiar = Familiar(picture)
                told = [familiar.take(f.picture) for f in video] + [familiar.finish()]
                assert any(told) == (place != other), (place, other, told)


def first_frames(path):
    with open_source(path) as source:
        return list(islice(source, EVERY * LOOKS))
