"""The scan in C: every instruction set of this machine against the float64 loop."""

import contextlib
import functools
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from oddframe.errors import ConfigError
from oddframe.ops import backends, native
from oddframe.ops.loop import scan_loop
from oddframe.ops.native.library import Library, load, open_library

GIVEN = os.environ.get("ODDFRAME_TEST_LIBRARY")
"""A library to test instead: the build with sanitizers."""
SOURCES = Path(native.__file__).parent
NAMES = ("u", "delta", "A", "B", "C", "bias", "D", "up")


def libraries():
    """The libraries that this processor can run."""
    if GIVEN:
        return [open_library("given", Path(GIVEN))]
    best = load()
    if isinstance(best, str):
        return []
    order = ("avx512", "avx2", "plain")
    found = [load(name) for name in order[order.index(best.name) :]]
    return [x for x in found if isinstance(x, Library)]


LIBRARIES = libraries()
pytestmark = pytest.mark.skipif(not LIBRARIES, reason=f"no native scan: {native.available()}")
each_library = pytest.mark.parametrize("library", LIBRARIES, ids=lambda x: x.name)


@contextlib.contextmanager
def running(library):
    """Calls go to this library."""
    before = native._library
    native._library = lambda: library
    try:
        yield
    finally:
        native._library = before


