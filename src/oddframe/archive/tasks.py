"""What is to be done of an archive, and how it went: plain data that goes from process to process.

An engine runs workers (`work`). It is an iterator of what is done over an iterator of what is to be
done, in any order, each once: processes here (`pool`), actors of a cluster (`cluster`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from oddframe.archive.files import File
from oddframe.archive.plan import Plan, Segment

if TYPE_CHECKING:
    from oddframe.scoring.scorer import Precision

DEATHS = 3
"""A task that so many workers died of is given up."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker has to know."""

    run: str
    out: str
    settings: tuple[str, ...] = ()
    """Score settings changed after training."""
    segment_s: float = 300.0
    device: str = "cpu"
    precision: Precision = "float32"
    fps: float | None = None
    """Of folders of frames."""
    allow_short: bool = False
    cache: str | None = None
    """Folder for copies of files from elsewhere."""
    key: str = ""
    """Of the archive (`Manifest.key`)."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do."""

    file: File
    segment: Segment | None = None
    """None: look where the file can be cut."""

    @property
    def text(self) -> str:
        """In words."""
        if self.segment is None or self.segment.place is None:
            return self.file.shown
        return f"{self.file.shown}, frames {self.segment.start} to {self.segment.stop}"


@dataclass(frozen=True, slots=True)
class Done:
    """How it went."""

    task: Task
    plan: Plan | None = None
    """Of a file that was looked at."""
    facts: dict[str, Any] | None = None
    """Of a segment that was scored, as they stand in its file."""
    failed: str | None = None
    """Why this task cannot be done; others can."""
    fatal: str | None = None
    """Why no task can be done: no disk, no RUN."""


class Engine(Protocol):
    """Runs workers."""

    def __enter__(self) -> Self:
        """Ready to run; workers may start later."""

    def __exit__(self, *_: object) -> None:
        """Ends all workers, whatever they do."""

    def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
        """Each task once.

        Raises:
            RunError: there is nobody who could work.
            KeyboardInterrupt: stopped on request.
        """
