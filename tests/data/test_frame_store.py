"""The frame store gives what inference computes, finds itself again, and leaves no half files."""

import errno
import itertools
import json
import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest

from encoded import encode, numbered
from oddframe.data import decode as module
from oddframe.data.dataset import Video
from oddframe.data.decode import Take
from oddframe.data.footage import (
    Stretch,
    Surveyed,
    frames_of,
    learned_rate,
    looks_grey,
    stretches,
    survey,
)
from oddframe.data.frames import FrameStore, from_store, resize_bgr, to_model
from oddframe.errors import DatasetError, RunError, SourceError
from oddframe.sources import Reading, open_source
from oddframe.sources.rate import pacer


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


def dusk(folder, frames, colour):
    """A camera that is grey by night, and shows colours in some of its frames."""
    folder.mkdir()
    for i in range(frames):
        bgr = (60, 90, 160) if i in colour else (90, 90, 90)
        cv2.imwrite(str(folder / f"{i:03d}.png"), np.full((24, 32, 3), bgr, np.uint8))
    return Video(folder.name, folder)


def test_colour_behind_a_grey_beginning_is_seen_before_decoding(tmp_path):
    clips = [dusk(tmp_path / "a", 100, range(60, 90)), dusk(tmp_path / "b", 50, ())]
    assert [s.grey for s in survey(clips, 16, lambda done: None)] == [False, True]
    calls = []
    store = FrameStore.build(clips, tmp_path / "s", 16, lambda done, total: calls.append(done))
    assert (store.channels, len(calls)) == (3, 150)  # decoded once


def test_colour_that_nobody_saw_takes_no_more_space_than_was_planned(tmp_path):
    clips = [dusk(tmp_path / "a", 200, range(110, 120))]
    assert survey(clips, 16, lambda done: None)[0].grey
    parts = tuple(Stretch(0, i * 0.8, 20, i % 5 == 2) for i in range(10))
    store = FrameStore.build(
        clips, tmp_path / "s", 16, take=Take(stretches=parts), most_bytes=200 * 16 * 16
    )
    assert (tmp_path / "s" / "frames.u8").stat().st_size <= 200 * 16 * 16
    kept = [v.held for v in store.videos if not v.lead]
    assert (store.channels, kept) == (3, [True, False, False])
    again = FrameStore.obtain(clips, tmp_path / "s", 16, take=Take(stretches=parts))
    assert again.videos == store.videos
    with pytest.raises(
        RunError, match=r"looked grey and have colours in between: their 200 frames.*--cache 0\.1\."
    ):
        FrameStore.build(clips, tmp_path / "t", 16, most_bytes=200 * 16 * 16)
    assert list((tmp_path / "t").iterdir()) == []
    # Only what is taken of them counts: here every fourth frame.
    fast = [replace(clips[0], reading=Reading(fps=100))]
    store = FrameStore.build(fast, tmp_path / "t", 16, take=Take(25), most_bytes=200 * 16 * 16)
    assert (store.channels, store.frames) == (3, 50)


def test_the_colours_of_a_video_that_is_not_taken_cost_nothing(tmp_path):
    clips = [dusk(tmp_path / "a", 20, range(20)), dusk(tmp_path / "b", 20, ())]
    store = FrameStore.build(
        clips, tmp_path / "s", 16, take=Take(stretches=(Stretch(1, 0.0, 9, False),))
    )
    assert (store.channels, store.frames) == (1, 9)


def test_a_video_without_a_header_is_read_once_for_its_length(tmp_path, monkeypatch):
    with open_source(dusk(tmp_path / "a", 40, ()).path) as source:
        asked, real = [], type(source).length_s
        monkeypatch.setattr(type(source), "length_s", property(
            lambda self: asked.append(1) or real.fget(self)
        ))  # fmt: skip
        assert looks_grey(source, 16)
        assert len(asked) == 1


def test_a_damaged_video_leaves_nothing(videos, make_video, tmp_path):
    path = make_video(videos[0].path, frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="declares 60 frames"):
        FrameStore.build(videos, tmp_path / "s", 16)
    assert list((tmp_path / "s").iterdir()) == []
    short = [replace(video, reading=Reading(allow_short=True)) for video in videos]
    assert FrameStore.build(short, tmp_path / "s", 16).frames < 50


def test_a_video_that_is_deleted_meanwhile_is_named(videos, make_video, tmp_path):
    clips = [videos[0], Video("03", make_video(tmp_path / "03.avi"))]
    with pytest.raises(SourceError, match=r"03\.avi is gone, or cannot be read any more"):
        FrameStore.build(
            clips, tmp_path / "s", 16, lambda done, total: done == 8 and clips[1].path.unlink()
        )


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


# ---- what of long footage is taken


