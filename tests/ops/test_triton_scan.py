"""The Triton scan against the plain loop: on a CUDA device if there is one, else interpreted."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from oddframe.errors import ConfigError
from oddframe.ops.loop import scan_loop

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
NAMES = ("u", "delta", "A", "B", "C")
on_gpu = pytest.mark.skipif(not CUDA, reason="needs a CUDA device; too long for the interpreter")

# Whether kernels are interpreted is settled when they are imported, so that happens here; the
# variable must not reach the tests of others.
with pytest.MonkeyPatch.context() as patch:
    if not CUDA:
        patch.setenv("TRITON_INTERPRET", "1")
    pytest.importorskip("triton", reason="triton is not installed (pip install triton)")
    import triton.language as tl
    from triton.runtime.interpreter import InterpretedFunction

    from oddframe.ops import triton_kernels, triton_scan
    from oddframe.ops.triton_scan import scan_triton


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    if CUDA:
        return
    assert isinstance(triton_kernels.scan_kernel, InterpretedFunction)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    # torch or lightning may have imported triton before, and with it functions to be compiled.
    if not isinstance(tl.sum, InterpretedFunction):
        monkeypatch.setattr(tl, "sum", InterpretedFunction(tl.sum.fn))


@pytest.fixture
def small(monkeypatch):
    """Chunks of 4 steps, kept states every 3, blocks of 4 channels: all borders in few steps."""
    for name, value in (("STEPS", 4), ("PART", 3), ("LANES", 4)):
        monkeypatch.setattr(triton_scan, name, value)


def made(*, b=1, l=5, g=1, e=3, n=2, softplus=False, seed=0, wild=False):  # noqa: E741
    """Inputs in the layout of the scan; with `wild`, u of 0 and +-1000 are strewn in."""
    rng = torch.Generator().manual_seed(seed)
    u, B, C = (torch.randn(b, l, g, k, generator=rng) for k in (e, n, n))
    if wild:
        kind = torch.randint(0, 8, u.shape, generator=rng)
        for i, value in enumerate((0.0, 1e3, -1e3)):
            u[kind == i] = value
    delta = 10 ** (5 * torch.rand(b, l, g, e, generator=rng, dtype=torch.float64) - 4)
    if softplus:  # the same steps, before softplus
        delta = delta + torch.log(-torch.expm1(-delta))
    A = -torch.exp(6 * torch.rand(g, n, e, generator=rng) - 3)
    return [x.float().to(DEVICE) for x in (u, delta, A, B, C)]


def results(scan, inputs, weight, *flags):
    """y, the last state, and the gradient of every input."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    y, last = scan(*leaves, *flags)
    return y.detach(), last.detach(), *torch.autograd.grad(y, leaves, weight.to(y.dtype))


def assert_equals_loop(inputs, *flags, tolerance=2e-5):
    weight = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(9)).to(DEVICE)
    found = results(scan_triton, inputs, weight, *flags)
    want = results(scan_loop, [x.double() for x in inputs], weight, *flags)
    for name, f, w in zip(("y", "last", *NAMES), found, want, strict=True):
        assert f.shape == w.shape, name
        error, size = float((f - w).abs().max()), float(w.abs().max())
        assert error <= tolerance * size + 1e-12, f"{name}: off by {error:.1e} of {size:.1e}"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("reverse", [False, True], ids=["forth", "back"])
@pytest.mark.parametrize("softplus", [False, True], ids=["plain", "softplus"])
@pytest.mark.parametrize(
    "shape",
    [
        {"l": 1, "n": 1, "e": 1},
        {"l": 4, "n": 2},  # one whole chunk
        {"l": 5, "n": 3},  # a last chunk of one step
        {"l": 11, "n": 4},  # of three
        {"l": 6, "b": 2, "g": 2, "n": 5, "e": 5},  # two blocks of channels, the second not full
    ],
    ids=lambda shape: " ".join(f"{k}{v}" for k, v in shape.items()),
)
def test_equals_the_loop_with_all_gradients(shape, softplus, reverse):
    inputs = made(**shape, softplus=softplus, seed=1, wild=True)
    assert_equals_loop(inputs, softplus, reverse)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("n", [8, 16, 33])
