"""Losses of M2S2L, gradients to every weight, truncated context, ablations, configuration."""

import copy

import numpy as np
import pytest
import torch
from m2s2l_plain import CASES, TINY, made, tiny, video

from oddframe import losses
from oddframe.errors import ConfigError
from oddframe.models import MODELS, build, default_config, entry
from oddframe.models.base import Prediction, motion
from oddframe.models.m2s2l import ABLATIONS, M2S2L, SIZES, M2S2LConfig, ablation
from oddframe.models.temporal import TMB
from oddframe.ops import unavailable
from oddframe.ops.ss2d import SS2D
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig


def truth(model, clip):
    """The perfect prediction for a clip of t + 1 frames."""
    k = model.history
    moved = motion(clip[:, :-1], clip[:, 1:])  # entry i: from frame i to frame i + 1
    now = moved[:, k - 1 :] if model.motion_is_next else moved[:, k - 2 : -1]
    flat = torch.zeros(1, 4, 16)
    return Prediction(clip[:, k:], now, {"app": flat, "motion": flat})


# ---- losses


@pytest.mark.parametrize("target", ["current", "next"])
@pytest.mark.parametrize("targets", [1, 3])
def test_a_perfect_prediction_costs_nothing(target, targets):
    model = made(motion_target=target)
    clip = video(4 + targets, b=2)
    parts = model.losses(truth(model, clip), clip)
    assert set(parts) == {"frame", "gradient", "motion", "ssim", "separate"}
    for name, value in parts.items():
        assert abs(float(value)) < 1e-6, name


def test_the_targets_of_each_window():
    model, nexts = made(), made(motion_target="next")
    clip = torch.arange(7.0)[None, :, None, None, None].expand(1, 7, 3, 16, 16) ** 2 / 50
    zero = torch.zeros(1, 3, 3, 16, 16)
    one = torch.ones(1, 4, 16)
    out = Prediction(zero, zero, {"app": one, "motion": one})
    # History 4: windows end at frames 3, 4, 5 and predict 4, 5, 6; frame i holds i^2 / 50.
    frame = sum((i * i / 50) ** 2 for i in (4, 5, 6)) / 3
    now = sum(((i * i - (i - 1) ** 2) / 100) ** 2 for i in (3, 4, 5)) / 3
    later = sum(((i * i - (i - 1) ** 2) / 100) ** 2 for i in (4, 5, 6)) / 3
    for m, moved in ((model, now), (nexts, later)):
        parts = m.losses(out, clip)
        assert float(parts["frame"]) == pytest.approx(frame, rel=1e-5)
        assert float(parts["motion"]) == pytest.approx(0.5 * moved, rel=1e-5)


def test_every_weight_multiplies_its_part():
    model = made(lambda_motion=0.3, lambda_ssim=0.7, lambda_gradient=0.9, lambda_separate=0.6)
    clip = video(6, b=2)
    out = model(clip[:, :-1])
    parts = model.losses(out, clip)
    frame, target = out.frame.flatten(0, 1), clip[:, 4:].flatten(0, 1)
    moving, moved = out.motion.flatten(0, 1), ((clip[:, 3:5] - clip[:, 2:4]) / 2).flatten(0, 1)
    want = {
        "frame": ((frame - target) ** 2).mean(),
        "gradient": 0.9 * losses.gradient(frame, target),
        "motion": 0.3 * ((moving - moved) ** 2).mean(),
        "ssim": 0.3 * 0.7 * (1 - losses.ssim(moving, moved)),
        "separate": 0.6 * losses.separate(out.features["app"], out.features["motion"]),
    }
    assert parts.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(parts[name], value)


# ---- gradients


def total(model, clip, **options):
    loss = sum(model.losses(model(clip[:, :-1], **options), clip).values())
    loss.backward()
    return loss


TRAINED = {
    name: case for name, case in CASES.items() if name not in ("M1", "M2")
}  # one scale or one window has nothing to weigh
EDGE = {k: SIZES["m2s2l-edge"][k] for k in ("expand", "state", "detail_frames")}


