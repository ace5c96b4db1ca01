"""What the model made of a frame: every panel holds what it says, and little is kept in memory."""

from __future__ import annotations

import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

import oddframe
from oddframe.errors import ConfigError, OddframeWarning
from oddframe.report import maps
from oddframe.report.maps import (
    BRIGHT_DB,
    DARK_DB,
    FOOT,
    GAP,
    TITLE,
    MapPictures,
    MapVideo,
    draw_maps,
    error_colours,
    panel_size,
)
from oddframe.runs import load_run
from oddframe.scoring.seen import Compared
from oddframe.sources import open_source
from oddframe.types import Score, SourceInfo

SIDE = 32
RED = torch.tensor([1.0, -1.0, -1.0])[:, None, None]


def score(index=7, value=1.0):
    return Score(index, index / 10, value, value / 2, value >= 2)


def compared(shown=0.0, predicted=0.0, channels=3, moved=0.0, motion=0.0, **lags):
    """Flat pictures of the given values; no motion where `channels` is None."""

    def flat(value, c):
        return torch.as_tensor(value, dtype=torch.float32).expand(c, SIDE, SIDE)

    one, two = (None, None) if channels is None else (flat(moved, channels), flat(motion, channels))
    return Compared(
        flat(shown, 3), flat(predicted, 3), one, two, **({"frame_lag": 0, "motion_lag": 1} | lags)
    )


def info(width=360, height=240, fps=10.0):
    return SourceInfo("clip", width, height, fps, None)


def panels(image, size, rows):
    """The middle pixel of every panel, row by row, BGR."""
    w, h = size
    assert image.shape == (rows * (TITLE + h + GAP) + FOOT, GAP + 3 * (w + GAP), 3)
    return [
        [
            image[r * (TITLE + h + GAP) + TITLE + h // 2, GAP + c * (w + GAP) + w // 2].tolist()
            for c in range(3)
        ]
        for r in range(rows)
    ]


@pytest.fixture
def titles(monkeypatch):
    """What is written on the sheets, in order."""
    written = []
    put = maps._write

    def note(sheet, text, *rest):
        written.append(text)
        return put(sheet, text, *rest)

    monkeypatch.setattr(maps, "_write", note)
    return written


def test_panels_show_frame_prediction_and_error_and_the_same_of_motion():
    seen = compared(shown=RED, predicted=0.0, moved=0.1, motion=-0.1)
    (frame, made, error), (moved, motion, missed) = panels(
        draw_maps(seen, score(), info()), (360, 240), 2
    )
    assert frame == [0, 0, 255]
    assert made == [128, 128, 128]
    # Squared error 1 of a span of 2: 6 dB, beyond the brightest; .04 is 20 dB, between the ends.
    assert error == error_colours(np.full((1, 1), 10.0, np.float32))[0, 0].tolist()
    assert moved == [178, 178, 178]
    assert motion == [76, 76, 76]
    assert missed == error_colours(np.full((1, 1), 0.04, np.float32))[0, 0].tolist()
    assert sum(missed) < sum(error)


def test_a_model_without_motion_has_one_row():
    seen = compared(shown=1.0, channels=None)
    assert panels(draw_maps(seen, score(), info()), (360, 240), 1)[0][0] == [255, 255, 255]


def test_flow_is_shown_by_direction_and_speed():
    still, right, left, slow = (
        panels(
            draw_maps(compared(channels=2, moved=torch.tensor(v)[:, None, None]), score(), info()),
            (360, 240),
            2,
        )[1][0]
        for v in ([0.0, 0.0], [0.2, 0.0], [-0.2, 0.0], [0.02, 0.0])
    )
    assert still == [0, 0, 0]
    assert right != left
    assert max(right) == pytest.approx(0.8 * 255, abs=1)
    assert max(slow) == pytest.approx(0.08 * 255, abs=1)


def test_titles_name_the_frame_that_is_shown_and_the_psnr(titles):
    draw_maps(compared(shown=0.5, predicted=0.3, moved=0.02), score(9), info())
    assert titles[:6] == [
        "frame 9", "prediction", "error of the prediction: PSNR 20.0 dB",
        "motion to frame 8 (x4)", "its reconstruction (x4)", "error of the motion: PSNR 40.0 dB",
    ]  # fmt: skip
    assert "clip, frame 9, 0:00.9: score 1.00, level 0.50" in titles


def test_a_reconstruction_is_of_the_frame_before_and_predicted_motion_of_this_one(titles):
    draw_maps(compared(frame_lag=1, motion_lag=0), score(9), info())
    assert titles[0] == "frame 8"
    assert titles[1] == "reconstruction"
    assert titles[3] == "motion to frame 9 (x4)"
    assert titles[4].startswith("its prediction")


def test_titles_name_what_is_shown_where_frames_are_left_out(
    titles, shared_run, write_street, tmp_path
):
    run = load_run(shared_run)
    detector = oddframe.load(replace(run, card={**run.card, "fps": 10.0}))
    folder = write_street(tmp_path / "a", range(23))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OddframeWarning)  # of the rate
        with open_source(folder, fps=30) as source:
            looked = {}
            for frame, one, seen in detector.observe(source):
                looked[frame.index] = one.held
                if seen is not None:
                    last = (one, seen)
    (now, before) = [i for i, held in looked.items() if not held][:-3:-1]
    assert (now, before, last[0].index) == (21, 18, 22)  # nothing is seen of 22
    draw_maps(last[1], last[0], info())
    assert titles[0] == "frame 21"
    assert titles[3] == "motion to frame 18 (x4)"
    assert any(title.startswith("clip, frame 22, ") for title in titles)


