"""The scan as graphs have it, against the plain loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oddframe.models.temporal import TMB
from oddframe.ops import selective_scan
from oddframe.ops.exported import SHORT, STEPS, scan_unrolled
from oddframe.ops.loop import scan_loop
from oddframe.ops.ss2d import SS2D


def inputs(length, seed, dtype=torch.float64):
    """u, delta, A, B, C of 2 sequences, 2 groups, 3 states, 2 channels."""
    rng = torch.Generator().manual_seed(seed)
    make = lambda *s: torch.randn(*s, generator=rng, dtype=dtype)  # noqa: E731
    sequence = (2, length, 2)
    return (
        make(*sequence, 2), make(*sequence, 2), -make(2, 3, 2).exp(), make(*sequence, 3),
        make(*sequence, 3),
    )  # fmt: skip


@given(
    st.one_of(
        st.integers(1, 300),
        st.sampled_from([SHORT, SHORT + 1, STEPS * SHORT, STEPS * SHORT + 1, 1024]),
    ),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_unrolled_is_the_recurrence(length, softplus, reverse, seed):
    u, delta, A, B, C = inputs(length, seed)
    delta = delta if softplus else delta.abs()
    y, last = scan_unrolled(u, delta, A, B, C, softplus, reverse)
    want, want_last = scan_loop(u, delta, A, B, C, softplus, reverse)
    torch.testing.assert_close(y, want, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(last, want_last, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1e4, 1e15, 1e30])
def test_huge_steps_do_not_overflow(size):
    u, delta, A, B, C = inputs(200, 1, torch.float32)
    delta = torch.full_like(delta, size)
    delta[:, ::7] = 1e-4
    y, last = scan_unrolled(u, delta, A, B, C)
    assert bool(y.isfinite().all() and last.isfinite().all())


def test_half_precision_is_computed_in_float32():
    u, delta, A, B, C = inputs(70, 2, torch.float32)
    half = [x.bfloat16() for x in (u, delta, B, C)]
    y, last = scan_unrolled(half[0], half[1], A, half[2], half[3], True)
    want, _ = scan_loop(*(x.float() for x in half[:2]), A, *(x.float() for x in half[2:]), True)
    assert (y.dtype, last.dtype) == (torch.bfloat16, torch.float32)
    np.testing.assert_allclose(y.float(), want, rtol=0.01, atol=0.05)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(7, 9), (1, 5), (16, 16)])
def test_a_map_in_four_directions_at_once(shape):
    torch.manual_seed(0)
    net, x = SS2D(8, 3).eval(), torch.randn(2, *shape, 8)
    net.backend = "reference"
    want = net(x)
    net.backend = "unrolled"
    torch.testing.assert_close(net(x), want, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("literal", [False, True])
def test_a_temporal_block(literal):
    torch.manual_seed(0)
    net = TMB(8, 5, literal=literal).eval()
    window, newest = net.project(torch.randn(2, 3, 5, 8)), torch.randn(2, 3, 8)
    net.backend = "reference"
    want = net(window, newest)
    net.backend = "unrolled"
    torch.testing.assert_close(net(window, newest), want, rtol=1e-5, atol=1e-5)


def test_the_public_function_takes_it():
    u, delta, A, B, C = inputs(40, 3)
    args = (u[:, :, 0].mT, delta[:, :, 0].mT.abs(), A[0].mT, B[:, :, 0].mT, C[:, :, 0].mT)
    torch.testing.assert_close(
        selective_scan(*args, backend="unrolled"), selective_scan(*args, backend="reference")
    )
