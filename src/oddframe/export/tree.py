"""A state as named tensors, and back: `step` carries a tree, a graph a list.

    flat = flatten(state)              # {"frames.0": (16, 1, 32, 32, 64), "last": (1, 3, 256, 256)}
    state = rebuild(like, flat)

Trees are dataclasses, tuples, dicts and None around tensors. A tuple whose elements are all alike
(the last k frames, say) is one tensor, its elements stacked: a ring of fixed shape. A tree is
flattened once it is full, so nothing grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor


def flatten(tree: Any) -> dict[str, Tensor]:
    """The tensors of a tree by their place in it; a lone tensor has the name "".

    Raises:
        TypeError: it holds something else than tensors, which a graph could not carry.
    """
    if isinstance(tree, Tensor):
        return {"": tree}
    if isinstance(tree, tuple) and _alike(tree):
        parts = [flatten(part) for part in tree]
        return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    return {
        _joined(name, below): tensor
        for name, part in _children(tree)
        for below, tensor in flatten(part).items()
    }


def rebuild(like: Any, flat: Mapping[str, Tensor]) -> Any:
    """Undo `flatten`: a tree of the structure of `like`, with the tensors of `flat`."""
    if isinstance(like, Tensor):
        return flat[""]
    if isinstance(like, tuple) and _alike(like):
        return tuple(
            rebuild(part, {name: x[i] for name, x in flat.items()}) for i, part in enumerate(like)
        )
    made = {name: rebuild(part, _below(flat, name)) for name, part in _children(like)}
    if isinstance(like, tuple):
        return tuple(made.values())
    return made if isinstance(like, dict) else like if like is None else type(like)(**made)


def _children(tree: Any) -> Sequence[tuple[str, Any]]:
    """What a tree holds, by name."""
    if tree is None:
        return ()
    if isinstance(tree, tuple):
        return [(str(i), part) for i, part in enumerate(tree)]
    if isinstance(tree, dict):
        return list(tree.items())
    if is_dataclass(tree):
        return [(f.name, getattr(tree, f.name)) for f in fields(tree)]
    raise TypeError(
        f"A state of tensors in dataclasses, tuples and dicts can be exported; found a "
        f"{type(tree).__name__} in it, which a graph would take for a constant."
    )


def _alike(tree: tuple[Any, ...]) -> bool:
    """Whether the elements have the same tensors, of one shape each."""
    parts = [_shapes(part) for part in tree]
    return bool(parts) and bool(parts[0]) and all(part == parts[0] for part in parts)


def _shapes(tree: Any) -> dict[str, tuple[Any, ...]]:
    """`flatten` without its tensors: while a graph is made every operation would be in it."""
    if isinstance(tree, Tensor):
        return {"": (tree.dtype, *tree.shape)}
    if isinstance(tree, tuple) and _alike(tree):
        return {name: (len(tree), *shape) for name, shape in _shapes(tree[0]).items()}
    return {
        _joined(name, below): shape
        for name, part in _children(tree)
        for below, shape in _shapes(part).items()
    }


def _joined(name: str, below: str) -> str:
    return f"{name}.{below}" if below else name


def _below(flat: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors below a name, by what remains of theirs."""
    return {
        "" if key == name else key[len(name) + 1 :]: x
        for key, x in flat.items()
        if key == name or key.startswith(f"{name}.")
    }
