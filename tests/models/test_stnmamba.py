"""STNMamba: blocks and memory against plain twins, streaming, training, ablations, its score."""

import copy
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from oddframe.errors import ConfigError
from oddframe.models import MODELS, build, default_config
from oddframe.models.blocks import PatchHead
from oddframe.models.info import describe
from oddframe.models.stnmamba import (
    ABLATIONS,
    ECA,
    STFB,
    ChannelVSSB,
    Join,
    MemoryBank,
    ScaleVSSB,
    STNMamba,
    STNMambaConfig,
    ablation,
    kth_largest,
    two_nearest,
)
from oddframe.ops import beside

TINY = {"size": 64, "width": 8, "depth": 1, "state": 2, "memory_items": (6, 5, 4, 6)}


def tiny(**changes):
    return STNMambaConfig.read(TINY | changes)


def made(seed=0, **changes):
    torch.manual_seed(seed)
    return STNMamba(tiny(**changes)).eval()


def video(t, b=1, size=64, seed=0):
    """(b, t, 3, size, size) in [-1, 1]: smooth noise that drifts."""
    g = torch.Generator().manual_seed(seed)
    base = F.interpolate(torch.rand(b, 3, 8, 8, generator=g), (size, size), mode="bilinear")
    return torch.stack([base.roll(2 * i, -1) for i in range(t)], 1) * 2 - 1


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


def total(model, clip):
    loss = sum(model.losses(model(clip[:, :-1]), clip).values())
    loss.backward()
    return loss


def test_both_encoders_at_once_give_what_one_after_the_other_gives(monkeypatch):
    model, frames, before, found = made(), video(4), torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        with torch.no_grad():
            assert beside.splits(frames)
            found.append(model(frames))
            monkeypatch.setattr(beside, "splits", lambda like: False)
            found.append(model(frames))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found[0].frame, found[1].frame)
    for name, value in found[0].terms.items():
        torch.testing.assert_close(value, found[1].terms[name])


def has(model, kind):
    return any(isinstance(m, kind) for m in model.modules())


# ---- equations


def plain_conv(x, conv):
    """Depth-wise convolution of (n, h, w, d), place by place."""
    h, w = x.shape[1:3]
    reach = conv.weight.shape[-1] // 2
    out = torch.zeros_like(x) + conv.bias
    for y in range(h):
        for z in range(w):
            for i in range(-reach, reach + 1):
                for j in range(-reach, reach + 1):
                    if 0 <= y + i < h and 0 <= z + j < w:
                        out[:, y, z] += x[:, y + i, z + j] * conv.weight[:, 0, reach + i, reach + j]
    return out


def linear(x, layer):
    y = torch.einsum("nhwd,ed->nhwe", x, layer.weight)
    return y if layer.bias is None else y + layer.bias


@torch.no_grad()
def test_ms_vssb_is_eq_2():
    block, x = shaken(ScaleVSSB(6, 12, expand=2, state=2)), noise(2, 5, 4, 6)
    wide = linear(x, block.widen)
    wide = 0.5 * wide * (1 + torch.erf(wide / math.sqrt(2)))
    mixed = sum(plain_conv(wide, conv) for conv in block.convs.convs)
    assert [c.weight.shape[-1] for c in block.convs.convs] == [1, 3, 5]
    close(block(x), block.block(linear(mixed, block.narrow)))


@torch.no_grad()
def test_ca_vssb_is_eq_3():
    block, x = shaken(ChannelVSSB(6, expand=2, state=2)), noise(2, 5, 4, 6)
    y, found = block.block(x), block(x)
    for n in range(2):
        average = torch.stack([y[n, :, :, c].sum() / 20 for c in range(6)])
        largest = torch.stack([y[n, :, :, c].max() for c in range(6)])
        gate = torch.sigmoid(block.weigh(average) + block.weigh(largest))
        for c in range(6):
            close(found[n, :, :, c], y[n, :, :, c] * gate[c])