@pytest.mark.parametrize("case", [*TRAINED, "edge", "edge-direct"])
def test_the_gradient_reaches_every_parameter(case):
    edges = {"edge": EDGE, "edge-direct": EDGE | {"head": "direct"}}
    # A window of two frames is one difference: its scan has no past that could decay.
    model = made(**({"windows": (3, 4)} | (edges | TRAINED)[case])).train()
    total(model, video(model.history + 2, b=2))
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
        assert float(p.grad.abs().max()) > 0, name


@pytest.mark.parametrize("case", ["default", "detail", "everything"])
def test_detached_context_gives_the_same_numbers_and_decoder_gradients(case):
    full = made(**CASES[case]).double().train()  # weights of frames have gradients near rounding
    cut = copy.deepcopy(full)
    clip = video(full.history + 3, b=2, dtype=torch.float64)
    a = total(full, clip)
    b = total(cut, clip, detach_context=True)
    torch.testing.assert_close(a, b)
    later = ("decode_", "background", "gate_", "to_", "tmb", "motion_embed", "frame_weights")
    grads = dict(full.named_parameters())
    differs = 0
    for name, p in cut.named_parameters():
        assert p.grad is not None, name
        if name.startswith(later):
            scale = float(grads[name].grad.abs().max())
            assert float((p.grad - grads[name].grad).abs().max()) <= 1e-4 * scale + 1e-7, name
        differs += name.startswith("encoder") and not torch.allclose(p.grad, grads[name].grad)
    assert differs  # the encoders do learn from fewer frames


def test_many_targets_at_once_equal_one_after_the_other():
    model = made().double()
    clip = video(8, b=2, dtype=torch.float64)
    together = model(clip[:, :-1])
    for i in range(4):
        alone = model(clip[:, i : i + 4])
        torch.testing.assert_close(together.frame[:, i], alone.frame[:, 0])
        torch.testing.assert_close(together.motion[:, i], alone.motion[:, 0])


def test_a_few_steps_learn_a_clip():
    torch.manual_seed(0)
    model = M2S2L(tiny()).train()
    clip = video(6, b=2)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    curve = []
    for _ in range(25):
        optimiser.zero_grad()
        curve.append(float(total(model, clip).detach()))
        optimiser.step()
    assert curve[-1] < 0.75 * curve[0]


def test_bf16_autocast_trains():
    model = made(lambda_ssim=0.2).train()
    clip = video(6, b=2)
    want = sum(copy.deepcopy(model).losses(model(clip[:, :-1]), clip).values())
    with torch.autocast("cpu", torch.bfloat16):
        found = total(model, clip)
    assert float(found.detach()) == pytest.approx(float(want.detach()), rel=0.02)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


# ---- ablations


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_trains_one_step(name):
    torch.manual_seed(0)
    cfg = ablation(name, tiny(detail_frames=2))
    model = M2S2L(cfg).train()
    clip = video(6, b=2)
    before = [p.clone() for p in model.parameters()]
    parts = model.losses(model(clip[:, :-1]), clip)
    kept = {"frame", "gradient", "motion", "ssim", "separate"}
    if name == "L1":
        kept = {"frame", "gradient"}
    elif name in ("L2", "M1", "M2", "M3"):
        kept -= {"separate"}
    assert set(parts) == kept
    sum(parts.values()).backward()
    torch.optim.Adam(model.parameters()).step()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_row_l1_neither_makes_nor_scores_a_motion_that_nothing_trains():
    model = M2S2L(ablation("L1", tiny())).eval()
    assert not [name for name, _ in model.named_parameters() if name.startswith("decode_motion")]
    clip = video(6, b=2)
    assert model(clip).motion is None
    scorer = Scorer(model, ScoreConfig(flow=False))
    state, seen = scorer.init_state(), None
    for i in range(model.history + 1):
        state, seen = scorer.observe(state, np.full((64, 64, 3), 40 * i, np.uint8))
    assert set(seen.local) == {"frame"}
    assert seen.psnr_motion is None
    trained = M2S2L(ablation("L2", tiny())).eval()
    assert trained(clip).motion is not None


def test_the_rows_of_table_ii():
    m1, m2, m3, m4 = (ablation(f"M{i}", tiny()) for i in (1, 2, 3, 4))
    assert (m1.patches, m1.windows, m1.ms_position) == ((8,), (2,), "none")
    assert len(m1.depths) == 1
    assert (m2.patches, m2.windows, m2.decompose) == ((8, 16), (2,), False)
    assert (m3.windows, m3.decompose) == ((2, 4), False)
    assert m4 == ablation("L3", tiny()) == tiny()
    literal = tiny(literal=True)  # what a row takes out stays out, the rest is literal still
    first, m1 = ablation("L1", literal), ablation("M1", literal)
    assert (first.lambda_motion, first.lambda_separate, m1.ms_position) == (0, 0, "none")
    assert first.tmb == m1.tmb == "literal"
    assert ablation("M4", literal) == literal


