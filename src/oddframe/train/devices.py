"""How many processes train together, and which of them this one is: from options and environment.

One process a GPU, or several on a CPU. `fit --devices N` starts the others itself; under torchrun
they are there already, and torchrun says which one this is. Without either there is one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from oddframe.errors import ConfigError

AUTO = "auto"
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each of its processes."""
BY_HAND = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
"""What has to be said where `fit --nodes` is started on each machine by hand."""


@dataclass(frozen=True, slots=True)
class Devices:
    """What `fit` trains on."""

    count: int | str | None = None
    """GPUs, or processes on a CPU, of each machine; auto: all GPUs, on a CPU one process. None: 1,
    or what torchrun has started."""
    nodes: int | None = None
    """Machines (default: 1, or those of torchrun)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which of the processes of a training this is."""

    rank: int = 0
    """Of all; 0 leads: it reads the footage, says how it goes and writes the RUN."""
    ranks: int = 1
    local: int = 0
    """Of this machine; the number of its GPU."""
    here: int = 1
    """Processes of this machine."""
    launched: bool = False
    """Another program started all of them."""
    address: str = "127.0.0.1"
    """Of the machine with rank 0."""
    port: int = 0
    """0: any that is free."""

    @property
    def nodes(self) -> int:
        """How many machines there are."""
        return self.ranks // self.here

    @property
    def node(self) -> int:
        """Which of them this is."""
        return self.rank // self.here

    def part(self, batch: int) -> slice:
        """Which runs of a batch are this process's own."""
        each = batch // self.ranks
        return slice(self.rank * each, (self.rank + 1) * each)


def leads(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the one that prints, where torchrun has started several."""
    return not _launched(environ) or environ["RANK"] == "0"


def launched_place(environ: Mapping[str, str] = os.environ) -> Place:
    """This process's place, where torchrun has started several; nothing else is looked at."""
    return _of_torchrun(None, None, environ)


def find_place(
    devices: Devices, device: str, batch: int, environ: Mapping[str, str] = os.environ
) -> Place:
    """Where this process stands, by what was asked for and by what the environment says.

    device: auto, cpu or cuda. batch: runs of frames in a step, of all processes together.

    Raises:
        ConfigError: they do not go together.
    """
    gpus = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    count = _count(devices.count)
    place = _place(devices, count, gpus, batch, environ)
    if place.ranks == 1:
        return place
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"--device {device} names one device, but {place.ranks} processes are to train: give "
            "--device cuda, and choose GPUs by CUDA_VISIBLE_DEVICES."
        )
    if gpus and place.here > gpus:
        raise ConfigError(
            f"{place.here} processes are to train on this machine, it has {gpus} GPUs: give "
            f"--devices {gpus} (torchrun: --nproc_per_node={gpus}), or --device cpu."
        )
    if batch % place.ranks:
        raise ConfigError(
            f"train.batch={batch} cannot be shared evenly by {place.ranks} processes; it is the "
            f"batch of all of them. Give --set train.batch={_above(batch, place.ranks)}, or a "
            f"number of devices that divides {batch}."
        )
    return place


def _count(count: int | str | None) -> int | None:
    """A number of devices, None where nothing was said; 0 for auto."""
    if count is None:
        return None
    if count == AUTO:
        return 0
    try:
        found = int(count)
    except ValueError:
        found = 0
    if found < 1:
        raise ConfigError(f"--devices must be auto, or a number of at least 1, found {count}.")
    return found


def _place(
    devices: Devices, count: int | None, gpus: int, batch: int, environ: Mapping[str, str]
) -> Place:
    nodes = devices.nodes
    if nodes is not None and nodes < 1:
        raise ConfigError(f"--nodes must be at least 1, found {nodes}.")
    if _launched(environ):
        return _of_torchrun(count, nodes, environ)
    nodes = nodes or 1
    if count == 0:
        # The batch is the same on any number of devices: of many GPUs, as many as can share it.
        count = max((n for n in range(1, gpus + 1) if batch % (n * nodes) == 0), default=1)
    here = count or 1
    if nodes == 1:
        return Place(ranks=here, here=here)
    missing = [name for name in BY_HAND if name not in environ]
    if missing:
        raise ConfigError(
            f"--nodes {nodes} needs the same command on every machine, and {', '.join(missing)} in "
            "its environment. Simpler: torchrun --nnodes and --nproc_per_node, which sets them "
            "(docs/training.md)."
        )
    node = _number(environ, "NODE_RANK")
    if not 0 <= node < nodes:
        raise ConfigError(f"NODE_RANK={node}: expected 0 … {nodes - 1} with --nodes {nodes}.")
    return Place(
        here * node, here * nodes, 0, here, False, environ["MASTER_ADDR"],
        _number(environ, "MASTER_PORT"),
    )  # fmt: skip


def _launched(environ: Mapping[str, str]) -> bool:
    """Whether torchrun, or what sets the same variables, started more than this process."""
    return all(name in environ for name in LAUNCHED) and environ["WORLD_SIZE"] != "1"


def _of_torchrun(count: int | None, nodes: int | None, environ: Mapping[str, str]) -> Place:
    rank, ranks, local, here = (_number(environ, name) for name in LAUNCHED[:4])
    place = Place(
        rank, ranks, local, here, True, environ["MASTER_ADDR"], _number(environ, "MASTER_PORT")
    )
    if count not in (None, 0, here):
        raise ConfigError(
            f"--devices {count}, but torchrun has started {here} processes on this machine: leave "
            "one of the two out."
        )
    if nodes not in (None, place.nodes):
        raise ConfigError(
            f"--nodes {nodes}, but torchrun runs on {place.nodes}: leave one of the two out."
        )
    return place


def _number(environ: Mapping[str, str], name: str) -> int:
    try:
        return int(environ[name])
    except ValueError:
        raise ConfigError(f"{name}={environ[name]!r} is no number.") from None


def _above(batch: int, ranks: int) -> int:
    """The next batch that so many can share."""
    return ranks * (batch // ranks + 1)