@torch.no_grad()
def test_stfb_is_eq_4_to_6():
    block = shaken(STFB(8, expand=2, state=2))
    s, t = noise(2, 5, 4, 8), noise(2, 5, 4, 8, seed=2)
    hidden = [
        plain_conv(linear(norm(x), into), conv)
        for x, norm, into, conv in zip((s, t), block.norms, block.into, block.convs, strict=True)
    ]
    y = block.scan_norm(block.ss2d(hidden[0] * hidden[1]))  # Eq. 4
    gated = [y * h / (1 + torch.exp(-h)) for h in hidden]  # Eq. 5
    both = linear(gated[0], block.out[0]) + s + linear(gated[1], block.out[1]) + t  # Eq. 6
    pooled = F.pad(both.mean((1, 2)), (1, 1))
    kernel = block.attend.weight
    gate = torch.stack([(pooled[:, c : c + 3] * kernel).sum(-1) for c in range(8)], -1)
    close(block(s, t), both * torch.sigmoid(gate)[:, None, None])


@torch.no_grad()
def test_without_stfb_the_streams_are_concatenated_or_added():
    join, s, t = shaken(Join(6, concat=True)), noise(2, 5, 4, 6), noise(2, 5, 4, 6, seed=2)
    of_s, of_t = join.join.weight.split(6, 1)
    close(join(s, t), s @ of_s.T + t @ of_t.T + join.join.bias)
    assert torch.equal(Join(6, concat=False)(s, t), s + t)
    for kind in ("concat", "add"):
        joined = made(fuse=kind).fuse["4"]
        assert isinstance(joined, Join)
        assert (joined.join is None) == (kind == "add")


@pytest.mark.parametrize(("width", "kernel"), [(8, 3), (32, 3), (64, 3), (128, 5), (256, 5)])
def test_the_kernel_of_eca_follows_its_rule(width, kernel):
    assert len(ECA(width).weight) == kernel


def plain_memory(x, items, kept, share, literal):
    """Eq. 7-9, 11 and the two distances, query by query."""
    out, nearest = torch.zeros_like(x), []
    for n, h, w in np.ndindex(x.shape[:3]):
        q = x[n, h, w] / x[n, h, w].norm()
        cosine = [float(q @ p) for p in items]
        best = sorted(range(len(items)), key=lambda i: -cosine[i])[:kept]
        weight = [math.exp(c) if i in best else float(literal) for i, c in enumerate(cosine)]
        read = sum(a * p for a, p in zip(weight, items, strict=True)) / sum(weight)
        out[n, h, w] = share * x[n, h, w] + read
        nearest.append(sorted(float((q - p).norm()) for p in items)[:2])
    return out, torch.tensor(nearest).double().view(len(x), -1, 2)


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize(("top", "kept"), [(0.6, 4), (0.1, 1), (1.0, 7)])
@torch.no_grad()
def test_the_memory_reads_as_eq_7_to_11(top, kept, literal):
    bank = MemoryBank(5, 7, top, literal).double().eval()
    assert bank.kept == kept
    bank.share.fill_(0.7)
    x = noise(2, 3, 4, 5)
    want = plain_memory(x, bank.items, kept, 0.7, literal)
    for found, wanted in zip(bank(x), want, strict=True):
        close(found, wanted, 1e-7)
    other = copy.deepcopy(bank)
    other.literal = not literal
    assert torch.equal(other(x)[0], bank(x)[0]) == (top == 1)


