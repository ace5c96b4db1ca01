"""VADMamba: block and VQ layer against plain twins, what is reconstructed, losses, its score."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contract import video
from torch import nn

from oddframe.errors import ConfigError
from oddframe.models import MODELS, default_config
from oddframe.models.base import motion
from oddframe.models.info import describe
from oddframe.models.vadmamba import (
    IDLE,
    MOVES,
    NVSS,
    Quantiser,
    VADMamba,
    VADMambaConfig,
)
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig

TINY = {"size": 64, "history": 4, "width": 8, "state": 2, "codes": 6}


def tiny(**changes):
    return VADMambaConfig.read(TINY | changes)


def made(seed=0, **changes):
    torch.manual_seed(seed)
    return VADMamba(tiny(**changes)).eval()


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def shaken(module):
    """In float64, every weight off its initial value."""
    torch.manual_seed(0)
    module.double().eval()
    with torch.no_grad():
        for p in module.parameters():
            p += 0.2 * torch.randn_like(p)
    return module


def close(found, want, tolerance=1e-9):
    torch.testing.assert_close(found, want, rtol=tolerance, atol=tolerance)


# ---- NVSS


def plain_conv(x, weight, bias, groups):
    """3x3 convolution of (n, h, w, d), zeros outside, place by place."""
    n, h, w, _ = x.shape
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    out = torch.zeros(n, h, w, len(weight), dtype=x.dtype)
    for y in range(h):
        for z in range(w):
            patch = padded[:, y : y + 3, z : z + 3]
            if groups == 1:
                out[:, y, z] = torch.einsum("nijd,edij->ne", patch, weight)
            else:
                out[:, y, z] = torch.einsum("nijd,dij->nd", patch, weight[:, 0])
    return out + bias


def plain_norm(x, layer):
    """LayerNorm, written out."""
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + layer.eps).sqrt()
    return centred / scale * layer.weight + layer.bias


def plain_nvss(x, block):
    y = plain_norm(x, block.norm)
    both = torch.einsum("nhwd,ed->nhwe", y, block.branches.weight)
    inner = both.shape[-1] // 2
    main = plain_conv(both[..., :inner], block.conv.weight, block.conv.bias, inner)
    main, gate = main * (main > 0), both[..., inner:] * (both[..., inner:] > 0)
    scanned = plain_norm(block.ss2d(main), block.out_norm) * gate
    far = torch.einsum("nhwe,de->nhwd", scanned, block.out.weight)
    first, _, last = block.near
    hidden = plain_conv(y, first.weight, first.bias, 1)
    hidden = hidden * (hidden > 0)
    near = torch.einsum("nhwe,de->nhwd", hidden, last.weight[:, :, 0, 0]) + last.bias
    return x + far + near


@torch.no_grad()
def test_nvss_is_its_plain_form():
    block, x = shaken(NVSS(6, expand=2, state=2)), noise(2, 5, 4, 6)
    close(block(x), plain_nvss(x, block))


@torch.no_grad()
def test_what_enters_the_scan_is_never_negative():
    block, seen = shaken(NVSS(6, expand=2, state=2)), []
    block.ss2d.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    block(noise(2, 5, 4, 6))
    assert float(seen[0].min()) == 0
    assert 0.2 < float((seen[0] > 0).double().mean()) < 0.8  # some of it is cut, not all


@torch.no_grad()
def test_the_gate_is_never_negative():
    """With the scan's output at one everywhere, what passes to `out` is the gate itself."""
    block, seen = shaken(NVSS(6, expand=2, state=2)), []
    block.out_norm.weight.zero_()
    block.out_norm.bias.fill_(1)
    block.out.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    block(noise(2, 5, 4, 6))
    assert float(seen[0].min()) == 0
    assert 0.2 < float((seen[0] > 0).double().mean()) < 0.8


# ---- VQ layer


