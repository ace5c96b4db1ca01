"""LayerNorm: compiled without gradients, torch's own with them, the same numbers."""

import pytest
import torch
from torch import nn

from oddframe.ops import native, norm

needs_library = pytest.mark.skipif(
    native.available() is not None, reason=f"no C extension: {native.available()}"
)


def layer(width=32):
    torch.manual_seed(0)
    made = norm.LayerNorm(width)
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    return made


def counted(monkeypatch):
    """How often the compiled one was called."""
    calls, run = [], native.norm
    monkeypatch.setattr(native, "norm", lambda *args: calls.append(1) or run(*args))
    return calls


@needs_library
@pytest.mark.parametrize("gated", [False, True])
def test_without_gradients_it_is_compiled_and_equal(gated, monkeypatch):
    made, calls = layer(), counted(monkeypatch)
    x, gate = torch.randn(2, 5, 6, 7, 32).transpose(2, 3)  # not contiguous
    gate = gate if gated else None
    with torch.no_grad():
        fast = made(x, gate)
    assert calls == [1]
    assert fast.shape == x.shape
    torch.testing.assert_close(fast, made.plain(x, gate).detach(), rtol=1e-5, atol=1e-5)


def test_gradients_reach_everything(monkeypatch):
    made, calls = layer(), counted(monkeypatch)
    x, gate = (torch.randn(3, 32, requires_grad=True) for _ in range(2))
    made(x, gate).sum().backward()
    assert calls == []
    assert all(t.grad is not None for t in (x, gate, made.weight, made.bias))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_numbers_are_left_to_torch(dtype, monkeypatch):
    made, calls = layer().to(dtype), counted(monkeypatch)
    with torch.no_grad():
        assert made(torch.randn(3, 32, dtype=dtype)).dtype == dtype
    assert calls == []


@needs_library
def test_a_float32_input_of_a_wider_layer_is_not_read_as_one():
    with torch.no_grad(), pytest.raises(RuntimeError, match="dtype"):
        layer().double()(torch.randn(3, 32))


def test_without_the_library_it_is_torch(monkeypatch):
    monkeypatch.setattr(native, "available", lambda: "it was not built")
    made, calls = layer(), counted(monkeypatch)
    x = torch.randn(3, 32)
    with torch.no_grad():
        assert torch.equal(made(x, x), made.plain(x, x))
    assert calls == []


@needs_library
def test_a_gate_of_another_shape_is_refused():
    with torch.no_grad(), pytest.raises(ValueError, match="must have the shape"):
        layer()(torch.randn(3, 32), torch.randn(1, 32))


def test_torch_compile_takes_it_whole():
    made, x = layer(), torch.randn(3, 32)
    with torch.no_grad():
        compiled = torch.compile(made, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(x, x), made.plain(x, x))


def test_its_parameters_are_those_of_torch():
    assert layer().state_dict().keys() == nn.LayerNorm(32).state_dict().keys()
