"""A few damaged videos of every kind in a child process; thousands by tests/runtime/fuzz.py."""

import pytest
from fuzz import KINDS, fuzz
from stub_run import write_stub


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_damage_crashes_hangs_or_hides_frames(tmp_path):
    run = write_stub(tmp_path / "run")
    assert fuzz(tmp_path, str(run), 25, kinds=tuple(KINDS)) == []
