"""Days of footage in stretches: the scores of one pass, kept over a kill, in several processes."""

import functools
import itertools
import math
import os
import resource
from types import SimpleNamespace

import numpy as np
import pytest

import oddframe
from encoded import encode
from oddframe.data import Video, open_dataset
from oddframe.errors import OddframeError, OddframeWarning, RunError
from oddframe.runs import load_run
from oddframe.runtime import calibrate, days, lanes
from oddframe.runtime.days import score_days, spread, stretches
from oddframe.runtime.lanes import Scored, score_stretch, score_together


@pytest.fixture
def videos(tmp_path, make_frames, monkeypatch):
    """Two files and a folder, one with a pause of a minute; stretches of about half a second."""
    monkeypatch.setattr(days, "PIECE_FRAMES", 15)
    root = tmp_path / "days"
    root.mkdir()
    encode(root / "a.mp4", 60)
    encode(root / "b.mkv", stamps=[i / 25 + 60 * (i >= 20) for i in range(40)], rate=25)
    make_frames(root / "c", frames=30)
    return (*open_dataset(root).train, Video("c", root / "c"))


def one_pass(run, videos):
    detector = oddframe.load(run)
    found = []
    for video in videos:
        with video.open() as source:
            result = detector.score(source, heat=False)
        found.append((result.score, result.time_s))
    return found


def same(got, wanted):
    assert len(got) == len(wanted)
    for one, (score_w, time_w) in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one.time_s, time_w, atol=2e-3)
        np.testing.assert_allclose(one.score, score_w, atol=1e-4)


def test_stretches_cover_all_of_the_time(videos, shared_run):
    found = stretches(oddframe.load(shared_run), videos)
    for video in videos:
        own = [s for s in found if s.video is video]
        assert own[0].start_s == 0
        assert all(a.stop_s == b.start_s for a, b in itertools.pairwise(own))
        assert own[-1].stop_s == np.inf
        assert sum(s.length_s for s in own) == pytest.approx(own[0].video_s)
    assert len([s for s in found if s.video is videos[0]]) == 4


def test_smoothed_scores_are_of_whole_videos(videos, shared_run):
    detector = oddframe.load(load_run(shared_run).with_settings(["score.smooth=0.5"]))
    assert [s.video for s in stretches(detector, videos)] == list(videos)


@pytest.mark.slow
def test_lanes_give_what_one_stretch_alone_gives(videos, shared_run):
    """Of uneven lengths, more than there are lanes, and with a pause in one of them."""
    detector = oddframe.load(shared_run)
    parts = stretches(detector, videos)
    left, found = iter(enumerate(parts)), {}
    score_together(detector, lambda: next(left, None), found.__setitem__, lanes=3)
    assert sorted(found) == list(range(len(parts)))
    for i, part in enumerate(parts):
        alone = score_stretch(detector, part)
        same([found[i]], [(alone.score, alone.time_s)])


