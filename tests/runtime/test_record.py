"""Footage of a camera: files that decode, a new one behind every gap, nothing lost to a kill."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from itertools import pairwise

import cv2
import numpy as np
import pytest

from encoded import encode, number_of
from oddframe.cli import main
from oddframe.data import open_dataset
from oddframe.errors import ConfigError, RunError, SourceError
from oddframe.pictures import Plain
from oddframe.runtime import record as module
from oddframe.runtime import tape
from oddframe.runtime.record import RecordConfig, record, recordings, seconds_of
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.sources import open_source
from oddframe.sources.why import Trouble

CALM = {"frozen_s": 0.0, "upheaval": False, "retry_s": 0.05, "retry_cap_s": 0.1, "timeout_s": 2.0}
FPS = 50


def config(segment_s=1.0, **more):
    known = {"segment_s": segment_s, "reading": CALM, **more}
    return RecordConfig.read(known)


def picture(index, size=(160, 96)):
    image = np.full((size[1], size[0], 3), (60, 90, 120), np.uint8)
    image[20:50, (3 * index) % (size[0] - 30) :][:, :24] = (200, 40, 250)
    return Plain(image)


class Live:
    """A camera: connection n plays the n-th list of (stamp, gap, size), in its own time."""

    def __init__(self, *plays, words="The made camera was lost.", hang_s=0.0):
        self.plays, self.count, self.words = list(plays), 0, words
        self.hang_s = hang_s

    def __call__(self, spec, reading):
        return Connected(self)


class Connected:
    name, packets = "the made camera", 0

    def __init__(self, live):
        self.live = live

    def pictures(self):
        live = self.live
        live.count += 1
        time.sleep(live.hang_s)
        play = live.plays[live.count - 1] if live.count <= len(live.plays) else []
        began = time.monotonic()
        for index, (stamp_s, gap, size) in enumerate(play):
            time.sleep(max(0.0, began + stamp_s - play[0][0] - time.monotonic()))
            yield picture(index, size), stamp_s, gap
        raise Trouble("ended" if play else "auth_failed", live.words)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A file of half a second is of use here."""
    monkeypatch.setattr(module, "SHORTEST_S", 0.4)


def play(seconds, start_s=0.0, size=(160, 96)):
    return [(start_s + i / FPS, False, size) for i in range(round(seconds * FPS))]


def names(folder):
    return [p.name for p in recordings(folder)]


def numbers(path):
    with open_source(path) as source:
        return [number_of(frame.image) for frame in source]


# ---- a live source


def test_a_live_source_becomes_files_that_decode(tmp_path):
    told = []
    found = record("camera", tmp_path / "out", 2.2 / 60, config(), connecting=Live(play(6)),
                   tick=lambda *now: told.append(now))  # fmt: skip
    files = recordings(tmp_path / "out")
    assert found.files == len(files) == 3
    assert found.seconds == pytest.approx(2.2, abs=0.1)
    assert found.bytes == sum(p.stat().st_size for p in files)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(_\d)?\.mp4", p.name) for p in files)
    with open_source(files[0]) as source:
        frames = list(source)
    assert frames[0].image.shape == (96, 160, 3)
    assert source.info.fps == pytest.approx(FPS, rel=0.05)
    assert len(frames) == pytest.approx(FPS, abs=10)
    steps = [b.pts_s - a.pts_s for a, b in pairwise(frames)]
    assert max(steps) < 0.2
    assert not any(frame.gap for frame in frames[1:])
    assert len(open_dataset(tmp_path / "out").train) == 3  # what fit makes of the folder
    done, wanted, words = told[-1]
    assert done == pytest.approx(wanted) == pytest.approx(2.2)
    assert words == ""
    assert not list((tmp_path / "out").glob(".*"))


def test_a_gap_begins_a_new_file(tmp_path):
    camera = Live(play(0.8), play(3, start_s=50))
    found = record("camera", tmp_path, 1.5 / 60, config(segment_s=60), connecting=camera)
    assert camera.count == 2
    assert found.files == 2
    assert found.gaps == 1
    assert [seconds_of(p) for p in recordings(tmp_path)] == pytest.approx([0.8, 0.7], abs=0.2)


