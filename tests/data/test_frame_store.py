"""The frame store gives what inference computes, finds itself again, and leaves no half files."""

import errno
import json
import pickle

import cv2
import numpy as np
import pytest

from oddframe.data import frames as module
from oddframe.data.dataset import Video
from oddframe.data.frames import FrameStore, from_store, resize_bgr, to_model
from oddframe.errors import RunError, SourceError
from oddframe.sources import open_source


@pytest.fixture
def videos(make_video, make_frames, tmp_path):
    return [
        Video("01", make_video(tmp_path / "01.avi", frames=7, fps=10.0)),
        Video("02", make_frames(tmp_path / "02", frames=4)),
    ]


@pytest.fixture
def grey(make_frames, tmp_path):
    return [Video(n, make_frames(tmp_path / n, frames=3, grey=True)) for n in ("g1", "g2")]


@pytest.mark.parametrize("kind", ["videos", "grey"])
def test_stored_frames_equal_the_way_of_inference(kind, request, tmp_path):
    clips = request.getfixturevalue(kind)
    store = FrameStore.build(clips, tmp_path / "store", 32)
    assert store.channels == (3 if kind == "videos" else 1)
    for clip, stored in zip(clips, store.videos, strict=True):
        expected = [to_model(f.at(32), 32) for f in open_source(clip.path)]
        found = from_store(store.read(stored.start, stored.stop))
        np.testing.assert_array_equal(found, np.stack(expected))


def test_to_model_is_rgb_between_minus_one_and_one():
    blue = np.zeros((20, 30, 3), np.uint8)
    blue[..., 0] = 255
    out = to_model(blue, 16)
    assert (out.shape, out.dtype, out.flags.c_contiguous) == ((3, 16, 16), np.float32, True)
    assert (out[:2] == -1).all()
    assert (out[2] == 1).all()
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    plain = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA)[..., ::-1]
    wanted = plain.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(to_model(image, 16), wanted)
    assert resize_bgr(image, 16).shape == (16, 16, 3)
    assert resize_bgr(image[:20, :20], 20) is not None


def test_where_videos_lie(videos, tmp_path):
    calls = []
    store = FrameStore.build(videos, tmp_path / "s", 16, lambda i, n: calls.append((i, n)))
    assert [(v.name, v.start, v.stop, v.fps) for v in store.videos] == [
        ("01", 0, 7, 10.0),
        ("02", 7, 11, 25.0),
    ]
    assert calls == [(i, 11) for i in range(1, 12)]
    assert store.read(5, 9).shape == (4, 16, 16, 3)
    assert store.frames == 11
    for i, j in ((-1, 2), (3, 2), (5, 12)):
        with pytest.raises(IndexError):
            store.read(i, j)


def test_a_finished_store_is_used_again(videos, tmp_path, monkeypatch):
    first = FrameStore.obtain(videos, tmp_path / "s", 16)
    with monkeypatch.context() as patch:
        patch.setattr(FrameStore, "build", None)  # would fail if called
        again = FrameStore.obtain(videos, tmp_path / "s", 16)
    np.testing.assert_array_equal(first.read(0, 11), again.read(0, 11))
    assert again.videos == first.videos
    assert FrameStore.obtain(videos, tmp_path / "s", 24).size == 24
    assert FrameStore.obtain(videos[:1], tmp_path / "s", 24).frames == 7


def test_a_worker_maps_the_file_again(videos, tmp_path):
    store = FrameStore.build(videos, tmp_path / "s", 64)
    packed = pickle.dumps(store)
    assert len(packed) < 1000
    np.testing.assert_array_equal(pickle.loads(packed).read(2, 5), store.read(2, 5))


def test_another_video_of_the_same_name_is_decoded(videos, tmp_path, make_video):
    FrameStore.obtain(videos, tmp_path / "s", 16)
    make_video(tmp_path / "01.avi", frames=9)
    assert FrameStore.obtain(videos, tmp_path / "s", 16).frames == 13


def test_colour_after_grey_frames_starts_anew(grey, make_frames, tmp_path):
    make_frames(tmp_path / "late", frames=3)
    cv2.imwrite(str(tmp_path / "late/000.png"), np.full((48, 64, 3), 9, np.uint8))
    store = FrameStore.build([*grey, Video("late", tmp_path / "late")], tmp_path / "s", 16)
    assert (store.channels, store.frames) == (3, 9)
    expected = to_model(cv2.imread(str(tmp_path / "g1/001.png")), 16)
    np.testing.assert_array_equal(from_store(store.read(1, 2))[0], expected)


def test_a_damaged_video_leaves_nothing(videos, make_video, tmp_path):
    path = make_video(videos[0].path, frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="declares 60 frames"):
        FrameStore.build(videos, tmp_path / "s", 16)
    assert list((tmp_path / "s").iterdir()) == []
    assert FrameStore.build(videos, tmp_path / "s", 16, allow_short=True).frames < 50


def test_a_full_disk_is_told_before_decoding(videos, tmp_path, monkeypatch):
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(RunError, match=r"is full .*do not fit"):
        FrameStore.build(videos, tmp_path / "s", 16)
    assert list((tmp_path / "s").iterdir()) == []


def test_a_disk_that_fills_up_keeps_the_old_store(videos, tmp_path, monkeypatch):
    FrameStore.build(videos, tmp_path / "s", 16)

    class Full:
        def __init__(self, path):
            self.file = path.open("wb")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.file.write(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_create", Full)
    with pytest.raises(RunError, match=r"No space left on device.*Nothing was left behind"):
        FrameStore.build(videos, tmp_path / "s", 24)
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["frames.json", "frames.u8"]
    assert FrameStore.open(tmp_path / "s").size == 16


def test_a_folder_that_is_a_file(videos, tmp_path):
    (tmp_path / "s").touch()
    with pytest.raises(RunError, match="cannot be written"):
        FrameStore.build(videos, tmp_path / "s", 16)


def test_no_videos(tmp_path):
    with pytest.raises(RunError, match="No videos"):
        FrameStore.build([], tmp_path, 16)


def test_open_says_what_is_wrong(videos, tmp_path):
    with pytest.raises(RunError, match="No frame store in"):
        FrameStore.open(tmp_path / "s")
    FrameStore.build(videos, tmp_path / "s", 16)
    data, index = tmp_path / "s/frames.u8", tmp_path / "s/frames.json"
    whole = data.read_bytes()
    data.write_bytes(whole[:-1])
    with pytest.raises(RunError, match="was cut"):
        FrameStore.open(tmp_path / "s")
    data.write_bytes(whole)
    index.write_text(json.dumps({**json.loads(index.read_text()), "version": 9}))
    with pytest.raises(RunError, match="version 9"):
        FrameStore.open(tmp_path / "s")
    index.write_text("{")
    with pytest.raises(RunError, match="No frame store"):
        FrameStore.open(tmp_path / "s")


@pytest.mark.data
def test_real_ped2_is_stored_in_one_channel(real_data, tmp_path):
    path = real_data("ped2") / "testing/01.mp4"
    store = FrameStore.build([Video("01", path)], tmp_path / "s", 64)
    assert (store.channels, store.frames, store.videos[0].fps) == (1, 180, 10.0)