@pytest.mark.parametrize("literal", [False, True])
def test_the_memory_writes_as_eq_10(literal):
    bank = MemoryBank(5, 12, 0.6, literal).double().train()
    bank.started.fill_(1)
    x, items = noise(1, 2, 3, 5), bank.items.clone()
    address = bank.items.data_ptr()
    bank(x)[0].sum().backward()
    queries = F.normalize(x, dim=-1).view(-1, 5)
    choice = (queries @ items.T).argmax(-1)
    stayed = 0
    for i, p in enumerate(items):
        mine = queries if literal else queries[choice == i]
        if len(mine):
            p = p + (torch.softmax(mine @ p, 0)[:, None] * mine).sum(0)
        else:
            stayed += 1
        close(bank.items[i], p / p.norm(), 1e-7)  # they were drawn in float32
    assert (stayed == 0) == literal  # six queries cannot choose twelve items
    assert bank.items.data_ptr() == address
    assert bank.items.grad_fn is None


def test_a_memory_starts_at_queries_far_apart_and_only_once():
    bank = MemoryBank(6, 3, 1.0)
    x = torch.eye(3, 6).repeat(20, 1).view(1, 6, 10, 6) + 0.01 * noise(1, 6, 10, 6).float()
    bank.eval()(x)
    assert bank.started == 0
    bank.train()(x)
    assert bank.started == 1
    assert sorted(bank.items[:, :3].argmax(1).tolist()) == [0, 1, 2]  # one item for each kind
    before = bank.items.clone()
    bank(-x)
    assert float((bank.items * before).sum(1).min()) > -0.5


def test_items_stay_apart_unless_written_as_printed():
    """Why DEVIATION (7): everyday features lean one way, and all items go there."""
    spread = {}
    for literal in (False, True):
        torch.manual_seed(0)
        bank = MemoryBank(16, 8, 0.6, literal).train()
        for i in range(20):
            bank(noise(2, 8, 8, 16, seed=i).float() + torch.linspace(-1, 1, 16))
        cosine = bank.items @ bank.items.T
        spread[literal] = float(cosine[~torch.eye(8, dtype=torch.bool)].min())
    assert spread[True] > 0.98
    assert spread[False] < 0.9


def test_the_head_is_patches_layer_norm_and_colour():
    head, x = shaken(PatchHead(6, 4)), noise(2, 3, 5, 6)
    got = head(x)
    tokens = F.linear(x, head.project.weight)
    for i in range(4):
        for j in range(4):
            at = slice((4 * i + j) * 6, (4 * i + j + 1) * 6)
            want = head.colour(
                F.layer_norm(tokens[..., at], (6,), head.norm.weight, head.norm.bias)
            )
            close(got[:, :, i::4, j::4].movedim(1, -1), want)


def test_what_a_query_reads_is_what_topk_finds():
    x = noise(3, 7, 9)
    x[0, 0, 3] = x[0, 0, 5]  # a tie
    for k in (1, 2, 5, 9):
        close(kth_largest(x, k), x.topk(k).values[..., -1:])
    best = x.topk(2).indices
    found = two_nearest(x)
    assert torch.equal(x.gather(-1, found), x.gather(-1, best))
    assert bool((found[..., 0] != found[..., 1]).all())


# ---- shapes, budget, streaming


def test_shapes():
    model = made()
    with torch.no_grad():
        out = model(video(6, b=2))
    assert out.frame.shape == (2, 3, 3, 64, 64)
    assert out.motion is None
    assert out.features["nearest_1"].shape == (6, 256, 2)
    assert list(out.terms) == [f"distance_{i}" for i in (1, 2, 3, 4)]
    for i, term in enumerate(out.terms.values(), 1):
        assert term.shape == (2, 3)
        close(term.flatten(), out.features[f"nearest_{i}"][..., 0].mean(1))
        assert float(out.features[f"nearest_{i}"].diff(dim=-1).min()) >= 0


@pytest.mark.slow
def test_the_paper_size_keeps_to_the_published_budget():
    info = describe("stnmamba")
    assert info["parameters"] == pytest.approx(7.2e6, rel=0.05)
    assert info["gmac_per_frame"] == pytest.approx(1.5, rel=0.1)
    assert info["gmac_per_clip"] == info["gmac_per_frame"]  # nothing to keep from frame to frame
    assert info["published"]["source"] == "STNMamba, Table I"
    cfg = default_config("stnmamba")
    assert cfg == STNMambaConfig()
    assert (cfg.size, cfg.width, cfg.depth, cfg.state) == (256, 32, 2, 1)
    small = describe("stnmamba-128")
    assert small["gmac_per_frame"] < 0.3 * info["gmac_per_frame"]
    assert small["published"] is None
    assert MODELS["stnmamba"].train["batch"] == 8


