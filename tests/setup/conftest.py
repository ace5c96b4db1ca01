"""A site as jobs see it, and the stub RUN's fixtures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
from site_of_jobs import JobSite
from stub_run import run_copy, shared_run, write_street

__all__ = ["run_copy", "shared_run", "write_street"]


@pytest.fixture
def site(tmp_path: Path) -> JobSite:
    return JobSite(tmp_path / "store")
