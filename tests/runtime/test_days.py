"""Days of footage in pieces: the scores of one pass, kept over a kill, in several processes."""

import itertools

import numpy as np
import pytest

import oddframe
from encoded import encode
from oddframe.data import Video, open_dataset
from oddframe.runs import load_run
from oddframe.runtime import days
from oddframe.runtime.days import pieces, score_days


@pytest.fixture
def videos(tmp_path, make_frames, monkeypatch):
    """Two files and a folder, one with a pause of a minute; pieces of about half a second."""
    monkeypatch.setattr(days, "PIECE_S", 0.6)
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
    for (score, time_s), (score_w, time_w) in zip(got, wanted, strict=True):
        np.testing.assert_allclose(time_s, time_w, atol=2e-3)
        np.testing.assert_allclose(score, score_w, atol=1e-5)


def test_pieces_cover_all_of_the_time(videos):
    found = pieces(videos, whole=False)
    assert [p.video for p in found] == sorted(p.video for p in found)
    for v in range(3):
        own = [p for p in found if p.video == v]
        assert own[0].start_s == 0
        assert all(a.stop_s == b.start_s for a, b in itertools.pairwise(own))
        assert own[-1].stop_s == np.inf
    assert len([p for p in found if p.video == 0]) == 4
    assert len(pieces(videos, whole=True)) == 3


def test_pieces_together_are_one_pass(shared_run, videos):
    seen = []
    run = load_run(shared_run)
    got = score_days(run, videos, 1, lambda done, total: seen.append((done, total)))
    same(got, one_pass(shared_run, videos))
    assert seen[0][0] == 0
    assert seen[-1][0] == pytest.approx(seen[-1][1])
    assert not list(shared_run.glob("resume/days-*"))


def test_several_processes_give_the_same(shared_run, videos, monkeypatch):
    monkeypatch.setattr(days, "ALONE_S", 0.0)
    run = load_run(shared_run)
    same(score_days(run, videos, 2, lambda *_: None), one_pass(shared_run, videos))


def test_what_is_done_is_not_done_again(shared_run, videos, monkeypatch):
    run, made = load_run(shared_run), []
    real = days.score_piece

    def stops(detector, video, piece):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(piece)
        return real(detector, video, piece)

    monkeypatch.setattr(days, "score_piece", stops)
    with pytest.raises(KeyboardInterrupt):
        score_days(run, videos, 1, lambda *_: None)
    first = list(made)
    made[:] = []
    monkeypatch.setattr(days, "score_piece", lambda d, v, p: made.append(p) or real(d, v, p))
    same(score_days(run, videos, 1, lambda *_: None), one_pass(shared_run, videos))
    assert not set(first) & set(made)
    assert len(first) + len(made) == len(pieces(videos, whole=False))
    # Other footage, or another run, has pieces of its own.
    assert days._key(run, videos) != days._key(run, videos[:2])


def test_an_error_in_a_process_is_the_users(shared_run, videos, monkeypatch, tmp_path):
    monkeypatch.setattr(days, "ALONE_S", 0.0)
    cut = tmp_path / "cut.avi"
    encode(cut, 100, 25, "mjpeg")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    with pytest.raises(oddframe.OddframeError, match="truncated"):
        score_days(load_run(shared_run), [*videos, Video("cut", cut)], 2, lambda *_: None)
