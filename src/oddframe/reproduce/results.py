"""Files of results: one per run, written whole; what a table is rendered from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oddframe.atomic import write_json
from oddframe.data import footage_hashes, open_dataset
from oddframe.errors import ConfigError, RunError
from oddframe.reproduce.plan import Job

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


def undone(folder: Path, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that have no result yet, in their order.

    Each data set with results is hashed once (its manifest: `data.manifest`).

    Raises:
        ConfigError: a result that is there was made otherwise than its job asks.
        OddframeError: a damaged result, or no data set at a job's path.
    """
    hashes: dict[str, str] = {}
    left = []
    for job in jobs:
        path = result_file(folder, job)
        if not path.exists():
            left.append(job)
            continue
        if job.path not in hashes:
            hashes[job.path] = footage_hashes(open_dataset(job.path))["manifest"]
        _check(path, job, hashes[job.path])
    return left


def _check(path: Path, job: Job, manifest: str) -> None:
    """A result must be what its job would come to now."""
    found = read_result(path)
    training, data = found.get("training", {}), found.get("data", {})
    there = {
        "model": found.get("model"), "seed": found.get("seed"), "recipe": found.get("recipe"),
        "budget": found.get("budget"), "device": str(training.get("device")).partition(":")[0],
        "data": {"name": data.get("name"), "manifest": data.get("manifest")},
        "protocols": sorted(found.get("pairs", {})), "variants": sorted(found.get("variants", {})),
        "memory": "memory" in found, "config": found.get("config"),
    }  # fmt: skip
    asked = {
        "model": job.model, "seed": job.seed, "recipe": job.recipe,
        "budget": {job.clock: job.minutes}, "device": job.device,
        "data": {"name": job.data, "manifest": manifest},
        "protocols": sorted(job.protocols), "variants": sorted(v.row for v in job.variants),
        # Only `fit` knows whether a model has memories; more than was asked for does no harm.
        "memory": (job.memory and bool(training.get("memory"))) or "memory" in found,
        "config": job.config,
    }  # fmt: skip
    differences = differing(there, asked)
    if differences:
        raise ConfigError(
            f"{path} was made otherwise than this command asks: {in_words(differences)}. Its "
            "figures and new ones do not belong in one table: move it away, and the RUN of that "
            "name that --keep left under --work, or choose another --out and --work."
        )


def differing(found: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, str]:
    """The keys, a.b where nested, whose values differ, and how: "3 instead of 10".

    As JSON has them: a tuple is a list. An absent value is said as such.
    """
    was, now = _flat(json.loads(json.dumps(found))), _flat(json.loads(json.dumps(asked)))
    return {
        key: f"{_said(was, key)} instead of {_said(now, key)}"
        for key in dict.fromkeys((*now, *was))
        if key not in was or key not in now or was[key] != now[key]
    }


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{before}{key}"
        out |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return out


def _said(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "none"


def in_words(differences: Mapping[str, str], most: int = 6) -> str:
    """What `differing` found, in a sentence."""
    said = [f"{key} is {how}" for key, how in differences.items()]
    more = [f"{len(said) - most} more"] if len(said) > most else []
    return ", ".join(said[:most] + more)


def read_result(path: Path) -> Result:
    """Read one file of results; `file` is added, its name.

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
    return {**found, "file": path.name}


def read_results(folder: Path) -> list[Result]:
    """All results of a table's folder, by name."""
    paths = sorted(p for p in folder.glob("*.json") if not p.name.endswith(FAILED))
    return [read_result(p) for p in paths]


def read_failures(folder: Path) -> list[Result]:
    """The runs of a table that failed and have not been made since.

    Raises:
        RunError: a damaged note.
    """
    return [_failure(path) for path in sorted(folder.glob(f"*{FAILED}"))]


def _failure(path: Path) -> Result:
    try:
        found: Result = json.loads(path.read_text("utf8"))
        return {key: found[key] for key in ("run", "rows_of", "error")}
    except (OSError, ValueError, KeyError, TypeError):
        raise RunError(
            f"{path} is damaged: expected the JSON that `oddframe reproduce` writes of a run that "
            "failed. Delete it; the run is tried again in any case."
        ) from None


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
