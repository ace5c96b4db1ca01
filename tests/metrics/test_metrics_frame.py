"""Frame metrics against scikit-learn, and every edge that has bitten a published evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics import (
    average_precision,
    curve,
    eer,
    frame_auc,
    macro_auc,
    one_class_videos,
    roc_curve,
    tpr_at_fpr,
)

TIED = st.integers(-3, 3).map(float)
WIDE = st.floats(-1e12, 1e12, allow_nan=False) | st.sampled_from([1e308, -1e308, 5e-324, 0.0, -0.0])


@st.composite
def some_set(draw: st.DrawFn, values: st.SearchStrategy[float]):
    """1-4 videos whose pooled labels hold both classes."""
    lengths = draw(
        st.lists(st.integers(1, 15), min_size=1, max_size=4).filter(lambda n: sum(n) > 1)
    )
    total = sum(lengths)
    scores = np.array(draw(st.lists(values, min_size=total, max_size=total)))
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=total, max_size=total)))
    labels[0], labels[-1] = 0, 1
    cuts = np.cumsum(lengths)[:-1]
    return np.split(scores, cuts), np.split(labels, cuts)


def stretch(s: np.ndarray) -> np.ndarray:
    low, high = s.min(), s.max()
    return np.zeros_like(s) if low == high else (s / 2 - low / 2) / (high / 2 - low / 2)


@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")  # scikit-learn's
@settings(max_examples=200, deadline=None)
@given(some_set(TIED) | some_set(WIDE))
def test_equals_scikit_learn_on_pooled_frames_with_many_ties(data):
    scores, labels = data
    s, y = np.concatenate(scores), np.concatenate(labels)
    assert frame_auc(scores, labels) == pytest.approx(oracle.roc_auc_score(y, s), abs=1e-12)
    assert average_precision(scores, labels) == pytest.approx(
        oracle.average_precision_score(y, s), abs=1e-12
    )
    fpr, tpr = roc_curve(scores, labels)
    want_fpr, want_tpr, _ = oracle.roc_curve(y, s, drop_intermediate=False)
    np.testing.assert_allclose(fpr, want_fpr, atol=1e-15)
    np.testing.assert_allclose(tpr, want_tpr, atol=1e-15)


@settings(max_examples=100, deadline=None)
@given(some_set(TIED))
def test_normalised_equals_scikit_learn_after_the_same_min_max(data):
    scores, labels = data
    y = np.concatenate(labels)
    want = oracle.roc_auc_score(y, np.concatenate([stretch(s) for s in scores]))
    assert frame_auc(scores, labels, normalise="per_video") == pytest.approx(want, abs=1e-12)
    assert frame_auc(scores, labels, normalise="global") == frame_auc(scores, labels)


@settings(max_examples=100, deadline=None)
@given(some_set(TIED))
def test_macro_is_the_mean_over_videos_of_both_classes(data):
    scores, labels = data
    both = [i for i, y in enumerate(labels) if len(set(y)) == 2]
    found = macro_auc(scores, labels)
    assert found.left_out == [i for i in range(len(labels)) if i not in both]
    assert found.left_out == one_class_videos(labels)
    if both:
        want = np.mean([oracle.roc_auc_score(labels[i], scores[i]) for i in both])
        assert frame_auc(scores, labels, average="macro") == pytest.approx(want, abs=1e-12)
        assert found.videos == len(both)
    else:
        assert found.auc is None
        with pytest.raises(ProtocolError, match="one class"):
            frame_auc(scores, labels, average="macro")


@settings(max_examples=100, deadline=None)
@given(some_set(TIED))
def test_eer_is_where_the_roc_meets_equal_errors(data):
    scores, labels = data
    fpr, tpr = roc_curve(scores, labels)
    rate = eer(scores, labels)
    # The point (rate, 1 - rate) lies on a straight piece of the curve.
    assert any(
        min(fpr[i], fpr[i + 1]) - 1e-12 <= rate <= max(fpr[i], fpr[i + 1]) + 1e-12
        and tpr[i] - 1e-12 <= 1 - rate <= tpr[i + 1] + 1e-12
        and abs(
            (1 - rate - tpr[i]) * (fpr[i + 1] - fpr[i]) - (rate - fpr[i]) * (tpr[i + 1] - tpr[i])
        )
        < 1e-12
        for i in range(len(fpr) - 1)
    )


RATES = st.sampled_from([0.0, 0.01, 0.29, 1 / 3, 0.5, 0.999, 1.0]) | st.floats(0, 1)


@settings(max_examples=150, deadline=None)
@given(some_set(TIED), RATES)
def test_tpr_at_fpr_is_the_best_threshold_there_is(data, fpr):
    scores, labels = data
    s, y = np.concatenate(scores), np.concatenate(labels).astype(bool)
    reached = [
        np.mean(s[y] >= threshold)
        for threshold in [*s, np.inf]
        if np.count_nonzero(s[~y] >= threshold) / np.count_nonzero(~y) <= fpr
    ]
    assert tpr_at_fpr(scores, labels, fpr) == pytest.approx(max(reached), abs=1e-15)


@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")  # scikit-learn's
@settings(max_examples=150, deadline=None)
@given(some_set(TIED) | some_set(WIDE))
def test_one_curve_holds_every_number(data):
    scores, labels = data
    s, y = np.concatenate(scores), np.concatenate(labels)
    found = curve(scores, labels)
    assert found.auc == pytest.approx(oracle.roc_auc_score(y, s), abs=1e-12)
    assert found.average_precision == pytest.approx(oracle.average_precision_score(y, s), abs=1e-12)
    assert found.eer == eer(scores, labels)
    assert found.tpr_at_fpr(0.5) == tpr_at_fpr(scores, labels, 0.5)
    assert found.threshold.tolist() == sorted(set(s), reverse=True)
    for t, hits, false in zip(found.threshold, found.hits[1:], found.false[1:], strict=True):
        assert (hits, false) == (np.sum(s[y == 1] >= t), np.sum(s[y == 0] >= t))


def test_tpr_at_fpr_by_hand():
    scores, labels = [np.arange(101.0)], [np.arange(101) == 71]
    # 29 of 100 normal frames score higher: 0.29 * 100 would be 28.999999999999996.
    assert tpr_at_fpr(scores, labels, 0.29) == 1
    assert tpr_at_fpr(scores, labels, 0.28) == 0
    assert tpr_at_fpr([[1, 1, 1]], [[0, 1, 1]], 0.99) == 0
    assert tpr_at_fpr([[3, 1]], [[1, 0]], 0) == 1
    assert tpr_at_fpr([[1, 9]], [[0, 1]], 0, normalise="per_video") == 1


@pytest.mark.parametrize("fpr", [-0.1, 1.1, np.nan])
def test_a_rate_out_of_range_is_refused(fpr):
    with pytest.raises(ConfigError, match="from 0 to 1"):
        tpr_at_fpr([[1, 2]], [[0, 1]], fpr)


def test_known_values_by_hand():
    # Abnormal 0.4 and 0.8 against normal 0.1 and 0.5: three of four pairs in order.
    scores, labels = [[0.1, 0.4], [0.5, 0.8]], [[0, 1], [0, 1]]
    assert frame_auc(scores, labels) == 0.75
    assert frame_auc(scores, labels, average="macro") == 1.0
    assert average_precision(scores, labels) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert eer(scores, labels) == pytest.approx(0.5)


def test_label_direction_flipped_labels_mirror_the_auc():
    scores, labels = [np.array([0.1, 0.2, 0.8, 0.9, 0.15])], [np.array([0, 0, 1, 1, 1])]
    assert frame_auc(scores, labels) == pytest.approx(1 - frame_auc(scores, [1 - labels[0]]))
    assert frame_auc(scores, labels) > 0.8


def test_scores_far_above_one_are_not_squashed():
    # A sigmoid in float32 ties everything above about 17.
    assert frame_auc([[100.0, 200.0, 300.0]], [[0, 0, 1]]) == 1.0


@pytest.mark.parametrize("normalise", ["none", "per_video", "global"])
def test_constant_scores_give_one_half_and_no_nan(normalise):
    scores, labels = [np.full(6, 3.3)], [[0, 1, 0, 1, 1, 1]]
    assert frame_auc(scores, labels, normalise=normalise) == 0.5
    assert eer(scores, labels, normalise=normalise) == 0.5
    assert average_precision(scores, labels, normalise=normalise) == pytest.approx(4 / 6)


def test_constant_video_becomes_all_zero_under_per_video():
    # 7, 7 become 0, 0: the abnormal 0 ties with the normal 0 of the other video, loses to its 1.
    assert frame_auc([[7, 7], [1, 2]], [[1, 1], [0, 0]], normalise="per_video") == 0.25


def test_span_beyond_the_largest_double_stays_finite():
    scores = [[-1.7e308, 0.0, 1.7e308]]
    assert frame_auc(scores, [[0, 0, 1]], normalise="per_video") == 1.0


@pytest.mark.parametrize("label", [0, 1], ids=["all normal", "all abnormal"])
@pytest.mark.parametrize("metric", [frame_auc, average_precision, eer, roc_curve, curve])
def test_one_class_data_is_refused(metric, label):
    with pytest.raises(ProtocolError, match=f"all 3 frames are labelled .*{label}"):
        metric([[1, 2], [3]], [[label, label], [label]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_named(bad):
    with pytest.raises(ProtocolError, match=r"video 1: frame 2 is"):
        frame_auc([[1, 2], [1, 2, bad]], [[0, 1], [0, 1, 1]])


def test_other_lengths_name_the_video_and_both_numbers():
    with pytest.raises(ProtocolError, match=r"video 1: 2 scores, but 3 labels"):
        frame_auc([[1, 2], [1, 2]], [[0, 1], [0, 1, 1]])
    with pytest.raises(ProtocolError, match="2 videos have scores, but 1 have labels"):
        frame_auc([[1, 2], [1, 2]], [[0, 1]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 2], "frame 1 is 2"), ([-1, 1], "frame 0 is -1"), ([0, 0.5], "0.5"), ([0, np.nan], "nan")],
)
def test_labels_other_than_zero_and_one_are_named(labels, message):
    with pytest.raises(ProtocolError, match=message):
        frame_auc([[1, 2]], [labels])


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([], [], "no video"),
        ([[]], [[]], "no frame"),
        ([1.0, 2.0], [0, 1], "1-D"),
        ([[[1.0, 2.0]]], [[0, 1]], "1-D"),
        ([["a", "b"]], [[0, 1]], "numbers"),
        ([[1j, 2j]], [[0, 1]], "numbers"),
        ([[[1], [1, 2]]], [[0, 1]], "one number per frame"),
    ],
    ids=["no videos", "empty video", "not a list of arrays", "2-D", "text", "complex", "ragged"],
)
def test_unfit_input_is_refused(scores, labels, message):
    with pytest.raises(ProtocolError, match=message):
        frame_auc(scores, labels)


def test_unknown_settings_are_refused():
    with pytest.raises(ConfigError, match="per_video"):
        frame_auc([[1, 2]], [[0, 1]], normalise="minmax")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="macro"):
        frame_auc([[1, 2]], [[0, 1]], average="both")  # type: ignore[arg-type]


def test_input_is_left_as_it_was_and_bool_labels_work():
    scores = np.array([3, 1, 2], dtype=np.float32)
    labels = np.array([True, False, False])
    assert frame_auc([scores], [labels], normalise="per_video") == 1.0
    np.testing.assert_array_equal(scores, [3, 1, 2])
