"""A site from its cameras to its events: on files, with everything between them real."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import av
import cv2
import numpy as np
import pytest
from stub_run import HISTORY, street, write_stub

from encoded import encode
from oddframe.errors import ConfigError
from oddframe.events import clip as clips
from oddframe.events.store import Store, StoreError
from oddframe.runtime.watch import at_work, engine
from oddframe.runtime.watch.at_work import AtWork
from oddframe.runtime.watch.site import SiteConfig

FPS = 10


def footage(path, frames=80, odd=range(40, 60), width=128, height=96, fps=FPS):
    """A street on which a bright box blinks in some frames."""

    def picture(i):
        return street(i, width, height, odd_from=i if i in odd else 10**6)

    encode(path, frames=frames, fps=fps, size=(width, height), pictures=picture)
    return path


@pytest.fixture(scope="module")
def calm_run(tmp_path_factory):
    """A RUN that takes the street's walker for normal at this size too."""
    return write_stub(tmp_path_factory.mktemp("stub") / "RUN", threshold=8.0)


@pytest.fixture(scope="module")
def odd_video(tmp_path_factory):
    return footage(tmp_path_factory.mktemp("odd") / "odd.mp4")


@pytest.fixture(scope="module")
def short_video(tmp_path_factory):
    return footage(tmp_path_factory.mktemp("short") / "short.mp4", frames=14, odd=range(0))


def site(tmp_path, run, cameras, **more):
    events = str(tmp_path / "events.jsonl")
    return SiteConfig.read({
        "store": {"path": tmp_path / "store"}, "sinks": [{"kind": "jsonl", "path": events}],
        "detect": {"model": str(run)}, "cameras": cameras, **more,
    })  # fmt: skip


def watched(config, seconds=60):
    """Run it to the end of its files."""
    stop = threading.Event()
    timer = threading.Timer(seconds, stop.set)
    timer.start()
    try:
        with AtWork(config) as work:
            work.run(stop)
            assert not stop.is_set(), "the files did not end"
    finally:
        timer.cancel()
    return work