@pytest.fixture
def days(tmp_path):
    """Three videos of 40 s at 25 frames/s; something moves from 20 s on in the second only."""
    videos = []
    for name in "abc":
        path = tmp_path / f"{name}.mp4"
        still = None if name == "b" else 0
        moves = {i: i for i in range(500, 1000)} if name == "b" else {}
        encode(path, 1000, 25, pictures=lambda i, m=moves, s=still: numbered(m.get(i, s or 0)))
        videos.append(Video(name, path))
    return videos


def plan_of(videos, frames, held, seed=0, length=50):
    seen = survey(videos, 32, lambda done: None)
    return stretches(seen, 25.0, frames, held, seed, lambda done, total: None, (length, 20))


def test_stretches_are_spread_over_all_of_the_time(days):
    plan = plan_of(days, 1500, 200)
    assert len(plan) == 30
    whole = [40 * s.video + s.start_s for s in plan]
    assert whole == sorted(whole)
    parts = np.digitize(whole, np.linspace(0, 120, 31))
    assert parts.tolist() == list(range(1, 31))  # one in every equal part
    assert all(0 <= s.start_s <= 38 for s in plan)
    held = [i for i, s in enumerate(plan) if s.held]
    assert 2 <= len(held) <= 4
    assert max(np.diff([-1, *held, 30])) <= 12
    assert plan == plan_of(days, 1500, 200)
    assert plan != plan_of(days, 1500, 200, seed=1)


def clips_of(make_frames, tmp_path, *lengths_s):
    """What a survey says of clips at 5 frames/s; all of them show the same still folder."""
    video = Video("still", make_frames(tmp_path / "still", frames=3))
    return [Surveyed(video, length_s, 5.0, False, True, 0.001) for length_s in lengths_s]


def test_clips_shorter_than_a_stretch_are_taken_whole(make_frames, tmp_path):
    """As recorders write them on motion: 20 s at 5 frames/s, and one clip that is longer."""
    seen = clips_of(make_frames, tmp_path, *[20.0] * 60, 30.0)
    plan = stretches(seen, 5.0, 2000, 200, 0, lambda done, total: None, (128, 40))
    assert {(s.start_s, s.frames) for s in plan if s.video < 60} == {(0.0, 100), (0.0, 40)}
    assert len({s.video for s in plan}) == len(plan)  # of a short clip no second stretch
    assert 18 <= len(plan) <= 20  # as many as 2000 frames hold
    assert max(np.diff([s.video for s in plan])) <= 7  # from all of the time
    assert [s for s in plan if s.held]


def test_what_is_kept_aside_of_a_short_clip_is_not_trained_on(make_frames, tmp_path):
    seen = clips_of(make_frames, tmp_path, *[20.0] * 30)
    plan = stretches(seen, 5.0, 2900, 400, 0, lambda done, total: None, (128, 80))
    held = {s.video for s in plan if s.held}
    assert len(held) == 4
    assert not held & {s.video for s in plan if not s.held}


def test_too_little_footage_for_one_stretch(make_frames, tmp_path):
    with pytest.raises(DatasetError, match=r"together last 4.0 s; 25.6 s are needed"):
        stretches(clips_of(make_frames, tmp_path, 2, 2), 5.0, 900, 9, 0, lambda done, total: None)


def test_half_of_the_parts_prefer_where_something_moves(days):
    plan = plan_of(days[1:2], 700, 100)
    lively = [s for s in plan if s.lively]
    anywhere = [s for s in plan if not s.lively]
    assert abs(len(lively) - len(anywhere)) <= len([s for s in plan if s.held]) + 1
    assert all(s.activity is not None for s in lively)
    assert not any(s.held for s in lively)
    # In the part across which the quiet half ends, the liveliest place is behind its end.
    assert {s.start_s >= 18 for s in lively if s.activity > 0.5} == {True}
    assert [s for s in anywhere if s.start_s < 15]  # quiet ones keep their share