def test_many_states(n):
    assert_equals_loop(made(l=5, n=n, e=2, seed=n), False, False)


@pytest.mark.parametrize("length", [3, 37])
def test_one_chunk_of_any_length(monkeypatch, length):
    monkeypatch.setattr(triton_scan, "STEPS", length)
    assert_equals_loop(made(l=length, n=2, e=33, seed=2), True, True)


def test_the_plan_of_its_own_making():
    inputs = made(l=140, n=1, e=3, seed=4)
    assert triton_scan._plan(inputs[0], inputs[2]).chunks == 4
    assert_equals_loop(inputs, False, False)


@pytest.mark.usefixtures("small")
def test_strides_of_any_kind():
    u, delta, A, B, C = made(b=2, l=6, g=2, e=3, n=2, seed=3)
    turned = [
        u.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1),
        torch.cat((delta, -delta), -1)[..., :3],
        A.transpose(1, 2).contiguous().transpose(1, 2),
        torch.stack((B, C), 2)[:, :, 0],
        C[:, :1, :, :1].expand(C.shape),
    ]
    assert not any(x.is_contiguous() for x in turned)
    weight = torch.ones(1, device=DEVICE).expand(u.shape)
    want = results(scan_triton, [x.contiguous() for x in turned], weight.contiguous(), False, True)
    leaves = [x.detach().requires_grad_() for x in turned]
    y, last = scan_triton(*leaves, False, True)
    for f, w in zip((y, last, *torch.autograd.grad(y, leaves, weight)), want, strict=True):
        torch.testing.assert_close(f, w, rtol=0, atol=0)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_in_is_computed_in_float32(dtype):
    u, delta, A, B, C = made(l=9, e=5, n=3, seed=5)
    half = [u.to(dtype), delta.to(dtype), A, B.to(dtype), C.to(dtype)]
    weight = torch.randn(u.shape, generator=torch.Generator().manual_seed(9)).to(DEVICE, dtype)
    found = results(scan_triton, half, weight, False, False)
    want = results(scan_triton, [x.float() for x in half], weight.float(), False, False)
    kinds = (dtype, torch.float32, dtype, dtype, torch.float32, dtype, dtype)
    for f, w, kind in zip(found, want, kinds, strict=True):
        assert f.dtype == kind
        rounding = torch.finfo(kind).eps if kind == dtype else 0.0
        torch.testing.assert_close(f.float(), w, rtol=rounding, atol=1e-6 * bool(rounding))


@pytest.mark.slow
def test_a_mixture_of_precisions_keeps_its_state_in_float32():
    """What bf16 autocast hands over: only A in float32. A bf16 sum would stop at 0.25."""
    make = lambda x, *s: torch.full((1, 512, 1, *s), x, device=DEVICE).bfloat16()  # noqa: E731
    A = torch.full((1, 1, 1), -1e-3, device=DEVICE)
    y, _ = scan_triton(make(1.0, 1), make(2**-10, 1), A, make(1.0, 1), make(1.0, 1))
    assert y.dtype == torch.bfloat16
    assert float(y[0, -1]) == pytest.approx(0.5, rel=0.02)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("size", [1e4, 1e30])
@pytest.mark.parametrize("softplus", [False, True])
def test_huge_steps_do_not_overflow(size, softplus):
    inputs = made(l=9, e=2, seed=1)
    inputs[1] = torch.full_like(inputs[1], size)
    inputs[1][:, ::7] = 1e-4
    found = results(scan_triton, inputs, torch.ones_like(inputs[0]), softplus, False)
    for name, value in zip(("y", "last", *NAMES), found, strict=True):
        assert torch.isfinite(value).all(), name