def test_scans_by_hand():
    model = made(depth=2)
    # Levels of 16, 8, 4, 2 places a side; two blocks of 2 d each in three stages, STFB too.
    want = sum(
        9 * side**2 * 4 * 2 * (6 * 2 * d + 2 * d)
        for side, d in ((16, 8), (8, 16), (4, 32), (2, 64))
    )  # fmt: skip
    assert model.scan_flops() == model.scan_flops(4) == want


@pytest.mark.parametrize("changes", [{}, {"head": "residual", "memory_items": (6, 0, 5, 0)}])
@torch.no_grad()
def test_streams_of_any_age_equal_forward(changes):
    """Interleaved in one call: two cameras together, and one that is two frames younger."""
    model = made(**changes)
    old, young = video(8, b=2, seed=1), video(6, seed=2)
    whole = model(old), model(young)
    states = [model.init_state(), model.init_state()]
    found = ([], [])
    for i in range(8):
        live = [0, 1] if i >= 2 else [0]
        frames = [(old, young)[w][:, i - 2 * w] for w in live]
        kept = [[x.clone() for x in states[w]] for w in live]
        new, predictions = model.step_batch([states[w] for w in live], frames)
        for w, k in zip(live, kept, strict=True):  # the old state is left alone
            assert all(map(torch.equal, states[w], k))
            assert len(states[w]) == len(k)
        for w, state, prediction in zip(live, new, predictions, strict=True):
            states[w] = state
            found[w].append(prediction)
    for steps, want in zip(found, whole, strict=True):
        assert steps[:3] == [None] * 3
        m = want.frame.shape[1]
        assert len(steps[3:]) == m
        for j, step in enumerate(steps[3:]):
            torch.testing.assert_close(step.frame[:, 0], want.frame[:, j], rtol=0, atol=1e-5)
            assert step.motion is None
            assert step.terms.keys() == want.terms.keys()
            for name, term in step.terms.items():
                assert term.shape == (len(step.frame), 1)
                torch.testing.assert_close(term[:, 0], want.terms[name][:, j], rtol=0, atol=1e-5)
            for name, feature in step.features.items():
                wanted = want.features[name].unflatten(0, (-1, m))[:, j]
                torch.testing.assert_close(feature, wanted, rtol=0, atol=1e-5)
    assert len(states[0]) == 4


@torch.no_grad()
def test_one_step_equals_a_batch_of_one_and_leaves_the_state():
    model, clip = made(), video(5)
    state = model.init_state()
    for i in range(4):
        state, out = model.step(state, clip[:, i])
    assert torch.equal(out.frame, model(clip[:, :4]).frame)
    first, again = model.step(state, clip[:, 4])[1], model.step(state, clip[:, 4])[1]
    assert torch.equal(first.frame, again.frame)
    assert not torch.equal(first.frame, out.frame)


@torch.no_grad()
def test_a_residual_head_starts_at_the_last_frame():
    clip = video(4)
    shift = {h: float((made(head=h)(clip).frame[:, 0] - clip[:, 3]).square().mean())
             for h in ("direct", "residual")}  # fmt: skip
    assert shift["residual"] < 0.1 * shift["direct"]


