"""Memory of normal prototypes (MNAD, Park et al. 2020; M2S2L section II-D).

M2S2L says of its memories that they store prototypes "following established practices", its [26],
MNAD, and that they restrict what can be rebuilt. What was made of that in `Memory`; `model.literal`
takes MNAD's way:

DEVIATION (1): an item moves to the mean of the queries nearest to it and keeps .99 of itself; MNAD
    adds them, by a softmax over the queries (`memory_write: nearest`).
DEVIATION (2): the softmax over the items has a temperature of .1. MNAD has none: cosines differ by
    2 at most, the weights by e^2, and every read is nearly the mean item.
DEVIATION (3): items start at queries of the first batch that lie far apart, and move when no query
    chooses them any more; MNAD's start at random, of which only a handful is ever chosen.
DEVIATION (4): a read is added to its feature; MNAD joins the two.

What several processes that train together write is made of the queries of all (`ops.together`), the
same in each.

Letters: q queries, m items, d width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from oddframe.config import PaperConfig
from oddframe.ops import together

Read = Literal["replace", "add", "concat"]
Write = Literal["mean", "nearest", "all"]
Start = Literal["apart", "random"]

IDLE = 0.05
"""An item that wins less than this share of an even one is idle, and moves (`revive`)."""
MOVES = 4
"""Idle items that move in one step, at most: a memory that is moved at once is forgotten."""
FORGET = 0.99
"""Share of an item's use that survives one write: about 300 steps without a query make it idle."""


class MemoryConfig(PaperConfig):
    """The knobs of `Memory`, of the model that has some."""

    MEMORY: ClassVar = {
        "memory_read": "concat", "memory_write": "nearest", "memory_start": "random",
        "memory_revive": False, "memory_centre": False, "memory_temperature": 1.0,
    }  # fmt: skip
    """As [26] (MNAD) has them, which is all that M2S2L's paper says."""

    memory_items: int = Field(256, ge=0)
    """Prototypes in each memory; 0 takes the memories out."""
    memory_read: Read = "add"
    """What a memory returns: its read, the feature plus its read, or both joined."""
    memory_write: Write = "mean"
    """How items follow their queries: `mean` moves an item to the mean of the queries nearest to
    it, weighted by similarity; `nearest` and `all` add them (`written`)."""
    memory_momentum: float = Field(0.99, ge=0, le=1)
    """Share of an item that survives one write (`mean`)."""
    memory_start: Start = "apart"
    """Items begin at queries of the first batch that lie far apart, or at random."""
    memory_revive: bool = True
    """Items that win hardly any query move to where queries are served worst."""
    memory_centre: bool = False
    """The running mean of the features is taken off before they are compared: what all places share
    tells no item from another, and hides what does."""
    memory_temperature: float = Field(0.1, gt=0)
    """Of the softmax over cosines when reading."""


class ItemMemory(nn.Module):
    """A module with items that its input is compared with (`in_use` counts through it)."""

    def which(self, x: Tensor) -> Tensor:
        """The item nearest to each query of an input of `forward` (..., d): (q,) int64.

        By cosine, unless a memory compares otherwise.
        """
        items = F.normalize(cast(Tensor, self.items).float(), dim=-1)
        return (x.float().flatten(0, -2) @ items.T).argmax(-1)

    def __len__(self) -> int:
        """How many items there are."""
        return len(cast(Tensor, self.items))


