"""The overlay video is whole or absent, and shows the picture with its heat."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from oddframe.errors import RunError
from oddframe.report import video
from oddframe.report.heat import strip_rows
from oddframe.report.video import OverlayWriter
from oddframe.types import Frame, Score, SourceInfo


def pair(index, width=64, height=48, hot=0.0):
    image = np.full((height, width, 3), 90, np.uint8)
    heat = np.zeros((64, 64), np.float32)
    heat[:32, :32] = hot
    return Frame(index, index / 25, image), Score(
        index, index / 25, hot, hot / 4, hot > 4, {}, heat
    )


def read(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        ok, image = capture.read()
        if not ok:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(image)


@pytest.mark.parametrize("size", [(64, 48), (65, 48), (63, 49), (320, 181)])
@pytest.mark.parametrize("fps", [25.0, 29.97, 7.5])
def test_frames_size_and_rate(tmp_path, size, fps):
    with OverlayWriter(tmp_path, "c", SourceInfo("c", *size, fps, None), 4.0) as writer:
        for index in range(9):
            writer.write(*pair(index, *size))
    frames, rate = read(writer.path)
    assert len(frames) == 9
    assert rate == pytest.approx(fps, rel=1e-3)
    rows = size[1] + strip_rows(size[1])
    assert frames[0].shape == (rows + rows % 2, size[0] + size[0] % 2, 3)
    assert writer.path.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux only")
@pytest.mark.parametrize("where", ["plain", "r\udce9p", "http:x"])
def test_names_of_any_kind(tmp_path, monkeypatch, where):
    """OpenCV dies of names that are not UTF-8, and opens what looks like an address."""
    monkeypatch.chdir(tmp_path)
    folder = Path(where)
    with OverlayWriter(folder, "entr\udce9e", SourceInfo("c", 64, 48, 25.0, None), 4.0) as writer:
        for index in range(5):
            writer.write(*pair(index))
    assert [p.name for p in folder.iterdir()] == ["entr\udce9e.overlay.webm"]
    copied = tmp_path / "copy.webm"
    copied.write_bytes(writer.path.read_bytes())
    assert len(read(copied)[0]) == 5


def test_heat_shows_where_it_is_and_nowhere_else(tmp_path):
    with OverlayWriter(tmp_path, "c", SourceInfo("c", 128, 96, 25.0, None), 4.0) as writer:
        for index in range(5):
            writer.write(*pair(index, 128, 96, hot=8.0))
    frame = read(writer.path)[0][-1].astype(int)
    assert np.abs(frame[5:35, 5:50] - 90).max(2).min() > 40
    assert np.abs(frame[5:35, 80:120] - 90).max() < 12


@pytest.mark.parametrize(("level", "marked"), [(0.95, False), (1.05, True)])
def test_what_is_just_an_alarm_is_marked_and_nothing_hidden(tmp_path, level, marked):
    """A grey street, hot by so much in its upper left, with white feet at its lower edge."""
    with OverlayWriter(tmp_path, "c", SourceInfo("c", 320, 240, 25.0, None), 4.0) as writer:
        for index in range(5):
            frame, _ = pair(index, 320, 240)
            frame.image[-10:] = 255
            heat = np.zeros((64, 64), np.float32)
            heat[:32, :32] = 4 * level
            writer.write(frame, Score(index, 0.0, 4 * level, level, level >= 1, {}, heat))
    picture = read(writer.path)[0][-1].astype(int)
    red = picture[..., 2] - picture[..., 0] > 90
    edge = [red[:120, :3], red[:3, :160], red[:120, 157:161], red[117:121, :160]]
    assert all(side.any() for side in edge) == marked
    assert not red[20:100, 20:140].any(), "what is in the box can be seen"
    assert not red[130:230].any()
    assert picture[232:238].min() > 200, "feet are not hidden"


def test_a_run_without_threshold_and_frames_without_score(tmp_path):
    with OverlayWriter(tmp_path, "c", SourceInfo("c", 64, 48, 25.0, None), None) as writer:
        frame, _ = pair(0)
        writer.write(frame, Score(0, 0.0, float("nan"), float("nan"), False))
    assert len(read(writer.path)[0]) == 1


def test_an_error_on_the_way_leaves_nothing_and_keeps_what_was_there(tmp_path):
    (tmp_path / "c.overlay.webm").write_text("of before")
    info = SourceInfo("c", 64, 48, 25.0, None)
    with pytest.raises(KeyboardInterrupt), OverlayWriter(tmp_path, "c", info, 4.0) as writer:  # noqa: PT012
        writer.write(*pair(0))
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["c.overlay.webm"]
    assert (tmp_path / "c.overlay.webm").read_text() == "of before"


def test_frames_that_got_lost_are_noticed(tmp_path, monkeypatch):
    info = SourceInfo("c", 64, 48, 25.0, None)

    def lossy():
        with OverlayWriter(tmp_path, "c", info, 4.0) as writer:
            for index in range(6):
                writer.write(*pair(index))
            writer._frames += 1

    with pytest.raises(RunError, match="kept only 6 of 7 frames"):
        lossy()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_ends_the_work_early(tmp_path, monkeypatch):
    info = SourceInfo("c", 64, 48, 25.0, None)
    monkeypatch.setattr(OverlayWriter, "_free", lambda self: 10)

    def long():
        with OverlayWriter(tmp_path, "c", info, 4.0) as writer:
            for index in range(10**6):
                writer.write(*pair(index))

    with pytest.raises(RunError, match="the disk is full"):
        long()
    assert list(tmp_path.iterdir()) == []


def test_without_vp8_an_mp4_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "KINDS", (("none", ".webm"), ("mp4v", ".mp4")))
    with OverlayWriter(tmp_path, "c", SourceInfo("c", 64, 48, 25.0, None), 4.0) as writer:
        for index in range(4):
            writer.write(*pair(index))
    assert [p.name for p in tmp_path.iterdir()] == ["c.overlay.mp4"]
    assert len(read(writer.path)[0]) == 4


def test_without_any_encoder_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "KINDS", (("none", ".webm"),))
    with pytest.raises(RunError, match="neither VP8 nor MPEG-4"):
        OverlayWriter(tmp_path, "c", SourceInfo("c", 64, 48, 25.0, None), 4.0)
    assert list(tmp_path.iterdir()) == []
