"""The schedule, on a made clock: rates fall evenly, frames stay fresh, load comes and goes."""

import heapq
import threading
import time

import pytest

from oddframe.runtime.watch import pace as module
from oddframe.runtime.watch.meters import Rate
from oddframe.runtime.watch.pace import STALE_S, Pace, rate_for


class Made:
    """A camera of a steady rate; its newest frame waits."""

    def __init__(self, fps, phase_s=0.0, live=True):
        self.fps, self.phase_s, self.live = fps, phase_s, live
        self.arrived_s, self.dropped, self.on = None, 0, True

    def waiting_s(self):
        return self.arrived_s

    def skip(self, reason):
        assert reason == "stale"
        self.arrived_s, self.dropped = None, self.dropped + 1

    def take(self):
        arrived_s, self.arrived_s = self.arrived_s, None
        return arrived_s


class Box:
    """The loop of the engine: a call takes `call_s`, and `look_s` for each frame in it."""

    def __init__(self, cameras, fps, look_s, call_s=0.0):
        self.cameras = cameras
        self.pace = Pace(cameras, fps)
        self.look_s, self.call_s, self.now_s = look_s, call_s, 0.0
        self.ages, self.taken, self.most = [], dict.fromkeys(cameras, 0), 0
        self.coming = [(camera.phase_s, name) for name, camera in cameras.items()]
        heapq.heapify(self.coming)

    def run(self, seconds):
        """Counts begin anew; a few thousand steps."""
        until_s = self.now_s + seconds
        self.ages, self.taken = [], dict.fromkeys(self.cameras, 0)
        while self.now_s < until_s:
            self._arrive()
            names = self.pace.due(self.now_s, self.cameras)
            arrived = [self.cameras[name].take() for name in names]
            if not names:
                wait_s = self.pace.wait_s(self.now_s)
                assert 0 < wait_s <= 0.25
                bell_s = self.coming[0][0] - self.now_s
                self.now_s += max(min(wait_s, bell_s), 1e-4)
                continue
            busy_s = self.call_s + self.look_s * len(names)
            self.now_s += busy_s
            self.pace.spent(names, busy_s)
            self.most = max(self.most, len(names))
            self.ages += [self.now_s - a for a in arrived]
            for name in names:
                self.taken[name] += 1
        return {name: count / seconds for name, count in self.taken.items()}

    def _arrive(self):
        while self.coming[0][0] <= self.now_s:
            at_s, name = heapq.heappop(self.coming)
            camera = self.cameras[name]
            if camera.on:
                camera.arrived_s = at_s
            heapq.heappush(self.coming, (at_s + 1 / camera.fps, name))


def cameras(count, fps=25.0):
    return {f"c{i}": Made(fps, phase_s=0.0137 * i) for i in range(count)}


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("load", [0.1, 0.5, 0.8, 1.5, 4.0])
def test_rates_are_even_and_frames_fresh_at_any_load(count, load):
    wanted = 10.0
    box = Box(cameras(count), wanted, look_s=load / (count * wanted))
    box.run(5)
    rates = box.run(20).values()
    assert max(rates) / min(rates) < 1.2
    expected = wanted if load < module.BUSY else wanted * module.BUSY / load
    assert sum(rates) / count == pytest.approx(expected, rel=0.1)
    # A frame is at most one of the camera's steps old when it is taken, and then one call is made.
    assert max(box.ages) < 0.04 + max(module.TOGETHER_S, box.look_s) + box.look_s
    assert max(box.ages) < 0.5 + box.look_s


def test_where_a_call_costs_more_than_a_look_cameras_are_taken_together():
    box = Box(cameras(8), 10.0, look_s=0.005, call_s=0.03)
    box.run(5)
    rates = box.run(20)
    assert min(rates.values()) > 9  # one by one would be 2.8 s of work a second
    assert 4 <= box.most <= 8


def test_what_a_call_takes_together_is_bounded():
    box = Box(cameras(16), 10.0, look_s=0.04)
    box.run(3)
    box.most = 0
    box.run(10)
    assert box.most <= module.TOGETHER_S / 0.04


def test_it_recovers_when_the_load_falls():
    box = Box(cameras(4), 10.0, look_s=0.1)
    box.run(10)
    assert max(box.run(10).values()) < 3
    box.look_s = 0.01
    box.run(3)
    assert min(box.run(10).values()) > 9.5
    box.look_s = 0.1
    box.run(3)
    rates = box.run(10).values()
    assert max(rates) < 3
    assert max(rates) / min(rates) < 1.2


def test_one_camera_alone_is_not_made_to_pay_for_those_that_are_down():
    made = cameras(4)
    for name in ("c1", "c2", "c3"):
        made[name].on = False
    box = Box(made, 10.0, look_s=0.05)
    box.run(3)
    assert box.run(10)["c0"] == pytest.approx(10, rel=0.05)


