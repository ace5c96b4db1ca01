"""Memory of normal prototypes (MNAD, Park et al. 2020; M2S2L section II-D).

Letters: q queries, m items, d width.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Read = Literal["replace", "add", "concat"]


class Memory(nn.Module):
    """Prototypes of normal features: read in both modes, written in training only.

    Reading: cosine similarity to every item, softmax, weighted sum of the items. Writing moves
    each item towards the queries that chose it, with momentum and without gradient, and
    normalises it again. At test time nothing is written, so scores do not depend on the order
    of the videos.
    """

    items: Tensor

    def __init__(
        self,
        width: int,
        items: int,
        *,
        read: Read = "add",
        momentum: float = 0.99,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        self.register_buffer("items", F.normalize(torch.randn(items, width), dim=-1))
        self.read, self.momentum, self.temperature = read, momentum, temperature
        # What is read has unit length; a learnt scale brings it to that of the features.
        self.scale = nn.Parameter(torch.ones(()))
        self.join = nn.Linear(2 * width, width) if read == "concat" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d); writes the (detached) queries when in training mode."""
        query = F.normalize(x, dim=-1)
        # The backward pass needs the items as they were read, the write changes them in place.
        items = self.items.clone() if self.training else self.items
        similarity = query @ items.T  # ... m
        value = self.scale * (torch.softmax(similarity / self.temperature, -1) @ items)
        if self.training:
            self.write(query.detach().flatten(0, -2), similarity.detach().flatten(0, -2))
        if self.read == "replace":
            return value
        if self.read == "add":
            return x + value
        out: Tensor = self.join(torch.cat((x, value), -1))
        return out

    @torch.no_grad()
    def write(self, query_qd: Tensor, similarity_qm: Tensor) -> None:
        """Move every chosen item towards the mean of its queries, weighted by similarity."""
        # Under bf16 autocast the queries come in half precision; the items never do.
        query_qd, similarity_qm = query_qd.to(self.items), similarity_qm.to(self.items)
        nearest = similarity_qm.argmax(-1)
        weight = similarity_qm.gather(-1, nearest[:, None]).clamp_min_(0) + 1e-6  # q 1
        total = torch.zeros_like(self.items).index_add_(0, nearest, query_qd * weight)
        mass = self.items.new_zeros(len(self.items), 1).index_add_(0, nearest, weight)
        moved = self.momentum * self.items + (1 - self.momentum) * total / mass.clamp_min(1e-6)
        # In place: the buffer stays the same tensor for DDP and for the averaged copy.
        self.items.copy_(torch.where(mass > 0, F.normalize(moved, dim=-1), self.items))


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
    v = likeness_qm.softmax(0).nan_to_num(0.0)  # a column of -inf has no softmax
    moved = F.normalize(items_md + (v.T @ query_qd).to(items_md), dim=-1)
    return torch.where(v.any(0)[:, None], moved, items_md)


def far_apart(query: Tensor, count: int) -> Tensor:
    """As many of the queries (q, d), of unit length, as lie far from each other: (count, d).

    The first, then each time the one that is least like all before it; some of them again where
    there are fewer than `count`. What a memory starts from, so that its items do not collapse.
    """
    chosen = [query[0]]
    alike = query @ query[0]  # to the likest of those chosen
    while len(chosen) < count:
        chosen.append(query[alike.argmin()])
        alike = torch.maximum(alike, query @ chosen[-1])
    return torch.stack(chosen)
