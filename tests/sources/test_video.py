"""Video files, cameras and streams: clocks, counts, and damaged files."""

import struct

import cv2
import numpy as np
import pytest

from oddframe.errors import SourceError
from oddframe.sources import count_frames, frame_hint, open_source, video
from oddframe.sources.base import valid_fps
from oddframe.sources.container import skipped_seconds


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_frames_of_a_file(make_video, tmp_path, suffix):
    path = make_video(tmp_path / f"clip{suffix}", frames=15, fps=10.0)
    with open_source(path) as source:
        frames = list(source)
        again = list(source)
    assert source.info.frames is None  # a container's count is no certainty
    assert frame_hint(source) == 15
    assert [f.index for f in frames] == list(range(15))
    assert [f.pts_s for f in frames] == pytest.approx([i / 10 for i in range(15)])
    assert frames[0].image.shape == (48, 64, 3)
    assert frames[0].image.dtype == np.uint8
    assert (frames[3].image == again[3].image).all()
    assert count_frames(path) == 15
    assert (source.info.name, source.info.width, source.info.height) == ("clip", 64, 48)


def test_fps_is_not_rounded(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4", fps=29.97)
    assert open_source(str(path)).info.fps == pytest.approx(29.97, abs=1e-3)


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e5, float("nan"), float("inf")])
def test_nonsense_fps_becomes_25(fps):
    assert valid_fps(fps) == 25.0


def test_a_closed_source_says_so(make_video, tmp_path):
    source = open_source(make_video(tmp_path / "a.avi"))
    source.close()
    source.close()
    with pytest.raises(SourceError, match="closed"):
        iter(source)


def test_absent_path(tmp_path):
    with pytest.raises(SourceError, match=r"nothing\.mp4 does not exist.*Expected a video file"):
        open_source(tmp_path / "nothing.mp4")


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"hello, world\n" * 300, "no video that FFmpeg knows"), (b"", "file is empty")],
    ids=["text", "empty"],
)
def test_not_a_video(tmp_path, content, found, capfd):
    path = tmp_path / "a.avi"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=found):
        open_source(path)
    assert capfd.readouterr().err == ""


def test_an_mp4_without_its_index(make_video, tmp_path, capfd):
    path = make_video(tmp_path / "a.mp4", frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="without a readable index"):
        open_source(path)
    assert "OpenCV" not in capfd.readouterr().err


def test_a_file_cut_in_its_data_names_both_numbers(make_video, tmp_path):
    path = make_video(tmp_path / "a.avi", frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match=r"declares 60 frames, but only \d+ can") as error:
        list(open_source(path))
    assert "truncated or damaged" in str(error.value)
    with pytest.raises(SourceError, match="declares 60"):
        count_frames(path)
    short = list(open_source(path, allow_short=True))
    assert 20 < len(short) < 40


def test_an_mp4_with_its_index_in_front_and_its_data_cut(make_video, tmp_path):
    """What a broken download leaves of a file made for the web."""
    path = make_video(tmp_path / "a.mp4", frames=60)
    path.write_bytes(cut_with_index_first(path.read_bytes()))
    with pytest.raises(SourceError, match=r"declares 60 frames, but only \d+ can"):
        list(open_source(path))


def cut_with_index_first(data: bytes) -> bytes:
    """Move moov before mdat, correct the chunk offsets, drop the last half of the pictures."""
    boxes, start = {}, 0
    while start < len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        boxes[kind] = (start, data[start : start + size])
        start += size
    at, mdat = boxes[b"mdat"]
    moov = bytearray(boxes[b"moov"][1])
    shift = len(boxes[b"ftyp"][1]) + len(moov) - at
    table = moov.find(b"stco") + 8
    count = struct.unpack_from(">I", moov, table)[0]
    for i in range(table + 4, table + 4 + 4 * count, 4):
        struct.pack_into(">I", moov, i, struct.unpack_from(">I", moov, i)[0] + shift)
    whole = boxes[b"ftyp"][1] + bytes(moov) + mdat
    return whole[: len(whole) - len(mdat) // 2]


def test_a_video_without_frames(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=60)
    data = bytearray(path.read_bytes())
    start, stop = data.find(b"mdat") + 4, data.find(b"moov") - 4
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"No frame of .* can be decoded"):
        open_source(path)


