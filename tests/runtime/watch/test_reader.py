"""One camera's life, with sources that are made: what breaks is noticed, said, and mended."""

import base64
import http.server
import socket
import threading
import time
from itertools import pairwise

import cv2
import numpy as np
import pytest

from encoded import encode, number_of
from oddframe.errors import ConfigError, SourceError
from oddframe.pictures import Plain
from oddframe.runtime.watch import judge
from oddframe.runtime.watch import reader as module
from oddframe.runtime.watch.backoff import JITTER, Backoff
from oddframe.runtime.watch.feed import Bell
from oddframe.runtime.watch.play import Player
from oddframe.runtime.watch.reader import MOST_LEFT, Reader, ReaderConfig
from oddframe.runtime.watch.status import State
from oddframe.sources import live
from oddframe.sources.convert import Converter
from oddframe.sources.why import Trouble

QUICK = {"timeout_s": 0.5, "silent_s": 0.4, "frozen_s": 0.0, "retry_s": 0.05, "retry_cap_s": 0.2}
SECRET = "s3cr3t"


def until(true, timeout_s=5.0):
    """Wait for something; whether it came."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.01)
    return bool(true())


def threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("oddframe-read")]


@pytest.fixture
def start():
    """`start(spec, connecting=…, **settings)`: a reader at work; stopped at the end."""
    readers = []

    def begin(spec="camera", connecting=None, begins_utc=None, **settings):
        more = {} if connecting is None else {"connecting": connecting}
        config = ReaderConfig(**{**QUICK, **settings})
        reader = Reader("gate", spec, config, Bell(), begins_utc, **more)
        readers.append(reader)
        reader.start()
        return reader

    yield begin
    for reader in readers:
        reader.stop()


@pytest.fixture
def again():
    """Lets what hangs go on, at the end at the latest."""
    event = threading.Event()
    yield event
    event.set()


class Made:
    """A source: a connection runs the next of these functions, and the last one ever after."""

    def __init__(self, *scripts):
        self.scripts, self.connections = list(scripts), 0

    def __call__(self, spec, reading):
        return MadeConnection(self)


class MadeConnection:
    name, packets = "the made camera", 0

    def __init__(self, made):
        self.made = made

    def pictures(self):
        made = self.made
        made.connections += 1
        yield from made.scripts[min(made.connections, len(made.scripts)) - 1]()


RNG = np.random.default_rng(0)
SCENE = cv2.resize(RNG.integers(40, 200, (12, 16, 3), np.uint8), (64, 48))


def picture(size=(64, 48)):
    noise = RNG.integers(-4, 5, (size[1], size[0], 3))
    return Plain(np.clip(cv2.resize(SCENE, size).astype(int) + noise, 0, 255).astype(np.uint8))


def steady(frames=10**6, fps=50, make=picture, start_s=0.0):
    """A stream of so many pictures, in real time."""

    def run():
        began = time.monotonic()
        for index in range(frames):
            time.sleep(max(0.001, began + index / fps - time.monotonic()))
            yield make(), start_s + index / fps, False
        raise Trouble("ended", "The made camera ended.")

    return run


def hangs(event, before=(), after=()):
    """Gives some pictures, then waits for an event."""

    def run():
        yield from before
        event.wait(20)
        yield from after

    return run


def collect(reader, seconds):
    """What the feed gives in so much time."""
    end, found = time.monotonic() + seconds, []
    while time.monotonic() < end:
        if (frame := reader.feed.take()) is not None:
            found.append(frame)
        time.sleep(0.002)
    return found


# ---- states


def test_it_says_what_it_does(start):
    reader = start(connecting=Made(steady(20), hangs(threading.Event())))
    assert until(lambda: reader.status().state is State.DOWN)
    status = reader.status()
    assert status.camera == "gate"
    assert (status.width, status.height) == (64, 48)
    assert status.frames == 20
    assert status.fps == pytest.approx(50, rel=0.05)
    assert (status.why, status.words) == ("ended", "The made camera ended.")
    reader.stop()
    news = reader.news()
    found = [(status.state, status.why) for status in news]
    assert found[0] == (State.OPENING, None)
    assert found[1:4] == [(State.RUNNING, None), (State.RUNNING, None), (State.DOWN, "ended")]
    assert [status.fps for status in news[1:3]] == [0, pytest.approx(50, rel=0.05)]
    assert found[-1] == (State.STOPPED, None)
    assert reader.news() == []


def states(event):
    return {
        "opening": (Made(hangs(event)), State.OPENING),
        "running": (Made(steady()), State.RUNNING),
        "hanging": (Made(hangs(event, [(picture(), 0.0, False)])), State.RUNNING),
        "backing off": (Made(steady(0)), State.DOWN),
    }


@pytest.mark.parametrize("name", states(None))
def test_it_stops_in_every_state(start, again, name):
    made, state = states(again)[name]
    reader = start(connecting=made, timeout_s=30, silent_s=30, retry_s=30, retry_cap_s=30)
    assert until(lambda: reader.status().state is state)
    began = time.monotonic()
    reader.stop()
    assert time.monotonic() - began < 1.5
    assert reader.status().state is State.STOPPED
    reader.stop()
    assert reader.done
    again.set()
    assert until(lambda: not threads())


def test_stopped_before_it_began_it_stays_so():
    reader = Reader("gate", "camera", ReaderConfig(**QUICK), connecting=Made(steady()))
    assert reader.status().state is State.NOT_STARTED
    reader.stop()
    reader.start()
    assert reader.status().state is State.STOPPED
    assert not threads()


def test_stopped_just_before_it_connects_it_does_not():
    made = Made(steady())
    reader = Reader("gate", "camera", ReaderConfig(**QUICK), connecting=made)
    reader.stop()
    assert reader._begin() is None  # its thread may be here as `stop` finds nothing to leave
    time.sleep(0.05)
    assert made.connections == 0
    assert reader.status().state is State.STOPPED


def test_beginning_twice_is_beginning_once(start):
    reader = start(connecting=Made(steady()))
    reader.start()
    assert until(lambda: reader.status().state is State.RUNNING)
    assert len(threads()) == 2


# ---- what breaks


def test_a_read_that_hangs_is_left_and_another_begins(start, again):
    before = [(picture(), i / 50, False) for i in range(5)]
    after = [(picture(), 99.0, False)]
    reader = start(connecting=Made(hangs(again, before, after), steady()))
    began = time.monotonic()
    assert until(lambda: reader.status().state is State.DOWN)
    assert reader.status().why == "silent"
    assert time.monotonic() - began < QUICK["silent_s"] + 0.5
    assert until(lambda: reader.status().state is State.RUNNING)
    assert reader.status().left == 1
    assert len(threads()) == 3
    reader.feed.take()
    again.set()
    assert until(lambda: reader.status().left == 0)
    stamps = [frame.pts_s for frame in collect(reader, 0.3)]
    assert max(b - a for a, b in pairwise(stamps)) < 0.3  # what it read in the end came to nobody


def test_an_open_that_hangs_is_left(start, again):
    reader = start(connecting=Made(hangs(again), steady()))
    assert until(lambda: reader.status().state is State.DOWN)
    assert reader.status().why == "timeout"
    assert until(lambda: reader.status().state is State.RUNNING)


def test_no_more_than_a_few_hang_at_a_time(start, again, monkeypatch):
    monkeypatch.setattr(judge, "GRACE_S", 0.0)
    made = Made(hangs(again))
    reader = start(connecting=made, timeout_s=0.1, retry_cap_s=0.05)
    assert until(lambda: reader.status().left == MOST_LEFT)
    time.sleep(0.4)
    assert made.connections == MOST_LEFT
    assert len(threads()) == MOST_LEFT + 1
    status = reader.status()
    assert (status.state, status.why) == (State.DOWN, "timeout")
    assert "hang" in status.words
    made.scripts = [steady()]
    again.set()
    assert until(lambda: reader.status().state is State.RUNNING)
    assert reader.status().left == 0


def test_packets_without_a_picture_are_waited_for(start, again):
    """A stream whose key frame comes late."""

    def late():
        for _ in range(8):
            MadeConnection.packets += 1
            time.sleep(0.2)
        yield from steady()()

    reader = start(connecting=Made(late))
    assert until(lambda: reader.status().state is not State.OPENING)
    assert reader.status().state is State.RUNNING


def test_but_not_for_ever(start, again, monkeypatch):
    monkeypatch.setattr(judge, "FIRST_PICTURE_S", 0.8)

    def never():
        while not again.wait(0.05):
            MadeConnection.packets += 1
        yield picture(), 0.0, False

    reader = start(connecting=Made(never))
    assert until(lambda: reader.status().state is State.DOWN)
    assert reader.status().why == "codec_unsupported"
    assert until(lambda: reader.status().left == 1)


def test_reads_that_succeed_with_stamps_that_stand_still_are_no_life(start):
    def stuck():
        yield picture(), 0.0, False
        at_s = 1.0
        while True:
            time.sleep(0.01)
            at_s += 0.001  # what the decoder makes of the same stamp
            yield picture(), at_s, False

    reader = start(connecting=Made(stuck, steady()))
    assert until(lambda: reader.status().why == "silent")
    status = reader.status()
    assert status.frames <= 2
    assert status.dropped["duplicate"] > 10
    assert until(lambda: reader.status().state is State.RUNNING)


def test_a_picture_that_freezes_is_down_until_it_changes(start):
    moving = threading.Event()
    moving.set()
    last = [picture()]

    def make():
        if moving.is_set():
            last[0] = picture()
        return last[0]

    made = Made(steady(make=make))
    reader = start(connecting=made, frozen_s=1.0, silent_s=5)
    assert until(lambda: len(reader._intake._freeze.changes) > 12)
    assert until(lambda: len(reader._intake._freeze.changes) >= 31, 8)
    assert reader.status().state is State.RUNNING
    moving.clear()
    assert until(lambda: reader.status().state is State.DOWN, 4)
    assert reader.status().why == "frozen"
    assert "same picture" in reader.status().words
    reader.feed.take()
    assert collect(reader, 0.5) == []
    assert made.connections >= 2
    assert reader.status().state is State.DOWN  # a new connection alone is no life
    moving.set()
    assert until(lambda: reader.status().state is State.RUNNING)
    frames = collect(reader, 0.2)
    assert frames[0].gap
    assert not any(frame.gap for frame in frames[1:])


def test_whatever_a_source_raises_it_is_tried_again(start):
    def odd():
        yield picture(), 0.0, False
        raise ZeroDivisionError(SECRET)

    reader = start(connecting=Made(odd, odd, steady()))
    assert until(lambda: reader.status().reconnects == 2)
    assert until(lambda: reader.status().state is State.RUNNING)
    words = [status.words for status in reader.news() if status.state is State.DOWN]
    assert "ZeroDivisionError" in words[0]
    assert SECRET not in words[0]


def test_a_connection_that_cannot_even_be_made_is_tried_again(start, monkeypatch):
    real, tries = module.Attempt, []

    def attempt(*args):
        tries.append(args)
        if len(tries) < 3:
            raise RuntimeError("can't start new thread")
        return real(*args)

    monkeypatch.setattr(module, "Attempt", attempt)
    reader = start(connecting=Made(steady()))
    assert until(lambda: reader.status().state is State.RUNNING)
    words = [status.words for status in reader.news() if status.state is State.DOWN]
    assert "can't start new thread" in words[0]


def test_threads_do_not_grow_over_reconnects(start):
    made = Made(steady(3, fps=200))
    reader = start(connecting=made, retry_s=0.01, retry_cap_s=0.02)
    most = 0

    def counted():
        nonlocal most
        most = max(most, len(threads()))
        return made.connections >= 12

    assert until(counted)
    assert most <= 3  # one that decides, one that reads, one that just ends
    reader.stop()
    assert not threads()


def test_waits_grow_up_to_a_cap_and_begin_anew():
    wait = Backoff(1.0, 30.0)
    found = [wait.after(0.0) for _ in range(8)]
    for value, expected in zip(found, [1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert value == pytest.approx(expected, rel=JITTER + 1e-6)
    assert wait.after(29.0) > 20  # it lived no longer than the wait before it
    assert wait.after(100.0) < 1.3
    assert len({Backoff(1, 2).after(0) for _ in range(5)}) > 1


def test_who_has_the_wrong_password_does_not_try_again_and_again():
    wait = Backoff(1.0, 30.0)
    found = [wait.after(0.0, refused=True) for _ in range(4)]
    assert max(found[:2]) < 3
    assert min(found[2:]) > 200
    assert wait.after(0.0) <= 30 * (1 + JITTER)


# ---- what is handed on


def test_index_and_clock_grow_over_reconnects(start):
    reader = start(connecting=Made(steady(10), steady(10, start_s=1000.0), steady()))
    frames = collect(reader, 1.2)
    assert reader.status().reconnects == 2
    stamps, indices = [f.pts_s for f in frames], [f.index for f in frames]
    assert indices == sorted(set(indices))
    assert stamps == sorted(set(stamps))
    assert [f.why for f in frames if f.gap] == ["start", "lost", "lost"]
    for frame in frames:  # the camera's clock is ours, whatever the streams' say
        assert frame.pts_s - stamps[0] == pytest.approx(
            frame.arrived_s - frames[0].arrived_s, abs=0.1
        )
        assert frame.t_utc - frames[0].t_utc == pytest.approx(
            frame.arrived_s - frames[0].arrived_s, abs=0.05
        )
    assert frames[-1].t_utc == pytest.approx(time.time(), abs=0.5)


def test_a_consumer_that_takes_nothing_stops_nobody(start):
    reader = start(connecting=Made(steady()))
    assert until(lambda: reader.status().frames > 20)
    time.sleep(0.5)
    status = reader.status()
    assert status.state is State.RUNNING
    assert status.dropped["newer"] == pytest.approx(status.frames, abs=2)
    assert time.monotonic() - reader.feed.waiting_s() < 0.2  # the one that waits is the newest
    assert reader.feed.take().why == "start"


def test_a_size_that_changes_is_a_gap(start):
    sizes = iter([(64, 48)] * 20 + [(128, 96)] * 10**4)
    reader = start(connecting=Made(steady(make=lambda: picture(next(sizes)))))
    frames = collect(reader, 0.8)
    assert [f.why for f in frames if f.gap] == ["start", "size"]
    assert frames[-1].image.shape == (96, 128, 3)
    assert reader.status().width == 128
    assert reader.status().reconnects == 0


def test_no_frame_comes_while_the_picture_becomes_another(start, monkeypatch):
    monkeypatch.setattr("oddframe.runtime.watch.upheaval.SETTLE_S", 0.5)
    bright = threading.Event()

    def make():
        image = picture().whole()
        return Plain(cv2.convertScaleAbs(image, alpha=0.5)) if bright.is_set() else Plain(image)

    reader = start(connecting=Made(steady(make=make)))
    before = collect(reader, 1.5)
    bright.set()
    during = collect(reader, 1.0)
    assert until(lambda: reader.status().unsettled is None)
    after = collect(reader, 0.5)
    assert not any(frame.gap for frame in before[1:])
    news = [status.unsettled for status in reader.news() if status.state is State.RUNNING]
    assert [kind for kind, before in zip(news, [0, *news], strict=False) if kind != before] == [
        None, "light", None,
    ]  # fmt: skip
    assert reader.status().dropped["unsettled"] > 10
    gaps = [frame.why for frame in during + after if frame.gap]
    assert gaps == ["changed"]
    assert len(after) > 10


def test_pixels_are_made_only_of_what_is_taken(start, tmp_path, monkeypatch):
    made = []
    convert = Converter.convert
    monkeypatch.setattr(Converter, "convert", lambda *args: made.append(args[2:]) or convert(*args))
    reader = start(str(encode(tmp_path / "a.mp4", 100, 50)), upheaval=False)
    assert until(lambda: reader.status().frames > 30)
    frame = reader.feed.take()
    assert made == []
    assert frame.at(32).shape == (32, 32, 3)
    assert made == [(32, 32)]


# ---- files


def test_a_file_in_real_time(start, tmp_path):
    reader = start(str(encode(tmp_path / "a.mp4", 50, 50)))
    began = time.monotonic()
    frames = collect(reader, 1.6)
    assert reader.status().state is State.ENDED
    assert reader.status().why is None
    assert reader.done
    assert len(frames) > 30
    for frame in frames:
        assert number_of(frame.image) == frame.index
        assert frame.pts_s == pytest.approx(frame.index / 50, abs=0.021)
        late_s = frame.arrived_s - frames[0].arrived_s - (frame.pts_s - frames[0].pts_s)
        assert -0.02 < late_s < 0.5
    assert frames[-1].arrived_s - began > 0.9


def test_a_file_as_fast_as_it_is_taken(start, tmp_path):
    reader = start(str(encode(tmp_path / "a.mp4", 60, 10)), realtime=False, begins_utc=5000.0)
    frames, began = [], time.monotonic()
    while not reader.done and time.monotonic() - began < 10:
        if (frame := reader.feed.take()) is not None:
            frames.append(frame)
        if len(frames) == 30:
            time.sleep(0.8)  # a consumer that is slow: nothing is lost, nothing hangs
            frames.append(None)
    frames.remove(None)
    assert [number_of(f.image) for f in frames] == list(range(60))
    assert time.monotonic() - began < 5
    assert {f.arrived_s for f in frames} == {None}
    assert frames[-1].t_utc == pytest.approx(5005.9)
    assert [f.index for f in frames if f.gap] == [0]
    assert reader.status().dropped == {}
    assert reader.status().state is State.ENDED


def test_pauses_of_a_file_are_not_waited_for(start, tmp_path):
    stamps = [i / 50 + 600 * (i >= 20) for i in range(40)]
    reader = start(str(encode(tmp_path / "a.mkv", stamps=stamps, rate=50)))
    frames = collect(reader, 1.5)
    assert reader.status().state is State.ENDED
    assert [f.why for f in frames if f.gap] == ["start", "lost"]


def test_a_file_that_cannot_be_decoded_in_time_loses_frames(monkeypatch):
    stopping = threading.Event()
    player, given = Player(stopping), []
    for i in range(100):
        time.sleep(0.02)  # 50 frames/s at best, of 200
        given.append(player.in_time(i / 200 - i * 0.004, False) if i < 5 else
                     player.in_time(i / 200 - 1.0, False))  # fmt: skip
    assert not all(given)
    assert sum(given[5:]) >= 10  # but something is seen all the time
    stopping.set()
    assert not player.in_time(100.0, False)


def test_a_folder_of_videos_is_one_camera(start, tmp_path):
    for name, first in (("day-2.mp4", 20), ("day-10.mp4", 40), ("day-1.mp4", 0)):
        encode(tmp_path / name, 20, 25, first=first)
    (tmp_path / "day-3.mp4").write_bytes(b"no video at all")
    (tmp_path / "notes.txt").write_text("x")
    reader = start(str(tmp_path), realtime=False)
    frames, began = [], time.monotonic()
    while not reader.done and time.monotonic() - began < 10:
        if (frame := reader.feed.take()) is not None:
            frames.append(frame)
    assert [number_of(f.image) for f in frames] == list(range(60))
    assert [f.index for f in frames if f.gap] == [0, 20, 40]
    assert [f.why for f in frames if f.gap] == ["start", "lost", "lost"]
    stamps = [f.pts_s for f in frames]
    assert stamps == sorted(set(stamps))
    assert (reader.status().state, reader.status().why) == (State.ENDED, None)
    assert "day-3.mp4" in reader.status().words


def test_a_folder_of_videos_of_which_none_can_be_read(start, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"no video at all")
    reader = start(str(tmp_path))
    assert until(lambda: reader.status().state is State.ENDED)
    assert reader.status().why == "codec_unsupported"


def test_a_folder_of_frames(start, make_frames, tmp_path):
    reader = start(str(make_frames(tmp_path / "f", frames=5)), realtime=False, fps=10.0)
    frames = []
    while not reader.done:
        if (frame := reader.feed.take()) is not None:
            frames.append(frame)
    assert [round(f.pts_s, 3) for f in frames] == [0, 0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("realtime", [True, False])
def test_a_file_that_is_not_there_or_no_video_is_said_and_over(start, tmp_path, realtime):
    reader = start(str(tmp_path / "no.mp4"), realtime=realtime)
    assert until(lambda: reader.status().state is State.ENDED)
    assert reader.status().why == "not_found"
    (tmp_path / "bad.mp4").write_bytes(b"x" * 100)
    reader = start(str(tmp_path / "bad.mp4"), realtime=realtime)
    assert until(lambda: reader.status().state is State.ENDED)
    assert reader.status().why == "codec_unsupported"
    assert "bad.mp4" in reader.status().words


def test_a_file_on_a_disk_that_hangs_is_given_up(start, tmp_path, again, monkeypatch):
    path = encode(tmp_path / "a.mp4", 10, 50)
    real = module.Footage.pictures

    def stuck(self):
        for count, seen in enumerate(real(self)):
            if count == 5:
                again.wait(20)
            yield seen

    monkeypatch.setattr(module.Footage, "pictures", stuck)
    reader = start(str(path))
    assert until(lambda: reader.status().state is State.ENDED)
    assert (reader.status().why, reader.status().frames) == ("timeout", 5)


def test_settings_out_of_range_and_streams_of_no_known_kind():
    with pytest.raises(ConfigError, match="silent_s"):
        ReaderConfig.read({"silent_s": 0})
    with pytest.raises(SourceError, match="not known") as error:
        Reader("gate", f"gopher://u:{SECRET}@h/x", ReaderConfig())
    assert SECRET not in str(error.value)


# ---- devices


class FakeCapture:
    """A driver that gives so many frames and then blocks."""

    def __init__(self, frames, event):
        self.left, self.event = frames, event

    def isOpened(self):
        return True

    def read(self):
        if not self.left:
            self.event.wait(20)
            return False, None
        self.left -= 1
        time.sleep(0.01)
        return True, picture().whole()

    def get(self, prop):
        return 0.0

    def release(self):
        pass


def test_a_webcam_whose_driver_hangs_is_opened_again(start, again, monkeypatch):
    captures = iter([FakeCapture(10, again), FakeCapture(10**6, again)])
    monkeypatch.setattr(live.cv2, "VideoCapture", lambda *_: next(captures))
    reader = start("0")
    assert until(lambda: reader.status().why == "silent")
    assert until(lambda: reader.status().state is State.RUNNING)
    assert reader.status().left == 1
    assert reader.status().source == "0"


def test_a_webcam_that_is_not_there(start):
    reader = start(97)
    assert until(lambda: reader.status().state is State.DOWN)
    assert reader.status().why == "not_found"


# ---- networks


class Mjpeg(http.server.BaseHTTPRequestHandler):
    """A camera of motion JPEG: /video, with a password if the server has one."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        want = self.server.password
        given = self.headers.get("Authorization", "")
        if want and given != "Basic " + base64.b64encode(f"u:{want}".encode()).decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        if self.path != "/video":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            while self.server.mode != "dead":
                time.sleep(1 / 20)
                if self.server.mode == "mute":
                    continue
                data = cv2.imencode(".jpg", picture().whole())[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
        except OSError:
            pass


@pytest.fixture
def mjpeg():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg)
    server.password, server.mode, server.daemon_threads = "", "", True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.mode = "dead"
    server.shutdown()
    server.server_close()


