"""The stub RUN's fixtures."""

from stub_run import added_runs, labelled, run_copy, shared_run, write_street

__all__ = ["added_runs", "labelled", "run_copy", "shared_run", "write_street"]