def quantiser(codes=5, width=4, decay=0.9, seed=0):
    torch.manual_seed(seed)
    layer = Quantiser(codes, width, decay).double().eval()
    layer.norm.running_mean.copy_(0.3 * noise(width, seed=7))
    layer.norm.running_var.copy_(1 + noise(width, seed=8).abs())
    return layer


def queries(x, layer):
    """(n, h, w, d) -> (q, d): by the running means, or in training those of the batch."""
    flat = x.flatten(0, 2)
    mean, variance = layer.norm.running_mean, layer.norm.running_var
    if layer.training:
        mean = flat.mean(0)
        variance = (flat - mean).square().mean(0)
    return (flat - mean) / (variance + 1e-5).sqrt()


def plain_nearest(query, codes):
    """Query by query, code by code."""
    return [min(range(len(codes)), key=lambda i: float((q - codes[i]).norm())) for q in query]


@torch.no_grad()
def test_the_nearest_code_is_read():
    layer, x = quantiser(), noise(2, 3, 2, 4)
    read, distance = layer(x)
    flat = queries(x, layer)
    chosen = plain_nearest(flat, layer.codes)
    assert len(set(chosen)) > 2
    want = torch.stack([layer.codes[i] for i in chosen])
    close(read.flatten(0, 2), want)
    assert distance.shape == (2,)
    for n in range(2):
        mine = slice(6 * n, 6 * n + 6)
        close(distance[n], (flat[mine] - want[mine]).square().sum() / 24)


def test_the_gradient_goes_straight_through():
    layer = quantiser()
    x, weight = noise(2, 3, 2, 4).requires_grad_(), noise(2, 3, 2, 4, seed=2)
    (layer(x)[0] * weight).sum().backward()
    other = x.detach().clone().requires_grad_()
    (
        queries(other, layer).view(x.shape) * weight
    ).sum().backward()  # as if the codes were the queries
    close(x.grad, other.grad)
    assert float(x.grad.abs().min()) > 0


def test_the_commitment_pulls_queries_to_their_codes_and_not_the_codes():
    layer = quantiser()
    x = noise(2, 3, 2, 4).requires_grad_()
    layer(x)[1].sum().backward()
    other = x.detach().clone().requires_grad_()
    flat = queries(other, layer)
    code = torch.stack([layer.codes[i] for i in plain_nearest(flat.detach(), layer.codes)])
    ((flat - code) ** 2 / 24).sum().backward()
    close(x.grad, other.grad)
    assert not layer.codes.requires_grad


def test_codes_are_averages_of_what_chose_them():
    """N and m as VQ-VAE's appendix has them, kept apart, over several steps."""
    layer = quantiser(decay=0.9).train()
    layer.use.fill_(3.0)  # none is idle
    use, total = layer.use.clone(), layer.codes * 3.0
    address = layer.codes.data_ptr(), layer.use.data_ptr()
    idle_once = 0
    for step in range(4):
        x = noise(2, 3, 2, 4, seed=10 + step)
        flat = queries(x, layer)
        codes = total / use[:, None]
        chosen = plain_nearest(flat, codes)
        read, _ = layer(x)
        close(read.flatten(0, 2), torch.stack([codes[i] for i in chosen]))  # as before the write
        for i in range(len(codes)):
            mine = [q for q, c in zip(flat, chosen, strict=True) if c == i]
            idle_once += not mine
            use[i] = 0.9 * use[i] + 0.1 * len(mine)
            total[i] = 0.9 * total[i] + 0.1 * sum(mine, torch.zeros(4).double())
        close(layer.use, use)
        close(layer.codes, total / use[:, None])
    assert idle_once > 0  # a code that nobody chose is among them
    assert (layer.codes.data_ptr(), layer.use.data_ptr()) == address


def test_a_code_long_unused_stays_where_it_is():
    layer = quantiser(decay=0.0)
    before = layer.codes.clone()
    layer.write(noise(3, 4), torch.zeros(3, dtype=torch.long))
    assert torch.equal(layer.codes[1:], before[1:])
    close(layer.codes[0], noise(3, 4).mean(0))
    assert layer.use.tolist() == [3, 0, 0, 0, 0]


