"""Pixel metrics against the enlarged maps that they never make."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics import pixel_auc, pixel_criterion_auc
from oddframe.metrics.check import least_count


@st.composite
def some_maps(draw: st.DrawFn):
    """1-3 videos, maps coarser or finer than the masks, many ties; both kinds of frames."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    top, share = draw(st.sampled_from([1, 4, 1000])), draw(st.sampled_from([0.1, 0.5, 0.9]))
    kind = draw(st.sampled_from([np.float64, np.float32, np.float16, np.int32]))
    maps, masks = [], []
    for _ in range(draw(st.integers(1, 3))):
        n = draw(st.integers(2, 4))
        h, w, big_h, big_w = (draw(st.integers(1, 9)) for _ in range(4))
        maps.append(rng.integers(0, top, (n, h, w)).astype(kind))
        mask = rng.random((n, big_h, big_w)) < share
        mask[rng.random(n) < 0.4] = False
        masks.append(mask)
    masks[0][0] = False
    masks[-1][-1, 0, 0] = True
    return maps, masks


def enlarged(cells: np.ndarray, mask: np.ndarray) -> np.ndarray:
    (h, w), (big_h, big_w) = cells.shape[1:], mask.shape[1:]
    out = np.empty(mask.shape, cells.dtype)
    for y in range(big_h):
        for x in range(big_w):
            out[:, y, x] = cells[:, y * h // big_h, x * w // big_w]
    return out


@settings(max_examples=100, deadline=None)
@given(some_maps())
def test_pixel_auc_equals_scikit_learn_on_enlarged_maps(data):
    maps, masks = data
    values = np.concatenate([enlarged(m, k).ravel() for m, k in zip(maps, masks, strict=True)])
    truth = np.concatenate([k.ravel() for k in masks])
    want = oracle.roc_auc_score(truth, values)
    assert pixel_auc(maps, masks) == pytest.approx(want, abs=1e-12)
    assert pixel_auc(iter(maps), (k.astype(np.uint8) for k in masks)) == pixel_auc(maps, masks)


@settings(max_examples=100, deadline=None)
@given(some_maps(), st.sampled_from([0.01, 0.25, 0.4, 0.5, 1.0]))
def test_pixel_criterion_equals_trying_every_threshold(data, share):
    maps, masks = data
    big = [enlarged(m, k) for m, k in zip(maps, masks, strict=True)]
    points = [(0.0, 0.0)]
    for threshold in sorted({float(v) for m in big for v in m.ravel()}, reverse=True):
        seen, false = [], []
        for picture, mask in (
            (p, k) for m, ks in zip(big, masks, strict=True) for p, k in zip(m, ks, strict=True)
        ):
            above = picture >= threshold
            if mask.any():
                seen.append(np.count_nonzero(above & mask) / np.count_nonzero(mask) >= share)
            else:
                false.append(above.any())
        points.append((np.mean(false), np.mean(seen)))
    want = oracle.auc(*np.transpose(points))
    assert pixel_criterion_auc(maps, masks, share=share) == pytest.approx(want, abs=1e-12)
    assert pixel_criterion_auc(iter(maps), iter(masks), share=share) == pytest.approx(want)


def test_by_hand():
    # Two cells of two columns each; three abnormal pixels, two under 9 and one under 1.
    maps = [np.array([[[9, 1]], [[5, 2]]])]
    masks = [np.array([[[1, 1, 1, 0]], [[0, 0, 0, 0]]])]
    # Abnormal 9 9 1 against normal 1 5 5 2 2: ten pairs won, half a one tied, of fifteen.
    assert pixel_auc(maps, masks) == pytest.approx(10.5 / 15)
    # Two thirds of the mask are seen at 9, all of it only at 1, where the normal frame alarms.
    assert pixel_criterion_auc(maps, masks, share=2 / 3) == 1
    assert pixel_criterion_auc(maps, masks, share=0.7) == 0


def test_constant_maps_give_one_half():
    masks = [np.array([[[1, 0]], [[0, 0]]], bool)]
    assert pixel_auc([np.ones((2, 1, 1))], masks) == 0.5
    assert pixel_criterion_auc([np.ones((2, 1, 1))], masks) == 0.5


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 100), st.integers(1, 300))
def test_least_count_is_what_the_comparison_of_shares_says(percent, total):
    share = percent / 100
    want = next(k for k in range(1, total + 1) if k / total >= share)
    assert least_count(share, total) == want


@pytest.mark.parametrize("metric", [pixel_auc, pixel_criterion_auc])
@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        ([], [], "no video"),
        ([np.ones((1, 1, 1))] * 2, [np.ones((1, 2, 2))], "1 videos have masks, but more have maps"),
        ([np.ones((1, 1, 1))], [np.ones((1, 2, 2))] * 2, "1 videos have maps, but more have masks"),
        ([np.ones((1, 1, 1))], [np.ones((2, 2, 2))], "video 'a': 1 maps, but 2 masks"),
        ([np.ones((1, 1))], [np.ones((1, 2, 2))], r"found shapes \(1, 1\)"),
        ([np.ones((0, 1, 1))], [np.ones((0, 2, 2))], "not empty"),
        ([np.full((1, 1, 1), "x")], [np.ones((1, 2, 2))], "expected numbers"),
        ([np.array([[[1.0]], [[np.nan]]])], [np.ones((2, 2, 2))], "video 'a': frame 1 holds NaN"),
        ([np.array([[[np.inf]]])], [np.ones((1, 2, 2))], "video 'a': frame 0 holds NaN or inf"),
        ([np.ones((1, 1, 1))], [np.full((1, 2, 2), 255)], r"video 'a' must be 0 .*mask > 0"),
        ([np.ones((2, 1, 1))], [np.ones((2, 1, 1), bool)], "all 2 .* are abnormal"),
        ([np.ones((2, 1, 1))], [np.zeros((2, 1, 1), bool)], "all 2 .* are normal"),
    ],
)
def test_unfit_input_is_refused_by_name(metric, maps, masks, message):
    with pytest.raises(ProtocolError, match=message):
        metric(maps, masks, names=["a", "b"])


@pytest.mark.parametrize("share", [0, -1, 1.1, np.nan])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ConfigError, match="share"):
        pixel_criterion_auc([np.ones((1, 1, 1))], [np.ones((1, 1, 1))], share=share)


def test_maps_in_half_precision_count_as_what_they_are():
    rng = np.random.default_rng(3)
    maps = [rng.normal(size=(6, 5, 7)).astype(np.float16) for _ in range(2)]
    maps[0][0, 0, :2], maps[1][0, 0, :2] = 0.0, -0.0  # equal numbers of other bits
    masks = [rng.random((6, 20, 21)) < 0.2 for _ in range(2)]
    masks[1][2:] = False
    whole = pixel_auc([m.astype(np.float64) for m in maps], masks)
    assert pixel_auc(maps, masks) == pytest.approx(whole, abs=1e-12)


def test_a_test_set_takes_no_more_memory_than_one_of_its_videos():
    def made(videos):
        rng = np.random.default_rng(0)
        for _ in range(videos):
            yield rng.normal(size=(10, 96, 96)).astype(np.float16)

    def peak(videos):
        masks = (np.arange(10)[:, None, None] > 7 + np.zeros((10, 96, 96)) for _ in range(videos))
        tracemalloc.start()
        pixel_auc(made(videos), masks)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    # What is kept are the different values of each video, some thousand: not its 92,160 cells.
    assert peak(8) < 2 * peak(1) + 8 * 1_000_000
