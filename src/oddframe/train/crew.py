"""The other processes of this machine, which `fit --devices N` starts and ends itself.

Each is `python -m oddframe.train.worker`. It ends when its standard input closes, so none outlives
the process that started it, whatever that died of.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from typing import IO

from oddframe.train.devices import Place

LEAVE_S = 30.0
"""How long a process that has done its part may take to end."""
LOOK_EVERY_S, GRACE_S = 1.0, 60.0
LOST = (
    "A process of this training was lost ({why}). The state saved last is whole: go on with "
    "--resume."
)
LAST = 400
"""Characters of what a process said last that are told."""


@dataclass(slots=True)
class Crew:
    """The processes, by rank."""

    members: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def start(cls, place: Place) -> Crew:
        """Start what belongs to this machine beside this process; nothing under torchrun."""
        crew = cls()
        if place.launched:
            return crew
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        for local in range(1, place.here):
            other = replace(place, rank=place.rank + local, local=local)
            said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
            process = subprocess.Popen(
                [sys.executable, "-m", "oddframe.train.worker", json.dumps(asdict(other))],
                stdin=subprocess.PIPE, stdout=said, stderr=said, env=environment,
                start_new_session=True,  # Ctrl-C is for the one that leads
            )  # fmt: skip
            crew.members[other.rank] = process, said
        threading.Thread(target=crew._guard, daemon=True).start()
        return crew

    def lost(self) -> str | None:
        """Which process has ended by itself, and how; None while all are there."""
        codes = ((p.poll(), rank) for rank, (p, _) in self.members.items())
        ended = [(code, rank) for code, rank in codes if code]
        if not ended:
            return None
        code, rank = min(ended)  # what a signal ended first: the rest may have ended of that
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        said = self.members[rank][1]
        said.seek(0)
        last = said.read().decode("utf8", "replace").strip()[-LAST:]
        return f"process {rank} ended by {how}" + (f", its last words: {last}" if last else "")

    def end(self, patience_s: float = 0.0) -> None:
        """Wait so long for them to end, then end them."""
        self.ended.set()
        until = time.monotonic() + patience_s
        for process, said in self.members.values():
            assert process.stdin is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            process.kill()
            process.wait()
            process.stdin.close()
            said.close()
        self.members.clear()

    def _guard(self) -> None:
        """End this process where one of the others is lost and it does not come to know of it.

        With gloo it does at once. A GPU may wait for a message of NCCL for as long as NCCL waits.
        """
        while not self.ended.wait(LOOK_EVERY_S):
            why = self.lost()
            if why is not None and not self.ended.wait(GRACE_S):
                print(f"error: {LOST.format(why=why)}", file=sys.stderr, flush=True)
                os._exit(1)
