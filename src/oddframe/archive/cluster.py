"""Workers as actors of a Ray cluster: one per core or GPU, each with the RUN loaded once.

What goes over the network is where a segment lies and how it went; pictures and scores do not: an
actor decodes what it scores and writes its Parquet file itself. So every machine must see RUN, DIR
and the files at the same paths (or the files at an address), and have the same oddframe.

An actor that is lost, alone or with its machine, is replaced as soon as there is a core for it
somewhere, and its segment is given to another at once. Ray's own restarts would tie the segment to
that one actor, wherever and whenever it comes back.

A program of Ray's is ended by Ray when the head of its cluster is gone, without a chance to say a
word. So it is a process of its own, and this one says it.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import pickle
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, Self

from oddframe import process
from oddframe.archive.tasks import DEATHS, Done, Job, Task
from oddframe.archive.work import Worker
from oddframe.errors import ConfigError, OddframeError, RunError

POLL_S = 0.2
AHEAD = 2
"""Tasks for each actor that are on their way."""
REACH_S, ANSWER_S = 10.0, 180.0
"""How long the head may take to accept a connection, and to let this program in: Ray itself tries
for many minutes where nobody is."""


class Cluster:
    """An engine of actors."""

    def __init__(
        self, job: Job, address: str, workers: int | None, stopped: Callable[[], bool]
    ) -> None:
        """address: of the cluster's head, or auto: the one that this machine belongs to.

        workers: actors; None: as many as the cluster has cores, or GPUs where `job` wants them.

        Raises:
            ConfigError: Ray is not installed.
        """
        try:
            import ray  # noqa: F401
        except ImportError:
            raise ConfigError("--ray needs Ray: pip install 'oddframe[ray]'.") from None
        self._job, self._address, self._workers = job, address, workers
        self._stopped = stopped
        self._process: Any = None
        self._pipe: Connection
        self.actors = 0
        """How many there are, once it runs."""

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (self._job, self._address, self._workers, theirs, os.getpid())
        self._process = context.Process(target=_serve, args=arguments)
        self._process.start()
        theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()  # its actors end with it
        self._process.join(10)
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
        """As `Engine.run`."""
        if not self.actors:
            self.actors = int(self._hear(ANSWER_S))
        given, more = 0, True
        while True:
            while more and given < AHEAD * self.actors:
                if (task := next(tasks, None)) is None:
                    more = False
                else:
                    self._tell(task)
                    given += 1
            if not given:
                return
            yield self._hear()
            given -= 1

    def _tell(self, task: Task) -> None:
        with suppress(OSError):  # it is gone, which is heard of next
            self._pipe.send(task)

    def _hear(self, within_s: float = math.inf) -> Any:
        until = time.monotonic() + within_s
        try:
            while not self._pipe.poll(POLL_S):
                if self._stopped():
                    raise KeyboardInterrupt
                if time.monotonic() > until:
                    raise RunError(_nobody(self._address, f"no answer in {within_s:.0f} s"))
            said = self._pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            raise RunError(
                f"The Ray cluster at {self._address} was lost. What was scored is kept: start the "
                "cluster again (ray start), and give the same command again."
            ) from None
        if isinstance(said, str):
            raise RunError(said)
        return said


def _serve(
    job: Job, address: str, workers: int | None, pipe: Connection, parent: int
) -> None:  # fmt: skip
    """The process that is Ray's: connect, then hand tasks to actors and tell how they went."""
    process.end_with(parent)
    import ray

    try:
        _reach(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        pipe.send(_nobody(address, str(error).splitlines()[0]))
        return
    try:
        _Actors(ray, job, workers, pipe).serve()
    except OddframeError as error:
        pipe.send(str(error))
    except (EOFError, OSError):
        pass  # nobody wants more


def _reach(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in address:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()


def _nobody(address: str, why: str) -> str:
    return (
        f"There is no Ray cluster at {address} ({why}). Start one (ray start --head, and on every "
        "other machine ray start --address=HEAD:6379), give its address, and the same command "
        "again: what was scored is kept."
    )


class _Actors:
    """The actors, those that are ready, and what they are at."""

    def __init__(self, ray: Any, job: Job, workers: int | None, pipe: Connection) -> None:
        self._ray, self._pipe = ray, pipe
        gpu = job.device.startswith("cuda")
        self._job = replace(job, device="cuda") if gpu else job
        wants = {"num_gpus": 1} if gpu else {"num_cpus": 1}
        self._kind = ray.remote(_Actor).options(**wants, max_restarts=0)
        there = int(ray.cluster_resources().get("GPU" if gpu else "CPU", 0))
        if there < 1:
            raise RunError(
                f"The Ray cluster has no {'GPU' if gpu else 'core'} to work on: start it with some "
                "(ray start --num-cpus, --num-gpus)."
            )
        self._count = min(workers or there, there)
        self._asked: dict[Any, tuple[Any, Task | None]] = {}
        """What an actor was asked for: to be ready (None), or a task."""
        self._idle = deque[Any]()
        self._waiting = deque[Task]()
        self._deaths = Counter[Task]()
        self._stillborn = 0

    def serve(self) -> None:
        """Until nobody wants more."""
        for _ in range(self._count):
            self._start()
        self._pipe.send(self._count)
        while True:
            while self._pipe.poll(0 if self._asked else POLL_S):
                self._waiting.append(self._pipe.recv())
            while self._idle and self._waiting:
                actor, task = self._idle.popleft(), self._waiting.popleft()
                self._asked[actor.work.remote(task)] = (actor, task)
            if self._asked:
                for ref in self._ray.wait(list(self._asked), timeout=POLL_S)[0]:
                    self._ended(ref)

    def _start(self) -> None:
        actor = self._kind.remote(self._job)
        self._asked[actor.ready.remote()] = (actor, None)

    def _ended(self, ref: Any) -> None:
        """An actor has done what it was asked for, or is lost."""
        actor, task = self._asked.pop(ref)
        try:
            said = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:  # nothing of ours is raised there
            raise RunError(f"A worker cannot start: {error.cause or error}.") from None
        except self._ray.exceptions.RayError as error:
            self._lost(task, str(error).splitlines()[0])
            return
        self._idle.append(actor)
        if task is not None:
            self._pipe.send(said)
        elif said is not None:
            raise RunError(said)
        else:
            self._stillborn = 0

    def _lost(self, task: Task | None, why: str) -> None:
        self._start()
        if task is None:
            self._stillborn += 1
            if self._stillborn >= DEATHS * self._count:
                raise RunError(
                    f"Workers die before they have loaded the RUN ({why}): has every "
                    "machine this version of it all, and memory enough? Then give the same command "
                    "again."
                )
            return
        self._deaths[task] += 1
        if self._deaths[task] < DEATHS:
            self._waiting.appendleft(task)
        else:
            self._pipe.send(Done(task, failed=f"{DEATHS} workers died of it (the last: {why})"))


class _Actor:
    """A worker on some machine."""

    def __init__(self, job: Job) -> None:
        self._worker: Worker | None = None
        self._error: str | None = None
        try:
            self._worker = Worker(job)
        except OddframeError as error:
            self._error = str(error)

    def ready(self) -> str | None:
        """Why it cannot work, or None."""
        return self._error

    def work(self, task: Task) -> Done:
        """Do a task."""
        assert self._worker is not None
        return self._worker(task)
