"""Pairs by video and their bootstrap against the plain way: concatenate the drawn videos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from oddframe.errors import ConfigError, ProtocolError
from oddframe.metrics import bootstrap, bootstrap_difference, frame_auc, pair_wins
from oddframe.metrics.frame import auc_of
from oddframe.metrics.pairs import MIN_DRAWS


@st.composite
def some_videos(draw: st.DrawFn, least: int = 1):
    """1-6 videos with many ties (or constant scores); each class may be missing anywhere."""
    lengths = draw(st.lists(st.integers(1, 12), min_size=least, max_size=6))
    total = sum(lengths)
    top = draw(st.sampled_from([0, 3, 40]))
    scores = draw(st.lists(st.integers(-top, top), min_size=total, max_size=total))
    labels = draw(st.lists(st.booleans(), min_size=total, max_size=total))
    cuts = np.cumsum(lengths)[:-1]
    return np.split(np.array(scores) / 4, cuts), np.split(np.array(labels), cuts)


def both(labels: list[np.ndarray]) -> bool:
    return 0 < sum(map(np.count_nonzero, labels)) < sum(y.size for y in labels)


def concatenated(scores, labels, draws: int, seed: int) -> np.ndarray:
    """AUC of every resample with both classes, from the frames of the videos it holds."""
    videos = len(scores)
    found = []
    for row in np.random.default_rng(seed).multinomial(videos, [1 / videos] * videos, size=draws):
        drawn = np.repeat(np.arange(videos), row)
        truth = [labels[i] for i in drawn]
        if both(truth):
            found.append(auc_of(np.concatenate([scores[i] for i in drawn]), np.concatenate(truth)))
    return np.array(found)


@settings(max_examples=150, deadline=None)
@given(some_videos())
def test_wins_are_the_pairs_of_two_videos_in_order(data):
    scores, labels = data
    found = pair_wins(scores, labels)
    for i, (s, y) in enumerate(zip(scores, labels, strict=True)):
        for j, (r, z) in enumerate(zip(scores, labels, strict=True)):
            above = s[y][:, None] - r[~z][None, :]
            assert found.wins[i, j] == np.sum(above > 0) + np.sum(above == 0) / 2
        assert (found.abnormal[i], found.normal[i]) == (y.sum(), (~y).sum())
    if both(labels):
        want = roc_auc_score(np.concatenate(labels), np.concatenate(scores))
        assert found.auc == pytest.approx(want, abs=1e-12)
        assert found.auc == pytest.approx(frame_auc(scores, labels), abs=1e-12)
    else:
        with pytest.raises(ProtocolError, match="undefined"):
            _ = found.auc


@settings(max_examples=40, deadline=None)
@given(some_videos(least=2), st.integers(0, 1000), st.sampled_from([0.5, 0.9]))
def test_bootstrap_equals_concatenating_the_drawn_videos(data, seed, level):
    scores, labels = data
    aucs = concatenated(scores, labels, 60, seed)
    found = bootstrap(pair_wins(scores, labels), draws=60, level=level, seed=seed)
    if len(aucs) < MIN_DRAWS:
        assert found is None
        return
    assert found is not None
    assert found.draws == len(aucs)
    low, high = np.quantile(aucs, [(1 - level) / 2, (1 + level) / 2])
    assert (found.low, found.high) == (
        pytest.approx(low, abs=1e-12),
        pytest.approx(high, abs=1e-12),
    )


@settings(max_examples=40, deadline=None)
@given(some_videos(least=2), st.integers(0, 1000))
def test_the_difference_is_taken_on_the_same_videos(data, seed):
    scores, labels = data
    other = [np.roll(s, 1) for s in scores]
    first, second = (concatenated(s, labels, 60, seed) for s in (scores, other))
    a, b = pair_wins(scores, labels), pair_wins(other, labels)
    found = bootstrap_difference(a, b, draws=60, level=0.8, seed=seed)
    if len(first) < MIN_DRAWS:
        assert found is None
        return
    assert found is not None
    assert found.draws == len(first)
    np.testing.assert_allclose(found[:2], np.quantile(first - second, [0.1, 0.9]), atol=1e-12)
    assert found.better == pytest.approx(np.mean(first - second > 1e-13), abs=1e-12)
    same = bootstrap_difference(a, a, draws=60, seed=seed)
    assert same is not None
    assert same[:2] == (0, 0)
    assert same.better == 0


def test_more_alike_videos_make_a_narrower_interval():
    rng = np.random.default_rng(0)

    def interval(videos: int):
        labels = [np.arange(40) % 4 == 0 for _ in range(videos)]
        scores = [rng.normal(size=40) + y for y in labels]
        wins = pair_wins(scores, labels)
        found = bootstrap(wins)
        assert found is not None
        assert found.draws == 2000
        assert found.low < wins.auc < found.high
        return found.high - found.low

    assert interval(200) < 0.5 * interval(10)


def test_the_seed_decides_and_nothing_else_does():
    rng = np.random.default_rng(1)
    wins = pair_wins(list(rng.normal(size=(5, 9))), [np.arange(9) > 4] * 5)
    assert bootstrap(wins) == bootstrap(wins)
    assert bootstrap(wins) != bootstrap(wins, seed=1)


def test_too_little_for_an_interval_is_none():
    assert bootstrap(pair_wins([[1, 2]], [[0, 1]])) is None
    assert bootstrap(pair_wins([[1, 2], [3]], [[0, 0], [0]])) is None
    # Half of the resamples hold one of the two videos twice.
    found = bootstrap(pair_wins([[1, 2], [3]], [[0, 0], [1]]), draws=1000)
    assert found is not None
    assert 400 < found.draws < 600


def test_unfit_settings_and_frames_are_refused():
    wins = pair_wins([[1, 2], [1, 2]], [[0, 1], [0, 1]])
    for settings_ in ({"draws": MIN_DRAWS - 1}, {"level": 0}, {"level": 1.0}):
        with pytest.raises(ConfigError, match="draws >= 50 and 0 < level < 1"):
            bootstrap(wins, **settings_)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="the same frames"):
        bootstrap_difference(wins, pair_wins([[1, 2], [1, 2]], [[0, 1], [1, 1]]))
    for bad in (np.nan, np.inf):
        with pytest.raises(ProtocolError, match="video 'b': frame 1 is"):
            pair_wins([[1, 2], [1, bad]], [[0, 1], [0, 1]], names=["a", "b"])