def test_what_does_not_fit_is_refused():
    model = made()
    with pytest.raises(ValueError, match="at least 4 frames, got 3"):
        model(video(3))
    with pytest.raises(ValueError, match=r"takes 3 x 64 x 64 px, found 3 x 72 x 72"):
        model(video(4, size=72))
    with pytest.raises(ValueError, match=r"found 3 x 64 x 32"):
        model.step(model.init_state(), torch.zeros(1, 3, 64, 32))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 80}, "size: .*multiple of 32, found 80"),
        ({"memory_items": (6, 6, 6, 1)}, "at least two"),
        ({"memory_items": (6, 6, 6)}, "memory_items"),
        ({"memory_top": 0}, "memory_top"),
        ({"memory_tpo": 0.5}, "Did you mean memory_top"),
    ],
)
def test_what_cannot_be_built_is_explained(changes, said):
    with pytest.raises(ConfigError, match=said):
        tiny(**changes)


# ---- training


@pytest.mark.parametrize(
    "changes",
    [{}, {"literal_memory": True, "literal_separate": True, "head": "residual", "depth": 2}],
)
def test_the_gradient_reaches_every_parameter(changes):
    model = made(**changes).train()
    total(model, video(6, b=2))
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
        assert float(p.grad.abs().max()) > 0, name


def test_memories_are_written_in_training_only():
    model, clip = made(), video(5)
    before = {name: b.clone() for name, b in model.named_buffers()}
    assert len(before) == 8
    with torch.no_grad():
        model(clip)
    assert all(torch.equal(b, before[name]) for name, b in model.named_buffers())
    model.train()(clip)
    assert not any(torch.equal(b, before[name]) for name, b in model.named_buffers())


def test_a_few_steps_learn_two_clips():
    model, clip = made(size=32, width=16).train(), video(5, b=2, size=32)
    adam = torch.optim.Adam(model.parameters(), 5e-3)
    curve = []
    for _ in range(30):
        adam.zero_grad()
        parts = model.losses(model(clip[:, :-1]), clip)
        sum(parts.values()).backward()
        adam.step()
        curve.append((float(parts["frame"].detach()), float(sum(parts.values()).detach())))
    assert curve[-1][0] < 0.5 * curve[0][0]
    assert curve[-1][1] < 0.8 * curve[0][1]


def test_detached_context_changes_nothing():
    model, clip = made(), video(6)
    assert torch.equal(model(clip, detach_context=True).frame, model(clip).frame)


def test_bf16_autocast_trains():
    model, clip = made().train(), video(6, b=2)
    want = float(total(copy.deepcopy(model), clip).detach())
    with torch.autocast("cpu", torch.bfloat16):
        found = total(model, clip)
    assert float(found.detach()) == pytest.approx(want, rel=0.03)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert all(b.dtype == torch.float32 for b in model.buffers())


def test_save_and_load(tmp_path):
    model, clip = made().train(), video(5)
    total(model, clip)  # writes the memories
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    config = json.loads(json.dumps(model.config.model_dump(mode="json")))
    other = STNMamba(STNMambaConfig.read(config)).eval()
    other.load_state_dict(torch.load(tmp_path / "weights.pt"))
    with torch.no_grad():
        a, b = model.eval()(clip), other(clip)
    assert torch.equal(a.frame, b.frame)
    assert all(torch.equal(a.terms[name], b.terms[name]) for name in a.terms)


# ---- ablations


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_trains_one_step(name):
    torch.manual_seed(0)
    cfg = ablation(name, tiny(memory_items=(6, 6, 6, 6)))
    model, clip = STNMamba(cfg).train(), video(5, b=2)
    parts = model.losses(model(clip[:, :-1]), clip)
    sum(parts.values()).backward()
    for p, values in model.named_parameters():
        assert values.grad is not None, p
        assert torch.isfinite(values.grad).all(), p
    kept = {"frame", "compact", "separate"}
    kept -= {"L1": {"compact", "separate"}, "L2": {"separate"}, "L3": {"compact"}}.get(name, set())
    if name in ("M1", "M2", "M3", "M4", "B0"):
        kept = {"frame"}
    assert set(parts) == kept
    banks = {"M1": "", "M2": "", "M3": "", "M4": "", "M5": "4",
             "B0": "", "B1": "1", "B2": "12", "B3": "123"}.get(name, "1234")  # fmt: skip
    assert "".join(model.memory) == banks
    row = int(name[1]) if name[0] == "M" else 6
    assert has(model, ScaleVSSB) == (row >= 2)
    assert has(model, ChannelVSSB) == (row >= 3)
    assert has(model, STFB) == (row >= 4)
    if row < 4:  # the text: "integrates them at the bottleneck using concatenation"
        assert model.fuse["4"].join.in_features == 2 * model.fuse["4"].join.out_features
    assert has(model, MemoryBank) == bool(banks)
    assert len(model.fuse) == (4 if row == 6 else 1)