class Memory(ItemMemory):
    """Prototypes of normal features: read in both modes, written in training only.

    Reading: cosine similarity to every item, softmax, weighted sum of the items. Writing moves the
    items towards the queries that chose them, without gradient, and normalises them again. At test
    time nothing is written, so scores do not depend on the order of the videos.
    """

    items: Tensor
    use: Tensor
    """Moving average of the share of queries that each item wins, (m,)."""
    started: Tensor
    """1 once the items were taken from queries; a float, because buffers are averaged."""
    mean: Tensor
    """Running mean of the features, (d,); 0 without `centre`."""

    def __init__(self, width: int, config: MemoryConfig) -> None:
        super().__init__()
        self.config, items = config, config.memory_items
        self.register_buffer("items", F.normalize(torch.randn(items, width), dim=-1))
        self.register_buffer("use", torch.full((items,), 1 / items))
        self.register_buffer("started", torch.tensor(float(config.memory_start == "random")))
        self.register_buffer("mean", torch.zeros(width))
        joins = config.memory_read == "concat"
        # What is read has unit length; a learnt scale brings it to that of the features.
        self.scale = nn.Parameter(torch.ones(()))
        self.join = nn.Linear(2 * width, width) if joins else nn.Identity()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        # Weights of RUN format 1 have the items alone; the rest is for training and centring.
        for name in ("use", "started", "mean"):
            state_dict.setdefault(prefix + name, getattr(self, name))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d); writes the (detached) queries when in training mode."""
        if self.training and self.config.memory_centre:
            self._follow(x)
        query = self._query(x)
        if self.training and not self.started:
            with torch.no_grad():
                self.items.copy_(far_apart(query.flatten(0, -2).to(self.items), len(self)))
                self.started.fill_(1)
        items = self._unit()
        similarity = query @ items.T  # ... m
        value = self._read(similarity, items)
        if self.training:
            self.write(query.detach().flatten(0, -2), similarity.detach().flatten(0, -2))
        return self.joined(x, value)

    def recall(self, x: Tensor) -> Tensor:
        """What is read for the features (..., d), before it is joined with them: (..., d)."""
        items = self._unit()
        return self._read(self._query(x) @ items.T, items)

    def _read(self, similarity: Tensor, items: Tensor) -> Tensor:
        return self.scale * (torch.softmax(similarity / self.config.memory_temperature, -1) @ items)

    def joined(self, x: Tensor, value: Tensor) -> Tensor:
        """The features (..., d) with what was read for them, as `read` says."""
        if self.config.memory_read == "replace":
            return value.expand_as(x)
        if self.config.memory_read == "add":
            return x + value
        out: Tensor = self.join(torch.cat((x, value.expand_as(x)), -1))
        return out

    def which(self, x: Tensor) -> Tensor:
        """The item nearest to each feature (..., d): (q,)."""
        return (self._query(x).flatten(0, -2) @ self._unit().T).argmax(-1)

    def _query(self, x: Tensor) -> Tensor:
        return F.normalize(x - self.mean if self.config.memory_centre else x, dim=-1)

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        """Take a batch into the running mean; the first is taken whole."""
        total = together.summed(x.detach().flatten(0, -2).mean(0).to(self.mean))[0]
        now = total / together.processes()
        self.mean.lerp_(now, 1 - FORGET if self.mean.any() else 1.0)

    def _unit(self) -> Tensor:
        # A new tensor: the backward pass needs the items as they were read, the write changes them
        # in place. A running average of items is shorter than they are.
        return F.normalize(self.items, dim=-1)

    @torch.no_grad()
    def write(self, query_qd: Tensor, similarity_qm: Tensor) -> None:
        """Move the items towards their queries, by the rule `write`, then idle ones (`revive`)."""
        # Under bf16 autocast the queries come in half precision; the items never do.
        query_qd, similarity_qm = query_qd.to(self.items), similarity_qm.to(self.items)
        nearest, how = similarity_qm.argmax(-1), self.config.memory_write
        if how == "mean":
            moved = self._towards_means(query_qd, similarity_qm, nearest)
        else:
            moved = written(self.items, query_qd, similarity_qm, nearest=how == "nearest")
        # In place: the buffer stays the same tensor for DDP and for the averaged copy.
        self.items.copy_(moved)
        won = torch.bincount(nearest, minlength=len(self)).to(self.use)
        share = together.summed(won)[0] / (len(query_qd) * together.processes())
        self.use.lerp_(share, 1 - FORGET)
        if self.config.memory_revive:
            self._revive(query_qd, similarity_qm)

    def _towards_means(self, query_qd: Tensor, similarity_qm: Tensor, nearest: Tensor) -> Tensor:
        """Every chosen item, moved towards the mean of its queries, weighted by similarity."""
        weight = similarity_qm.gather(-1, nearest[:, None]).clamp_min(0) + 1e-6  # q 1
        total = torch.zeros_like(self.items).index_add_(0, nearest, query_qd * weight)
        mass = self.items.new_zeros(len(self), 1).index_add_(0, nearest, weight)
        total, mass = together.summed(total, mass)
        keep = self.config.memory_momentum
        moved = keep * self.items + (1 - keep) * total / mass.clamp_min(1e-6)
        return torch.where(mass > 0, F.normalize(moved, dim=-1), self.items)

    def _revive(self, query_qd: Tensor, similarity_qm: Tensor) -> None:
        """Put idle items, at most `MOVES`, on queries that are least like any item that is not."""
        idle = (self.use < IDLE / len(self)).nonzero()[:, 0]
        idle = idle[self.use[idle].argsort()[:MOVES]]
        if not len(idle):
            return
        alike = similarity_qm.index_fill(1, idle, -1.0).amax(1)  # q, to those that stay
        self.items[idle] = least_alike(query_qd, alike, len(idle), query_qd.matmul)
        self.use[idle] = 1 / len(self)


@torch.no_grad()
def written(items_md: Tensor, query_qd: Tensor, likeness_qm: Tensor, *, nearest: bool) -> Tensor:
    """p <- L2(p + sum of v q): the items after a batch of queries.

    MSTI-Net Eq. 5, STNMamba Eq. 10; v is the softmax over the queries of their likeness to an item.
    nearest: an item takes from those queries alone that it is the nearest of, and stays as it is
    where there are none. From all of them, as both papers print it, every item gets nearly the
    mean query, and in a few steps all items are one and the same.
    """
    if nearest:
        chosen = F.one_hot(likeness_qm.argmax(-1), likeness_qm.shape[-1]).bool()
        likeness_qm = likeness_qm.masked_fill(~chosen, -torch.inf)
    v = together.softmax_over_all(likeness_qm).nan_to_num(0.0)  # a column of -inf has no softmax
    taken, mass = together.summed((v.T @ query_qd).to(items_md), v.sum(0).to(items_md))
    moved = F.normalize(items_md + taken, dim=-1)
    return torch.where(mass[:, None] > 0, moved, items_md)


def far_apart(query: Tensor, count: int) -> Tensor:
    """As many of the queries (q, d), of unit length, as lie far from each other: (count, d).

    The first, then each time the one that is least like all before it; some of them again where
    there are fewer than `count`. What a memory starts from, so that its items do not collapse.
    """
    first = together.first(query)
    rest = least_alike(query, query @ first, count - 1, query.matmul)
    return torch.cat((first[None], rest))


def least_alike(query: Tensor, alike: Tensor, count: int, to: Callable[[Tensor], Tensor]) -> Tensor:
    """As many queries (q, d), each the least like all items that there are by then: (count, d).

    alike: to the likest item that there is already, (q,). to: likeness to one more, (d,) -> (q,).
    """
    chosen = query.new_empty(count, query.shape[1])
    for row in chosen:
        row.copy_(together.least(alike, query))
        alike = torch.maximum(alike, to(row))
    return chosen


def kth_largest(x: Tensor, k: int) -> Tensor:
    """The k-th largest of each row, without gradient: (..., p) -> (..., 1)."""
    x = x.detach()
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return x.topk(k).values[..., -1:]
    # numpy selects with vector instructions, in a tenth of the time for rows as short as these.
    return torch.from_numpy(np.partition(x.numpy(), -k, -1)[..., -k, None])


def two_nearest(similarity: Tensor) -> Tensor:
    """Which two items are most similar to each query, the nearest first: (..., p) -> (..., 2)."""
    first = similarity.detach().argmax(-1, keepdim=True)  # twice this is faster than one topk
    second = similarity.detach().scatter(-1, first, -torch.inf).argmax(-1, keepdim=True)
    return torch.cat((first, second), -1)
