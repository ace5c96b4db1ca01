"""Options that belong together, as one value of a verb: dataclasses whose fields are options.

    @dataclass(frozen=True, slots=True)
    class Budget:
        minutes: float | None = typer.Option(None, "--minutes", help="…")

    def command(out: Path = typer.Option(...), budget: Budget = Budget) -> None: ...

The command line has the fields one by one (`grouped`); the verb gets them as one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from oddframe.sources import Reading


def many(*names: str, help: str, metavar: str | None = None) -> Any:
    """A field for an option that may be given several times."""
    return field(default_factory=lambda: typer.Option([], *names, help=help, metavar=metavar))


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The verb as typer is to see it: with every field of its groups as a parameter."""
    signature = inspect.signature(command, eval_str=True)
    groups = {p.name: p.annotation for p in signature.parameters.values() if _is_group(p)}
    if not groups:
        return command
    flat: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name in groups:
            flat += _flattened(groups[parameter.name])
        else:
            flat.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def call(**options: Any) -> None:
        for name, kind in groups.items():
            options[name] = kind(**{f.name: options.pop(f.name) for f in fields(kind)})
        command(**options)

    vars(call)["__signature__"] = signature.replace(parameters=flat)
    call.__annotations__ = {p.name: p.annotation for p in flat} | {"return": None}
    del call.__wrapped__  # whose parameters are others
    return call


def _is_group(parameter: inspect.Parameter) -> bool:
    return isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation)


def _flattened(group: type) -> list[inspect.Parameter]:
    """The fields of a group as parameters with their options."""
    hints = get_type_hints(group)
    flat = []
    for f in fields(group):
        option = f.default if f.default_factory is MISSING else f.default_factory()
        flat.append(
            inspect.Parameter(
                f.name, inspect.Parameter.KEYWORD_ONLY, annotation=hints[f.name], default=option
            )
        )
    return flat


# ---- groups that several verbs take


@dataclass(frozen=True, slots=True)
class ReadAs:
    """How videos are read."""

    fps: float | None = typer.Option(
        None, "--fps",
        help="Frames per second of folders of frames, which cannot say it: up to 1000.",
    )  # fmt: skip
    allow_short: bool = typer.Option(
        False, "--allow-short", help="Accept video files that are cut short."
    )

    def reading(self, used: tuple[int, int] | None = None) -> Reading:
        """For `open_source`; used: how a RUN scales 16-bit pictures."""
        from oddframe.sources import Reading

        return Reading(self.fps, self.allow_short, used=used)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and with what a RUN is computed."""

    device: str = typer.Option("cpu", "--device", help="cpu, cuda, cuda:N, or auto.")
    flow: Path | None = typer.Option(
        None, "--flow", metavar="FOLDER",
        help="Flow files, for a model that reads them (`oddframe data flow`).",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Foreign:
    """How scores made elsewhere are to be read (`oddframe.judging.score_files.Reading`)."""

    regularity: bool = typer.Option(
        False, "--regularity", help="Foreign scores are regularity: larger = more normal."
    )
    cut: str | None = typer.Option(
        None, "--cut", metavar="F:L", help="Their file lacks the first F and last L frames."
    )
    align_end: bool = typer.Option(
        False, "--align-end",
        help="Videos with fewer scores than labels: they are of the last frames.",
    )  # fmt: skip
    column: str | None = typer.Option(None, "--column", help="Column of CSV files to judge.")
    only: str = typer.Option("", "--only", help="Use the arrays whose names begin with this.")

    def reading(self) -> Any:
        """As `score_files.Reading`."""
        from oddframe.judging.score_files import Reading as Scores

        return Scores(self.column, self.only, self.regularity, self._cut(), self.align_end)

    def _cut(self) -> tuple[int, int] | None:
        """`--cut F:L` as two numbers of frames."""
        if self.cut is None:
            return None
        parts = self.cut.split(":")
        if len(parts) != 2 or not all(p.isdecimal() for p in parts):
            raise typer.BadParameter(f"--cut is F:L, two numbers of frames, found {self.cut!r}.")
        return int(parts[0]), int(parts[1])