def test_the_full_rows_are_the_paper():
    base = STNMambaConfig()
    assert ablation("M6", base) == ablation("B4", base) == ablation("L4", base) == base
    assert ablation("lambda0.8", base) == ablation("K60", base) == base
    assert ablation("lambda0.2", base).lambda_score == 0.2
    assert ablation("K40", base).memory_top == 0.4
    sizes = [
        sum(p.numel() for p in STNMamba(ablation(f"M{i}", tiny())).parameters())
        for i in range(1, 7)
    ]
    assert sizes == sorted(set(sizes))  # every row adds something


# ---- its score


def plain_score(psnr, distances, share):
    """Eq. 16-18 with loops; a term that never changes says nothing."""

    def norm(values):
        known = [v for v in values if v == v]
        low, high = min(known), max(known)
        return [(v - low) / (high - low) if high > low else 0 * v for v in values]

    error = norm([-p for p in psnr])
    far = [norm(d) for d in distances]
    return [
        share * e + (1 - share) * sum(f[i] for f in far) / len(far) for i, e in enumerate(error)
    ]


@pytest.mark.parametrize("share", [0.8, 0.3])
@pytest.mark.parametrize("levels", [(1, 2, 3, 4), (2,)])
def test_the_papers_score(share, levels):
    rng = np.random.default_rng(0)
    terms = {"psnr": rng.normal(30, 3, 12), "z_frame": rng.normal(size=12)}
    terms |= {f"distance_{i}": rng.random(12) * i for i in levels}
    terms[f"distance_{levels[-1]}"][:] = 0.4  # never changes
    for values in terms.values():
        values[:4] = np.nan
    found = made(lambda_score=share).paper_score(terms)
    want = plain_score(terms["psnr"], [terms[f"distance_{i}"] for i in levels], share)
    np.testing.assert_allclose(found, want, atol=1e-12)
    assert np.isnan(found[:4]).all()
    assert np.isfinite(found[4:]).all()
    assert 0 <= np.nanmin(found) <= np.nanmax(found) <= 1


def test_the_papers_score_at_its_ends():
    model, gone = made(), np.full(6, np.nan)
    psnr = np.array([np.nan, 30.0, 20.0, 25.0])
    np.testing.assert_allclose(model.paper_score({"psnr": psnr}), [np.nan, 0, 1, 0.5])
    assert np.isnan(model.paper_score({"psnr": gone, "distance_1": gone})).all()
    still = {"psnr": np.full(3, 30.0), "distance_1": np.full(3, 0.1)}
    np.testing.assert_array_equal(model.paper_score(still), 0)


@torch.no_grad()
def test_the_terms_of_a_step_are_those_of_the_score():
    out = made()(video(4))
    terms = {n: np.append([np.nan], float(v[0, 0]) + np.arange(2)) for n, v in out.terms.items()}
    terms["psnr"] = np.array([np.nan, 30.0, 20.0])
    np.testing.assert_allclose(made().paper_score(terms), [np.nan, 0, 1])
    assert not np.allclose(made().paper_score(terms | {"distance_4": -terms["distance_4"]})[1:],
                           [0, 1])  # fmt: skip


def test_every_name_builds():
    for name in ("stnmamba", "stnmamba-128"):
        with torch.device("meta"):
            assert isinstance(build(name), STNMamba)