def plain_moves(codes, use, query, moves):
    """Idle codes, in order, where the query farthest from all codes that are not idle lies."""
    codes, use = [c.clone() for c in codes], list(use)
    share = len(query) / len(codes)
    idle = [i for i, n in enumerate(use) if n < IDLE * share]
    live = [c for i, c in enumerate(codes) if i not in idle]
    for i in idle[:moves]:
        far = [min((float((q - c).norm()) for c in live), default=math.inf) for q in query]
        codes[i] = query[far.index(max(far))].clone()
        use[i] = share
        live.append(codes[i])
    return torch.stack(codes), use


@pytest.mark.parametrize("idle", [[], [1], [0, 3], list(range(12))])
def test_idle_codes_move_to_what_is_served_worst(idle):
    layer = quantiser(codes=12)
    layer.use.fill_(2 * IDLE * 9 / 12)
    layer.use[idle] = 0.9 * IDLE * 9 / 12
    codes, use = layer.codes.clone(), layer.use.tolist()
    query = noise(9, 4)
    layer.move(query)
    want, want_use = plain_moves(codes, use, query, MOVES)
    close(layer.codes, want)
    close(layer.use, torch.tensor(want_use, dtype=torch.double))
    moved = int((layer.codes != codes).any(1).sum())
    assert moved == min(MOVES, len(idle))


def test_the_codebook_spreads_over_what_it_is_given():
    """Why DEVIATION (5): places lean one way, so one random code would be the nearest of all."""
    lean, kinds = 5 * noise(16), 0.5 * noise(4, 16, seed=2)
    spread = {}
    for moving in (True, False):
        torch.manual_seed(0)
        layer = Quantiser(16, 16, 0.9).double().train()
        if not moving:
            layer.use.fill_(1e9)
        for step in range(20):
            x = lean + kinds[torch.arange(24) % 4] + 0.05 * noise(24, 16, seed=step)
            _, distance = layer(x.view(1, 4, 6, 16))
        spread[moving] = (
            len(set(layer.nearest(queries(x[:4].view(1, 2, 2, 16), layer.eval())).tolist())),
            float(distance),
        )
    assert spread[True][0] == 4
    assert spread[True][1] < 0.02
    assert spread[False][0] < 4
    assert spread[False][1] > 0.2


def test_nothing_is_written_at_test_time():
    layer = quantiser()
    before = copy.deepcopy(layer.state_dict())
    layer(noise(2, 3, 2, 4))
    assert all(torch.equal(v, before[name]) for name, v in layer.state_dict().items())
    layer.train()(noise(2, 3, 2, 4))
    assert not any(torch.equal(v, before[name]) for name, v in layer.state_dict().items())


# ---- the model


@pytest.mark.parametrize("flow", ["dis", "rgbdiff"])
@torch.no_grad()
def test_the_newest_flow_is_what_is_reconstructed(flow):
    model, clip = made(flow=flow), video(0, 6, 64, 2)
    out = model(clip)
    channels = 3 if flow == "rgbdiff" else 2
    assert out.motion.shape == (2, 3, channels, 64, 64)
    assert float(out.motion.abs().max()) <= 1
    assert not model.motion_is_next
    truth = torch.stack([model.moved(clip[:, i - 1], clip[:, i]) for i in (3, 4, 5)], 1)
    close(out.features["moved"].unflatten(0, (2, 3)), truth, 1e-6)
    if flow == "rgbdiff":
        close(truth[:, 0], motion(clip[:, 2], clip[:, 3]), 1e-6)
    close(out.terms["commit"].flatten(), out.features["commit"], 1e-6)