def test_softplus_and_its_slope_are_right_to_the_last_digits():
    x = torch.cat((torch.linspace(-80, 30, 441), torch.tensor([-1e30, -200, -104, 1e4, 1e30])))
    delta = x.to(DEVICE).view(1, 1, 1, -1).requires_grad_()
    one = torch.ones_like(delta, requires_grad=False)
    unit = one[..., :1]
    y, _ = scan_triton(one, delta, -one[0], unit, unit, True)  # y = softplus(delta)
    y.sum().backward()
    exact = x.double()
    want = torch.logaddexp(exact, torch.zeros_like(exact))
    torch.testing.assert_close(y.flatten().cpu().double(), want, rtol=1e-6, atol=1e-37)
    slope = delta.grad.flatten().cpu().double()
    torch.testing.assert_close(slope, torch.sigmoid(exact), rtol=1e-6, atol=1e-37)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("which", [0, 1, 3])
def test_nan_is_not_hidden(which):
    inputs = made(l=6, e=2, softplus=True, seed=1)
    inputs[which][0, 1] = float("nan")
    y, last = scan_triton(*inputs, True)
    assert torch.isfinite(y[:, 0]).all()
    assert torch.isnan(y[:, 1:]).all()
    assert torch.isnan(last).all()


@pytest.mark.usefixtures("small")
def test_the_same_bits_every_time():
    inputs = made(b=2, l=6, e=9, n=2, seed=6)
    runs = [results(scan_triton, inputs, inputs[0], False, False) for _ in range(2)]
    assert all(torch.equal(*pair) for pair in zip(*runs, strict=True))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("reverse", [False, True])
def test_operators_keep_the_rules_of_torch(reverse):
    inputs = [x.requires_grad_() for x in made(l=5, e=2, seed=7)]
    torch.library.opcheck(torch.ops.oddframe.scan_triton, (*inputs, True, reverse))
    plain = [x.detach() for x in inputs]
    torch.library.opcheck(
        torch.ops.oddframe.scan_triton_backward, (plain[0], *plain, True, reverse)
    )


@pytest.mark.usefixtures("small")
def test_compiles_into_one_graph():
    inputs = [x.requires_grad_() for x in made(l=5, e=2, seed=8)]

    def twice(*x):
        return 2 * scan_triton(*x)[0]

    y = torch.compile(twice, backend="aot_eager", fullgraph=True)(*inputs)
    torch.testing.assert_close(y, twice(*inputs), rtol=0, atol=0)
    found = torch.autograd.grad(y.sum(), inputs)
    want = torch.autograd.grad(twice(*inputs).sum(), inputs)
    for f, w in zip(found, want, strict=True):
        torch.testing.assert_close(f, w, rtol=0, atol=0)


def test_operations_are_counted():
    b, l, g, e, n = 2, 3, 2, 3, 4  # noqa: E741
    inputs = [x.requires_grad_() for x in made(b=b, l=l, g=g, e=e, n=n)]
    with FlopCounterMode(display=False) as counter:
        y, _ = scan_triton(*inputs)
        assert counter.get_total_flops() == 9 * b * l * g * e * n
        y.sum().backward()
    assert counter.get_total_flops() == 27 * b * l * g * e * n


def test_meta_tensors_give_shapes():
    y, last = scan_triton(*(x.to("meta") for x in made(b=2, l=7, g=2, e=3, n=4)))
    assert (y.shape, last.shape, last.dtype) == ((2, 7, 2, 3), (2, 2, 4, 3), torch.float32)


