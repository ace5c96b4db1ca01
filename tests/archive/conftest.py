"""The stub RUN's fixtures, shared with the tests of the runtime, and archives in this process."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="archives need pyarrow: pip install 'oddframe[archive]'")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from archiving import Archived, write_light
from stub_run import shared_run, street, write_street

from encoded import encode

__all__ = ["shared_run", "write_street"]


@pytest.fixture(scope="session")
def light(tmp_path_factory):
    """A quick RUN that no test changes."""
    return write_light(tmp_path_factory.mktemp("light") / "RUN")


@pytest.fixture(scope="session")
def footage(tmp_path_factory):
    """`footage(path, frames=60, odd_from=30, **options of encode)`: a street in a file."""

    def write(path, frames=60, odd_from=30, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        return encode(path, frames, pictures=lambda i: street(i, 160, 96, odd_from), **options)

    return write


@pytest.fixture
def archived(monkeypatch, tmp_path):
    """`archived(run, [sources], segment_s=1.0, …)`: an archive made in this process."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return Archived(tmp_path / "DIR")