@torch.no_grad()
def test_what_each_network_reads():
    """The frame follows from the frames alone, the flow from flows or frames as it is set."""
    frames, flows = noise(1, 4, 3, 64, 64).float(), noise(1, 3, 2, 64, 64, seed=2).float()
    for source in ("flows", "frames"):
        model = made(motion_from=source)
        base = model.moving(frames, flows)
        other_flow, other_frame = model.moving(frames, -flows), model.moving(-frames, flows)
        assert torch.equal(other_flow.frame, base.frame)
        assert not torch.equal(other_frame.frame, base.frame)
        changed = other_flow if source == "flows" else other_frame
        kept = other_frame if source == "flows" else other_flow
        assert torch.equal(kept.motion, base.motion)
        assert not torch.equal(changed.motion, base.motion)


@torch.no_grad()
def test_without_skips_all_passes_the_codes():
    """One code for everything: then windows cannot be told apart, unless by the skips."""
    frames, flows = noise(2, 4, 3, 64, 64).float(), noise(2, 3, 2, 64, 64, seed=2).float()
    for skips in (False, True):
        model = made(skips=skips, codes=2)
        for net in (model.predict, model.rebuild):
            net.quantise.codes[1] = net.quantise.codes[0]
        out = model.moving(frames, flows)
        assert torch.allclose(out.frame[0], out.frame[1], atol=1e-6) is not skips
        assert torch.allclose(out.motion[0], out.motion[1], atol=1e-6) is not skips


@torch.no_grad()
def test_heads():
    clip = video(1, 4, 64)
    direct, residual = (made(head=head)(clip).frame[:, 0] for head in ("direct", "residual"))
    assert float(direct.abs().max()) < 1
    close(torch.atanh(direct), residual - clip[:, 3], 1e-4)


def test_the_losses_are_named_and_weighted():
    model, clip = made(lambda_motion=0.3, lambda_commit=0.7), video(0, 6, 64, 2)
    with torch.no_grad():
        out = model(clip[:, :-1])
        parts = model.losses(out, clip)
    moved = torch.stack([model.moved(clip[:, i - 1], clip[:, i]) for i in (3, 4)], 1)
    assert set(parts) == {"frame", "motion", "commit"}
    assert float(parts["frame"]) == pytest.approx(float(((out.frame - clip[:, 4:]) ** 2).mean()))
    error = float(((out.motion - moved) ** 2).mean())
    assert float(parts["motion"]) == pytest.approx(0.3 * error, rel=1e-5)
    assert float(parts["commit"]) == pytest.approx(0.7 * float(out.terms["commit"].mean()))


@pytest.mark.parametrize("changes", [{}, {"flow": "rgbdiff", "motion_from": "frames", "depth": 2}])
def test_one_step_of_training_moves_everything(changes):
    model, clip = made(**changes).train(), video(0, 6, 64, 2)
    before = copy.deepcopy(model.state_dict())
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    sum(model.losses(model(clip[:, :-1]), clip).values()).backward()
    adam.step()
    for name, value in model.state_dict().items():
        assert not torch.equal(value, before[name]), name


# ---- budget


def test_the_paper_size_keeps_to_the_published_budget():
    info = describe("vadmamba")
    assert info["parameters"] == pytest.approx(28.1e6, rel=0.05)
    assert info["gmac_per_clip"] == info["gmac_per_frame"]  # nothing to keep from frame to frame
    assert (info["published"]["parameters_m"], info["published"]["fps"]) == (28.1, 90)
    cfg = default_config("vadmamba")
    assert cfg == VADMambaConfig()
    assert (cfg.size, cfg.history, cfg.width, cfg.depth, cfg.state) == (256, 16, 64, 1, 16)
    small = describe("vadmamba-128")
    assert small["gmac_per_frame"] < 0.1 * info["gmac_per_frame"]
    assert small["published"] is None
    assert MODELS["vadmamba-128"].train["batch"] == 4


