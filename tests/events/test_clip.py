"""Clips and snapshots: they show what was there, when it was there."""

import logging
import threading

import av
import cv2
import numpy as np
import pytest
from storing import an_event, end

from encoded import number_of, numbered
from oddframe.events import clip as clips
from oddframe.events.clip import ClipWriter, Cut, Cutter, write_clip, write_snapshot
from oddframe.events.event import Box
from oddframe.events.ring import ClipConfig, Ring, Shot, to_jpeg
from oddframe.events.store import Store, StoreError

FPS = 25


def filled(seconds=30.0, config=None, size=(160, 96), start=100.0):
    """A ring that has seen a camera whose frames have numbers; stamps begin at `start`."""
    ring = Ring(config)
    for i in range(round(seconds * FPS)):
        ring.push(1e9 + i / FPS, start + i / FPS, numbered(i, *size))
    return ring


def cut_of(ring, event_id="1.0-a", camera="gate"):
    return Cut(camera, event_id, tuple(ring.frames(-1e9, 1e9)))


def played(path):
    """[(seconds, picture)] of a video, decoded by PyAV, and its length in seconds."""
    with av.open(str(path)) as container:
        frames = [(f.time, f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]
        return frames, container.duration / 1e6


# ---- one clip


@pytest.fixture(params=clips.KINDS, ids=lambda kind: kind[0])
def kind(request, monkeypatch):
    monkeypatch.setattr(clips, "KINDS", (request.param,))
    return request.param


def test_a_clip_shows_each_frame_at_its_time(tmp_path, kind):
    ring = filled(10.0)
    path = write_clip(tmp_path, cut_of(ring))
    assert path == f"clips/gate/1.0-a{kind[1]}"
    frames, seconds = played(tmp_path / path)
    assert [number_of(image) for _, image in frames] == list(range(0, 250, 5))
    assert [at for at, _ in frames] == pytest.approx([i / 5 for i in range(50)], abs=0.001)
    assert seconds == pytest.approx(9.8, abs=0.25)


def test_frames_that_come_unevenly_keep_their_stamps(tmp_path, kind):
    at = [0.0, 0.21, 0.4, 2.9, 3.1, 3.37, 9.0]
    shots = tuple(Shot(0.0, 7000.0 + s, to_jpeg(numbered(i), 90)) for i, s in enumerate(at))
    frames, seconds = played(tmp_path / write_clip(tmp_path, Cut("gate", "1.0-a", shots)))
    assert [t for t, _ in frames] == pytest.approx(at, abs=0.001)
    assert [number_of(image) for _, image in frames] == list(range(7))
    assert 9.0 <= seconds < 9.5


def test_the_pictures_are_those_of_the_camera(tmp_path, kind):
    ring = Ring()
    street = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 256, (360, 640, 3), np.uint8), (0, 0), 6
    )
    street = cv2.normalize(street, None, 0, 255, cv2.NORM_MINMAX)
    sent = []
    for i in range(20):
        image = street.copy()
        cv2.rectangle(image, (20 * i, 100), (20 * i + 60, 260), (30, 30, 220), -1)
        ring.push(0.0, i / 5, image)
        sent.append(image)
    frames, _ = played(tmp_path / write_clip(tmp_path, cut_of(ring)))
    likeness = [cv2.PSNR(found, image) for (_, found), image in zip(frames, sent, strict=True)]
    assert min(likeness) > 28
    swapped = [cv2.PSNR(found, image) for (_, found), image in zip(frames, sent[1:] + sent[:1])]  # noqa: B905
    assert max(swapped) < 28  # the frame before or after would be seen


@pytest.mark.parametrize("size", [(161, 97), (160, 97), (17, 99)])
def test_odd_sizes(tmp_path, kind, size):
    image = np.full((size[1], size[0], 3), (60, 90, 120), np.uint8)
    shots = tuple(Shot(0.0, i / 5, to_jpeg(image, 90)) for i in range(5))
    frames, _ = played(tmp_path / write_clip(tmp_path, Cut("gate", "1.0-a", shots)))
    assert frames[0][1].shape[:2] == (size[1] + size[1] % 2, size[0] + size[0] % 2)
    assert np.abs(frames[-1][1].astype(int) - image[0, 0]).max() < 8


