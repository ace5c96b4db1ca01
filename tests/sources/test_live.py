"""Cameras and streams: read to their newest frame, never taken for a file that is over."""

import socket
import struct
import threading
import time
import warnings
from pathlib import Path

import av
import numpy as np
import pytest

from encoded import encode, number_of
from oddframe.data import open_dataset
from oddframe.errors import OddframeError, OddframeWarning, SourceError
from oddframe.pictures import Plain
from oddframe.runs import load_run
from oddframe.sources import Reading, connection, live, open_as, open_source
from oddframe.sources.urls import safe, shown

FPS = 50


@pytest.fixture
def serve():
    """`serve(data, seconds, hold_s=0)`: an address that sends `data` over that time, then waits
    for `hold_s` and hangs up."""
    stop = threading.Event()
    threads = []

    def start(data, seconds, hold_s=0.0, pieces=200):
        server = socket.create_server(("127.0.0.1", 0))

        def run():
            server.settimeout(10)
            try:
                peer, _ = server.accept()
            except OSError:
                return
            size = -(-len(data) // pieces)
            began = time.monotonic()
            with peer:
                for i in range(pieces):
                    if stop.wait(max(0, began + i * seconds / pieces - time.monotonic())):
                        return
                    try:
                        peer.sendall(data[i * size : (i + 1) * size])
                    except OSError:
                        return
                stop.wait(hold_s)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        threads.append((thread, server))
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"

    yield start
    stop.set()
    for thread, server in threads:
        server.close()
        thread.join(2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """300 frames at 50 frames/s, as a transport stream."""
    path = encode(tmp_path_factory.mktemp("live") / "a.ts", 300, FPS, gop=10)
    return path.read_bytes()


def until_it_ends(frames, match):
    """The frames until the error that must come."""
    seen = []

    def read():
        for frame in frames:
            seen.append(frame)  # what came before the error counts

    with pytest.raises(SourceError, match=match):
        read()
    return seen


def test_a_slow_consumer_gets_the_newest_frame(serve, clip):
    with open_source(serve(clip, 6.0), timeout_s=5) as source:
        assert source.live
        seen, ages, began = [], [], time.monotonic()
        for frame in source:
            seen.append(number_of(frame.image))
            ages.append(time.monotonic() - frame.arrived_s)
            time.sleep(0.1)  # 10 frames/s at best, of 50
            if time.monotonic() - began > 3.5:
                break
        dropped = source.dropped
    assert seen == sorted(set(seen))
    assert 10 < len(seen) < 40
    assert dropped > 2 * len(seen)
    assert seen[-1] > 60  # near the newest: of 175 sent, less what the decoder holds back
    assert max(ages[1:]) < 0.2


def test_frame_numbers_and_times_count_what_was_dropped(serve, clip):
    with open_source(serve(clip, 3.0), timeout_s=5) as source:
        for frame in source:
            assert frame.pts_s == pytest.approx(frame.index / FPS, abs=0.021)
            time.sleep(0.2)
            if frame.index > 50:
                break
        assert not frame.gap


def test_a_stream_that_ends_is_lost_and_not_over(serve, clip):
    with open_source(serve(clip, 0.5), timeout_s=5) as source:
        with pytest.raises(SourceError, match=r"^tcp://127\.0\.0\.1:\d+ ended after 300 frames"):
            for _ in source:
                pass
        with pytest.raises(SourceError, match="ended"):
            next(iter(source))


def test_a_stream_that_falls_silent_is_lost(serve, clip):
    with open_source(serve(clip[: len(clip) // 2], 0.5, hold_s=20), timeout_s=1.0) as source:
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"gave no picture within 1 s|was lost after"):
            for _ in source:
                pass
        assert time.monotonic() - began < 8


def test_damage_in_a_stream_is_not_its_end(serve, clip):
    data = bytearray(clip)
    at = len(data) // 2 // 188 * 188
    data[at : at + 188 * 12] = np.random.default_rng(0).bytes(188 * 12)
    with open_source(serve(bytes(data), 1.0), timeout_s=5) as source:
        frames = until_it_ends(source, "ended after")
    assert number_of(frames[-1].image) > 290


def test_closing_ends_the_thread(serve, clip):
    source = open_source(serve(clip, 5.0), timeout_s=5)
    next(iter(source))
    source.close()
    source.close()
    source._thread.join(3)
    assert not source._thread.is_alive()
    with pytest.raises(SourceError, match="closed"):
        iter(source)


def test_nothing_answers():
    with pytest.raises(SourceError, match="cannot be opened") as error:
        open_source("rtsp://admin:secret@127.0.0.1:9/x", timeout_s=2)
    assert "secret" not in str(error.value)


def test_a_server_that_never_says_a_word(serve):
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"gave no picture within 1 s|nothing answered"):
        open_source(serve(b"", 0.0, hold_s=20), timeout_s=1)
    assert time.monotonic() - began < 6


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "address",
    [
        f"rtsp://admin:{SECRET}@10.0.0.5:554/stream1",
        f"rtsp://admin:{SECRET}@home@10.0.0.5/stream1",
        f"rtsp://admin:a/{SECRET}@10.0.0.5/stream1",
        f"rtsp://admin:a@b/{SECRET}@10.0.0.5/stream1",
        f"rtsp://10.0.0.5/user=admin&password={SECRET}&channel=1&stream=0.sdp?real_stream",
        f"rtsp://10.0.0.5/cam/realmonitor?channel=1&pwd={SECRET}",
        f"http://10.0.0.5/{SECRET}/video.mjpg",
        f"http://10.0.0.5?token={SECRET}",
        f"http://10.0.0.5#{SECRET}",
        f"rtmp://10.0.0.5/live/{SECRET}?key={SECRET}#{SECRET}",
        f"rtspt://admin:{SECRET}@10.0.0.5/1",
        f"ftp://10.0.0.5/{SECRET}",
        f"RTSP://admin:{SECRET}#1@10.0.0.5:554",
    ],
)
def test_passwords_are_never_shown(address):
    assert SECRET not in shown(address)
    assert "10.0.0.5" in shown(address)
    assert address.split(":")[0].lower() in shown(address)
    assert shown(address) != shown(address.replace(SECRET, "other"))  # two streams, two names


@pytest.mark.parametrize(
    "address",
    [
        f"rtsp://admin:{SECRET}", f"rtsp://{SECRET}:x", f"tcp://10.0.0.5:{SECRET}",
        f"http://[{SECRET}/x", f" rtsp://u:{SECRET}@h/x", f"rtsp:/u:{SECRET}@h/x",
        f"rtsp:u:{SECRET}@h/x", f"rtsp//u:{SECRET}@h/x", f"rtsp ://u:{SECRET}@h/x",
        f"//u:{SECRET}@h/x", f"rtsp:\\\\u:{SECRET}@h\\x", f"u:{SECRET}@h:554/x",
        f"RTSPS:/10.0.0.5/live?pwd={SECRET}",
    ],
)  # fmt: skip
def test_nor_those_of_addresses_that_are_mistyped(address, tmp_path):
    assert SECRET not in safe(address)
    for taken in (open_source, open_dataset, load_run):
        for text in (address, Path(address)):
            with pytest.raises(OddframeError) as error:
                taken(text)
            assert SECRET not in str(error.value), taken


def test_paths_are_shown_as_they_are():
    for path in ("a@b.mp4", "C:/clips/a.mp4", "clips/http.mp4", "./x:y", "/srv/user@host/a.mp4"):
        assert safe(path) == path


def test_what_hides_nothing_is_shown_whole():
    assert shown("tcp://127.0.0.1:5000") == "tcp://127.0.0.1:5000"
    assert shown("rtsp://camera/") == "rtsp://camera"


def test_unknown_kind_of_stream_hides_its_password_too():
    with pytest.raises(SourceError, match="rtspt:// are not known") as error:
        open_source(f"rtspt://admin:{SECRET}@host/clip")
    assert SECRET not in str(error.value)


# ---- cameras by index


def test_cameras_by_index_or_digits():
    for spec in (97, "97"):
        with pytest.raises(SourceError, match="Camera 97 cannot be opened"):
            open_source(spec)


def test_digits_that_exist_are_a_folder(make_frames, tmp_path, monkeypatch):
    make_frames(tmp_path / "01", frames=2)
    monkeypatch.chdir(tmp_path)
    assert open_source("01").info.frames == 2


class FakeCapture:
    """A driver that gives so many frames, one every 10 ms, and then fails or blocks."""

    def __init__(self, frames, blocks=False):
        self.left, self.blocks = frames, blocks

    def isOpened(self):
        return True

    def read(self):
        if not self.left and self.blocks:
            time.sleep(30)
        if not self.left:
            return False, None
        self.left -= 1
        time.sleep(0.01)
        return True, np.full((8, 8, 3), self.left, np.uint8)

    def get(self, prop):
        return 100.0

    def release(self):
        pass


def test_a_camera_is_read_to_its_newest_frame(monkeypatch):
    monkeypatch.setattr(live.cv2, "VideoCapture", lambda *_: FakeCapture(60))
    with open_source(0) as source:
        frames = iter(source)
        first = next(frames)
        time.sleep(0.2)
        second = next(frames)
        rest = [second, *until_it_ends(frames, "Camera 0 gives no more pictures")]
    assert first.index < second.index
    assert second.index - first.index > 5
    stamps = [f.pts_s for f in rest]
    assert stamps == sorted(set(stamps))
    assert source.dropped > 5


def test_a_camera_that_blocks_does_not_block_its_consumer(monkeypatch):
    monkeypatch.setattr(live.cv2, "VideoCapture", lambda *_: FakeCapture(5, blocks=True))
    with open_source(0, timeout_s=0.5) as source:
        assert until_it_ends(source, r"within 0\.5 s")


# ---- sources that end


class Slow(live.LiveSource):
    """A camera with a picture every 20 ms, the first one after a while."""

    def __init__(self, first_s, timeout_s, known):
        """known: a list that it enters itself into, whether it opens or not."""
        self.first_s, self.taken, self.over = first_s, 0, threading.Event()
        known.append(self)
        super().__init__("slow", timeout_s)

    def _pictures(self):
        time.sleep(self.first_s)
        try:
            while self.taken < 200:
                self.taken += 1
                yield Plain(np.full((8, 8, 3), self.taken, np.uint8)), 0.02 * self.taken, False
                time.sleep(0.02)
            time.sleep(0.3)
        finally:
            self.over.set()

    def _rate(self):
        return 50.0


class Unsaid(Slow):
    """A camera of which nobody says the rate."""

    def _rate(self):
        return self.said

    def __init__(self, said, taken=0):
        self.said, self.first = said, taken
        super().__init__(0.0, 2.0, [])  # it waits so long where the machine has other things to do

    def _pictures(self):
        self.taken = self.first
        return super()._pictures()


@pytest.mark.parametrize("said", [0.0, -1.0, 1e6, float("nan")])
def test_a_rate_that_nobody_says_is_measured(said):
    with Unsaid(said) as source:
        assert (source.info.fps, source.info.assumed) == (pytest.approx(50), False)
        assert next(iter(source)).index >= live.MEASURED


def test_a_rate_that_nobody_can_know_is_assumed():
    with Unsaid(0.0, taken=199) as source:  # one picture, and silence
        assert (source.info.fps, source.info.assumed) == (25.0, True)


def test_stamps_that_are_made_up_say_no_rate(tmp_path):
    for name, codec, fps in (("a.mjpeg", "mjpeg", 0.0), ("a.mkv", "libx264", 10.0)):
        stream = live.Stream("tcp://127.0.0.1:9", 5)
        stream._address = f"file:{encode(tmp_path / name, 6, 10, codec)}"
        next(stream.pictures())
        assert stream.fps == fps


def test_a_source_that_does_not_open_lets_go_of_its_camera():
    known = []
    with pytest.raises(SourceError, match=r"gave no picture within 0\.05 s"):
        Slow(first_s=0.15, timeout_s=0.05, known=known)
    assert known[0].over.wait(2)
    assert known[0].taken == 1


def test_closing_while_somebody_waits_ends_the_iteration():
    source = Slow(first_s=0.0, timeout_s=5, known=[])
    source.taken = 10**6  # no more pictures for .3 s
    threading.Timer(0.05, source.close).start()
    assert len(list(source)) <= 2


def test_a_stream_of_a_camera_that_is_held_sideways(tmp_path):
    path = encode(tmp_path / "a.mp4", 3, size=(64, 48))
    one, end = 1 << 16, 1 << 30
    plain = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, end)
    turned = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, end)
    before, head, track = path.read_bytes().partition(b"tkhd")
    path.write_bytes(before + head + track.replace(plain, turned, 1))
    stream = live.Stream("tcp://127.0.0.1:9", 5)
    stream._address = f"file:{path}"
    picture, _, _ = next(stream.pictures())
    with open_source(path) as source:
        wanted = next(iter(source)).image
    assert picture.size == (source.info.width, source.info.height) == (48, 64)
    np.testing.assert_array_equal(picture.whole(), wanted)


