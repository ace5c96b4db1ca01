"""M2S2L, step by step, against the slow re-computation in `m2s2l_plain`."""

import m2s2l_plain as plain
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from m2s2l_plain import CASES, made, video, weights
from torch import nn

from oddframe.models.blocks import (
    MSVSSB,
    VSSB,
    Decoder,
    MultiScaleConv,
    PatchEmbed,
    PatchExpand,
    resize_tokens,
)
from oddframe.models.temporal import TMB, WindowFusion


def shaken(module, seed=0):
    """In float64, every weight off its initial value."""
    torch.manual_seed(seed)
    module.double()
    with torch.no_grad():
        for p in module.parameters():
            p += 0.2 * torch.randn_like(p)
    return module


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def close(found, want, tolerance=1e-9):
    torch.testing.assert_close(found, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("patch", [1, 4, 8])
@pytest.mark.parametrize("channels", [3, 9])
def test_patch_embedding_is_a_convolution_with_its_stride(patch, channels):
    m = shaken(PatchEmbed(patch, 12, channels))
    conv = nn.Conv2d(channels, 12, patch, patch).double()
    conv.weight.data = m.project.weight.data.unflatten(1, (channels, patch, patch))
    conv.bias = m.project.bias
    x = noise(2, channels, 16, 24)
    want = F.layer_norm(conv(x).permute(0, 2, 3, 1), (12,), m.norm.weight, m.norm.bias)
    close(m(x), want)


def test_patch_embedding_without_norm_is_linear():
    m = shaken(PatchEmbed(4, 6, norm=False))
    a, b = noise(1, 3, 8, 8), noise(1, 3, 8, 8, seed=2)
    close(m(a + b), m(a) + m(b) - m(torch.zeros_like(a)))


def test_one_5x5_kernel_equals_three_convolutions_and_the_residual():
    m = shaken(MultiScaleConv(6))
    x = noise(2, 7, 5, 6)
    first = x.permute(0, 3, 1, 2)
    want = first + sum(
        F.conv2d(first, c.weight, c.bias, padding=k // 2, groups=6)
        for c, k in zip(m.convs, (1, 3, 5), strict=True)
    )
    close(m(x), want.permute(0, 2, 3, 1))
    close(m(x)[1], plain.multi_scale(weights(m), x[1]))


def test_the_three_convolutions_all_learn_from_the_fused_kernel():
    m = shaken(MultiScaleConv(4))
    x = noise(1, 6, 6, 4)
    m(x).square().sum().backward()
    found = [p.grad.clone() for p in m.parameters()]
    m.zero_grad()
    first = x.permute(0, 3, 1, 2)
    (first + sum(c(first) for c in m.convs)).square().sum().backward()
    for grad, p in zip(found, m.parameters(), strict=True):
        close(grad, p.grad)


@pytest.mark.parametrize("expand", [1, 2])
@pytest.mark.parametrize("state", [1, 4])
def test_vssb_step_by_step(expand, state):
    m = shaken(VSSB(8, expand=expand, state=state))
    x = noise(2, 5, 3, 8)
    for i in range(2):
        close(m(x)[i], plain.vssb(weights(m), x[i]))


@pytest.mark.parametrize("multi_scale", [True, False])
def test_ms_vssb_is_eq_1_and_2_then_a_vssb(multi_scale):
    m = shaken(MSVSSB(8, state=2, multi_scale=multi_scale))
    x, w = noise(1, 4, 6, 8), weights(m)
    inside = plain.multi_scale(w / "local", x[0]) if multi_scale else x[0]
    close(m(x)[0], plain.vssb(w / "block", inside))


@given(*[st.integers(1, 9)] * 4)
@settings(max_examples=30, deadline=None)
def test_resize_is_bilinear(h, w, rows, cols):
    x = noise(1, h, w, 2)
    want = torch.einsum(
        "yh,xw,bhwd->byxd", plain.resize_matrix(h, rows), plain.resize_matrix(w, cols), x
    )
    close(resize_tokens(x, (rows, cols)), want)


def test_resize_at_its_own_size_is_the_same_tensor():
    x = noise(1, 4, 4, 2)
    assert resize_tokens(x, (4, 4)) is x


def test_patch_expand():
    m = shaken(PatchExpand(8))
    x = noise(2, 3, 5, 8)
    assert m(x).shape == (2, 6, 10, 4)
    close(m(x)[1], plain.expand(weights(m), x[1]))


@pytest.mark.parametrize(
    ("stride", "upscale", "depth"), [(8, 8, 1), (8, 2, 2), (4, 1, 1), (16, 4, 1)]
)
def test_decoder_gives_the_picture_size(stride, upscale, depth):
    m = shaken(Decoder(32, stride, depth=depth, upscale=upscale, expand=1, state=1))
    x = noise(2, 2, 3, 32)
    assert m(x).shape == (2, 3, 2 * stride, 3 * stride)
    close(m(x)[0], plain.decode(weights(m), x[0], upscale))


# ---- Eq. 3


@pytest.mark.parametrize("case", ["default", "stem", "M1", "everything"])
def test_scale_weights_and_resize(case):
    model = made(**CASES[case]).double()
    cfg, w = model.config, weights(model)
    frames = video(2, dtype=torch.float64)[0]
    found = model.spatial(model.encode(frames))
    for i in range(2):
        close(found[i], plain.spatial_frame(w, cfg, frames[i]))


def test_pooling_over_frames_commutes_with_resize_and_sum_of_scales():
    model = made(patches=(8, 16, 32), depths=(1, 1, 1)).double()
    cfg = model.config
    frames = video(cfg.history, dtype=torch.float64)[0]
    weight = model.frame_weights.softmax(0)
    per_frame = model.spatial(model.encode(frames))  # k h w d
    want = torch.einsum("k,khwd->hwd", weight, per_frame)
    pooled = tuple(torch.einsum("k,khwd->hwd", weight, g)[None] for g in model.encode(frames))
    close(model.spatial(pooled)[0], want)


def test_frame_weights_start_on_the_newest():
    model = made()
    fresh = type(model)(model.config)
    weight = fresh.frame_weights.softmax(0)
    assert float(weight[-1].detach()) > 0.7
    assert torch.equal(weight[:-1], weight[0].expand(3))


# ---- Eq. 4-6


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("length", [1, 3, 15])
def test_tmb_is_a_loop_over_time_on_differences_plus_positions(literal, length):
    m = shaken(TMB(8, length, state=3, literal=literal))
    x = noise(2, length, 4, 8)
    found = m(m.project(x.transpose(1, 2)), x[:, -1])
    for i in range(2):
        close(found[i], plain.tmb(weights(m), x[i], literal))


def test_the_print_multiplies_delta_into_b_once():
    """Eq. 4-6 for one step: y = C (delta B) x, whatever A is."""
    m = shaken(TMB(4, 1, expand=1, state=2, literal=True))
    x = noise(1, 1, 1, 4)
    inner = F.silu(m.main(x + m.position))[0, 0, 0]
    B, C = F.silu(m.to_BC(m.main(x[0, 0, 0]))).chunk(2)  # of the difference alone
    y = F.softplus(m.delta_bias) * inner * (B @ C) + m.D * inner
    here = x[0, 0, 0] + m.position[0]
    want = here + m.out(m.norm(y) * F.silu(m.gate(here)))
    close(m(m.project(x), x[:, 0])[0, 0], want)


def test_a_window_looks_at_its_own_differences_only():
    model = made(windows=(2, 3), history=4)
    clip = video(4)
    other = clip.clone()
    other[:, 0] = -other[:, 0]  # only the oldest difference changes, outside both windows
    differences = [model.motion_embed((c[0, 1:] - c[0, :-1]) / 2) for c in (clip, other)]
    assert not torch.equal(differences[0][0], differences[1][0])
    assert torch.equal(differences[0][1:], differences[1][1:])
    seen = []
    model.fuse.register_forward_hook(lambda _m, inputs, _out: seen.append(inputs[0]))
    model(clip), model(other)
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("kind", ["softmax", "mha"])
@pytest.mark.parametrize("windows", [1, 3])
def test_fusion_of_windows(kind, windows):
    m = shaken(WindowFusion(8, windows, kind))
    x = noise(2, windows, 5, 8)
    found = m(x)
    for i in range(2):
        close(found[i], plain.fuse(weights(m), x[i]))


# ---- decomposition


@pytest.mark.parametrize("specific", ["linear", "gate"])
def test_common_appearance_and_motion(specific):
    model = made(specific=specific, head="residual").double()
    g, h = noise(1, 8, 8, 16), noise(1, 8, 8, 16, seed=2)
    seen = {}
    for part in ("common", "app", "motion"):
        model.memory[part].register_forward_pre_hook(
            lambda _m, inputs, part=part: seen.update({part: inputs[0]})
        )
    out = model.decode(g, h, torch.zeros(1, 3, 64, 64).double())
    fused = F.layer_norm(g + h, (16,), model.norm.weight, model.norm.bias)
    common = torch.sigmoid(model.gate_common(fused)) * fused
    rest = fused - common
    app, motion = model.to_app(rest), model.to_motion(rest)
    if specific == "gate":
        app, motion = torch.sigmoid(app) * rest, torch.sigmoid(motion) * rest
    close(seen["common"], common)
    close(seen["app"], app)
    close(seen["motion"], motion)
    close(out.features["app"], app.flatten(1, 2))
    close(out.features["motion"], motion.flatten(1, 2))
    for part in ("app", "motion"):
        want = model.memory["common"](common) + model.memory[part](seen[part])
        close(getattr(model, f"decode_{part}")(want), out.frame if part == "app" else out.motion)


def test_heads():
    torch.manual_seed(0)
    g, h = noise(1, 8, 8, 16), noise(1, 8, 8, 16, seed=2)
    last = video(1, dtype=torch.float64)[0]
    for head in ("residual", "direct"):
        model = made(head=head).double()
        changes = []
        model.decode_app.register_forward_hook(lambda _m, _i, out, to=changes: to.append(out))
        frame = model.decode(g, h, last).frame
        if head == "residual":
            close(frame, last + changes[0])
        else:
            close(frame, torch.tanh(model.background + changes[0]))
            close(frame, model.decode(g, h, -last).frame)  # learns the picture, not the change


def test_prepare_starts_the_background_at_what_stands_still():
    model = made(head="direct")
    mean = video(1)[0, 0]
    mean[0, 0, :2] = torch.tensor([1.0, -1.0])  # atanh would be infinite
    model.start_from(mean)
    torch.testing.assert_close(torch.tanh(model.background), mean.clamp(-0.99, 0.99))
    made(head="residual").start_from(mean)  # of no use to the residual head, and no error


# ---- all together


@pytest.mark.parametrize("case", CASES)
def test_the_whole_model_equals_the_slow_twin(case):
    model = made(**CASES[case]).double()
    cfg, k = model.config, model.history
    clip = video(k + 1, b=2, dtype=torch.float64)
    with torch.no_grad():
        out = model(clip)
    assert out.frame.shape == out.motion.shape == (2, 2, 3, 64, 64)
    for b, i in ((0, 1), (1, 0)):
        frame, motion, features = plain.predict(weights(model), cfg, clip[b, i : i + k])
        close(out.frame[b, i], frame, 1e-8)
        close(out.motion[b, i], motion, 1e-8)
        assert out.features.keys() == features.keys()
        for name, value in features.items():
            close(out.features[name][2 * b + i], value, 1e-8)