def test_another_size_begins_a_new_file_and_large_pictures_become_small(tmp_path):
    camera = Live([*play(0.8), *play(1, 0.8, size=(400, 302))])
    record("camera", tmp_path, 1.4 / 60, config(width=200), connecting=camera)
    sizes = []
    for path in recordings(tmp_path):
        with open_source(path) as source:
            sizes.append((source.info.width, source.info.height))
    assert set(sizes) == {(160, 96), (200, 152)}


def test_frames_that_come_in_bursts_are_all_kept(tmp_path):
    class Bursts(Connected):
        def pictures(self):
            began = time.monotonic()
            for index in range(10**6):
                if index % 10 == 0:  # ten at a time
                    time.sleep(max(0.0, began + index / FPS - time.monotonic()))
                yield picture(index), index / FPS, False

    found = record("camera", tmp_path, 1.6 / 60, config(segment_s=60),
                   connecting=lambda source, how: Bursts(None))  # fmt: skip
    assert found.dropped == 0
    with open_source(recordings(tmp_path)[0]) as source:
        assert len(list(source)) == pytest.approx(1.6 * FPS, abs=2)


def test_of_too_many_frames_that_wait_some_are_dropped():
    feed = tape.All()
    for index in range(100):
        feed.put(LiveFrame(index, index / FPS, picture(index), gap=index == 50,
                           why="damage" if index == 50 else None))  # fmt: skip
    found = [feed.take() for _ in range(tape.MOST_WAITING + 2)]
    assert [f.index for f in found[:-1]] == [*range(tape.MOST_WAITING), 99]
    assert found[-1] is None
    assert found[-2].gap
    assert feed.dropped == {"newer": 100 - tape.MOST_WAITING - 1}


def test_stopped_it_keeps_what_is_there_and_goes_on(tmp_path):
    stop = threading.Event()
    threading.Timer(1.6, stop.set).start()
    first = record("camera", tmp_path, 1, config(), connecting=Live(play(9)), stop=stop)
    assert 1 < first.seconds < 2
    kept = names(tmp_path)
    more = (first.seconds + 0.6) / 60
    again = record("camera", tmp_path, more, config(), connecting=Live(play(9)))
    assert names(tmp_path)[: len(kept)] == kept
    assert again.seconds == pytest.approx(first.seconds + 0.6, abs=0.2)
    assert again.new_s == pytest.approx(0.6, abs=0.2)
    nothing = record("camera", tmp_path, more, config(), connecting=Live())
    assert nothing.new_s == 0


def test_a_wrong_password_ends_it_at_once_and_what_hangs_is_waited_for(tmp_path, monkeypatch):
    began = time.monotonic()
    with pytest.raises(SourceError, match="password are wrong"):
        record("camera", tmp_path, 1, config(), connecting=Live(words="user or password are wrong"))
    assert time.monotonic() - began < 5
    monkeypatch.setattr(module, "FIRST_PATIENCE_S", 0.4)
    with pytest.raises(SourceError, match=r"It was waited for"):
        record("camera", tmp_path, 1, config(), connecting=Live(hang_s=0.8))
    assert not recordings(tmp_path)


def test_a_camera_that_went_away_is_said_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.5)
    told = set()
    with pytest.raises(SourceError, match="was lost"):
        record("camera", tmp_path, 1, config(), connecting=Live(play(0.8)),
               tick=lambda done, wanted, words: told.add(words))  # fmt: skip
    assert "The made camera was lost." in told
    assert sum(map(seconds_of, recordings(tmp_path))) == pytest.approx(0.8, abs=0.2)


# ---- files


