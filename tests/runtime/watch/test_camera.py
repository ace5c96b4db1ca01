"""One camera by hand: frames and scores go in, and what it makes of them is looked at."""

import math

import numpy as np
import pytest
from stub_run import street, write_stub

from oddframe.calibration.calibrate import calibrate
from oddframe.pictures import Plain
from oddframe.runs import load_run, write_calibration
from oddframe.runtime.watch.at_work import AtWork
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.runtime.watch.site import SiteConfig
from oddframe.types import Score

T0 = 1_789_000_000.0
PICTURE = Plain(street(0))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A RUN with all that a calibration says."""
    path = write_stub(tmp_path_factory.mktemp("stub") / "RUN")
    scores = np.random.default_rng(0).gamma(2.0, 0.5, 26 * 3600)
    write_calibration(load_run(path), calibrate([scores], 1.0, 1.0))
    return path


@pytest.fixture
def camera(tmp_path, run):
    """`camera(**detect)`: of a site that nobody runs."""
    opened = []

    def make(**detect):
        config = SiteConfig.read({
            "store": {"path": tmp_path / "store"}, "detect": {"model": str(run), **detect},
            "cameras": {"gate": {"source": "rtsp://gate.local/1"}},
        })  # fmt: skip
        opened.append(AtWork(config))
        return opened[-1].engine.cameras["gate"]

    yield make
    for work in opened:
        work.close()


def frame(pts_s, why=None):
    return LiveFrame(round(pts_s * 100), pts_s, PICTURE, why is not None, None, T0 + pts_s, why)


def scored(camera, pts_s, value):
    """A frame with a score that was made elsewhere."""
    seen = frame(pts_s)
    assert camera.begins(seen)
    camera.scored(seen, [Score(0, pts_s, value, math.nan, False)])


def learned(camera):
    """Peaks and hours of what it took for normal."""
    known = camera.threshold.running.plain()
    peaks = [p for part in known["live"].values() for p in part["peaks"]]
    return peaks, known["seen_h"]


@pytest.mark.parametrize("how", ["switched off", "outside the schedule", "on"])
def test_what_is_shown_while_alarms_are_off_says_nothing_of_what_is_normal(camera, how):
    never = {"days": ["mon"], "from": "05:00", "to": "06:00"}  # T0 is a Thursday
    schedule = {"schedule": {"windows": [never], "outside": "nothing"}}
    gate = camera(**(schedule if how == "outside the schedule" else {}))
    gate.desk.armed(how != "switched off")
    for i in range(120):
        scored(gate, 10.0 * i, 1e3 if 60 <= i < 63 else 1.0)
    gate.desk.armed(True)
    peaks, hours = learned(gate)
    if how == "on":
        assert hours == pytest.approx(1 / 3, rel=0.05)
        assert gate.threshold.running.seen.alarms
    else:
        assert hours == 0
        assert not gate.threshold.running.seen.alarms
    assert max(peaks, default=0) <= 1.0


def test_what_an_event_was_before_it_was_told_is_not_normal(camera):
    gate = camera(min_duration_s=60)
    for i in range(400):
        scored(gate, float(i), 1e3 if 100 <= i < 200 else 1.0)
    peaks, hours = learned(gate)
    assert len(gate.threshold.running.seen.alarms) == 1
    assert max(peaks) == 1.0
    assert hours * 3600 == pytest.approx(400, abs=2)