def test_a_camera_that_changes_its_size_in_between(tmp_path):
    shots = tuple(
        Shot(0.0, i / 5, to_jpeg(numbered(i, 160 * (1 + i // 5), 96 * (1 + i // 5)), 95))
        for i in range(10)
    )
    frames, _ = played(tmp_path / write_clip(tmp_path, Cut("gate", "1.0-a", shots)))
    assert {image.shape for _, image in frames} == {(96, 160, 3)}
    assert len(frames) == 10


def test_what_cannot_be_encoded_says_so(tmp_path, monkeypatch):
    with pytest.raises(StoreError, match=r"clip of 1\.0-a cannot be encoded: a frame of it is no"):
        write_clip(tmp_path, Cut("gate", "1.0-a", (Shot(0.0, 0.0, b"no jpeg"),)))
    monkeypatch.setattr(clips, "KINDS", (("libnothing", ".webm", {}),))
    with pytest.raises(StoreError, match=r"neither VP8 nor H\.264"):
        write_clip(tmp_path, cut_of(filled(1.0)))
    assert not (tmp_path / "clips").exists()


# ---- which frames


def cutter(ring, **config):
    return Cutter("gate", ring, ClipConfig(**config))


def span(cut):
    return cut.shots[0].pts_s, cut.shots[-1].pts_s


def test_a_clip_goes_from_before_to_after():
    ring = filled(60.0)
    cuts = cutter(ring, before_s=5, after_s=3)
    cuts.begins("a", 120.0)
    cuts.ends("a", 124.0)
    assert cuts.due(126.9) == []
    (cut,) = cuts.due(127.0)
    assert span(cut) == pytest.approx((115.0, 127.0))
    assert (cut.camera, cut.event_id) == ("gate", "a")
    assert cuts.due(130.0) == []


def test_a_long_event_has_its_first_minute():
    ring = filled(65.0)
    cuts = cutter(ring, before_s=5, longest_s=60)
    cuts.begins("a", 106.0)
    assert cuts.due(160.9) == []
    (cut,) = cuts.due(161.0)
    assert span(cut) == pytest.approx((101.0, 161.0))
    cuts.ends("a", 500.0)
    assert cuts.due(1000.0) == []


def test_an_event_that_ends_shortly_before_the_limit_is_not_longer():
    ring = filled(65.0)
    cuts = cutter(ring, before_s=5, after_s=5, longest_s=60)
    cuts.begins("a", 106.0)
    cuts.ends("a", 159.0)
    (cut,) = cuts.due(161.0)
    assert span(cut)[1] == pytest.approx(161.0)


def test_a_source_that_is_lost_leaves_what_there_was():
    ring = filled(30.0)
    cuts = cutter(ring)
    cuts.begins("a", 125.0)
    cuts.ends("a", 129.0)
    cuts.begins("b", 128.0)
    first, second = cuts.flush()
    assert span(first) == pytest.approx((120.0, 129.8), abs=0.201)
    assert span(second) == pytest.approx((123.0, 129.8), abs=0.201)
    assert cuts.flush() == []


def test_frames_that_are_gone_are_said(caplog):
    cuts = cutter(Ring())
    cuts.begins("a", 5.0)
    with caplog.at_level(logging.WARNING):
        assert cuts.due(1000.0) == []
    assert "no frames are left of a" in caplog.text


def test_a_ring_holds_the_longest_clip():
    config = ClipConfig()
    ring = filled(90.0, config)
    assert len(ring.frames(100 + 90 - config.longest_s, 1e9)) >= 5 * config.longest_s - 1


# ---- the thread


def test_clips_are_written_and_entered_in_the_background(tmp_path):
    with Store(tmp_path) as store:
        events = [an_event(i) for i in range(3)]
        writer = ClipWriter(tmp_path, lambda event_id, path: store.attach(event_id, clip=path))
        ring = filled(6.0)
        for event in events:
            store.put(end(event))
            writer.submit(cut_of(ring, event.id))
        assert writer.wait(20)
        for event in events:
            assert len(played(tmp_path / store.event(event.id).clip)[0]) == 30
        assert (writer.done, writer.dropped, writer.failed) == (3, 0, 0)
        writer.close()
        writer.close()
        assert not writer._thread.is_alive()


@pytest.fixture
def slow(monkeypatch):
    """Writing takes until `slow.set()`; `slow.begun` is set when the first has begun."""
    go, written = threading.Event(), []
    go.begun, go.written = threading.Event(), written

    def write(folder, cut):
        go.begun.set()
        assert go.wait(20)
        written.append(cut.event_id)
        return f"clips/{cut.event_id}"

    monkeypatch.setattr(clips, "write_clip", write)
    return go


def test_the_clip_that_waited_longest_is_given_up(tmp_path, slow, caplog):
    writer = ClipWriter(tmp_path, lambda *_: None, most=3)
    shots = (Shot(0.0, 0.0, bytes(10)),)
    writer.submit(Cut("gate", "first", shots))
    assert slow.begun.wait(10)
    with caplog.at_level(logging.WARNING):
        for index in range(6):
            writer.submit(Cut("gate", str(index), shots))
    assert writer.dropped == 3
    assert "none of 0" in caplog.text
    assert not writer.wait(0.05)
    slow.set()
    writer.close()
    assert slow.written == ["first", "3", "4", "5"]
    assert writer.done == 4


def test_waiting_clips_hold_so_much_memory_at_most(tmp_path, slow):
    writer = ClipWriter(tmp_path, lambda *_: None, most_bytes=2500)
    for index in range(6):
        writer.submit(Cut("gate", str(index), (Shot(0.0, 0.0, bytes(1000)),)))
        if not index:
            assert slow.begun.wait(10)
    assert writer.dropped == 3
    writer.submit(Cut("gate", "large", (Shot(0.0, 0.0, bytes(10_000)),)))
    slow.set()
    writer.close()
    assert slow.written == ["0", "large"]


def test_no_clips_while_it_is_paused(tmp_path, slow):
    slow.set()
    writer = ClipWriter(tmp_path, lambda *_: None)
    for paused, name in ((True, "a"), (False, "b")):
        writer.pause(paused)
        writer.submit(Cut("gate", name, ()))
    writer.close()
    assert (slow.written, writer.dropped) == (["b"], 1)


def test_one_clip_that_fails_takes_no_other_along(tmp_path, caplog):
    entered = []

    def written(event_id, path):
        if event_id == "second":
            raise StoreError("the disk is full")
        entered.append(path)

    writer = ClipWriter(tmp_path, written)
    ring = filled(1.0)
    with caplog.at_level(logging.WARNING):
        writer.submit(Cut("gate", "first", (Shot(0.0, 0.0, b"no jpeg"),)))
        writer.submit(cut_of(ring, "second"))
        writer.submit(cut_of(ring, "third"))
        writer.close()
    assert entered == ["clips/gate/third.webm"]
    assert (writer.failed, writer.done) == (2, 1)
    assert "no clip of first" in caplog.text
    assert "no clip of second: the disk is full" in caplog.text


def test_a_stop_waits_no_longer_than_it_is_told(tmp_path, slow, caplog):
    writer = ClipWriter(tmp_path, lambda *_: None)
    for name in ("a", "b"):
        writer.submit(Cut("gate", name, ()))
        assert slow.begun.wait(10)
    with caplog.at_level(logging.WARNING):
        writer.close(0.1)
    assert "no time was left for the clip of b" in caplog.text
    assert writer.dropped == 1
    slow.set()


# ---- snapshots


def test_snapshots_with_boxes_and_without(tmp_path):
    image = np.full((720, 1280, 3), 128, np.uint8)
    event = an_event(boxes=(Box(100, 200, 300, 150), Box(0, 0, 1280, 720)))
    path = write_snapshot(tmp_path, event, image)
    assert path == f"snapshots/gate/{event.id}.jpg"
    drawn = cv2.imread(str(tmp_path / path))
    plain = cv2.imread(str(tmp_path / path.replace(".jpg", ".plain.jpg")))
    assert np.abs(plain.astype(int) - 128).max() <= 1
    red = (drawn[..., 2].astype(int) - drawn[..., 0]) > 60
    rows, columns = np.nonzero(red[50:-50, 50:-50])
    assert (columns.min() + 50, rows.min() + 50) == pytest.approx((100, 200), abs=3)
    assert (columns.max() + 50, rows.max() + 50) == pytest.approx((399, 349), abs=3)
    assert not red[220:330, 120:380].any()  # what is in the box can be seen
    assert (image == 128).all()  # the picture that was given is as it was


def test_a_later_peak_replaces_the_snapshot(tmp_path):
    for value in (10, 200):
        path = write_snapshot(tmp_path, an_event(boxes=()), np.full((48, 64, 3), value, np.uint8))
    assert cv2.imread(str(tmp_path / path)).mean() == pytest.approx(200, abs=2)
    assert len(list((tmp_path / "snapshots" / "gate").iterdir())) == 2