# ---- more than 8 bits


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """20 pictures of a thermal camera at 10 frames/s: 30400 above 30000."""
    path = tmp_path_factory.mktemp("deep") / "a.mkv"
    image = np.full((48, 64), 30000, np.uint16)
    image[:24] = 30400
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for _ in range(20):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="gray16le")))
        out.mux(stream.encode(None))
    return path


def test_a_stream_is_scaled_by_the_range_of_a_run(deep, serve):
    used = (29000, 31000)
    with open_as(deep, Reading(used=used)) as source:
        wanted = next(iter(source)).image
    assert np.unique(wanted).tolist() == [128, 178]
    connected = connection("tcp://127.0.0.1:9", Reading(used=used))
    for stream in (connected, live.Stream("tcp://127.0.0.1:9", 5, used=used)):
        stream._address = f"file:{deep}"  # as it would come
        picture, _, _ = next(stream.pictures())
        np.testing.assert_array_equal(picture.whole(), wanted)
    with open_source(serve(deep.read_bytes(), 0.1, hold_s=5), used=used) as source:
        np.testing.assert_array_equal(next(iter(source)).image, wanted)


def test_a_range_that_is_known_later_holds_for_what_waits(deep, serve):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_source(serve(deep.read_bytes(), 0.1, hold_s=5), timeout_s=5) as source:
            assert (source.info.width, source.info.height) == (64, 48)
            source.scale_by((29000, 31000))
            assert np.unique(next(iter(source)).image).tolist() == [128, 178]


def test_a_stream_of_which_nobody_knows_the_range_is_said(deep, serve):
    with open_source(serve(deep.read_bytes(), 0.1, hold_s=5), timeout_s=5) as source:
        with pytest.warns(OddframeWarning, match=r"^tcp://.*more than 8 bits.*used=\(LOW, HIGH\)"):
            frame = next(iter(source)).image
        assert np.ptp(frame) < 4
