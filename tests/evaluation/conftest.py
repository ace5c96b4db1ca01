"""The stub RUN's fixtures, shared with the tests of the runtime."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
from stub_run import added_runs, labelled, run_copy, shared_run, write_street

__all__ = ["added_runs", "labelled", "run_copy", "shared_run", "write_street"]
