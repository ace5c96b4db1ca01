"""Files of results: one per run, written whole; what a table is rendered from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from oddframe.errors import ConfigError, RunError
from oddframe.reproduce.plan import Job
from oddframe.runs import write_json

FORMAT = 1
"""Version of a file of results."""
FAILED = ".failed.json"
Result = dict[str, Any]
"""What one run came to, as it stands in its file; made by `job.measured`."""


def result_file(folder: Path, job: Job) -> Path:
    """Where a job's result lies: folder/TABLE/NAME.json."""
    return folder / job.table / f"{job.name}.json"


def failed_file(folder: Path, job: Job) -> Path:
    """Where it lies that a job failed, and why."""
    return folder / job.table / f"{job.name}{FAILED}"


def done(folder: Path, job: Job) -> bool:
    """Whether a job's result is there.

    Raises:
        ConfigError: a result of this name is of another configuration.
    """
    path = result_file(folder, job)
    if not path.exists():
        return False
    found = read_result(path)
    if found["config"] != json.loads(json.dumps(job.config)):
        raise ConfigError(
            f"{path} was made with another configuration than this version's: its figures and new "
            "ones do not belong in one table. Move it away, or choose another --out."
        )
    return True


def read_result(path: Path) -> Result:
    """Read one file of results.

    Raises:
        RunError: damaged, or of another version.
    """
    try:
        found: Result = json.loads(path.read_text("utf8"))
        version = found["format"]
    except (OSError, ValueError, KeyError, TypeError):
        raise RunError(
            f"{path} is damaged: expected the JSON that `oddframe reproduce` writes. Delete it, "
            "and the run is made again."
        ) from None
    if version != FORMAT:
        raise RunError(
            f"{path} is of format {version}, this oddframe reads {FORMAT}. Move it away, or use "
            "the oddframe that wrote it."
        )
    return found


def read_results(folder: Path) -> list[Result]:
    """All results of a table's folder, by name."""
    paths = sorted(p for p in folder.glob("*.json") if not p.name.endswith(FAILED))
    return [read_result(p) for p in paths]


def read_failures(folder: Path) -> list[Result]:
    """The runs of a table that failed and have not been made since."""
    return [json.loads(p.read_text("utf8")) for p in sorted(folder.glob(f"*{FAILED}"))]


def record_failure(folder: Path, job: Job, error: str) -> None:
    """Leave a note of a run that failed."""
    write_json(failed_file(folder, job), {"run": job.name, "rows_of": job.rows, "error": error})


def commit() -> str:
    """`git describe` of the checkout that this oddframe runs from; "unknown" outside one."""
    here = Path(__file__).resolve().parents[1]
    # A package installed somewhere below another project's checkout is none of that project's.
    if _git(here, "ls-files", "--error-unmatch", "__init__.py") is None:
        return "unknown"
    return _git(here, "describe", "--always", "--dirty", "--tags") or "unknown"


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def hardware() -> dict[str, Any]:
    """Processor, its cores and vector instructions (as the scan uses them), GPU, threads.

    `gpu` and `scan` are None where there is none, and where the scan is not compiled.
    """
    import torch

    from oddframe.ops.native import library

    found = library.load()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": _processor(), "cores": os.cpu_count(), "gpu": gpu,
        "scan": None if isinstance(found, str) else found.name,
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