def test_a_file_with_something_odd_becomes_an_event(tmp_path, calm_run, odd_video):
    config = site(tmp_path, calm_run, {"gate": {"source": str(odd_video), "realtime": False}})
    work = watched(config)
    with Store(config.store.path) as store:
        (event,) = store.events()
        assert (event.camera, event.state, event.ended) == ("gate", "end", "lost")
        assert event.end_utc - event.start_utc == pytest.approx(1.9, abs=0.3)
        assert event.peak_level > 1
        box = event.boxes[0]  # the box blinks at the top right
        assert box.x > 64
        assert box.y < 48
        assert event.reasons
        drawn = cv2.imread(str(config.store.path / event.snapshot))
        assert drawn.shape[:2] == (96, 128)
        with av.open(str(config.store.path / event.clip)) as clip:
            stamps = [float(f.time) for f in clip.decode(video=0)]
        assert 4.5 < stamps[-1] - stamps[0] < 8  # from the start of the file to its end
        assert store.minutes("gate", 0, time.time() + 1000)
    lines = [json.loads(x) for x in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert next(x["state"] for x in lines) == "start"
    assert (lines[-1]["state"], lines[-1]["clip"]) == ("end", event.clip)
    assert {x["id"] for x in lines} == {event.id}
    assert work.meters.cameras["gate"].looked == 80


def test_scores_are_those_of_the_file(tmp_path, calm_run, odd_video):
    import oddframe

    detector = oddframe.load(calm_run)
    expected = detector.score(str(odd_video), heat=False)
    found = []
    config = site(tmp_path, calm_run, {"gate": {"source": str(odd_video), "realtime": False}})
    with AtWork(config) as work:
        camera = work.engine.cameras["gate"]
        take = camera.desk.take

        def spying(look):
            found.append(look.score)
            take(look)

        camera.desk.take = spying
        work.run(threading.Event())
    assert [s.pts_s for s in found] == pytest.approx(list(expected.time_s), abs=1e-3)
    assert [s.score for s in found] == pytest.approx(list(expected.score), nan_ok=True, abs=1e-4)


def test_cameras_of_one_run_do_not_touch_each_other(tmp_path, calm_run, odd_video):
    calm = footage(tmp_path / "calm.mp4", odd=range(0))
    both = {
        "odd": {"source": str(odd_video), "realtime": False},
        "calm": {"source": str(calm), "realtime": False},
    }
    config = site(tmp_path, calm_run, both)
    watched(config)
    with Store(config.store.path) as store:
        assert [e.camera for e in store.events()] == ["odd"]


def test_a_masked_place_never_scores(tmp_path, calm_run, odd_video):
    corner = [[0.6, 0], [1, 0], [1, 0.5], [0.6, 0.5]]
    camera = {"source": str(odd_video), "realtime": False, "mask": corner}
    config = site(tmp_path, calm_run, {"gate": camera})
    watched(config)
    with Store(config.store.path) as store:
        assert store.events() == []


def test_masks_that_hide_all_are_said_and_no_other_camera_notices(tmp_path, calm_run, short_video):
    whole = [[0, 0], [1, 0], [1, 1], [0, 1]]
    cameras = {
        "quiet": {"source": str(short_video), "realtime": False, "mask": whole},
        "other": {"source": str(short_video), "realtime": False},
    }
    work = watched(site(tmp_path, calm_run, cameras))
    assert {n: m.looked for n, m in work.meters.cameras.items()} == {"quiet": 0, "other": 14}
    assert "mask hides everything" in work.engine.cameras["quiet"].fault
    assert not work.meters.faults


@pytest.mark.parametrize("fails", ["score", "ready", "desk", "listen", "tend", "threshold"])
def test_what_goes_wrong_with_one_camera_costs_no_other_one_a_frame(
    tmp_path, calm_run, short_video, monkeypatch, caplog, fails
):
    monkeypatch.setattr(engine, "TEND_S", 0.0)

    def fail(*_):
        raise ZeroDivisionError("of one")

    cameras = {n: {"source": str(short_video), "realtime": False} for n in ("ill", "well")}
    stop = threading.Event()
    timer = threading.Timer(20, stop.set)
    timer.start()
    with AtWork(site(tmp_path, calm_run, cameras)) as work:
        ill = work.engine.cameras["ill"]
        if fails == "score":  # in the call for both, once the history is full
            ill._fitted = lambda *_: setattr(ill, "mask", np.ones((64, 64), np.bool_))
        elif fails == "ready":
            ill.ready = fail
        elif fails == "listen":
            ill._hear = fail
        elif fails == "threshold":
            ill.threshold.tend = fail
        else:
            setattr(ill.desk, "take" if fails == "desk" else "tend", fail)
        work.run(stop)
        timer.cancel()
        rows = work.engine.cameras["well"].recent.since(1e9)
        blind = [gap.why for gap in work.store.gaps("ill")]
    assert not stop.is_set()
    assert work.kept is not None, "nothing is cleared up"
    assert work.meters.cameras["well"].looked == 14
    assert sum(np.isfinite(rows[:, 1])) == 14 - HISTORY, "its history began anew"
    assert work.meters.faults["engine"] >= 1
    assert len([r for r in caplog.records if r.message.startswith("ill: ")]) == 1
    if fails in ("score", "desk", "ready"):
        assert "failed" in blind


def test_in_real_time_a_file_takes_its_time(tmp_path, calm_run, odd_video):
    config = site(tmp_path, calm_run, {"gate": {"source": str(odd_video)}})
    began = time.monotonic()
    work = watched(config)
    assert 7 < time.monotonic() - began < 14
    meters = work.meters.cameras["gate"]
    assert meters.events["alert"] == 1
    assert meters.age.quantile(0.95) <= 0.5


def test_where_the_machine_is_too_slow_rates_fall_evenly_and_frames_stay_fresh(
    tmp_path, calm_run, odd_video
):
    cameras = {n: {"source": str(odd_video)} for n in ("one", "two", "three")}
    config = site(tmp_path, calm_run, cameras)
    with AtWork(config) as work:
        scorer = next(iter(work.detectors.values())).scorer
        step = scorer.step_batch

        def slow(states, *args, **named):
            time.sleep(0.06 * len(states))  # 30 looks a second are wanted, 16 can be had
            return step(states, *args, **named)

        scorer.step_batch = slow
        work.run(threading.Event())
    looked = [m.looked for m in work.meters.cameras.values()]
    assert max(looked) < 70
    assert min(looked) > 5  # 25 on a machine that does nothing else
    assert max(looked) < 1.4 * min(looked)
    for name, camera in work.engine.cameras.items():
        assert work.meters.cameras[name].age.quantile(0.95) <= 0.5
        assert sum(camera.reader.status().dropped.values()) > 5


def test_a_site_can_be_stopped_at_any_time(tmp_path, calm_run, odd_video):
    config = site(tmp_path, calm_run, {"gate": {"source": str(odd_video)}})
    stop = threading.Event()
    with AtWork(config) as work:
        threading.Timer(2.0, stop.set).start()
        work.run(stop)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    with Store(config.store.path) as store:
        assert all(e.state == "end" for e in store.events())
        (gap, *_) = store.gaps("gate")[-1:]
        assert gap.why == "stopped"
        assert gap.end_utc is None


def test_an_encoder_that_hangs_is_waited_for_once(tmp_path, calm_run, odd_video, monkeypatch):
    monkeypatch.setattr(at_work, "CLIPS_S", 0.2)
    hangs = threading.Event()
    monkeypatch.setattr(clips, "write_clip", lambda *_: hangs.wait(10))
    config = site(tmp_path, calm_run, {"gate": {"source": str(odd_video), "realtime": False}})
    with AtWork(config) as work:
        work.clips.submit(clips.Cut("1-a", "gate", ()))
        began = time.monotonic()
    assert time.monotonic() - began < 2
    hangs.set()


def test_alarms_that_are_off_stay_off_over_a_restart(tmp_path, calm_run, odd_video):
    config = site(tmp_path, calm_run, {"gate": {"source": str(odd_video), "realtime": False}})
    with AtWork(config) as work:
        assert work.armed("gate")
        assert not work.arm("gate", False)
        with pytest.raises(ConfigError, match="no camera 'door'"):
            work.arm("door", False)
    work = watched(config)
    with Store(config.store.path) as store:
        assert store.events() == []
    assert work.meters.cameras["gate"].looked == 80


def test_one_store_is_watched_by_one(tmp_path, calm_run, odd_video):
    config = site(tmp_path, calm_run, {"gate": {"source": str(odd_video), "realtime": False}})
    with AtWork(config), pytest.raises(StoreError):
        AtWork(config)


def test_cameras_are_read_by_the_16_bit_range_of_their_run(tmp_path, calm_run, short_video):
    thermal = shutil.copytree(calm_run, tmp_path / "thermal")
    card = json.loads((thermal / "model.json").read_text())
    (thermal / "model.json").write_text(json.dumps({**card, "used": [1000, 4000]}))
    source = str(short_video)
    cameras = {
        "warm": {"source": source, "detect": {"model": str(thermal)}}, "day": {"source": source},
    }  # fmt: skip
    with AtWork(site(tmp_path, calm_run, cameras)) as work:
        readers = {name: camera.reader for name, camera in work.engine.cameras.items()}
    assert readers["warm"]._reading.used == (1000, 4000)
    assert readers["day"]._reading.used is None


def test_a_run_without_a_threshold_is_refused(tmp_path, odd_video):
    run = write_stub(tmp_path / "RUN", threshold=None)
    config = site(tmp_path, run, {"gate": {"source": str(odd_video)}})
    with pytest.raises(ConfigError, match=r"has no threshold.*oddframe calibrate"):
        AtWork(config)


def test_a_full_disk_costs_no_event(tmp_path, calm_run, odd_video, monkeypatch):
    config = site(tmp_path, calm_run, {"gate": {"source": str(odd_video), "realtime": False}})
    put, failing = Store.put, [3]

    def full(self, *args, **named):
        if failing[0]:
            failing[0] -= 1
            raise StoreError("No space left on device.")
        return put(self, *args, **named)

    monkeypatch.setattr(Store, "put", full)
    work = watched(config)
    assert work.meters.faults["store"]
    with Store(config.store.path) as store:
        (event,) = store.events()
        assert event.state == "end"


def command(tmp_path, run, *sources, more=()):
    return [sys.executable, "-m", "oddframe", "watch", str(run), *map(str, sources),
            "--out", str(tmp_path / "out"), *more]  # fmt: skip


def test_the_command_says_what_it_saw(tmp_path, calm_run, odd_video):
    done = subprocess.run(
        command(tmp_path, calm_run, odd_video), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "odd: 80 frames scored; 1 alert" in done.stdout
    assert "alert begins" in done.stderr
    with Store.read_only(tmp_path / "out") as store:
        assert len(store.events()) == 1


def test_sigterm_ends_in_order(tmp_path, calm_run, odd_video):
    going = subprocess.Popen(
        command(tmp_path, calm_run, odd_video, more=["--realtime"]),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while " gives " not in (line := going.stderr.readline()):
            assert line, "it ended before it began"
        time.sleep(1)
        going.send_signal(signal.SIGTERM)
        out, _ = going.communicate(timeout=20)
    finally:
        going.kill()
    assert going.returncode == 0
    assert "frames scored" in out


@pytest.mark.parametrize(
    "kills", [2, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_after_kill_9_nothing_is_lost_or_twice(tmp_path, calm_run, odd_video, kills):
    """Killed at random moments, and started again each time."""
    for number in range(kills):
        going = subprocess.Popen(
            command(tmp_path, calm_run, odd_video),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            while " gives " not in (line := going.stderr.readline()):
                assert line, "it ended before it began"
            time.sleep(0.05 + 1.5 * ((number * 0.618) % 1))
        finally:
            os.kill(going.pid, signal.SIGKILL)
            going.communicate()
    subprocess.run(
        command(tmp_path, calm_run, odd_video), check=True, timeout=120,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with Store(tmp_path / "out") as store:
        events = store.events(limit=1000)
        assert events
        assert all(e.state == "end" for e in events)
        assert all(e.end_utc >= e.start_utc for e in events)
        assert store.backlog("jsonl").messages == 0
    lines = [json.loads(x) for x in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    keys = [x["key"] for x in lines]
    assert len(keys) == len(set(keys))
    ended = {x["id"] for x in lines if x["state"] == "end"}
    assert ended == {e.id for e in events}
