"""The stub RUN's fixtures."""

from stub_run import labelled, run_copy, shared_run, write_street

__all__ = ["labelled", "run_copy", "shared_run", "write_street"]
