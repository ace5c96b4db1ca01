"""States as named tensors and back."""

from dataclasses import dataclass

import pytest
import torch

from oddframe.export.tree import flatten, rebuild
from oddframe.models.base import Prediction


@dataclass(frozen=True, slots=True)
class State:
    last: torch.Tensor
    ring: tuple
    never: None = None


def full(*shape):
    return torch.randn(*shape)


def test_a_ring_is_one_tensor_and_a_mixture_is_several():
    scales = tuple((full(1, 4), full(1, 2)) for _ in range(3))
    flat = flatten(State(full(2), scales))
    assert {name: tuple(x.shape) for name, x in flat.items()} == {
        "last": (2,), "ring.0": (3, 1, 4), "ring.1": (3, 1, 2),
    }  # fmt: skip
    assert torch.equal(flat["ring.0"][2], scales[2][0])


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param(full(3), id="a tensor"),
        pytest.param((full(3), full(3)), id="a ring"),
        pytest.param((full(3), full(4)), id="two shapes"),
        pytest.param(((full(3), full(3)), (full(3), full(3))), id="a ring of rings"),
        pytest.param((full(3), full(3).long()), id="two types"),
        pytest.param({"a": full(1), "ab": (full(2),)}, id="names that begin alike"),
        pytest.param(State(full(1), ()), id="nothing in the ring"),
        pytest.param(Prediction(full(1), None, terms={"far": full(1, 1)}), id="a prediction"),
        pytest.param((State(full(1), (full(2),)),) * 3, id="a ring of states"),
    ],
)
def test_a_tree_comes_back(tree):
    again = rebuild(tree, flatten(tree))
    assert type(again) is type(tree)
    assert flatten(again).keys() == flatten(tree).keys()
    for name, x in flatten(tree).items():
        assert torch.equal(flatten(again)[name], x), name


def test_what_a_graph_would_freeze_is_refused():
    with pytest.raises(TypeError, match="found a int"):
        flatten((full(1), 7))
