"""RTSP from a real server (gst-rtsp-server), which is killed, stopped, frozen, muted, restarted."""

import contextlib
import queue
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from oddframe.runtime.watch.feed import Bell
from oddframe.runtime.watch.reader import Reader, ReaderConfig
from oddframe.runtime.watch.status import State

SERVER = Path(__file__).with_name("rtsp_server.py")
PYTHON = "/usr/bin/python3"
SECRET = "s3cr3t"
NEEDS = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
import sys
sys.exit(not all(map(Gst.ElementFactory.find, ("x264enc", "rtph264pay", "appsrc"))))
"""


@pytest.fixture(scope="module", autouse=True)
def _installed():
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        if not subprocess.run([PYTHON, "-c", NEEDS], capture_output=True, timeout=30).returncode:
            return
    pytest.skip(
        "no gst-rtsp-server: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi "
        "gstreamer1.0-plugins-{base,good,bad,ugly}"
    )


class Server:
    """The helper program."""

    def __init__(self, *options, port=0):
        self.options, self.port = [str(o) for o in options], port
        self.begin()

    def begin(self):
        self.process = subprocess.Popen(
            [PYTHON, str(SERVER), "--port", str(self.port), *self.options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True).start()
        word, port = self.lines.get(timeout=20).split()
        assert word == "ready"
        self.port = int(port)

    def _listen(self, output):
        for line in output:
            self.lines.put(line.strip())

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self.lines.get(timeout=10) == f"done {command.split()[0]}"

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()

    def address(self, user=""):
        return f"rtsp://{user}127.0.0.1:{self.port}/live"


@pytest.fixture
def serve():
    servers = []

    def begin(*options):
        servers.append(Server("--gop", 8, *options))
        return servers[-1]

    yield begin
    for server in servers:
        if server.process.poll() is None:
            server.kill()


class Watched:
    """A reader whose frames are taken as they come, by a thread."""

    def __init__(self, address, **settings):
        quick = {"timeout_s": 2.0, "silent_s": 1.0, "frozen_s": 0.0, "retry_s": 0.2}
        config = ReaderConfig(**{**quick, "retry_cap_s": 1.0, **settings})
        self.bell = Bell()
        self.reader = Reader("gate", address, config, self.bell)
        self.frames, self.over = [], False
        self.thread = threading.Thread(target=self._take, daemon=True)
        self.reader.start()
        self.thread.start()

    def _take(self):
        while not self.over:
            self.bell.wait(0.1)
            if (frame := self.reader.feed.take()) is not None:
                self.frames.append(frame)

    def until(self, state, timeout_s, why=None):
        """Wait for a state; gives the seconds that it took, and what is said then."""
        began = time.monotonic()
        while time.monotonic() - began < timeout_s:
            status = self.reader.status()
            if status.state is state and (why is None or status.why == why):
                return time.monotonic() - began, status
            time.sleep(0.02)
        raise AssertionError(f"not {state} within {timeout_s} s: {self.reader.status()}")

    def stop(self):
        began = time.monotonic()
        self.reader.stop()
        took_s = time.monotonic() - began
        self.over = True
        self.thread.join(2)
        return took_s


@pytest.fixture
def watch():
    watched = []

    def begin(address, **settings):
        watched.append(Watched(address, **settings))
        return watched[-1]

    yield begin
    for one in watched:
        assert one.stop() < 2


def threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("oddframe-read")]


def test_frames_come_as_they_are_made(serve, watch):
    seen = watch(serve().address())
    seen.until(State.RUNNING, 10)
    time.sleep(2)
    frames = [f for f in seen.frames if f.arrived_s > seen.frames[0].arrived_s + 0.5]
    assert 20 <= len(frames) <= 40  # of 20 a second
    assert frames[0].image.shape == (120, 160, 3)
    stamps = [f.pts_s for f in frames]
    assert stamps == sorted(set(stamps))
    assert not any(f.gap for f in frames)
    assert seen.reader.status().fps == pytest.approx(20, rel=0.1)
    passed_s = frames[-1].arrived_s - frames[0].arrived_s
    assert stamps[-1] - stamps[0] == pytest.approx(passed_s, abs=0.2)


def test_a_server_that_is_killed_and_comes_back(serve, watch):
    server = serve()
    seen = watch(server.address())
    seen.until(State.RUNNING, 10)
    time.sleep(0.5)
    server.kill()
    took_s, status = seen.until(State.DOWN, 3)
    assert took_s < 1.5
    assert status.why in ("ended", "connection_failed")
    seen.until(State.DOWN, 3, "connection_failed")
    before = len(seen.frames)
    server.begin()
    seen.until(State.RUNNING, 8)
    time.sleep(0.5)
    after = seen.frames[before:]
    assert (after[0].gap, after[0].why) == (True, "lost")
    assert after[0].pts_s > seen.frames[before - 1].pts_s
    assert after[0].index > seen.frames[before - 1].index
    assert seen.reader.status().reconnects >= 1


def test_a_server_that_hangs_and_goes_on(serve, watch):
    server = serve()
    seen = watch(server.address())
    seen.until(State.RUNNING, 10)
    server.send(signal.SIGSTOP)
    took_s, status = seen.until(State.DOWN, 3)
    assert took_s < 2
    assert status.why == "silent"
    seen.until(State.DOWN, 6, "timeout")  # it accepts, and does not answer
    server.send(signal.SIGCONT)
    seen.until(State.RUNNING, 10)
    assert seen.reader.status().left <= 2


def test_a_server_that_freezes_is_not_alive(serve, watch):
    """The same picture with stamps that go on, in H.264, whose key frames are coded anew."""
    server = serve()
    seen = watch(server.address(), frozen_s=1.0)
    seen.until(State.RUNNING, 10)
    time.sleep(3.5)  # until its noise is known
    server.say("freeze")
    took_s, status = seen.until(State.DOWN, 8)
    assert took_s > 0.9
    assert status.why == "frozen"
    before = len(seen.frames)
    time.sleep(1.5)
    assert len(seen.frames) <= before + 1
    assert seen.reader.status().state is State.DOWN
    server.say("go")
    seen.until(State.RUNNING, 8)
    time.sleep(0.3)
    assert seen.frames[before + 1].gap or seen.frames[before].gap


def test_a_server_that_sends_no_more_pictures(serve, watch):
    server = serve()
    seen = watch(server.address())
    seen.until(State.RUNNING, 10)
    server.say("mute")
    took_s, status = seen.until(State.DOWN, 4)
    assert took_s < 2
    assert status.why == "silent"
    server.say("go")
    seen.until(State.RUNNING, 10)


def test_another_size_and_another_rate_in_the_same_stream(serve, watch):
    server = serve()
    seen = watch(server.address(), silent_s=3)
    seen.until(State.RUNNING, 10)
    time.sleep(0.5)
    server.say("size 320 240")
    time.sleep(1.5)
    assert seen.frames[-1].image.shape == (240, 320, 3)
    changed = [f.why for f in seen.frames if f.gap]
    assert changed == ["start", "size"]
    server.say("rate 3")  # a camera at night: three pictures a second are no pauses
    time.sleep(3.5)
    count = len(seen.frames)
    time.sleep(1.5)
    late = seen.frames[count:]
    assert 3 <= len(late) <= 7
    assert not any(f.gap for f in late)
    assert seen.reader.status().fps == pytest.approx(3, rel=0.2)
    assert seen.reader.status().reconnects == 0


@pytest.mark.slow
def test_ten_reconnects_leave_nothing_behind(serve, watch):
    server = serve()
    seen = watch(server.address(), retry_s=0.05, retry_cap_s=0.1)
    seen.until(State.RUNNING, 10)
    for count in range(1, 11):
        server.say("hang_up")
        seen.until(State.DOWN, 5)
        seen.until(State.RUNNING, 10)
        assert seen.reader.status().reconnects >= count
        assert len(threads()) <= 3
    assert seen.stop() < 2
    assert threads() == []


@pytest.mark.parametrize("password", [SECRET, SECRET + "x"], ids=["right", "wrong"])
def test_passwords(serve, watch, password):
    server = serve("--user", "u", "--password", SECRET)
    seen = watch(server.address(f"u:{password}@"))
    if password == SECRET:
        seen.until(State.RUNNING, 10)
    else:
        _, status = seen.until(State.DOWN, 10)
        assert status.why == "auth_failed"
        assert SECRET not in f"{status}{seen.reader.news()}"


def test_a_path_that_is_not_there(serve, watch):
    seen = watch(serve().address().replace("/live", "/dead"))
    _, status = seen.until(State.DOWN, 10)
    assert status.why == "not_found"


def test_motion_jpeg_over_rtsp(serve, watch):
    seen = watch(serve("--codec", "jpeg").address())
    seen.until(State.RUNNING, 10)
    time.sleep(0.5)
    assert seen.frames[-1].image.shape == (120, 160, 3)


def test_by_udp_where_it_is_asked_for(serve, watch):
    seen = watch(serve().address(), transport="udp")
    seen.until(State.RUNNING, 10)


def test_stopping_while_a_server_hangs(serve, watch):
    server = serve()
    seen = watch(server.address(), silent_s=30, timeout_s=30)
    seen.until(State.RUNNING, 10)
    server.send(signal.SIGSTOP)
    time.sleep(0.5)
    assert seen.stop() < 2
    assert seen.reader.status().state is State.STOPPED


def test_stopping_before_a_server_answers(watch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = watch(f"rtsp://127.0.0.1:{server.getsockname()[1]}/1", timeout_s=30)
        time.sleep(0.3)
        assert seen.stop() < 2