def test_the_scale_of_errors_is_fixed_and_stated(titles):
    def at(db):
        return error_colours(np.full((1, 1), 4 / 10 ** (db / 10), np.float32))[0, 0].tolist()

    assert at(DARK_DB) == at(90) == [4, 0, 0]
    assert at(BRIGHT_DB) == at(0)
    brightness = [sum(at(db)) for db in (40, 30, 20, 10)]
    assert brightness == sorted(brightness)
    draw_maps(compared(), score(), info())
    assert {"error 40 dB", "10 dB per pixel"} <= set(titles)


@pytest.mark.parametrize(
    ("size", "panel"),
    [
        ((360, 240), (360, 240)),
        ((1280, 720), (480, 270)),
        ((720, 1280), (270, 480)),
        ((64, 48), (320, 240)),
        ((2000, 1), (480, 1)),
    ],
)
def test_panels_keep_the_aspect_of_the_source(size, panel):
    assert panel_size(info(*size)) == panel
    draw_maps(compared(), score(), info(*size))


def scores(*values):
    return [score(i, v) for i, v in enumerate(values)]


def made(folder):
    return sorted(p.name for p in folder.iterdir())


def test_named_frames_are_written_when_they_pass(tmp_path):
    with MapPictures(tmp_path, "c", info(), {3, 5}) as pictures:
        for one in scores(*range(5)):
            pictures.take(one, compared(shown=one.score / 4))
        assert made(tmp_path / "c.maps") == ["000003.png"]
        pictures.take(score(5), compared())
    assert pictures.finish() == "2 frames"
    assert made(tmp_path / "c.maps") == ["000003.png", "000005.png"]
    image = cv2.imread(str(tmp_path / "c.maps" / "000003.png"))
    assert panels(image, (360, 240), 2)[0][0] == [223, 223, 223]


def test_a_frame_that_the_video_has_not_is_named_and_the_others_are_written(tmp_path):
    pictures = MapPictures(tmp_path, "c", info(), {1, 99})
    for one in scores(0, 1, 2):
        pictures.take(one, compared())
    with pytest.raises(ConfigError, match="no prediction for frame 99: it has 3 frames"):
        pictures.finish()
    assert made(tmp_path / "c.maps") == ["000001.png"]


def test_without_named_frames_separate_peaks_and_the_quietest_are_shown(tmp_path):
    values = np.ones(120)
    values[[20, 24, 40, 61, 80, 100]] = [5, 6, 4, 7, 3, 2]  # 24 beats 20, ten frames are a second
    values[[30, 110]] = [0.5, 0.2]
    pictures = MapPictures(tmp_path, "c", info(fps=10.0))
    kept = []
    for one in scores(*values):
        pictures.take(one, compared())
        kept.append(len(pictures._peaks))
    assert max(kept) <= maps.PEAKS
    assert pictures.finish() == "frames 24, 40, 61, 80 (highest scores, 1 s apart) and 110 " + (
        "(lowest score)"
    )
    assert made(tmp_path / "c.maps") == [
        "000024.png", "000040.png", "000061.png", "000080.png", "000110.png"
    ]  # fmt: skip


def test_a_slope_is_one_peak_however_long_it_is(tmp_path):
    pictures = MapPictures(tmp_path, "c", info(fps=10.0))
    for one in scores(*np.arange(60.0)):
        pictures.take(one, compared())
    assert "frames 59 (" in pictures.finish()


def test_a_single_frame_is_peak_and_quietest_at_once(tmp_path):
    pictures = MapPictures(tmp_path, "c", info())
    pictures.take(score(4), compared())
    assert "lowest" not in pictures.finish()
    assert made(tmp_path / "c.maps") == ["000004.png"]


@pytest.mark.parametrize("kind", [MapPictures, MapVideo])
def test_a_video_too_short_for_any_prediction_says_so(kind, tmp_path):
    with kind(tmp_path, "c", info()) as target:
        target.take(score(0), None)
    assert "too short" in target.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_video_holds_every_frame_from_the_first_prediction(tmp_path):
    with MapVideo(tmp_path, "c", info(63, 41, fps=12.5)) as video:
        for one in scores(*range(9)):
            video.take(one, compared(shown=1.0) if one.index >= 3 else None)
    capture = cv2.VideoCapture(str(video.path))
    assert video.path == tmp_path / "c.maps.webm"
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    found = 0
    while (got := capture.read())[0]:
        found += 1
        assert got[1][TITLE + 100, GAP + 100].min() > 240
    assert found == 6


def test_an_error_on_the_way_leaves_no_video(tmp_path):
    with pytest.raises(KeyboardInterrupt), MapVideo(tmp_path, "c", info()) as video:  # noqa: PT012
        video.take(score(), compared())
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
