"""What all tests of training share."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from oddframe.train import run
from oddframe.train.finish import Spent


@dataclass(frozen=True)
class Few(Spent):
    """A self-test of three clips: 24 take a minute, and how well they are seen is tested elsewhere
    (tests/scoring/test_selftest.py)."""

    clips: int = 3


@pytest.fixture(autouse=True)
def few_clips(monkeypatch):
    monkeypatch.setattr(run, "Spent", Few)
