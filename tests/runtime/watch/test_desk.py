"""What a desk makes of scored frames: events with their own pictures."""

import numpy as np

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


def test_an_event_that_begins_as_another_ends_has_a_picture_from_its_start(tmp_path):
    car, burglar = (Plain(np.full((48, 64, 3), grey, np.uint8)) for grey in (60, 200))
    told = []
    with Store(tmp_path) as store:
        clips = ClipWriter(tmp_path, lambda *_: None)
        office = Office(store, clips, [], Meters({"gate": CameraMeters()}), ClipConfig())
        desk = Desk(Tracker("gate", Rules(longest_s=30)), office, told.append)
        for t in range(40):
            desk.take(look(t, 2.0, 4, car))
        desk.take(look(40, 1.5, 40, burglar))
        clips.close()
    assert [(e.state, e.ended) for e in told] == [("start", None), ("end", "long"), ("start", None)]
    first, _, second = (tmp_path / e.snapshot for e in told)
    assert first != second
    assert first.is_file()
    assert second.is_file()