class FakeCapture:
    """As many frames as asked for, with the stamps of a damaged container."""

    def __init__(self, stamps_ms, fps=10.0, declared=0):
        self.stamps, self.at, self.fps, self.declared = stamps_ms, -1, fps, declared

    def isOpened(self):
        return True

    def read(self):
        self.at += 1
        if self.at >= len(self.stamps):
            return False, None
        return True, np.zeros((8, 8, 3), np.uint8)

    def get(self, prop):
        table = {cv2.CAP_PROP_FPS: self.fps, cv2.CAP_PROP_FRAME_COUNT: self.declared}
        return table[prop] if prop in table else self.stamps[self.at]

    def release(self):
        pass


def fake_file(monkeypatch, tmp_path, head, **kwargs):
    path = tmp_path / "a.mkv"
    path.write_bytes(head)
    monkeypatch.setattr(video, "_open_file", lambda _: FakeCapture(**kwargs))
    return path


def test_stamps_start_at_zero_and_always_increase(monkeypatch, tmp_path):
    path = fake_file(monkeypatch, tmp_path, b"x" * 12, stamps_ms=[200, 300, 300, 400, 0, 0])
    stamps = [f.pts_s for f in video.VideoFile(path)]
    assert stamps == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_file_of_variable_rate_is_not_taken_for_truncated(monkeypatch, tmp_path):
    slow = {"stamps_ms": list(range(0, 10_000, 500)), "declared": 100}  # 20 frames in 10 s
    path = fake_file(monkeypatch, tmp_path, b"\x1a\x45\xdf\xa3" + b"x" * 12, **slow)
    with pytest.raises(SourceError, match="declares 100"):  # it ends at 9.6 of 10 s
        list(video.VideoFile(path))
    slow["stamps_ms"] = [*slow["stamps_ms"][:-1], 9900]
    path = fake_file(monkeypatch, tmp_path, b"\x1a\x45\xdf\xa3" + b"x" * 12, **slow)
    assert len(list(video.VideoFile(path))) == 20
    avi = fake_file(monkeypatch, tmp_path, b"RIFF0000AVI ", **slow)
    with pytest.raises(SourceError, match="declares 100"):
        list(video.VideoFile(avi))


def test_a_broken_index_gives_no_correction(tmp_path):
    path = tmp_path / "a.mp4"
    for content in (b"\0\0\0\x0cftypisom", b"\0\0\0\x10moov" + b"\0\0\0\x40trak", b""):
        path.write_bytes(content)
        assert skipped_seconds(path) == 0.0


def test_cameras_by_index_or_digits():
    for spec in (97, "97"):
        with pytest.raises(SourceError, match="Camera 97 cannot be opened"):
            open_source(spec)


def test_digits_that_exist_are_a_folder(make_frames, tmp_path, monkeypatch):
    make_frames(tmp_path / "01", frames=2)
    monkeypatch.chdir(tmp_path)
    assert open_source("01").info.frames == 2


def test_unknown_kind_of_stream():
    with pytest.raises(SourceError, match="ftp:// are not known"):
        open_source("ftp://host/clip.mp4")


def test_a_dead_stream_hides_the_password():
    with pytest.raises(SourceError, match="cannot be opened") as error:
        open_source("rtsp://admin:secret@127.0.0.1:9/x", timeout_s=2)
    assert "secret" not in str(error.value)


def test_a_camera_goes_on_where_it_was(monkeypatch):
    fake = FakeCapture([0.0] * 5)
    monkeypatch.setattr(video.cv2, "VideoCapture", lambda *_: fake)
    with open_source(0) as source:
        assert source.live
        first = next(iter(source))
        rest = list(source)
    assert [first.index, *(f.index for f in rest)] == [0, 1, 2, 3, 4]
    stamps = [first.pts_s, *(f.pts_s for f in rest)]
    assert stamps == sorted(set(stamps))


@pytest.mark.data
@pytest.mark.parametrize(("name", "frames"), [("campus.avi", 795), ("person-bicycle-car.mp4", 459)])
def test_real_clips_are_complete(real_data, name, frames):
    """The first has no stamps at its end, the second hides 8 frames by an edit list."""
    path = real_data("clips") / name
    assert count_frames(path) == frames