def test_a_file_is_recorded_as_it_is_and_after_a_kill_gone_on_with(tmp_path):
    film = encode(tmp_path / "film.mp4", 500, 25)
    out = tmp_path / "out"
    code = (
        "import sys, time; from oddframe.runtime.record import RecordConfig, record;"
        "record(sys.argv[1], sys.argv[2], 1, RecordConfig(segment_s=2),"
        "tick=lambda done, *more: time.sleep(30 if done > 7 else 0))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(film), str(out)])
    until = time.monotonic() + 60
    while len(recordings(out)) < 3 and child.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    before = names(out)
    assert 3 <= len(before) < 10
    (out / f"{tape.UNFINISHED}x.mp4").write_bytes(b"half")
    found = record(film, out, 1, config(segment_s=2))
    assert found.over
    assert names(out)[: len(before)] == before
    assert before[0] == "at-0-00-00-000.mp4"
    assert [n for path in recordings(out) for n in numbers(path)] == list(range(500))
    assert not list(out.glob(".*"))


def test_another_file_in_the_same_folder_is_recorded_from_its_beginning(tmp_path):
    out = tmp_path / "out"
    for day, frames in (("monday", 75), ("tuesday", 50)):
        film = encode(tmp_path / f"{day}.mp4", frames, 25)
        record(film, out, 1, config(segment_s=10))
    assert names(out) == ["at-0-00-00-000.mp4", "at-0-00-00-000_2.mp4"]
    assert [len(numbers(path)) for path in recordings(out)] == [75, 50]
    again = record(film, out, 1, config(segment_s=10))
    assert (again.files, again.new_s) == (2, 0.0)


def test_a_file_that_breaks_off_is_said(tmp_path):
    film = encode(tmp_path / "cut.avi", 100, 25, "mjpeg")
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    found = record(film, tmp_path / "out", 1, config(segment_s=10))
    assert found.over
    assert "the source broke off: " in found.words
    assert "truncated" in found.words


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"no film at all")
    with pytest.raises(SourceError, match=r"no\.mp4"):
        record(tmp_path / "no.mp4", tmp_path / "out", 1, config())


# ---- refusals


def test_a_full_disk_is_refused_before_and_ends_it_in_between(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 5 * 10**9))
    with pytest.raises(RunError, match=r"5\.0 GB of its disk free.*take about 8\.6 GB"):
        record("camera", tmp_path, 24 * 60, config(), connecting=Live())
    free = iter([3e9, 3e9, 0.9e9])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, next(free)))
    with pytest.raises(RunError, match="What is recorded is kept"):
        record("camera", tmp_path, 1, config(), connecting=Live(play(9)))
    assert len(recordings(tmp_path)) == 1


def test_what_cannot_be_written_is_said_and_leaves_nothing_half(tmp_path, monkeypatch):
    def full(self, frame):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tape.Tape, "write", full)
    with pytest.raises(RunError, match="No space left on device"):
        record("camera", tmp_path, 1, config(), connecting=Live(play(9)))
    assert not list(tmp_path.iterdir())


def test_two_do_not_record_into_one_folder(tmp_path):
    stop = threading.Event()
    args = ("camera", tmp_path, 1, config())
    one = threading.Thread(
        target=record, args=args, kwargs={"connecting": Live(play(9)), "stop": stop}
    )
    one.start()
    time.sleep(0.5)
    try:
        with pytest.raises(RunError, match="Another process is writing"):
            record(*args, connecting=Live(play(9)))
    finally:
        stop.set()
        one.join()


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_minutes_must_be_some(tmp_path, minutes):
    with pytest.raises(ConfigError, match="minutes"):
        record("camera", tmp_path, minutes)


def test_thin_pictures_are_recorded(tmp_path):
    record("camera", tmp_path, 1 / 60, config(), connecting=Live(play(2, size=(1, 301))))
    with open_source(recordings(tmp_path)[0]) as source:
        assert cv2.mean(next(iter(source)).image)[0] > 0


# ---- the command


def test_the_command_records_and_says_what_is_next(tmp_path, capsys):
    film = encode(tmp_path / "film.mp4", 250, 25)
    code = main(["record", str(film), "--out", str(tmp_path / "out"), "--minutes", "0.1"])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert re.search(r"out: 6\.0 s in 1 file, 0 MB\nnext: oddframe fit", out)
    assert main(["record", str(film), "--out", str(tmp_path / "out"), "--minutes", "9"]) == 0
    assert "10 s in 2 files, 0 MB; the source is over" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PATIENCE_S", 0.3)
    secret = "rtsp://viewer:geheim7@nowhere.invalid:99999/x"
    for source, words in ((str(tmp_path / "no.mp4"), "does not exist"), (secret, "rtsp://")):
        code = main(["record", source, "--out", str(tmp_path / "out"), "--minutes", "1"])
        out, err = capsys.readouterr()
        assert code == 1
        assert words in err
        assert "geheim7" not in out + err
    assert main(["record", "0", "--out", str(tmp_path / "out")]) == 2
