"""RBDC and TBDC against twins that try every threshold; maps, made tracks and text files."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics import (
    Detections,
    Track,
    boxes_of,
    map_criteria,
    map_thresholds,
    region_criteria,
    tracks_of,
)
from oddframe.metrics.regions import area_to_one

FRAMES = 4
CORNERS = st.integers(0, 5)
SHARES = st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 1.0])


@st.composite
def some_box(draw: st.DrawFn) -> list[int]:
    x, y = draw(CORNERS), draw(CORNERS)
    return [x, y, x + draw(st.integers(1, 4)), y + draw(st.integers(1, 4))]


@st.composite
def some_track(draw: st.DrawFn) -> Track:
    frame = draw(st.lists(st.integers(0, FRAMES - 1), min_size=1, max_size=FRAMES, unique=True))
    return Track(np.array(frame), np.array([draw(some_box()) for _ in frame], float))


@st.composite
def some_detections(draw: st.DrawFn) -> Detections:
    rows = draw(
        st.lists(st.tuples(st.integers(0, FRAMES - 1), some_box(), st.integers(-3, 3)), max_size=12)
    )
    return Detections(
        np.array([r[0] for r in rows], int),
        np.array([r[1] for r in rows], float).reshape(-1, 4),
        np.array([r[2] for r in rows], float),
    )


@st.composite
def some_truth(draw: st.DrawFn) -> dict[str, list[Track]]:
    """Two videos, the second one often without tracks."""
    return {
        "a": draw(st.lists(some_track(), min_size=1, max_size=3)),
        "b": draw(st.lists(some_track(), max_size=2)),
    }


def plain_iou(p, q) -> float:
    cells = [{(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])} for b in (p, q)]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def plain_point(boxes, tracks, alpha, beta):
    """FPR, RBDR, TBDR of the boxes by video and frame, {(video, frame): [box]}."""
    false = 0
    for (video, frame), found in boxes.items():
        truth = [
            b for t in tracks[video] for f, b in zip(t.frame, t.box, strict=True) if f == frame
        ]
        for box in found:
            overlaps = [plain_iou(box, np.asarray(b, int)) for b in truth]
            false += all(overlap < beta for overlap in overlaps)
    hits = []
    for video, some in tracks.items():
        for track in some:
            pairs = zip(track.frame, track.box.astype(int), strict=True)
            seen = [
                any(plain_iou(box, b) >= beta for box in boxes.get((video, int(f)), []))
                for f, b in pairs
            ]
            hits.append(seen)
    regions = [one for seen in hits for one in seen]
    whole = [sum(seen) / len(seen) >= alpha for seen in hits]
    return false / (2 * FRAMES), np.mean(regions), np.mean(whole)


def plain_area(points, key: int) -> float:
    """Area under the line through the points in order of FPR, best rate so far, up to 1."""
    area, x, y = 0.0, 0.0, 0.0
    for fpr, rate in sorted((p[0], p[key]) for p in points):
        rate = max(rate, y)
        if fpr > 1:
            at_one = y + (rate - y) * (1 - x) / (fpr - x)
            return area + (1 - x) * (y + at_one) / 2
        area += (fpr - x) * (y + rate) / 2
        x, y = fpr, rate
    return area + (1 - x) * y


@settings(max_examples=150, deadline=None)
@given(some_truth(), some_detections(), some_detections(), SHARES, SHARES)
def test_boxes_with_scores_equal_the_twin_at_every_threshold(truth, a, b, alpha, beta):
    detections = {"a": a, "b": b}
    points = [(0.0, 0.0, 0.0)]
    for threshold in sorted({*a.score, *b.score}, reverse=True):
        boxes: dict[tuple[str, int], list] = {}
        for video, found in detections.items():
            for frame, box, score in zip(found.frame, found.box, found.score, strict=True):
                if score >= threshold:
                    boxes.setdefault((video, int(frame)), []).append(box.astype(int))
        points.append(plain_point(boxes, truth, alpha, beta))
    score = region_criteria(detections, truth, {"a": FRAMES, "b": FRAMES}, alpha=alpha, beta=beta)
    assert score.rbdc == pytest.approx(plain_area(points, 1), abs=1e-9)
    assert score.tbdc == pytest.approx(plain_area(points, 2), abs=1e-9)
    assert score.tracks == len(truth["a"] + truth["b"])
    assert score.regions == sum(t.frame.size for t in truth["a"] + truth["b"])
    assert score.frames == 2 * FRAMES
    curve = np.stack([score.fpr, score.rbdr, score.tbdr], axis=1)
    np.testing.assert_allclose(np.unique(curve, axis=0), np.unique(points, axis=0), atol=1e-12)
    assert np.all(np.diff(curve, axis=0) >= 0)


@settings(max_examples=60, deadline=None)
@given(some_truth(), st.integers(0, 2**20), SHARES, SHARES, st.sampled_from([1, 2]))
def test_maps_equal_the_twin_with_another_labelling(truth, seed, alpha, beta, coarse):
    rng = np.random.default_rng(seed)
    side, shares = 8, [0.6, 0.2, 0.1, 0.1]
    maps = {v: 1.0 * rng.choice(4, (FRAMES, side // coarse, side // 2), p=shares) for v in "ab"}
    points = [(0.0, 0.0, 0.0)]
    for threshold in (3, 2, 1, 0):
        boxes = {}
        for video, pictures in maps.items():
            for frame, picture in enumerate(pictures):
                parts, _ = ndimage.label(picture >= threshold, np.ones((3, 3)))
                boxes[video, frame] = [
                    (2 * x.start, coarse * y.start, 2 * x.stop, coarse * y.stop)
                    for y, x in ndimage.find_objects(parts)
                ]
        points.append(plain_point(boxes, truth, alpha, beta))
    frames = {"a": FRAMES, "b": FRAMES}
    levels = [0, 3, 1, 2]
    score = map_criteria(
        maps, truth, frames, (side, side), thresholds=levels, alpha=alpha, beta=beta
    )
    curve = np.stack([score.fpr, score.rbdr, score.tbdr], axis=1)
    np.testing.assert_allclose(curve, points, atol=1e-12)
    assert score.rbdc == pytest.approx(plain_area(points, 1), abs=1e-9)
    assert score.tbdc == pytest.approx(plain_area(points, 2), abs=1e-9)
    once = {v: iter(m) for v, m in maps.items()}
    again = map_criteria(
        once, truth, frames, (side, side), thresholds=levels, alpha=alpha, beta=beta
    )
    assert again.rbdc == score.rbdc


def test_maps_without_thresholds_take_their_own():
    maps = {"v": np.random.default_rng(0).random((3, 6, 6))}
    truth = {"v": [Track(np.arange(3), np.array([[2, 2, 5, 6.0]] * 3))]}
    maps["v"][:2, 1:3, 1:3] += 0.5
    free = map_criteria(maps, truth, {"v": 3}, (12, 12))
    given = map_criteria(maps, truth, {"v": 3}, (12, 12), thresholds=map_thresholds(maps))
    assert (free.rbdc, free.fpr.tolist()) == (given.rbdc, given.fpr.tolist())
    assert free.fpr.size > 20
    assert 0 < free.rbdc < 1


def test_area_by_hand():
    def area(fpr, rate):
        return area_to_one(np.array(fpr, float), np.array(rate, float))

    assert area([0, 0], [0, 1]) == 1
    assert area([0], [0]) == 0
    assert area([0, 0.5], [0, 1]) == 0.75  # held to 1
    assert area([0, 2], [0, 1]) == 0.25  # cut at 1, where the rate is 0.5
    assert area([0, 1, 1, 3], [0, 0.5, 1, 1]) == 0.25  # the step at 1 has no width
    assert area([0, 1, 0.5], [0, 0.2, 1]) == 0.75  # turned back


def test_tied_scores_enter_together():
    # One hit and one false positive of equal score: a straight line, not a step up first.
    found = Detections(np.array([0, 0]), np.array([[0, 0, 2, 2], [5, 5, 7, 7.0]]), np.ones(2))
    truth = {"a": [Track(np.array([0]), np.array([[0, 0, 2, 2.0]]))]}
    assert region_criteria({"a": found}, truth, {"a": 1}).rbdc == 0.5
    apart = Detections(found.frame, found.box, np.array([2.0, 1.0]))
    assert region_criteria({"a": apart}, truth, {"a": 1}).rbdc == 1


def test_a_perfect_detector_and_a_silent_one():
    box = np.array([[0, 0, 4, 4.0]] * 10)
    truth = {"a": [Track(np.arange(10), box)]}
    frames = {"a": 10, "b": 5}
    none = Detections(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0))
    found = Detections(np.arange(10), box, np.ones(10))
    full = region_criteria({"a": found, "b": none}, truth, frames)
    assert (full.rbdc, full.tbdc) == (1, 1)
    silent = region_criteria({"a": none, "b": none}, truth, frames)
    assert (silent.rbdc, silent.tbdc) == (0, 0)
    # One region of ten is a tenth of the regions, and enough for the track.
    one = Detections(np.arange(1), box[:1], np.ones(1))
    score = region_criteria({"a": one, "b": none}, truth, frames)
    assert (score.rbdc, score.tbdc) == (0.1, 1)


def test_boxes_of_components_over_eight_neighbours():
    picture = np.array([[3, 0, 0, 1], [0, 3, 0, 1], [0, 0, 0, 0], [2, 2, 0, 0.0]])
    high, low, all_of_it = boxes_of(picture, [3, 1, 0])
    assert high.tolist() == [[0, 0, 2, 2]]
    assert sorted(low.tolist()) == [[0, 0, 2, 2], [0, 3, 2, 4], [3, 0, 4, 2]]
    assert all_of_it.tolist() == [[0, 0, 4, 4]]
    assert boxes_of(picture, 4)[0].shape == (0, 4)


def test_thresholds_occur_in_the_maps_and_reach_both_ends():
    maps = {"a": np.random.default_rng(0).normal(size=(30, 9, 7))}
    found = map_thresholds(maps)
    assert found.size == 40
    assert np.all(np.diff(found) < 0)
    assert set(found) <= set(maps["a"].ravel())
    assert (found[0], found[-1]) == (maps["a"].max(), maps["a"].min())
    assert map_thresholds({"a": np.ones((2, 3, 3))}).tolist() == [1]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 3))
def test_tracks_made_from_masks(seed, least):
    masks = np.random.default_rng(seed).random((5, 8, 9)) < 0.25
    tracks = tracks_of(masks, min_area_px=least)
    regions = sorted((int(f), *b) for t in tracks for f, b in zip(t.frame, t.box, strict=True))
    want = []
    for frame, mask in enumerate(masks):
        parts, _ = ndimage.label(mask, np.ones((3, 3)))
        for i, (y, x) in enumerate(ndimage.find_objects(parts), start=1):
            if np.count_nonzero(parts == i) >= least:
                want.append((frame, x.start, y.start, x.stop, y.stop))
    assert regions == sorted(want)
    for track in tracks:
        assert np.all(np.diff(track.frame) == 1)
        boxes = track.box.astype(int)
        assert all(plain_iou(p, q) > 0 for p, q in pairwise(boxes))
    for ended in tracks:
        for begun in tracks:
            if begun.frame[0] == ended.frame[-1] + 1:
                assert plain_iou(ended.box[-1].astype(int), begun.box[0].astype(int)) == 0


def test_the_largest_overlap_continues_a_track():
    masks = np.zeros((3, 4, 12), bool)
    masks[0, :, 0:6] = True
    masks[1, :, 0:2] = masks[1, :, 3:7] = True  # the second one overlaps more
    masks[2, :, 9:12] = True
    tracks = tracks_of(masks)
    assert [t.frame.tolist() for t in tracks] == [[0, 1], [1], [2]]
    assert tracks[0].box.tolist() == [[0, 0, 6, 4], [3, 0, 7, 4]]
    assert tracks_of(np.zeros((2, 3, 3), bool)) == []


def detections(frame=(0,), box=((0, 0, 1, 1),), score=(1.0,)) -> Detections:
    return Detections(np.array(frame), np.array(box, float), np.array(score, float))


def track(frame=(0,), box=((0, 0, 1, 1),)) -> Track:
    return Track(np.array(frame, int), np.array(box, float))


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        (
            detections(score=[np.nan]),
            [track()],
            r"detections of video 'v': row 0 \(frame 0\).* nan",
        ),
        (detections(score=[np.inf]), [track()], "finite"),
        (detections(score=[1, 2]), [track()], "1 boxes, but scores of shape"),
        (detections(frame=[2]), [track()], "frame 2, but the video has frames 0 to 1"),
        (detections(frame=[0.0]), [track()], "whole frame numbers"),
        (detections(box=[[0, 0, 1]]), [track()], "boxes of shape"),
        (detections(box=[[1, 0, 1, 1]]), [track()], "x1 < x2"),
        (detections(box=[[0, 0, np.inf, 1]]), [track()], "finite x1"),
        (detections(), [track(frame=[-1])], "track 0 of video 'v': row 0 is in frame -1"),
        (detections(), [track([0, 0], [[0, 0, 1, 1]] * 2)], "2 regions in frame 0"),
        (detections(), [track([], np.zeros((0, 4)))], "no region"),
        (detections(), [], "none of the 1 videos has a track"),
    ],
)
def test_unfit_boxes_are_refused_by_name(found, truth, message):
    with pytest.raises(ProtocolError, match=message):
        region_criteria({"v": found}, {"v": truth}, {"v": 2})


def test_videos_that_do_not_fit_are_named():
    with pytest.raises(ProtocolError, match="1 videos have no detections: w; 1 have detections"):
        region_criteria({"x": detections()}, {"w": [track()]}, {"w": 1})
    with pytest.raises(ProtocolError, match="tracks, but no number of frames: x"):
        region_criteria({"w": detections()}, {"x": [track()]}, {"w": 1})
    with pytest.raises(ProtocolError, match="'w' has 0 frames"):
        region_criteria({"w": detections()}, {"w": [track()]}, {"w": 0})
    for shares in ({"alpha": 0}, {"beta": 1.5}, {"beta": np.nan}):
        with pytest.raises(ConfigError, match="shares above 0"):
            region_criteria({"v": detections()}, {"v": [track()]}, {"v": 1}, **shares)


@pytest.mark.parametrize(
    ("maps", "error", "message"),
    [
        (np.zeros((1, 2, 2)), ProtocolError, r"1 maps, but 2 frames \(1 apart\)"),
        (np.full((2, 2, 2), np.nan), ProtocolError, "map of frame 0 of video 'v' holds NaN"),
        (np.array([[[0.0]], [[np.inf]]]), ProtocolError, "map of frame 1 of video 'v' holds NaN"),
        (np.zeros((2, 2)), ProtocolError, r"frame 0 of video 'v'.*shape \(2,\)"),
        (iter(np.zeros((2, 2, 2))), ConfigError, "only once"),
    ],
)
def test_unfit_maps_are_refused_by_name(maps, error, message):
    with pytest.raises(error, match=message):
        map_criteria({"v": maps}, {"v": [track()]}, {"v": 2}, (4, 4))


def test_unfit_settings_of_maps_and_masks_are_refused():
    maps, truth = {"v": np.zeros((1, 2, 2))}, {"v": [track()]}
    for more in ({"thresholds": []}, {"thresholds": [1, np.nan]}):
        with pytest.raises(ConfigError, match="finite numbers"):
            map_criteria(maps, truth, {"v": 1}, (4, 4), **more)
    with pytest.raises(ConfigError, match="size"):
        map_criteria(maps, truth, {"v": 1}, (0, 4))
    with pytest.raises(ConfigError, match="at least 1 point"):
        map_thresholds(maps, 0)
    with pytest.raises(ProtocolError, match="no map"):
        map_thresholds({})
    with pytest.raises(ProtocolError, match="masks of one video"):
        tracks_of(np.zeros((2, 2), bool))
    with pytest.raises(ConfigError, match="min_area_px"):
        tracks_of(np.zeros((1, 2, 2), bool), min_area_px=0)


def test_a_constant_map_finds_only_what_covers_a_tenth_of_the_picture():
    frames = {"v": 2}
    for height, want in ((9, 0), (10, 0.75)):
        truth = {"v": [Track(np.arange(1), np.array([[0, 0, 10, height]], float))]}
        score = map_criteria({"v": np.ones((2, 3, 3))}, truth, frames, (100, 10))
        # The one threshold: half a false positive per frame, a straight line up to it.
        assert score.rbdc == want