def test_the_state_carries_no_gradient_and_second_derivatives_are_refused():
    u, *rest = made(l=3)
    u.requires_grad_()
    y, last = scan_triton(u, *rest)
    assert not last.requires_grad
    (first,) = torch.autograd.grad(y.square().sum(), u, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        first.sum().backward()


@pytest.mark.parametrize(
    ("length", "width", "chunks"),
    [
        (100, 64, 1),  # too short to gain by cutting
        (140, 64, 4),
        (4096, 64, 64),  # the most
        (4096, 32 * 132, 16),  # as many as fill the device
        (4096, 32 * 132 * 16, 1),  # full without
    ],
)
def test_the_length_is_cut_to_fill_the_device(monkeypatch, length, width, chunks):
    monkeypatch.setattr(triton_scan, "_multiprocessors", lambda _: 132)
    u = torch.empty(1, length, 1, width, device="meta")
    plan = triton_scan._plan(u, torch.empty(1, 16, width, device="meta"))
    assert plan.chunks == chunks
    assert (plan.chunks - 1) * plan.steps < length <= plan.chunks * plan.steps


def test_what_the_kernels_would_misread_is_refused():
    u, delta, A, B, C = made()
    with pytest.raises(ConfigError, match=r"float64.*chunked"):
        scan_triton(u, delta.double(), A, B, C)
    with pytest.raises(ValueError, match=r"got .*\(1, 4, 1, 2\)"):
        scan_triton(u, delta, A, B[:, 1:], C)


@pytest.fixture
def forgetful():
    """The answer is kept for the process; a test that changes it must not leave it behind."""
    triton_scan._obstacle.cache_clear()
    yield
    triton_scan._obstacle.cache_clear()


@pytest.mark.usefixtures("forgetful")
def test_availability(monkeypatch):
    assert triton_scan.available() is None
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    triton_scan._obstacle.cache_clear()
    assert triton_scan.available() == "torch sees no CUDA device"
    with pytest.raises(ConfigError, match="cuda device, got cpu"):
        scan_triton(*(x.cpu() for x in made()))


def run_alone(code):
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def test_without_triton_the_module_says_so():
    out = run_alone("""
        import sys
        sys.modules["triton"] = None
        from oddframe.ops import triton_scan
        print(triton_scan.available())
    """)
    assert out == "triton is not installed (pip install triton)\n"


@pytest.mark.slow
def test_kernels_compile_for_a_gpu(tmp_path, monkeypatch):
    """The whole way to PTX, without a device: types and layouts that the interpreter ignores."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    run_alone("""
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
        from oddframe.ops import triton_kernels as kernels

        fixed = {"ADJOINT": True, "SOFTPLUS": True, "REVERSE": True, "N": 4, "E": 32}
        floats = {"A", "ends", "total", "starts", "leads", "last", "gA", "gB", "gC", "scratch"}
        halves = {"X", "V", "u", "delta", "B", "C", "gy", "y", "gu", "gd"}
        for kernel in ("ends_kernel", "carry_kernel", "scan_kernel", "backward_kernel"):
            function = getattr(kernels, kernel)
            ones = {x: 1 for x in ("X_e", "d_e", "V_n", "u_e", "B_n", "C_n", "gy_e")} | fixed
            constants = {x: ones[x] for x in function.arg_names if x in ones}
            signature = {
                x: "*fp32" if x in floats else "*bf16" if x in halves
                else "constexpr" if x in constants else "i32"
                for x in function.arg_names
            }
            triton.compile(
                ASTSource(function, signature, constants),
                target=GPUTarget("cuda", 80, 32),
                options={"num_warps": 1, "enable_fp_fusion": True},
            )
    """)


@on_gpu
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("b", "length", "g", "e", "n"),
    [(1, 5000, 2, 96, 16), (3, 1024, 2, 64, 4), (2, 4096, 1, 40, 1), (1, 300, 1, 2048, 64)],
)
def test_large_shapes(b, length, g, e, n, reverse):
    inputs = made(b=b, l=length, g=g, e=e, n=n, softplus=True, seed=length)
    assert_equals_loop(inputs, True, reverse)


@on_gpu
def test_tensors_of_more_than_2_to_the_31_elements():
    if torch.cuda.get_device_properties(0).total_memory < 20 << 30:
        pytest.skip("needs 20 GB of GPU memory")
    u = torch.zeros(3, 1 << 15, 1, 1 << 15, device="cuda", dtype=torch.bfloat16)
    u[2, -1] = 1.0
    one = torch.ones(1, 1, 1, 1, device="cuda")
    A, B = -one.expand(1, 1, u.shape[3]), one.expand(*u.shape[:3], 1)
    y, last = scan_triton(u, one.expand(u.shape), A, B, B)
    assert (y[2, -1] == 1).all()
    assert (last[2] == 1).all()
    assert not y[:2].any()