@pytest.mark.parametrize("fps", [5.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_lanes_look_at_the_rate_of_the_run(videos, shared_run, fps):
    """Some frames are left out, or all looked at several times."""
    detector = oddframe.load(shared_run)
    object.__setattr__(detector.info, "fps", fps)
    with pytest.warns(OddframeWarning, match="the RUN learned at"):
        parts = stretches(detector, videos[:1])
    left, found = iter(enumerate(parts)), {}
    score_together(detector, lambda: next(left, None), found.__setitem__)
    for i, part in enumerate(parts):
        alone = score_stretch(detector, part)
        same([found[i]], [(alone.score, alone.time_s)])


def test_stretches_together_are_one_pass(shared_run, videos):
    seen = []
    run = load_run(shared_run)
    got = score_days(run, videos, 1, lambda done, total: seen.append((done, total)))
    same(got.videos, one_pass(shared_run, videos))
    assert seen[0][0] == 0
    assert seen[-1][0] == pytest.approx(seen[-1][1])
    assert got.scored_s == pytest.approx(got.total_s)
    got.forget()
    assert not got.folder.exists()


@pytest.mark.slow
def test_several_processes_give_the_same(shared_run, videos, monkeypatch):
    monkeypatch.setattr(days, "ALONE_S", 0.0)
    run = load_run(shared_run)
    same(score_days(run, videos, 2, lambda *_: None).videos, one_pass(shared_run, videos))


def test_what_is_done_is_not_done_again(shared_run, videos, monkeypatch):
    run, made = load_run(shared_run), []
    real = days._write

    def stops(file, found):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(file.name)
        real(file, found)

    monkeypatch.setattr(days, "_write", stops)
    with pytest.raises(KeyboardInterrupt):
        score_days(run, videos, 1, lambda *_: None)
    first = list(made)
    made[:] = []
    monkeypatch.setattr(days, "_write", lambda *a: made.append(a[0].name) or real(*a))
    same(score_days(run, videos, 1, lambda *_: None).videos, one_pass(shared_run, videos))
    assert not set(first) & set(made)
    assert len(first) + len(made) == len(stretches(oddframe.load(run), videos))
    # Other footage, or another run, has stretches of its own.
    assert days._key(run, videos) != days._key(run, videos[:2])


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_there_is_no_time_for_is_scored_when_there_is(
    shared_run, tmp_path, monkeypatch, processes
):
    """Every stretch that has begun is taken as far as it is, and done anew by whoever goes on."""
    monkeypatch.setattr(days, "ALONE_S", 0.0)
    if processes == 1:  # in processes of their own nothing is patched
        monkeypatch.setattr(lanes, "FEWEST", 10)
    piece, fewest = (20, 10) if processes == 1 else (100, 64)
    monkeypatch.setattr(days, "PIECE_FRAMES", piece)
    run, length = load_run(shared_run), 8 * piece * processes  # 8 lanes each
    videos = [Video("long", encode(tmp_path / "long.mp4", length))]
    some = score_days(run, videos, processes, lambda *_: None, minutes=1e-9)
    assert not some.whole
    assert list(shared_run.glob("resume/days-*/*.part.npz"))
    [one] = some.videos
    assert fewest <= len(one.score) < length
    assert some.scored_s == pytest.approx(len(one.score) / 25, rel=0.1)
    [(score, time_s)] = one_pass(shared_run, videos)
    at = np.searchsorted(time_s, one.time_s - 2e-3)
    np.testing.assert_allclose(one.score, score[at], atol=1e-4)
    some.forget()  # not before all is scored
    assert some.folder.exists()
    every = score_days(run, videos, processes, lambda *_: None)
    same(every.videos, [(score, time_s)])
    every.forget()
    assert not every.folder.exists()


def test_a_video_of_more_stretches_than_files_may_be_open(shared_run, videos, monkeypatch):
    """A day of one file has some thousand: what is kept of each is read and closed."""
    monkeypatch.setattr(days, "PIECE_FRAMES", 1)
    run, [long, *_] = load_run(shared_run), videos
    count = len(stretches(oddframe.load(run), [long]))
    folder = run.path / "resume" / f"days-{days._key(run, [long])}"
    folder.mkdir(parents=True)
    for i in range(count):
        one = np.full(1, float(i))
        days._write(folder / f"{i:05d}.npz", Scored(one, one, one))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + count // 2, before[1]))
    try:
        found = score_days(run, [long], 1, lambda *_: None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    [got] = found.videos
    assert got.score.tolist() == list(range(count))
    found.forget()


def test_what_was_scored_is_kept_until_the_threshold_is_written(shared_run, videos, monkeypatch):
    def full(*_):
        raise RunError("no space left")

    footage = calibrate.held_out(shared_run, videos[0].path.parent)
    monkeypatch.setattr(calibrate, "write_calibration", full)
    with pytest.raises(RunError, match="no space"):
        calibrate.calibrate_run(footage, 1)
    kept = shared_run / "resume" / f"days-{days._key(footage.run, footage.dataset.train)}"
    assert kept.exists()
    monkeypatch.setattr(days, "_write", None)  # nothing is scored again
    monkeypatch.setattr(calibrate, "write_calibration", lambda *_: None)
    assert calibrate.calibrate_run(footage, 1).days.whole
    assert not kept.exists()


def test_a_process_that_the_system_ends_is_said_in_words(monkeypatch):
    # Both are named, not sent, so that the processes load nothing.
    monkeypatch.setattr(days, "_begin", print)
    monkeypatch.setattr(days, "_work", functools.partial(os._exit, 9))
    work, run = SimpleNamespace(left=[0, 1]), SimpleNamespace(path="RUN")
    with pytest.raises(OddframeError, match="smaller --processes"):
        days._in_processes(run, work, 2, math.inf, lambda _: None)


@pytest.mark.parametrize("count", [10, 500, 3001])
def test_every_beginning_of_the_order_is_spread_over_all(count):
    order = spread(count)
    assert sorted(order) == list(range(count))
    for share in (0.1, 0.25, 0.5):
        begun = sorted(order[: math.ceil(count * share)])
        gaps = np.diff([-1, *begun, count])
        assert gaps.max() <= 3 / share


@pytest.mark.slow
def test_an_error_in_a_process_is_the_users(shared_run, videos, monkeypatch, tmp_path):
    monkeypatch.setattr(days, "ALONE_S", 0.0)
    cut = tmp_path / "cut.avi"
    encode(cut, 100, 25, "mjpeg")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    with pytest.raises(oddframe.OddframeError, match="truncated"):
        score_days(load_run(shared_run), [*videos, Video("cut", cut)], 2, lambda *_: None)


def test_in_one_pass_lights_are_apart_too_and_what_is_ignored_is_said(
    shared_run, tmp_path, monkeypatch
):
    monkeypatch.setattr("oddframe.calibration.calibrate.MODE_H", 0.0)
    encode(tmp_path / "day.mp4", 30)
    encode(tmp_path / "night.mp4", 30, pictures=lambda i: np.full((96, 160, 3), 90 + i, np.uint8))
    footage, bars = calibrate.held_out(shared_run, tmp_path), calibrate.Bars()
    own = (footage.run, footage.dataset, 1.0)
    _, wanted = calibrate._in_days(*own, calibrate.Effort(), bars)
    with pytest.warns(OddframeWarning, match="--processes are of footage that is scored on the C"):
        found = calibrate._in_one_pass(*own, calibrate.Effort(processes=2), bars)
    assert list(found["modes"]) == ["colour", "infrared"]
    for name, mode in found["modes"].items():
        assert mode["threshold"] == pytest.approx(wanted["modes"][name]["threshold"], rel=1e-3)


def test_a_device_is_chosen_before_it_is_asked_how(shared_run, videos, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(calibrate, "write_calibration", lambda *_: None)
    footage = calibrate.held_out(shared_run, videos[0].path.parent)
    assert calibrate.calibrate_run(footage, 1, calibrate.Effort(device="auto")).days is not None


def test_every_frame_says_how_much_colour_there_is(shared_run, tmp_path):
    from oddframe.calibration.light import COLOURED, GREY

    def grey(i):
        return np.full((96, 160, 3), 40 + 3 * i, np.uint8)

    encode(tmp_path / "day.mp4", 30)
    encode(tmp_path / "night.mp4", 30, pictures=grey)
    both = open_dataset(tmp_path).train
    found = score_days(load_run(shared_run), both, 1, lambda *_: None).videos
    by_name = {video.name: scored.colour for video, scored in zip(both, found, strict=True)}
    assert {len(colour) for colour in by_name.values()} == {30}
    assert by_name["day"].min() > COLOURED
    assert by_name["night"].max() < GREY