def test_a_store_of_stretches_holds_these_and_no_more(days, tmp_path):
    plan = [Stretch(0, 3.0, 40, False), Stretch(1, 21.0, 50, True), Stretch(1, 39.4, 50, False)]
    store = FrameStore.build(days, tmp_path / "s", 32, take=Take(stretches=tuple(plan)))
    got = [(v.name, v.stop - v.start, v.start_s, v.held) for v in store.videos if not v.lead]
    assert got == [
        ("a", 40, pytest.approx(3.0), False), ("b", 50, pytest.approx(21.0), True),
        ("b", 15, pytest.approx(39.4), False),
    ]  # fmt: skip
    lead, aside = store.videos[1:3]
    assert (lead.lead, lead.held, lead.fps, lead.start_s) == (True, None, 4.0, pytest.approx(13.0))
    assert 28 <= lead.stop - lead.start <= 32  # of 25 frames a second no quarter has as many
    assert store.before(aside.start, 8.0) == (lead.start, 4.0)
    assert store.before(store.videos[0].start, 8.0) is None  # nobody kept what came before it
    assert store.before(aside.start + 10, 8.0) == (aside.start, 25.0)
    with open_source(days[1].path) as source:
        frames = [to_model(f.at(32), 32) for f in source]
    found = from_store(store.read(aside.start, aside.stop))
    np.testing.assert_array_equal(found, np.stack(frames[525:575]))
    np.testing.assert_array_equal(
        from_store(store.read(lead.start, lead.start + 1))[0], frames[325]
    )
    other = FrameStore.obtain(days, tmp_path / "s", 32, take=Take(stretches=tuple(plan[:2])))
    assert sum(v.stop - v.start for v in other.videos if not v.lead) == 90


def test_a_store_is_thinned_to_a_rate_and_cut_at_pauses(tmp_path):
    fast = encode(tmp_path / "fast.mp4", 100, 50)
    paused = encode(
        tmp_path / "paused.mp4", stamps=[i / 25 + 60 * (i >= 30) for i in range(50)], rate=25
    )
    videos = [Video("fast", fast), Video("paused", paused)]
    store = FrameStore.build(videos, tmp_path / "s", 32, take=Take(fps=25.0))
    got = [(v.name, v.stop - v.start, v.fps) for v in store.videos]
    assert got == [("fast", 50, 25.0), ("paused", 30, 25.0), ("paused", 20, 25.0)]
    assert store.videos[2].start_s == pytest.approx(61.2)
    as_it_is = FrameStore.obtain(videos, tmp_path / "s", 32)
    assert [v.stop - v.start for v in as_it_is.videos] == [100, 30, 20]


def test_the_rate_that_is_learned_at(days, make_frames, tmp_path):
    def of(*rates):
        return [
            Surveyed(days[0], length, fps, assumed, True, 0.001) for length, fps, assumed in rates
        ]

    assert learned_rate(of((60, 25.0, False)), None) == 25.0
    assert learned_rate(of((60, 60.0, False)), None) == 30.0
    assert learned_rate(of((60, 60.0, False)), 50.0) == 50.0
    assert learned_rate(of((60, 25.0, True)), None) is None
    assert learned_rate(of((600, 10.0, False), (60, 25.0, False), (90, 25.0, True)), None) == 10.0
    seen = survey([*days, Video("f", make_frames(tmp_path / "f", grey=True))], 32, lambda i: None)
    assert [(s.assumed, s.grey) for s in seen] == [(False, False)] * 3 + [(True, True)]
    assert [s.length_s for s in seen] == pytest.approx([40, 40, 40, 6 / 25], abs=0.05)


def test_no_frame_is_stored_twice(days, tmp_path):
    """Stretches that overlap: what is kept aside is not trained on."""
    plan = (Stretch(0, 3.0, 50, False), Stretch(0, 4.0, 50, True), Stretch(0, 4.0, 50, False))
    store = FrameStore.build(days, tmp_path / "s", 32, take=Take(stretches=plan))
    kept = [v for v in store.videos if not v.lead]
    spans = [(v.start_s, v.start_s + (v.stop - v.start) / 25) for v in kept]
    assert all(a[1] <= b[0] + 1e-6 for a, b in itertools.pairwise(spans))
    assert [v.held for v in kept] == [False, True, False]
    assert [v.stop - v.start for v in kept] == [50, 50, 50]


def test_frames_are_counted_as_they_are_looked_at(make_frames, tmp_path):
    (seen,) = clips_of(make_frames, tmp_path, 10.0)
    counts = {fps: frames_of([replace(seen, fps=30.0)], fps) for fps in (None, 60, 25, 24, 20, 15)}
    assert counts == {None: 300, 60: 600, 25: 300, 24: 300, 20: 200, 15: 150}


def test_slow_footage_is_stored_as_often_as_it_will_be_looked_at(tmp_path):
    """Learned otherwise than scored, a clip of 5 frames a second alarmed in its own RUN."""
    slow = Video("slow", encode(tmp_path / "slow.mp4", 10, 5))
    store = FrameStore.build([slow], tmp_path / "s", 32, take=Take(fps=25.0))
    (stored,) = store.videos
    with open_source(slow.path) as source:
        pace = pacer(25.0, source.info)
        wanted = [to_model(f.at(32), 32) for f in source for _ in range(pace.looks(f))]
    assert len(wanted) in range(46, 51)
    assert stored.fps == 25.0
    np.testing.assert_array_equal(from_store(store.read(0, store.frames)), np.stack(wanted))