def test_a_camera_that_comes_back_does_not_catch_up():
    made = cameras(2)
    made["c1"].on = False
    box = Box(made, 10.0, look_s=0.001)
    box.run(5)
    made["c1"].on = True
    rates = box.run(2)
    assert rates["c1"] <= 11


@pytest.mark.parametrize("fps", [1.0, 5.0, 8.0])
def test_a_camera_slower_than_the_wish_gives_every_frame(fps):
    box = Box(cameras(2, fps), 10.0, look_s=0.01)
    box.run(2)
    rates = box.run(20)
    assert rates["c0"] == pytest.approx(fps, rel=0.06)
    assert max(box.ages) < 0.1


def test_the_rhythm_is_kept_of_a_camera_that_is_hardly_faster():
    box = Box(cameras(1, 15.0), 10.0, look_s=0.01)
    box.run(2)
    assert box.run(20)["c0"] == pytest.approx(10, rel=0.03)


def test_old_frames_are_dropped_and_counted():
    feeds = {"a": Made(1.0)}
    pace = Pace(feeds, 10.0)
    feeds["a"].arrived_s = 0.0
    assert pace.due(STALE_S + 0.1, feeds) == []
    assert feeds["a"].dropped == 1
    feeds["a"].arrived_s = 1.0
    assert pace.due(1.0 + STALE_S - 0.1, feeds) == ["a"]


def test_files_are_due_whenever_they_have_a_frame_and_never_stale():
    feeds = {"a": Made(25.0, live=False)}
    pace = Pace(feeds, 10.0)
    for _ in range(50):
        feeds["a"].arrived_s = float("-inf")
        assert pace.due(1.0, feeds) == ["a"]
    pace.spent(["a"] * 10, 5.0)
    assert pace.share == 1.0  # they may take all the time there is


def test_who_waited_longest_comes_first():
    feeds = {name: Made(25.0) for name in "abc"}
    pace = Pace(feeds, 10.0)
    pace.spent(["a"], 1.0)  # from now on one at a time
    order = []
    for step in range(6):
        for feed in feeds.values():
            feed.arrived_s = 1.0 * step
        order += pace.due(1.0 * step, feeds)
    assert sorted(order[:3]) == ["a", "b", "c"]
    assert order[:3] == order[3:]


def test_another_rate_holds_from_then_on():
    box = Box(cameras(2), {"c0": 10.0, "c1": 5.0}, look_s=0.001)
    box.run(2)
    assert box.run(10) == pytest.approx({"c0": 10, "c1": 5}, rel=0.05)
    box.pace.want("c1", 2.0)
    assert box.run(10)["c1"] == pytest.approx(2, rel=0.1)


def test_cameras_join_and_leave():
    box = Box(cameras(1), 10.0, look_s=0.001)
    box.run(2)
    late = cameras(2)["c1"]
    box.cameras["c1"] = late
    box.coming.append((box.now_s + 0.01, "c1"))
    heapq.heapify(box.coming)
    box.pace.want("c1", 5.0)
    assert box.pace.wanted("c1") == 5
    box.taken["c1"] = 0
    rates = box.run(10)
    assert rates == pytest.approx({"c0": 10, "c1": 5}, rel=0.1)
    box.pace.drop("c1")
    box.pace.drop("never there")
    del box.cameras["c1"]
    box.coming = [(at_s, name) for at_s, name in box.coming if name != "c1"]
    assert box.pace.wanted("c1") == 0
    assert box.run(5) == pytest.approx({"c0": 10}, rel=0.1)


def test_a_rate_is_what_was_counted_in_the_last_ten_seconds():
    rate = Rate(began=0.0)
    assert rate.read(5.0) == 0
    for step in range(100):
        rate.add(step / 10)
    assert rate.read(9.9) == pytest.approx(10, rel=0.02)
    assert rate.read(15.0) == pytest.approx(5, rel=0.05)
    assert rate.read(70.0) == 0


def test_a_rate_can_be_read_while_it_is_counted():
    rate, stop = Rate(began=0.0), threading.Event()
    troubles = []

    def reads():
        while not stop.is_set():
            try:
                rate.read(time.monotonic())
            except RuntimeError as error:
                troubles.append(error)

    thread = threading.Thread(target=reads)
    thread.start()
    for step in range(20_000):
        rate.add(step * 1e-2)
    stop.set()
    thread.join()
    assert not troubles


def test_a_camera_that_is_hardly_faster_than_the_run_is_looked_at_as_often():
    assert rate_for(10.0, 12.0) == 12.0
    assert rate_for(10.0, 25.0) == 10.0
    assert rate_for(10.0, 5.0) == 6.25
    assert rate_for(10.0, 0.0) == 10.0
    assert rate_for(None, 15.0) == 15.0
