"""The folder of a run while it is made: new or resumed, locked, and the same run as before."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from oddframe.atomic import write_json
from oddframe.errors import RunError
from oddframe.runs import CURVE, RESUME, locked
from oddframe.train import take
from oddframe.train.progress import STATE

PLAN, FRAMES = "plan.json", "frames"
TABLES = CURVE, take.TABLE
BEFORE_A_STATE = PLAN, take.PLAN, FRAMES, Path(STATE).with_suffix(".tmp").name
"""What a run that is killed before its first state may have left in RUN/resume, which it makes
first; beside that there are its `TABLES` at most."""
NAMED = 8
"""Differences of a resumed run that its error names."""


def check_out(out: Path, resume: bool) -> None:
    """A new run needs an empty folder, or what one left that never began; a resumed one its state.

    Raises:
        RunError: another one; nothing was touched.
    """
    state = out / RESUME / STATE
    if resume and not state.exists():
        raise RunError(
            f"{out} cannot be resumed: expected {state}, found none. "
            "Start it without --resume, or give the folder of an interrupted run."
        )
    if not resume and out.exists() and not _never_began(out):
        todo = "add --resume to go on with it, or " if state.exists() else "delete it, or "
        raise RunError(f"{out} exists and is not empty: {todo}choose another --out folder.")


def _never_began(out: Path) -> bool:
    """Whether there is nothing in a folder, or what a run left that was killed as it decoded."""
    if not out.is_dir():
        return False
    left = {p.name for p in out.iterdir()}
    if not left:
        return True
    if RESUME not in left or left - {RESUME, *TABLES}:
        return False
    partial = tuple(f".{name}." for name in BEFORE_A_STATE)  # as `write_atomic` calls them
    inside = [p.name for p in (out / RESUME).glob("*")]
    return all(name in BEFORE_A_STATE or name.startswith(partial) for name in inside)


def _clear(out: Path) -> None:
    for name in TABLES:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / RESUME, ignore_errors=True)  # the last: it says whose all of it is


@contextlib.contextmanager
def started(out: Path, plan: dict[str, Any], resume: bool) -> Iterator[None]:
    """The folder of a run that begins; an error before the first state leaves nothing of it."""
    existed = out.exists()
    with locked(out, "this training"):
        check_out(out, resume)  # anew: another one may have ended since
        if not resume:
            _clear(out)
        try:
            _check_plan(out, plan, resume)
            yield
        except BaseException:
            if not resume and not (out / RESUME / STATE).exists():
                _clear(out)
                if not existed:
                    with contextlib.suppress(OSError):
                        out.rmdir()
            raise


def _check_plan(out: Path, plan: dict[str, Any], resume: bool) -> None:
    """A resumed run must be the one that was interrupted."""
    path = out / RESUME / PLAN
    if not resume:
        write_json(path, plan)
        return
    try:
        before = json.loads(path.read_text("utf8"))
    except (OSError, json.JSONDecodeError):
        raise RunError(f"{path} is missing or damaged: this run cannot be resumed.") from None
    changed = differences(before, json.loads(json.dumps(plan)))
    if changed:
        more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        raise RunError(
            f"{out} was started otherwise: {'; '.join(changed[:NAMED])}{more}. A resumed run must "
            "have the same --model, --data, --flow, --fps, --cache, --seed, --ablation, --recipe "
            "and --set as before, with a cosine the same --epochs too: repeat these, or start a "
            "new run."
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs of two plans, options before settings: "--seed 0, now 5"."""
    if before.get("model") != now["model"]:  # whose settings have other names
        return [f"--model {before.get('model')}, now {now['model']}"]
    options, settings = [], []
    for key in now:
        old, new = before.get(key), now[key]
        if key == "config":
            old, new = _leaves(old or {}), _leaves(new)
            settings = [
                f"{name} {_said(old.get(name))}, now {_said(new.get(name))}"
                for name in dict.fromkeys([*new, *old])
                if old.get(name) != new.get(name)
            ]
        elif old != new and key == "data":  # both are hashes
            options.append(f"footage of --data {str(old)[:12]}, now {new[:12]}")
        elif old != new:
            options.append(f"--{key} {_said(old)}, now {_said(new)}")
    return options + settings


def _leaves(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Settings by the names that `--set` takes."""
    return {f"{g}.{name}": value for g, group in groups.items() for name, value in group.items()}


def _said(value: Any) -> str:
    """A value of a plan, as YAML would have it."""
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)
