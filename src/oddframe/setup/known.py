"""The RUNs of a site: those that its jobs made, and those that its cameras are scored by.

A name is that of a folder. It is looked up among those that are there, and never made a path of.
Where several folders have one name, those outside the store have a mark of their path behind it:
`gate-3fa2` is the same RUN whichever others come and go.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Container
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from oddframe.errors import OddframeError, RunError
from oddframe.runs import CARD, Run, load_run

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class Runs:
    """Looks them up; any thread may."""

    def __init__(self, work: AtWork) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._read: dict[Path, tuple[int, Run]] = {}

    @property
    def folder(self) -> Path:
        """Where jobs make them."""
        return self._work.store.folder / "runs"

    def all(self) -> dict[str, Path]:
        """Folders of finished RUNs by their names: of the store, then of the cameras. Those that
        come along with the package are of other places, and for no camera here."""
        found = dict[str, Path]()
        if self.folder.is_dir():
            for path in sorted(self.folder.iterdir()):
                if NAME.fullmatch(path.name) and (path / CARD).is_file():
                    found[path.name] = path
        own = {path.resolve() for path in found.values()}
        others = filter(None, map(self.of, self._work.engine.cameras))
        outside = {whole: path for path in others if (whole := path.resolve()) not in own}
        names = Counter([*found, *(_plain(path.name) for path in outside.values())])
        for whole, path in outside.items():
            name = _plain(path.name)
            mark = f"-{_mark(whole)}" if names[name] > 1 else ""
            found[_apart(name + mark, found)] = path
        return found

    def of(self, camera: str) -> Path | None:
        """Folder of the RUN that scores a camera; None where none does."""
        known = self._work.engine.cameras.get(camera)
        if known is None or not known.fitted:
            return None
        return Path(known.detector.info.run)

    def cameras(self, path: Path) -> list[str]:
        """Names of the cameras that a RUN scores."""
        names = list(self._work.engine.cameras)
        return [n for n in names if (own := self.of(n)) and own.resolve() == path.resolve()]

    def path(self, name: str) -> Path:
        """The folder of a RUN.

        Raises:
            RunError: there is none of that name.
        """
        found = self.all()
        if name not in found:
            raise RunError(
                f"There is no RUN {name[:64]!r}: there are {', '.join(found) or 'none yet'}."
            )
        return found[name]

    def read(self, path: Path) -> Run | None:
        """A RUN's card, read again where it changed; None where it is damaged."""
        try:
            stamp = (path / CARD).stat().st_mtime_ns
            with self._lock:
                known = self._read.get(path)
            if known is None or known[0] != stamp:
                known = stamp, load_run(path)
                with self._lock:
                    self._read[path] = known
        except (OSError, OddframeError):
            return None
        return known[1]

    def new_name(self, camera: str, moment: str) -> str:
        """A name that no RUN has: the camera's, and when it was made."""
        taken = {path.name for path in self.folder.glob("*")}
        return _apart(_plain(f"{camera}-{moment}"), taken)


def _plain(name: str) -> str:
    """A folder's name, of letters that a name may have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-")[:100] or "run"


def _mark(path: Path) -> str:
    return blake2b(os.fsencode(path), digest_size=2).hexdigest()


def _apart(name: str, taken: Container[str]) -> str:
    """A name that is not taken: with a number behind where it is."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found
