"""The processes of one training as one of them sees them: what they tell each other.

Rank 0 leads; the others follow. They meet in a store (a small server in rank 0's process, or
torchrun's), which has no time limit that a long decoding could run into, and form a process group
for the training itself. One that fails says why in the store; rank 0 says it to the user.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import PrefixStore, TCPStore

from oddframe import errors
from oddframe.errors import OddframeError, RunError
from oddframe.train.crew import LOST
from oddframe.train.devices import Place

CONNECT_S = 600.0
"""Machines may start minutes apart."""
LIMIT = timedelta(minutes=30)
"""For one message of the training, torch's own: a state on a slow disk is saved within it."""
ASK_EVERY_S = 0.2
HEARD_S = 5.0
"""How long the reason of a lost process is waited for."""
START, OVER, ERROR = "start", "over", "error"
READY, FAILED = b"ready", b"failed"


class Ranks:
    """The group; of one process it is empty and everything here returns at once."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._store: Any = None
        self._control: Any = None
        self.why_lost: Callable[[], str | None] = lambda: None
        """What else may know why a process was lost: whoever started it."""

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.place.ranks == 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that reads, prints and writes."""
        return self.place.rank == 0

    # ---- the store

    def meet(self) -> int:
        """Find the store; the port that it listens on.

        Raises:
            RunError: rank 0 cannot be reached.
        """
        place = self.place
        if self._store is None:
            try:
                self._store = _torchrun_store(place) if place.launched else _own_store(place)
            except RuntimeError as error:  # torch's own errors are such
                raise RunError(
                    f"Process {place.rank} of {place.ranks} cannot reach the one that leads, at "
                    f"{place.address}:{place.port} ({_line(error)}). Start all of them, and let "
                    "the port through."
                ) from None
        return int(self._store.underlying_store.port) if not place.launched else place.port

    def say(self, key: str, value: bytes) -> None:
        """Tell all processes something, once."""
        self._store.set(key, value)

    def hear(self, key: str) -> bytes:
        """Wait for what rank 0 says, however long it takes; the wait ends with rank 0."""
        while not self._store.check([key]):
            time.sleep(ASK_EVERY_S)
        found: bytes = self._store.get(key)
        return found

    def has(self, keys: list[str]) -> bool:
        """Whether all these were said."""
        found: bool = self._store.check(keys)
        return found

    def end(self, how: bytes) -> None:
        """Tell those that wait how rank 0 ended; nobody does, where there is no store."""
        if self._store is None:
            return
        with contextlib.suppress(RuntimeError):
            for key in (START, OVER):
                self._store.compare_set(key, "", how.decode())

    # ---- the group

    def form(self, device: str) -> None:
        """Form the process group, for tensors on cuda or cpu."""
        if self.alone:
            return
        place, backend = self.place, "nccl" if device == "cuda" else "gloo"
        if device == "cuda":
            torch.cuda.set_device(place.local)
        dist.init_process_group(
            backend, store=self._store, rank=place.rank, world_size=place.ranks, timeout=LIMIT
        )
        # What is decided each step does not wait for a GPU.
        self._control = dist.new_group(backend="gloo") if device == "cuda" else None

    def part(self) -> None:
        """Leave the process group; the store stays."""
        if not self.alone and dist.is_initialized():
            dist.destroy_process_group()

    def share(self, thing: Any) -> Any:
        """Rank 0's own, in every process; what the others give is not looked at."""
        things = [thing]
        if not self.alone:
            dist.broadcast_object_list(things, 0, self._control)
        return things[0]

    def agree(self, values: Sequence[float]) -> list[float]:
        """Sums of what each process says, the same in all of them."""
        if self.alone:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(told, group=self._control)
        found: list[float] = told.tolist()
        return found

    def check_alike(self, module: nn.Module) -> None:
        """See that weights and memories are the same bits in all processes.

        They are by construction: all start from the same, gradients are averaged, and what is
        written into memories is summed over all.

        Raises:
            RunError: they are not.
        """
        if self.alone:
            return
        own = torch.tensor([_bits(t) for t in module.state_dict().values()])
        least, most = own.clone(), own.clone()
        dist.all_reduce(least, dist.ReduceOp.MIN, group=self._control)
        dist.all_reduce(most, dist.ReduceOp.MAX, group=self._control)
        names = list(module.state_dict())
        other = [names[i] for i in (least != most).nonzero().flatten().tolist()]
        if other:
            raise RunError(
                f"The {self.place.ranks} processes have come apart: {', '.join(other[:3])} differ "
                "between them. The state saved last is whole: go on with --resume on one device, "
                "and report this with the model and its settings."
            )

    # ---- what goes wrong

    def failed(self, error: BaseException) -> BaseException:
        """What to raise in place of an error of the training.

        Of one process's error the others see that it is gone. Rank 0 says what it was; the others
        end without a word.
        """
        if self.alone or self._store is None:  # nobody was met yet
            return error
        gone = _is_gone(error)
        if not self.leads:
            if not gone and isinstance(error, Exception):
                self._tell(error)
            return SystemExit(1)
        if not gone:
            return error
        return self._reason() or RunError(LOST.format(why=self.why_lost() or _line(error)))

    def _tell(self, error: BaseException) -> None:
        kind = type(error).__name__
        ours = isinstance(error, OddframeError)
        said = str(error) if ours else (
            f"Process {self.place.rank} of {self.place.ranks} failed: {kind}: {error}"
        )  # fmt: skip
        told = json.dumps([kind if ours else "RunError", said])
        with contextlib.suppress(RuntimeError):  # rank 0 is gone, and has its own to say
            self._store.compare_set(ERROR, "", told)

    def _reason(self) -> OddframeError | None:
        """What the process that failed has said of it."""
        until = time.monotonic() + HEARD_S
        while time.monotonic() < until:
            if self._store.check([ERROR]):
                kind, said = json.loads(self._store.get(ERROR))
                found: OddframeError = getattr(errors, kind, RunError)(said)
                return found
            if self.why_lost() is not None:  # it ended, and did not get to say anything
                return None
            time.sleep(ASK_EVERY_S)
        return None


def _own_store(place: Place) -> Any:
    """A server in rank 0's process."""
    store = TCPStore(
        place.address, place.port, is_master=place.rank == 0, wait_for_workers=False,
        timeout=timedelta(seconds=CONNECT_S),
    )  # fmt: skip
    return PrefixStore("oddframe", store)


def _torchrun_store(place: Place) -> Any:
    """torchrun's, with a prefix of its own for every training of one program."""
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://", place.rank, place.ranks))
    nth = store.add(f"oddframe/trainings/{place.rank}", 1)
    return PrefixStore(f"oddframe/{nth}", store)


def _bits(x: torch.Tensor) -> int:
    """A sum of a tensor's bits: exact, in whatever order it is added up."""
    words = x.detach().reshape(-1).contiguous().view(torch.uint8)
    wide = words.view(torch.int32) if words.numel() % 4 == 0 else words
    return int(wide.sum(dtype=torch.int64))


def _is_gone(error: BaseException) -> bool:
    """Whether an error only says that another process is no longer there."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error)
    said = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")
    return isinstance(error, RuntimeError) and any(word in text for word in said)


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