def test_motion_jpeg_over_http(start, mjpeg):
    reader = start(f"http://127.0.0.1:{mjpeg.server_port}/video", timeout_s=3, silent_s=1)
    assert until(lambda: reader.status().state is State.RUNNING)
    frames = collect(reader, 1.0)
    assert 10 < len(frames) < 25
    # Stamps are those of arrival: FFmpeg's own would be of 25 frames/s.
    for frame in frames:
        passed_s = frame.arrived_s - frames[0].arrived_s
        assert frame.pts_s - frames[0].pts_s == pytest.approx(passed_s, abs=0.05)
    mjpeg.mode = "mute"
    assert until(lambda: reader.status().state is State.DOWN)
    assert reader.status().why == "silent"
    mjpeg.mode = ""
    assert until(lambda: reader.status().state is State.RUNNING, 8)


@pytest.mark.parametrize(
    ("user", "path", "why"),
    [(f"u:{SECRET}x", "video", "auth_failed"), (f"u:{SECRET}", "nothing", "not_found"),
     (f"u:{SECRET}", "video", None)],
    ids=["wrong password", "wrong path", "right"],
)  # fmt: skip
def test_passwords_of_http(start, mjpeg, user, path, why):
    mjpeg.password = SECRET
    reader = start(f"http://{user}@127.0.0.1:{mjpeg.server_port}/{path}", timeout_s=3, silent_s=3)
    assert until(lambda: reader.status().state is not State.OPENING)
    status = reader.status()
    assert status.why == why
    assert status.state is (State.RUNNING if why is None else State.DOWN)
    assert SECRET not in f"{status}{reader.news()}"


def test_a_server_that_accepts_and_never_answers(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        reader = start(f"rtsp://u:{SECRET}@127.0.0.1:{port}/1")
        began = time.monotonic()
        assert until(lambda: reader.status().state is State.DOWN)
        assert time.monotonic() - began < 2
        status = reader.status()
        assert status.why == "timeout"
        assert SECRET not in status.words
        assert str(port) in status.words
        assert until(lambda: reader.status().reconnects >= 2)
        reader.stop()
        assert until(lambda: not threads())


@pytest.mark.parametrize(
    "address", ["rtsp://u:{}@127.0.0.1:9/1", "rtsp://u:{}@no-such-host.invalid/1"]
)
def test_nobody_there(start, address):
    reader = start(address.format(SECRET), timeout_s=5)
    assert until(lambda: reader.status().state is State.DOWN, 8)
    assert reader.status().why == "connection_failed"
    assert SECRET not in reader.status().words
