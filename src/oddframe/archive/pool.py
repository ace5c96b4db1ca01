"""Workers as processes of this machine: each of one thread, with the RUN loaded once.

A process that dies, however that is, is replaced, and what it was at is given again; a task that
`DEATHS` of them died of is given up and named.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self

from oddframe import process
from oddframe.archive.tasks import DEATHS, Done, Job, Task
from oddframe.archive.work import Worker
from oddframe.errors import OddframeError, RunError

POLL_S = 0.2
READY = "ready"


@dataclass(slots=True)
class _Child:
    """One worker."""

    process: BaseProcess
    pipe: Connection
    ready: bool = False
    task: Task | None = None


class Pool:
    """An engine of processes."""

    def __init__(self, job: Job, workers: int, stopped: Callable[[], bool] = lambda: False) -> None:
        """stopped: whether to end here, asked now and then."""
        self._job, self._workers, self._stopped = job, workers, stopped
        self._children = list[_Child]()
        self._started = 0
        self._stillborn = 0
        """Workers in a row that died before they were ready."""
        self._deaths = Counter[Task]()
        self._cards = _cards(job.device)

    @property
    def processes(self) -> list[int]:
        """Ids of the workers."""
        return [c.process.pid for c in self._children if c.process.pid is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.process.kill()
        for child in self._children:
            child.process.join()
            child.pipe.close()
        self._children.clear()

    def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
        """As `Engine.run`."""
        again = deque[Task]()
        more = True
        while True:
            busy = sum(c.task is not None for c in self._children)
            while more and len(again) < max(1, self._workers - busy):  # so that all start at once
                if (task := next(tasks, None)) is None:
                    more = False
                else:
                    again.append(task)
            self._give(again)
            if not again and not more and not any(c.task for c in self._children):
                return
            pipes: list[Any] = [c.pipe for c in self._children]
            heard = wait(pipes, POLL_S)
            if self._stopped():
                raise KeyboardInterrupt
            for child in [c for c in self._children if c.pipe in heard]:
                done = self._hear(child, again)
                if done is not None:
                    yield done

    def _give(self, waiting: deque[Task]) -> None:
        """A task for whoever is ready; as many workers as there is work for."""
        for child in self._children:
            if child.ready and child.task is None and waiting:
                child.task = waiting.popleft()
                with suppress(OSError):  # it is dead, which is heard of next
                    child.pipe.send(child.task)
        starting = sum(not c.ready for c in self._children)
        while starting < len(waiting) and len(self._children) < self._workers:
            self._children.append(self._start())
            starting += 1

    def _start(self) -> _Child:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        job = self._job
        if self._cards:
            job = replace(job, device=f"cuda:{self._started % self._cards}")
        self._started += 1
        child = context.Process(target=_serve, args=(job, theirs, os.getpid()), daemon=True)
        with process.one_thread_each():
            child.start()
        theirs.close()  # else its death would not be heard
        return _Child(child, ours)

    def _hear(self, child: _Child, again: deque[Task]) -> Done | None:
        """What a worker says, or that it died."""
        try:
            said = child.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return self._died(child, again)
        if isinstance(said, Done):
            child.task = None
            return said
        if said != READY:
            raise RunError(str(said))
        child.ready, self._stillborn = True, 0
        return None

    def _died(self, child: _Child, again: deque[Task]) -> Done | None:
        self._children.remove(child)
        child.process.join()
        child.pipe.close()
        how = _how(child.process.exitcode)
        if child.task is None:
            if not child.ready:
                self._stillborn += 1
            if self._stillborn >= DEATHS:
                raise RunError(
                    f"Workers die before they have loaded the RUN ({how}): was there memory "
                    "enough? Give fewer (--workers), and the same command again."
                )
            return None
        task = child.task
        self._deaths[task] += 1
        if self._deaths[task] < DEATHS:
            again.appendleft(task)
            return None
        return Done(task, failed=f"{DEATHS} workers died of it (the last by {how})")


def _cards(device: str) -> int:
    """GPUs to share out among the workers; 0: none, or a certain one."""
    if device != "cuda":
        return 0
    import torch

    return torch.cuda.device_count()


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def _serve(job: Job, pipe: Connection, parent: int) -> None:
    """A worker's life: load the RUN, then one task after the other."""
    process.end_with(parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    process.keep_freed_memory()
    try:
        worker = Worker(job)
    except OddframeError as error:
        pipe.send(str(error))
        return
    pipe.send(READY)
    with suppress(EOFError, OSError):
        while True:
            pipe.send(worker(pipe.recv()))
