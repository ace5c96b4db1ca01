"""SS2D: the four readings of a map, and the whole against one slow scan per direction."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from oddframe.ops import native, selective_scan_reference
from oddframe.ops.ss2d import (
    SS2D,
    a_log_init,
    delta_bias_init,
    merge_orders,
    two_orders,
)


def orders(h, w):
    """Places (row, column) in the order in which each direction visits them."""
    rows = [(y, x) for y in range(h) for x in range(w)]
    cols = [(y, x) for x in range(w) for y in range(h)]
    return [rows, cols, rows[::-1], cols[::-1]]


sizes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))


@given(sizes)
@settings(max_examples=30, deadline=None)
def test_two_orders_reads_rows_and_columns(size):
    b, h, w, c = size
    x = torch.arange(b * h * w * c).reshape(b, h, w, c)
    out = two_orders(x)
    assert out.shape == (b, h * w, 2, c)
    for k, order in enumerate(orders(h, w)[:2]):
        for t, (y, xx) in enumerate(order):
            assert torch.equal(out[:, t, k], x[:, y, xx])


@given(sizes)
@settings(max_examples=30, deadline=None)
def test_merge_orders_puts_back_and_adds(size):
    b, h, w, c = size
    y = torch.randint(0, 100, (b, h * w, 2, c))
    want = torch.zeros(b, h, w, c, dtype=y.dtype)
    for k, order in enumerate(orders(h, w)[:2]):
        for t, (row, col) in enumerate(order):
            want[:, row, col] += y[:, t, k]
    assert torch.equal(merge_orders(y, h, w), want)


def slow_ss2d(m, x):
    """One scan per direction, each with its own weights, added; plus D x."""
    h, w = x.shape[1:3]
    out = torch.zeros_like(x)
    per = m.rank + 2 * m.state
    for k, order in enumerate(orders(h, w)):
        weight = m.project.weight[k * per : (k + 1) * per]
        seq = torch.stack([x[:, r, s] for r, s in order], 1)  # b l c
        low, B, C = (seq @ weight.T).split((m.rank, m.state, m.state), -1)
        delta = low @ m.delta_weight[k] + m.delta_bias[k]
        y = selective_scan_reference(
            seq.mT, delta.mT, -torch.exp(m.A_log[k]).T, B.mT, C.mT, delta_softplus=True
        )
        for t, (r, s) in enumerate(order):
            at = torch.zeros_like(out)
            at[:, r, s] = y[:, :, t]
            out = out + at
    return out + m.D * x


@pytest.mark.parametrize("backend", ["auto", "reference", "chunked"])
@pytest.mark.parametrize(
    ("c", "state", "h", "w"), [(3, 1, 4, 4), (32, 3, 5, 3), (4, 2, 1, 7), (2, 2, 6, 1)]
)
def test_ss2d_equals_a_slow_scan_per_direction(backend, c, state, h, w):
    torch.manual_seed(c)
    m = SS2D(c, state).double()
    m.backend = backend
    for p in m.parameters():
        p.data += 0.1 * torch.randn_like(p)
    x = torch.randn(2, h, w, c, dtype=torch.float64, requires_grad=True)
    weight = torch.randn_like(x)
    wanted = [x, *m.parameters()]
    found, want = m(x), slow_ss2d(m, x)
    torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-10)
    found_grads = torch.autograd.grad((found * weight).sum(), wanted)
    want_grads = torch.autograd.grad((want * weight).sum(), wanted)
    for a, b in zip(found_grads, want_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


@pytest.mark.skipif(bool(native.available()), reason=str(native.available()))
@pytest.mark.parametrize(
    ("c", "state", "h", "w"), [(3, 1, 4, 4), (32, 3, 5, 3), (40, 16, 9, 7), (4, 2, 1, 7)]
)
def test_the_map_in_place_equals_the_map_in_two_orders(c, state, h, w):
    torch.manual_seed(c)
    m = SS2D(c, state)
    for p in m.parameters():
        p.data += 0.1 * torch.randn_like(p)
    x = torch.randn(2, h, w, c, requires_grad=True)
    weight, wanted, found = torch.randn_like(x), [x, *m.parameters()], {}
    for backend in ("native", "chunked"):
        m.backend = backend
        y = m(x)
        found[backend] = [y, *torch.autograd.grad((y * weight).sum(), wanted)]
        with torch.no_grad():  # where nothing is turned
            assert torch.equal(m(x), y)
    for a, b in zip(found["native"], found["chunked"], strict=True):
        assert float((a - b).detach().abs().max()) <= 2e-5 * float(b.detach().abs().max())


def test_bf16_autocast_keeps_the_state_in_float32():
    torch.manual_seed(0)
    m = SS2D(8, 2)
    x = torch.randn(2, 16, 16, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = m(x.bfloat16())
    want = m(x).detach()
    assert float((found.detach() - want).std()) < 0.01 * float(want.std())
    found.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in m.parameters())


def test_scan_flops_are_9_l_d_n_per_direction():
    assert SS2D(10, state=3).scan_flops(64) == 9 * 64 * 10 * 3 * 4


def test_initial_values_are_those_of_mamba():
    np.testing.assert_allclose(torch.exp(a_log_init(2, 3, 4))[1, :, 2], [1, 2, 3], rtol=1e-6)
    torch.manual_seed(0)
    delta = F.softplus(delta_bias_init(4, 1000))
    assert 1e-3 * 0.999 <= float(delta.min()) < 2e-3
    assert 0.08 < float(delta.max()) <= 0.1 * 1.001
    assert abs(float(delta.log().mean()) - np.log(0.01)) < 0.1  # log-uniform: median at 0.01
