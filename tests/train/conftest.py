"""What all tests of training share."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from oddframe.train import fit
from oddframe.train.finish import Spent


@dataclass(frozen=True)
class Untried(Spent):
    """No self-test at the end: it takes longer than all else, and is tested by itself
    (tests/scoring/test_selftest.py, tests/runtime/test_usual_runs.py)."""

    clips: int = 0


@pytest.fixture(autouse=True)
def no_selftest(monkeypatch):
    monkeypatch.setattr(fit, "Spent", Untried)
