"""A million frames with ties: what a table needs stays below two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from oddframe.metrics import (
    average_precision,
    bootstrap,
    curve,
    eer,
    frame_auc,
    pair_wins,
    recall_curve,
    tpr_at_fpr,
)

FRAMES = 1_000_000
LIMIT_S = 2.0


@pytest.fixture(scope="module")
def million():
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=FRAMES), 4)
    scores[: FRAMES // 10] = 1.0
    return scores, np.arange(FRAMES) // 500 % 10 == 0


@contextmanager
def limited() -> Iterator[None]:
    # The process's own seconds: another program beside the tests does not count.
    start = time.process_time()
    yield
    assert time.process_time() - start < LIMIT_S


def test_every_number_of_a_row(million):
    scores, labels = million
    with limited():
        found = curve([scores], [labels])
        row = (found.auc, found.average_precision, found.eer, found.tpr_at_fpr(0.01))
    with limited():
        single = (
            frame_auc([scores], [labels]),
            average_precision([scores], [labels]),
            eer([scores], [labels]),
            tpr_at_fpr([scores], [labels], 0.01),
        )
    assert row == single


@pytest.mark.parametrize("videos", [1, 50])
def test_pairs_and_their_bootstrap(million, videos):
    scores, labels = (np.array_split(part, videos) for part in million)
    with limited():
        wins = pair_wins(scores, labels)
        interval = bootstrap(wins)
    assert wins.auc == pytest.approx(frame_auc(scores, labels), abs=1e-12)
    assert (interval is None) == (videos == 1)


def test_recall_over_two_hundred_thresholds(million):
    scores, labels = million
    with limited():
        found = recall_curve([scores], [labels], 25)
    assert 100 < found.threshold.size <= 200