def test_scans_by_hand():
    # Both networks, encoder and decoder: stages of 16, 8, 4, 2 places a side, 2 d channels,
    # 4 directions, 2 states.
    once = sum(9 * side**2 * 4 * 2 * (2 * d) for side, d in ((16, 8), (8, 16), (4, 32), (2, 64)))
    model = made()
    assert model.scan_flops() == model.scan_flops(4) == 2 * 2 * once
    assert made(depth=3).scan_flops() == 3 * model.scan_flops()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 80}, "size: .*multiple of 32, found 80"),
        ({"history": 1}, "history"),
        ({"codes": 1}, "codes"),
        ({"code_decay": 1.0}, "code_decay"),
        ({"flow": "raft"}, "'dis', 'rgbdiff' or 'file', found 'raft'"),
        ({"motion_from": "flow"}, "'flows' or 'frames', found 'flow'"),
        ({"score_alpha": 1.5}, "score_alpha"),
        ({"code": 5}, "Did you mean codes"),
    ],
)
def test_what_cannot_be_built_is_explained(changes, said):
    with pytest.raises(ConfigError, match=said):
        tiny(**changes)


# ---- its score


def plain_score(frame, moved, alpha):
    """Video minimum and maximum, frame by frame; a term that never changes says nothing."""

    def norm(values):
        known = [v for v in values if v == v]
        low, high = min(known), max(known)
        return [(v - low) / (high - low) if high > low else 0 * v for v in values]

    odd = [norm([-v for v in values]) for values in (frame, moved)]
    return [alpha * a + (1 - alpha) * b for a, b in zip(*odd, strict=True)]


@pytest.mark.parametrize("alpha", [0.5, 0.8])
def test_the_papers_score(alpha):
    rng = np.random.default_rng(0)
    terms = {"psnr_frame": rng.normal(30, 3, 12), "psnr_motion": rng.normal(25, 9, 12)}
    terms |= {"psnr": rng.random(12), "commit": rng.random(12)}
    for values in terms.values():
        values[:4] = np.nan
    found = made(score_alpha=alpha).paper_score(terms)
    np.testing.assert_allclose(
        found, plain_score(terms["psnr_frame"], terms["psnr_motion"], alpha), atol=1e-12
    )
    assert np.isnan(found[:4]).all()
    still = terms | {"psnr_motion": np.where(np.isnan(terms["psnr"]), np.nan, 20.0)}
    np.testing.assert_allclose(
        made(score_alpha=alpha).paper_score(still),
        plain_score(still["psnr_frame"], still["psnr_motion"], alpha),
        atol=1e-12,
    )


def test_the_papers_score_of_one_psnr():
    psnr = np.array([np.nan, 30.0, 20.0, 25.0])
    np.testing.assert_allclose(made().paper_score({"psnr": psnr}), [np.nan, 0, 1, 0.5])


@torch.no_grad()
def test_a_scorer_holds_the_flow_against_the_last_one_seen():
    model, seen = made(), None
    pictures = ((video(3, 6, 64)[0].permute(0, 2, 3, 1) + 1) * 127.5).byte().numpy()
    scorer = Scorer(model, ScoreConfig(flow=False))
    state, frames = scorer.init_state(), []
    for picture in pictures[:5]:
        frames.append(torch.from_numpy(scorer.preprocess(picture).frame))
        state, seen = scorer.observe(state, picture)
    out = model(torch.stack(frames[:4])[None])
    moved = model.moved(frames[2][None], frames[3][None])
    for found, error in (
        (seen.psnr_frame, (out.frame[0, 0] - frames[4]).square().mean()),
        (seen.psnr_motion, (out.motion[0, 0] - moved[0]).square().mean()),
    ):
        assert found == pytest.approx(10 * math.log10(4 / float(error)), rel=1e-4)
    assert seen.terms["commit"] == pytest.approx(float(out.terms["commit"][0, 0]), rel=1e-4)


def test_every_block_is_an_nvss():
    model = made(depth=2)
    assert sum(isinstance(m, NVSS) for m in model.modules()) == 2 * 8 * 2
    assert not any(isinstance(m, nn.SiLU) for m in model.modules())
