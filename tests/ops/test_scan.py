"""The selective scan: every backend against the plain loop, which is held against numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oddframe.errors import ConfigError
from oddframe.ops import BACKENDS, chunked, selective_scan, selective_scan_reference, unavailable
from oddframe.ops.chunked import scan_chunked

EXACT = ["auto", "reference", "chunked"]  # in float64
NAMES = [  # in float32; what triton computes without a GPU is tested in test_triton_scan.py
    "auto",
    *(
        pytest.param(
            name, marks=pytest.mark.skipif(bool(unavailable(name)), reason=str(unavailable(name)))
        )
        for name in BACKENDS
        if name != "triton"
    ),
]
INPUTS = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


@st.composite
def shapes(draw, longest=300):
    """A shape and a seed; lengths favour primes and the borders between chunks."""
    groups = draw(st.integers(1, 4))
    length = st.one_of(st.integers(1, longest), st.sampled_from([1, 2, 7, 8, 9, 17, 127, 256, 293]))
    return {
        "b": draw(st.integers(1, 3)),
        "d": groups * draw(st.integers(1, 4)),
        "l": min(draw(length), longest),
        "n": draw(st.integers(1, 5)),
        "groups": groups,
        "flat": draw(st.booleans()),
        "extras": draw(st.sets(st.sampled_from(["D", "z", "delta_bias"]))),
        "softplus": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**31)),
    }


def made(*, b, d, l, n, groups, flat, extras, softplus, seed, dtype, wild=True):  # noqa: E741
    """Arguments of `selective_scan`; with `wild`, inputs of 0 and +-1000 are strewn in."""
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((b, d, l))
    if wild:
        kind = rng.integers(0, 8, u.shape)
        u = np.select([kind == 0, kind == 1, kind == 2], [0.0, 1e3, -1e3], u)
    delta = 10.0 ** rng.uniform(-4, 1, (b, d, l))
    if softplus:  # the same steps, before softplus
        delta = delta + np.log(-np.expm1(-delta))
    cut = (b, n, l) if flat and groups == 1 else (b, groups, n, l)
    arrays = {
        "u": u,
        "delta": delta,
        "A": -np.exp(rng.uniform(-3, 3, (d, n))),
        "B": rng.standard_normal(cut),
        "C": rng.standard_normal(cut),
        "D": rng.standard_normal(d),
        "z": rng.standard_normal((b, d, l)),
        "delta_bias": rng.uniform(0, 0.5, d),
    }
    keep = [k for k in INPUTS if k in extras or k not in ("D", "z", "delta_bias")]
    out = {k: torch.tensor(arrays[k], dtype=dtype) for k in keep}
    return {**out, "delta_softplus": softplus}


def by_numpy(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    """The recurrence for one channel and one state at a time: (y, last state)."""
    u, delta, A, B, C = (np.asarray(x, np.float64) for x in (u, delta, A, B, C))
    b, d, length = u.shape
    B, C = (x if x.ndim == 4 else x[:, None] for x in (B, C))
    per = d // B.shape[1]
    y, last = np.zeros((b, d, length)), np.zeros((b, d, A.shape[1]))
    for i, c in np.ndindex(b, d):
        h = np.zeros(A.shape[1])
        for t in range(length):
            step = delta[i, c, t] + (0 if delta_bias is None else float(delta_bias[c]))
            if delta_softplus:
                step = np.logaddexp(0, step)
            h = np.exp(step * A[c]) * h + step * u[i, c, t] * B[i, c // per, :, t]
            y[i, c, t] = h @ C[i, c // per, :, t]
        last[i, c] = h
        if D is not None:
            y[i, c] += float(D[c]) * u[i, c]
        if z is not None:
            gate = np.asarray(z[i, c], np.float64)
            y[i, c] *= gate / (1 + np.exp(-gate))
    return y, last


def size_of(args):
    """The largest output if no terms cancelled: what rounding is measured against."""
    flags = {"delta", "A", "delta_bias", "delta_softplus"}
    return float(
        selective_scan_reference(
            **{k: v.double() if torch.is_tensor(v) else v for k, v in args.items() if k in flags},
            **{k: args[k].double().abs() for k in ("u", "B", "C", "D", "z") if k in args},
        )
        .abs()
        .max()
    )


def gradients(scan, args, weight):
    leaves = {k: v.clone().requires_grad_() if torch.is_tensor(v) else v for k, v in args.items()}
    (scan(**leaves) * weight).sum().backward()
    return {k: v.grad for k, v in leaves.items() if torch.is_tensor(v)}


@given(shapes(longest=24))
@settings(max_examples=25, deadline=None)
def test_reference_is_the_recurrence(shape):
    args = made(**shape, dtype=torch.float64)
    y, _ = by_numpy(**args)
    np.testing.assert_allclose(
        selective_scan_reference(**args), y, rtol=1e-9, atol=1e-12 * (1 + size_of(args))
    )


@pytest.mark.parametrize("backend", EXACT)
@given(shapes())
@settings(max_examples=25, deadline=None)
def test_backend_equals_reference_in_float64(backend, shape):
    args = made(**shape, dtype=torch.float64)
    want = selective_scan_reference(**args)
    found = selective_scan(**args, backend=backend)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12 * (1 + size_of(args)))


@pytest.mark.parametrize("backend", NAMES)
@given(shapes())
@settings(max_examples=25, deadline=None)
def test_backend_equals_reference_in_float32(backend, shape):
    args = made(**shape, dtype=torch.float32)
    exact = {k: v.double() if torch.is_tensor(v) else v for k, v in args.items()}
    want = selective_scan_reference(**exact)
    found = selective_scan(**args, backend=backend)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), want, rtol=1e-5, atol=1e-5 * (1 + size_of(args)))


@pytest.mark.parametrize("backend", EXACT)
@given(shapes(longest=120))
@settings(max_examples=15, deadline=None)
def test_gradients_of_every_input_equal_those_of_the_reference(backend, shape):
    args = made(**shape, dtype=torch.float64)
    weight = torch.randn(args["u"].shape, dtype=torch.float64)
    want = gradients(selective_scan_reference, args, weight)
    found = gradients(lambda **a: selective_scan(**a, backend=backend), args, weight)
    assert found.keys() == want.keys()
    for name, grad in want.items():
        scale = float(grad.abs().max()) + 1e-12
        assert float((found[name] - grad).abs().max()) <= 1e-9 * scale, name


@pytest.mark.parametrize("backend", NAMES)
@given(shapes(longest=64))
@settings(max_examples=10, deadline=None)
def test_gradients_in_float32(backend, shape):
    args = made(**shape, dtype=torch.float32, wild=False)
    exact = {k: v.double() if torch.is_tensor(v) else v for k, v in args.items()}
    weight = torch.randn(args["u"].shape)
    want = gradients(selective_scan_reference, exact, weight.double())
    found = gradients(lambda **a: selective_scan(**a, backend=backend), args, weight)
    for name, grad in want.items():
        scale = float(grad.abs().max()) + 1e-3
        assert float((found[name].double() - grad).abs().max()) <= 1e-3 * scale, name


@pytest.mark.parametrize("backend", EXACT)
@pytest.mark.parametrize(
    ("l", "n", "groups", "softplus"),
    [(1, 1, 1, False), (5, 3, 1, True), (19, 2, 2, True), (19, 1, 2, False)],
)
def test_gradcheck(backend, l, n, groups, softplus, monkeypatch):  # noqa: E741
    monkeypatch.setattr(chunked, "_GROUP", 1)
    args = made(
        b=2, d=2, l=l, n=n, groups=groups, flat=False, extras=set(INPUTS), softplus=softplus,
        seed=3, dtype=torch.float64, wild=False,
    )  # fmt: skip
    args["delta"] = args["delta"].clamp_min(0.05)  # finite differences of 1e-6 need room
    leaves = [args[k].requires_grad_() for k in INPUTS]
    assert torch.autograd.gradcheck(
        lambda *x: selective_scan(*x, delta_softplus=softplus, backend=backend), leaves
    )


@pytest.mark.parametrize("backend", EXACT)
@given(shapes(longest=40))
@settings(max_examples=15, deadline=None)
def test_last_state(backend, shape):
    args = made(**shape, dtype=torch.float64)
    _, want = by_numpy(**args)
    y, last = selective_scan(**args, backend=backend, return_last_state=True)
    assert y.shape == args["u"].shape
    np.testing.assert_allclose(last, want, rtol=1e-9, atol=1e-12 * (1 + np.abs(want).max()))


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_in_is_computed_in_float32(backend, dtype):
    args = made(
        b=2, d=6, l=150, n=3, groups=3, flat=False, extras=set(INPUTS), softplus=True, seed=5,
        dtype=torch.float64, wild=False,
    )  # fmt: skip
    half = {k: v.to(dtype) if torch.is_tensor(v) else v for k, v in args.items()}
    exact = {k: v.double() if torch.is_tensor(v) else v for k, v in half.items()}
    want = selective_scan_reference(**exact)
    found, last = selective_scan(**half, backend=backend, return_last_state=True)
    assert found.dtype == dtype
    assert last.dtype == torch.float32
    # Only the result is rounded: half a unit in its last place, and float32's own error.
    torch.testing.assert_close(
        found.double(), want, rtol=torch.finfo(dtype).eps, atol=1e-4 * size_of(exact)
    )


@pytest.mark.parametrize("slab", [1, 40, 1 << 14])
@pytest.mark.parametrize("group", [1, 200, 3000, 1 << 19])
@pytest.mark.parametrize("length", [16, 67, 130])
def test_chunks_and_batch_groups_do_not_show(monkeypatch, slab, group, length):
    monkeypatch.setattr(chunked, "_SLAB", slab)
    monkeypatch.setattr(chunked, "_GROUP", group)
    args = made(
        b=5, d=4, l=length, n=2, groups=2, flat=False, extras={"D"}, softplus=True, seed=length,
        dtype=torch.float64,
    )  # fmt: skip
    weight = torch.randn(args["u"].shape, dtype=torch.float64)
    want = selective_scan_reference(**args)
    found, last = selective_scan(**args, backend="chunked", return_last_state=True)
    torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-12 * size_of(args))
    np.testing.assert_allclose(last, by_numpy(**args)[1], rtol=1e-9, atol=1e-9)
    want_grad = gradients(selective_scan_reference, args, weight)
    found_grad = gradients(lambda **a: selective_scan(**a, backend="chunked"), args, weight)
    for name, grad in want_grad.items():
        assert float((found_grad[name] - grad).abs().max()) <= 1e-9 * float(grad.abs().max()), name


@pytest.mark.parametrize("backend", EXACT)
@pytest.mark.parametrize(("slab", "group"), [(1 << 14, 1 << 19), (40, 200)])
@pytest.mark.parametrize("length", [1, 16, 67])
@pytest.mark.parametrize("softplus", [False, True])
def test_a_reverse_scan_is_the_scan_of_the_reversed_sequence(
    monkeypatch, backend, slab, group, length, softplus
):
    monkeypatch.setattr(chunked, "_SLAB", slab)
    monkeypatch.setattr(chunked, "_GROUP", group)
    rng = torch.Generator().manual_seed(length)
    make = lambda *s: torch.randn(*s, generator=rng, dtype=torch.float64)  # noqa: E731
    sequences = [make(3, length, 2, 3), make(3, length, 2, 3).abs(), *[make(3, length, 2, 2)] * 2]
    A, weight = -make(2, 2, 3).exp(), make(3, length, 2, 3)
    run, results = BACKENDS["chunked" if backend == "auto" else backend], []
    for reverse in (False, True):
        leaves = [v.clone().requires_grad_() for v in sequences]
        turned = leaves if reverse else [v.flip(1) for v in leaves]
        a = A.clone().requires_grad_()
        u, delta, B, C = turned
        y, last = run(u, delta, a, B, C, softplus, reverse)
        y = y if reverse else y.flip(1)
        grads = torch.autograd.grad((y * weight).sum(), [*leaves, a])
        results.append([y.detach(), last.detach(), *grads])
    for found, want in zip(*results, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("softplus", [False, True])
def test_a_mixture_of_precisions_keeps_its_state_in_float32(softplus):
    """What bf16 autocast hands to the core: only A in float32. A bf16 sum would stop at 0.25."""
    make = lambda x, *s: torch.full((1, 512, 1, *s), x).bfloat16()  # noqa: E731
    step = 2**-10
    delta = make(float(np.log(np.expm1(step))) if softplus else step, 1)
    A = torch.full((1, 1, 1), -1e-3)
    y, _ = scan_chunked(make(1.0, 1), delta, A, make(1.0, 1), make(1.0, 1), softplus, False)
    assert y.dtype == torch.bfloat16
    assert float(y[0, -1]) == pytest.approx(512 * step, rel=0.02)


@given(st.integers(1, 5000), st.integers(0, 40000))
def test_plan_covers_the_length_without_an_empty_chunk(length, elements):
    chunks, steps = chunked._plan(length, elements)
    assert (chunks - 1) * steps < length <= chunks * steps
    assert chunks == 1 or steps >= 8


@pytest.mark.parametrize("backend", NAMES)
@pytest.mark.parametrize("size", [1e4, 1e15, 1e30])
@pytest.mark.parametrize("softplus", [False, True])
def test_huge_steps_do_not_overflow(backend, size, softplus):
    args = made(
        b=1, d=2, l=70, n=2, groups=1, flat=True, extras=set(), softplus=softplus, seed=1,
        dtype=torch.float32, wild=False,
    )  # fmt: skip
    args["delta"] = torch.full_like(args["delta"], size)
    args["delta"][..., ::7] = 1e-4
    leaves = {k: v.requires_grad_() if torch.is_tensor(v) else v for k, v in args.items()}
    y = selective_scan(**leaves, backend=backend)
    assert torch.isfinite(y).all()
    y.sum().backward()
    for name in ("u", "A", "B", "C", "delta"):
        assert torch.isfinite(leaves[name].grad).all(), name


def test_second_derivatives_are_refused_rather_than_wrong():
    args = made(
        b=1, d=2, l=9, n=2, groups=1, flat=True, extras=set(), softplus=False, seed=1,
        dtype=torch.float64,
    )  # fmt: skip
    u = args.pop("u").requires_grad_()
    y = selective_scan(u, **args, backend="chunked")
    (first,) = torch.autograd.grad(y.square().sum(), u, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        first.sum().backward()


def test_meta_tensors_give_shapes():
    make = lambda *s: torch.empty(*s, device="meta")  # noqa: E731
    y, last = selective_scan(
        make(2, 6, 9), make(2, 6, 9), make(6, 3), make(2, 2, 3, 9), make(2, 2, 3, 9),
        return_last_state=True,
    )  # fmt: skip
    assert (y.shape, last.shape) == ((2, 6, 9), (2, 6, 3))


def fitting(**changes):
    shape = {
        "u": (2, 4, 5), "delta": (2, 4, 5), "A": (4, 3), "B": (2, 3, 5), "C": (2, 3, 5),
    }  # fmt: skip
    return {k: torch.zeros(s) for k, s in (shape | changes).items()}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"delta": (2, 4, 6)}, ["(2, 4, 5)", "(2, 4, 6)"]),
        ({"u": (4, 5), "delta": (4, 5)}, ["(4, 5)", "(b, d, l)"]),
        ({"u": (2, 4, 0), "delta": (2, 4, 0)}, ["(2, 4, 0)", "l >= 1"]),
        ({"A": (3, 3)}, ["(2, 4, 5)", "A (3, 3)"]),
        ({"A": (4, 2)}, ["A (4, 2)", "B (2, 1, 3, 5)"]),
        ({"B": (2, 3, 4)}, ["B (2, 1, 3, 4)"]),
        ({"C": (2, 2, 3, 5)}, ["C (2, 2, 3, 5)"]),
        ({"B": (2, 3, 3, 5), "C": (2, 3, 3, 5)}, ["divisible", "B (2, 3, 3, 5)"]),
        ({"D": (3,)}, ["D", "(4,)", "(3,)"]),
        ({"delta_bias": (1,)}, ["delta_bias", "(4,)", "(1,)"]),
        ({"z": (2, 1, 5)}, ["z", "(2, 4, 5)", "(2, 1, 5)"]),
    ],
)
def test_shapes_that_do_not_fit_are_named(changes, named):
    with pytest.raises(ValueError, match="selective_scan needs") as error:
        selective_scan(**fitting(**changes))
    for text in named:
        assert text in str(error.value)


def test_unknown_backend_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"no backend 'cuda9'.*auto, reference, chunked"):
        selective_scan(**fitting(), backend="cuda9")
