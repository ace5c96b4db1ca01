"""What a desk makes of scored frames: events with their own pictures."""

import cv2
import numpy as np
import pytest

from oddframe.events.clip import ClipWriter
from oddframe.events.ring import ClipConfig
from oddframe.events.rules import Rules
from oddframe.events.store import Store
from oddframe.events.tracker import Tracker
from oddframe.pictures import Plain
from oddframe.runtime.watch.desk import Desk, Look, Office
from oddframe.runtime.watch.meters import CameraMeters, Meters
from oddframe.types import Score

T0 = 1_789_000_000.0


def look(t, level, row, picture):
    """A frame that is hot in one place."""
    heat = np.zeros((64, 64), np.float32)
    heat[row : row + 8, 20:28] = 3 * level
    score = Score(t, float(t), 3 * level, level, level >= 1, heat=heat)
    return Look(picture, T0 + t, float(t), score, 3.0, 64, 48)


@pytest.fixture
def desk(tmp_path):
    """`desk(rules)`: with a list of what it tells."""
    with Store(tmp_path) as store:
        clips = ClipWriter(tmp_path, lambda *_: None)
        office = Office(store, clips, [], Meters({"gate": CameraMeters()}), ClipConfig())

        def make(rules):
            told = []
            return Desk(Tracker("gate", rules), office, told.append), told

        yield make
        clips.close()


CAR, BURGLAR = (Plain(np.full((48, 64, 3), grey, np.uint8)) for grey in (60, 200))


def shades(folder, told):
    """How bright the pictures of events are."""
    return [round(cv2.imread(str(folder / event.snapshot)).mean(), -1) for event in told]


@pytest.mark.parametrize("level", [1.5, 3.0])
def test_an_event_that_begins_as_another_ends_has_its_own_picture(tmp_path, desk, level):
    made, told = desk(Rules(longest_s=30))
    for t in range(40):
        made.take(look(t, 2.0, 4, CAR))
    made.take(look(40, level, 40, BURGLAR))
    assert [(e.state, e.ended) for e in told] == [("start", None), ("end", "long"), ("start", None)]
    assert shades(tmp_path, told) == [60, 60, 200]


def test_the_picture_of_an_event_is_not_of_when_alarms_were_off(tmp_path, desk):
    made, told = desk(Rules())
    made.armed(False)
    made.take(look(0, 2.0, 4, CAR))
    made.armed(True)
    made.take(look(1, 1.5, 4, BURGLAR))
    assert shades(tmp_path, told) == [200]