@st.composite
def shapes(draw, longest=400):
    rows = draw(st.integers(1, 9))
    length = draw(st.one_of(st.integers(1, longest), st.sampled_from([1, 31, 32, 33, 64, 65])))
    joint = draw(st.booleans())
    g = draw(st.integers(1, 4))
    return {
        "b": draw(st.integers(1, 3)), "rows": rows, "cols": max(1, length // rows), "g": g,
        "e": draw(st.one_of(st.integers(1, 40), st.sampled_from([16, 64, 65, 130]))),
        "n": draw(st.integers(1, 32)), "joint": joint, "softplus": draw(st.booleans()),
        "extras": draw(st.booleans()), "seed": draw(st.integers(0, 2**31)),
        "rank": draw(st.sampled_from([0, 0, 1, 3, 9])),
        "orders": draw(st.tuples(*[st.integers(0, 3)] * g)),
    }  # fmt: skip


def made(*, b, rows, cols, g, e, n, joint, softplus, extras, seed, orders, rank=0):
    """float64 tensors that float32 holds exactly, and the settings; u with 0 and +-1000."""
    rng = np.random.default_rng(seed)
    length, gu = rows * cols, 1 if joint else g
    u = rng.standard_normal((b, length, gu, e))
    kind = rng.integers(0, 8, u.shape)
    u = np.select([kind == 0, kind == 1, kind == 2], [0.0, 1e3, -1e3], u)
    delta = 10.0 ** rng.uniform(-4, 1, (b, length, g, e))
    if softplus:  # the same steps, before softplus
        delta = delta + np.log(-np.expm1(-delta))
    up = None
    if rank:  # products of one sign in a scan, so that their size is that of their terms
        sign = rng.choice([-1, 1], (g, 1, 1)) if softplus else 1
        up = sign * 10 ** rng.uniform(-2, 0, (g, rank, e))
        delta = 10 ** rng.uniform(-2, 0.5, (b, length, g, rank))
    arrays = [
        u, delta, -np.exp(rng.uniform(-3, 3, (g, n, e))), rng.standard_normal((b, length, g, n)),
        rng.standard_normal((b, length, g, n)),
        rng.uniform(0, 0.5, (g, e)) if extras else None,
        rng.standard_normal((gu, e)) if extras else None,
        up,
    ]  # fmt: skip
    tensors = [None if x is None else torch.tensor(x.astype(np.float32)).double() for x in arrays]
    return tensors, {"rows": rows, "orders": orders, "softplus": softplus}


def slow(u, delta, A, B, C, bias, D, up, *, rows, orders, softplus):
    """`native.scan` by the loop: one scan at a time, over the places in its order."""
    length, gu = u.shape[1:3]
    delta = delta if up is None else torch.einsum("blgr,gre->blge", delta, up)
    ys = []
    for k, order in enumerate(orders):
        at = along = torch.arange(length)
        if order & native.COLUMNS:
            at = at.view(rows, -1).T.reshape(-1)
        if order & native.BACKWARDS:
            at, along = at.flip(0), along.flip(0)
        one = slice(k, k + 1)
        step = delta[:, along, one] if bias is None else delta[:, along, one] + bias[one]
        y, _ = scan_loop(
            u[:, at, one] if gu > 1 or len(orders) == 1 else u[:, at], step, A[one],
            B[:, along, one], C[:, along, one], softplus,
        )  # fmt: skip
        back = torch.empty_like(at)
        back[at] = torch.arange(length)
        ys.append(y[:, back])
    y = torch.stack(ys).sum(0) if gu == 1 else torch.cat(ys, 2)
    return y if D is None else y + D * u


def fast(u, delta, A, B, C, bias, D, up, **settings):
    return native.scan(u, delta, A, B, C, bias=bias, D=D, up=up, **settings)[0]


def size_of(tensors, settings):
    """Every output's size if no terms cancelled: what rounding is measured against."""
    keep = {"delta", "A", "bias", "up"}
    parts = [x if x is None or k in keep else x.abs() for k, x in zip(NAMES, tensors, strict=True)]
    return slow(*parts, **settings)


def gradients(scan, tensors, settings, weight, dtype):
    leaves = [
        None if x is None else x.detach().to(dtype, copy=True).requires_grad_() for x in tensors
    ]
    (scan(*leaves, **settings) * weight.to(dtype)).sum().backward()
    return {k: x.grad for k, x in zip(NAMES, leaves, strict=True) if x is not None}


@each_library
def test_vector_functions_keep_their_stated_errors(library):
    t = np.concatenate([np.linspace(-125, 125, 1 << 18), -(10.0 ** np.linspace(-8, 0, 1 << 18))])
    t = t.astype(np.float32)
    y, slope = np.empty_like(t), np.empty_like(t)
    library.code.oddframe_exp2(t.ctypes, y.ctypes, t.size)
    want = np.exp2(t.astype(np.float64))
    assert np.abs(y / want - 1).max() < 2e-7
    # Near 0 what counts is 1 - 2^t: the loss per step of a slow state.
    near = np.abs(t) < 1e-3
    assert np.abs((y - want)[near]).max() < 7e-8
    library.code.oddframe_softplus(t.ctypes, y.ctypes, slope.ctypes, t.size)
    x = t.astype(np.float64)
    allowed = (3e-7 + 1e-7 * np.abs(x))[x > -80]  # below, it leaves the normal range of float32
    assert (np.abs(y / np.logaddexp(0, x) - 1)[x > -80] < allowed).all()
    assert (np.abs(slope / np.exp(-np.logaddexp(0, -x)) - 1)[x > -80] < allowed).all()


@each_library
def test_the_exponential_keeps_its_stated_ends(library):
    low = [-126.1, -127, -149, -1e3, -(2.0**18), -3e6, -2e7, -1e30, -3e38]
    high = [128, 1e3, 2.0**18, 3e6, 2e7, 1e30, 3e38]
    t = np.array([*low, *high, np.nan] + [0.0] * (64 - len(low) - len(high) - 1), dtype=np.float32)
    y = np.empty_like(t)
    library.code.oddframe_exp2(t.ctypes, y.ctypes, t.size)
    small, large = np.split(y[: len(low) + len(high)], [len(low)])
    assert ((small >= 0) & (small <= 2.0**-126)).all()
    assert (large > 3e38).all()
    assert np.isnan(y[len(low) + len(high)])
    assert (y[len(low) + len(high) + 1 :] == 1).all()


@each_library
@given(shapes())
@settings(max_examples=60, deadline=None)
def test_equals_the_loop(library, shape):
    tensors, how = made(**shape)
    want, size = slow(*tensors, **how), size_of(tensors, how)
    with running(library):
        found = fast(*(None if x is None else x.float() for x in tensors), **how)
    assert ((found.double() - want).abs() <= 2e-5 * size + 1e-30).all()


@functools.cache
def long_case(rows, cols, n):
    """Thousands of small steps: states that last for hundreds of them, and what the loop says."""
    shape = {
        "b": 1, "rows": rows, "cols": cols, "g": 4, "e": 20, "n": n, "joint": True, "seed": n,
        "softplus": True, "extras": True, "orders": (0, 1, 2, 3),
    }  # fmt: skip
    tensors, how = made(**shape)
    # Not one step for all: it would be rounded to the same side each time, in any float32 loop.
    tensors[1] = (tensors[1] - 5).float().double()
    want, size = slow(*tensors, **how), size_of(tensors, how)
    weight = torch.randn(want.shape, dtype=torch.float64)
    return tensors, how, want, size, weight, gradients(slow, tensors, how, weight, torch.float64)


@each_library
@pytest.mark.parametrize(
    ("rows", "cols", "n"),
    [
        pytest.param(1, 5000, 2, marks=pytest.mark.slow),
        pytest.param(64, 64, 16, marks=pytest.mark.slow),
        pytest.param(71, 70, 1, marks=pytest.mark.slow),
        (31, 40, 1),
    ],
)
def test_equals_the_loop_over_thousands_of_steps(library, rows, cols, n):
    tensors, how, want, size, weight, exact = long_case(rows, cols, n)
    with running(library):
        found = fast(*(None if x is None else x.float() for x in tensors), **how)
        grads = gradients(fast, tensors, how, weight, torch.float32)
    assert ((found.double() - want).abs() <= 2e-5 * size).all()
    for name, grad in exact.items():
        gap = float((grads[name].double() - grad).abs().max())
        assert gap <= 2e-5 * float(grad.abs().max()), name


@each_library
@given(shapes(longest=150))
@settings(max_examples=40, deadline=None)
def test_gradients_equal_those_of_the_loop(library, shape):
    tensors, how = made(**shape)
    weight = torch.randn(tensors[0].shape, dtype=torch.float64)
    want = gradients(slow, tensors, how, weight, torch.float64)
    # As above: rounding is measured against what the gradient would be if nothing cancelled.
    keep = {"delta", "A", "bias", "up"}
    sizes = [x if x is None or k in keep else x.abs() for k, x in zip(NAMES, tensors, strict=True)]
    size = gradients(slow, sizes, how, weight.abs(), torch.float64)
    with running(library):
        found = gradients(fast, tensors, how, weight, torch.float32)
    assert found.keys() == want.keys()
    for name, grad in want.items():
        scale = max(float(grad.abs().max()), float(size[name].abs().max())) + 1e-30
        assert float((found[name].double() - grad).abs().max()) <= 2e-5 * scale, name


@each_library
@given(shapes(), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_rows_placed_on_the_map_equal_those_in_the_order_of_their_scan(library, shape, rank):
    tensors, how = made(**shape | {"rank": rank})
    u, delta, A, B, C, *rest = (None if x is None else x.float() for x in tensors)
    along = [x.clone() for x in (delta, B, C)]
    turned = torch.arange(u.shape[1]).view(how["rows"], -1).T.reshape(-1)
    for k, order in enumerate(how["orders"]):
        if order & native.COLUMNS:
            for placed, x in zip(along, (delta, B, C), strict=True):
                placed[:, turned, k] = x[:, :, k]
    with running(library):
        want = fast(u, delta, A, B, C, *rest, **how)
        found = fast(u, along[0], A, *along[1:], *rest, **how, placed=True)
    assert torch.equal(found, want)


@each_library
def test_any_strides_and_the_last_state(library):
    torch.manual_seed(0)
    whole = torch.randn(2, 50, 4, 3 + 2 * 5)
    _, B, C = whole.split((3, 5, 5), -1)  # as SS2D hands them over
    u = torch.randn(2, 20, 50).transpose(1, 2)[:, :, None]
    delta = torch.randn(4, 2, 50, 20).permute(1, 2, 0, 3)
    A = -torch.rand(4, 5, 20)
    with running(library):
        y, last = native.scan(u, delta, A, B, C, softplus=True)
        dense = [x.contiguous() for x in (u, delta, A, B, C)]
        again, last_again = native.scan(*dense, softplus=True)
    assert torch.equal(y, again)
    assert torch.equal(last, last_again)
    _, want = scan_loop(*(x.double() for x in (u.expand(-1, -1, 4, -1), delta, A, B, C)), True)
    torch.testing.assert_close(last.double(), want, rtol=1e-5, atol=1e-5)


@each_library
def test_the_same_bits_every_time_and_for_any_number_of_threads(library):
    shape = {
        "b": 2, "rows": 20, "cols": 13, "g": 4, "e": 150, "n": 6, "joint": True, "seed": 4,
        "softplus": True, "extras": True, "orders": (0, 1, 2, 3),
    }  # fmt: skip
    tensors, how = made(**shape)
    weight, before, results = torch.randn(tensors[0].shape), torch.get_num_threads(), []
    try:
        with running(library):
            for threads in (1, 2, 3, 2):
                torch.set_num_threads(threads)
                y = fast(*(None if x is None else x.float() for x in tensors), **how)
                results.append([y, *gradients(fast, tensors, how, weight, torch.float32).values()])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@each_library
def test_huge_steps_and_infinite_ones_leave_finite_states(library):
    u, delta = torch.ones(1, 40, 1, 5), torch.full((1, 40, 1, 5), 1e30)
    A, B = torch.full((1, 3, 5), -1e30), torch.ones(1, 40, 1, 3)
    with running(library):
        y, last = native.scan(u, delta, A, B, B)
        assert torch.isfinite(y).all()
        assert torch.isfinite(last).all()
        negative, _ = native.scan(u, -delta, A, B, B, softplus=True)
    assert float(negative.abs().max()) < 1e-30


@each_library
def test_a_thousand_calls_leave_no_memory_behind(library):
    shape = {
        "b": 1, "rows": 8, "cols": 8, "g": 4, "e": 64, "n": 16, "joint": True, "seed": 1,
        "softplus": True, "extras": True, "orders": (0, 1, 2, 3),
    }  # fmt: skip
    tensors, how = made(**shape)
    weight = torch.ones(tensors[0].shape)

    def calls(count):
        for _ in range(count):
            gradients(fast, tensors, how, weight, torch.float32)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with running(library):
        before = calls(100)
        assert calls(1000) - before < 8000  # kB; one leaked work space per call would be 200 MB


@pytest.mark.parametrize("rank", [0, 2])
def test_torch_library_finds_nothing_wrong(rank):
    shape = {
        "b": 1, "rows": 3, "cols": 5, "g": 2, "e": 7, "n": 3, "joint": True, "seed": 2,
        "softplus": True, "extras": True, "orders": (0, 3), "rank": rank,
    }  # fmt: skip
    tensors, how = made(**shape)
    leaves = [None if x is None else x.float().requires_grad_() for x in tensors]
    for placed, save in ((False, False), (False, True), (bool(rank), False)):
        torch.library.opcheck(
            native._scan, (*leaves, how["rows"], list(how["orders"]), True, placed, save),
            test_utils=("test_schema", "test_faketensor", "test_aot_dispatch_static")
            if save
            else ("test_schema", "test_faketensor"),
        )  # fmt: skip


def test_the_flop_counter_sees_it():
    u, delta, A = torch.randn(2, 30, 1, 8), torch.randn(2, 30, 4, 8), -torch.rand(4, 3, 8)
    B = torch.randn(2, 30, 4, 3, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        y, _ = native.scan(u, delta, A, B, B, softplus=True)
    assert counter.get_total_flops() == 9 * 2 * 30 * 4 * 8 * 3
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert counter.get_total_flops() == 21 * 2 * 30 * 4 * 8 * 3
    low, up = torch.randn(2, 30, 4, 5), torch.randn(4, 5, 8, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        y, _ = native.scan(u, low, A, B, B, up=up, softplus=True)
    product = 2 * 2 * 30 * 4 * 8 * 5
    assert counter.get_total_flops() == 9 * 2 * 30 * 4 * 8 * 3 + product
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert counter.get_total_flops() == 21 * 2 * 30 * 4 * 8 * 3 + 3 * product


def test_torch_compile_takes_it_whole():
    from oddframe.ops.ss2d import SS2D

    torch.manual_seed(0)
    m, x = SS2D(8, 2), torch.randn(1, 6, 5, 8)
    compiled = torch.compile(m, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), m(x))


def test_what_does_not_fit_is_refused():
    u, A, B = torch.randn(1, 6, 1, 4), -torch.rand(1, 2, 4), torch.randn(1, 6, 1, 2)
    with pytest.raises(TypeError, match=r"float32 on the CPU, u is torch\.float64"):
        native.scan(u.double(), u, A, B, B)
    with pytest.raises(ValueError, match="6, 1, 4"):
        native.scan(u, u, A, B, B[:, :5])
    with pytest.raises(ValueError, match="bias"):
        native.scan(u, u, A, B, B, bias=torch.zeros(1, 3))
    with pytest.raises(ValueError, match="needs `up`"):
        native.scan(u, u, A, B, B, placed=True)
    up = torch.zeros(1, 2, 4, requires_grad=True)
    with pytest.raises(ValueError, match="has no gradients"):
        native.scan(u, B, A, B, B, up=up, placed=True)
    with pytest.raises(ValueError, match="'up'"):
        native.scan(u, B, A, B, B, up=torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="'D'"):
        native.scan(u, u, A, B, B, D=torch.zeros(4))
    with pytest.raises(ValueError, match="4 rows"):
        native.scan(u, u, A, B, B, rows=4)
    with pytest.raises(ConfigError, match="counts in float32"):
        backends.choose("native", u.double())


def test_without_the_library_auto_is_the_chunked_form(monkeypatch):
    monkeypatch.setattr(native, "available", lambda: "it was not built")
    assert backends.choose("auto", torch.zeros(1)) == "chunked"
    with pytest.raises(ConfigError, match=r"'native' does not run here: it was not built"):
        backends.choose("native", torch.zeros(1))


def test_auto_is_native_here_but_for_float64():
    assert backends.choose("auto", torch.zeros(1)) == "native"
    assert backends.choose("auto", torch.zeros(1, dtype=torch.float64)) == "chunked"
    assert backends.choose("auto", torch.zeros(1, device="meta")) == "chunked"


@each_library
@given(
    rows=st.integers(1, 70),
    width=st.one_of(st.integers(1, 100), st.sampled_from([16, 32, 64, 256])),
    gated=st.booleans(),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_norm_and_gate_equal_those_of_torch(library, rows, width, gated, scale, seed):
    torch.manual_seed(seed)
    x, gate = scale * torch.randn(rows, width) + scale, 5 * torch.randn(rows, width)
    weight, bias = torch.randn(2, width)
    want = F.layer_norm(x.double(), (width,), weight.double(), bias.double(), 1e-5)
    rest = F.silu(gate.double()) if gated else torch.ones(())
    with running(library):
        got = native.norm(x, weight, bias, 1e-5, gate if gated else None)
    # Of values that are all but equal little more is left than their rounding.
    loose = 1e-5 + 3e-7 * float((x.abs().amax(1) / (x.var(1, False) + 1e-5).sqrt()).max())
    torch.testing.assert_close(got.double(), want * rest, rtol=1e-5, atol=loose * 10)


@each_library
def test_norm_has_the_same_bits_for_any_number_of_threads(library):
    x, gate = torch.randn(2, 3000, 48)
    weight, bias = torch.randn(2, 48)
    before, found = torch.get_num_threads(), []
    try:
        with running(library):
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                found.append(native.norm(x, weight, bias, 1e-5, gate))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@each_library
def test_norm_of_huge_gates_equal_rows_and_no_numbers(library):
    x = torch.randn(5, 40)
    gate = torch.zeros(5, 40)
    gate[0], gate[1], gate[2, 7] = -3e38, 3e30, torch.nan
    x[3] = 7.0  # no spread: LayerNorm gives the bias
    x[4, 9] = torch.nan
    with running(library):
        y = native.norm(x, torch.ones(40), torch.ones(40), 1e-5, gate)
        plain = native.norm(x, torch.ones(40), torch.ones(40), 1e-5, None)
    assert float(y[0].abs().max()) < 1e-30
    assert torch.isfinite(y[1]).all()
    assert torch.isnan(y[2]).nonzero().flatten().tolist() == [7]
    torch.testing.assert_close(plain[3], torch.ones(40))
    assert torch.isnan(plain[4]).all()


@pytest.mark.slow
@pytest.mark.skipif(bool(GIVEN), reason="this is the build with sanitizers")
@pytest.mark.parametrize("isa", ["avx512", "avx2", "plain"])
def test_sanitizers_find_nothing(isa, tmp_path):
    """The tests above, in a process of its own, on a build with ASan and UBSan."""
    if isa not in [x.name for x in LIBRARIES]:
        pytest.skip(f"this processor has no {isa}")
    flags = {
        "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"],
        "avx2": ["-mavx2", "-mfma"],
        "plain": [],
    }[isa]
    out = tmp_path / "scan.so"
    subprocess.run(
        ["gcc", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
         "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi", "-fPIC",
         "-shared", "-fopenmp", *flags, str(SOURCES / "scan.c"), "-o", str(out)],
        check=True,
    )  # fmt: skip
    find = ["gcc", "-print-file-name=libasan.so"]
    asan = subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip()
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__,
         "-k", "equal or norm or strides or bits or huge or stated"],
        env={**os.environ, "LD_PRELOAD": asan, "ODDFRAME_TEST_LIBRARY": str(out),
             "ASAN_OPTIONS": "detect_leaks=0", "OMP_NUM_THREADS": "2"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert "[100%]" in run.stdout