# ---- configuration and the table of models


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"widht": 32}, "Unknown setting 'widht'. Did you mean width?"),
        ({"memory_item": 3}, "Did you mean memory_items?"),
        ({"width": 4}, "Setting width: .*greater than or equal to 8, found 4"),
        ({"head": "skip"}, "Setting head: .*'residual' or 'direct', found 'skip'"),
        ({"size": 72}, "size 72 is not a multiple of the patch 16"),
        ({"motion_patch": 24}, "size 64 is not a multiple of the patch 24"),
        ({"patches": (0, 16)}, "patches.0: .*greater than 0"),
        ({"patches": (16, 8)}, "must stand finest first"),
        ({"patches": (8,)}, "differ in length"),
        ({"depths": (-1, 1)}, "depths.0: .*greater than 0"),
        ({"patches": (), "depths": ()}, "differ in length"),
        ({"windows": ()}, r"windows \(\) must lie in 2 ... history 4"),
        ({"windows": (2, 5)}, r"windows \(2, 5\) must lie in 2 ... history 4"),
        ({"windows": (1, 4)}, "must lie in 2"),
        ({"detail_frames": 4}, "detail_frames must be below history 4"),
        ({"upscale": 3}, "power of two"),
        ({"width": 20, "upscale": 1}, "width 20 cannot be halved"),
        ({"width": 18, "upscale": 8, "fusion": "mha"}, "width 18 is no multiple of 4"),
        ({"lambda_motion": float("inf")}, "lambda_motion: .*finite"),
        ({"memory_momentum": 1.5}, "memory_momentum: .*less than or equal to 1"),
    ],
)
def test_what_cannot_be_built_is_explained(changes, said):
    with pytest.raises(ConfigError, match=said) as error:
        M2S2LConfig.read(TINY | changes)
    assert "Value error" not in str(error.value)


def test_every_name_builds_on_no_memory():
    for name in MODELS:
        with torch.device("meta"):
            model = build(name)
        assert model.size % 16 == 0
        assert model.history >= 2


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'m2s2l-egde'\. Did you mean m2s2l-edge\?"):
        entry("m2s2l-egde")
    with pytest.raises(ConfigError, match=", ".join(MODELS)):
        build("x")


def test_sizes_are_small_changes_of_the_paper():
    assert default_config("m2s2l") == M2S2LConfig()
    assert default_config("m2s2l-edge").width < default_config("m2s2l-small").width < 256
    paper = M2S2LConfig()
    assert (paper.size, paper.history, paper.width) == (256, 16, 256)
    assert (paper.patches, paper.windows) == ((4, 8, 16), (4, 8, 16))
    weights = (paper.lambda_motion, paper.lambda_separate, paper.lambda_gradient)
    assert weights == (0.5, 0.1, 0.2)


@pytest.mark.skipif(bool(unavailable("native")), reason=str(unavailable("native")))
@pytest.mark.parametrize("state", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_every_backend_learns_along_the_same_curve(state):
    """Same weights, same clips: the losses of 40 steps agree to 1e-3 whatever runs the scan."""
    curves = {}
    for backend in ("chunked", "native"):
        net = copy.deepcopy(made(state=state)).train()
        for part in net.modules():
            if isinstance(part, SS2D | TMB):
                part.backend = backend
        adam, clip, losses = torch.optim.Adam(net.parameters(), lr=1e-3), video(7, b=2), []
        for _ in range(40):
            total = torch.stack(list(net.losses(net(clip[:, :-1]), clip).values())).sum()
            adam.zero_grad()
            total.backward()
            adam.step()
            losses.append(float(total.detach()))
        curves[backend] = torch.tensor(losses)
    assert curves["chunked"][-1] < 0.8 * curves["chunked"][0]
    gap = ((curves["native"] - curves["chunked"]) / curves["chunked"]).abs().max()
    assert float(gap) < 1e-3
