"""MSTI-Net: its equations against plain versions, streams, gradients, learning, ablations."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from m2s2l_plain import video
from safetensors.torch import load, save
from torch import nn

from oddframe.errors import ConfigError
from oddframe.models import build, default_config
from oddframe.models.base import Prediction
from oddframe.models.info import describe, table
from oddframe.models.msti import (
    ABLATIONS,
    ASTFM,
    SIZES,
    MSTIConfig,
    MSTINet,
    Prototypes,
    ablation,
    compactness,
    entropy,
)

SIZE = 32
CASES = {
    "dis": {},
    "rgbdiff": {"flow": "rgbdiff"},
    "concat": {"fusion": "concat"},
    "late": {"fusion": "late", "flow": "rgbdiff"},
    "appearance": {"fusion": "none"},
    "no-memory": {"memory_items": 0},
    "no-skips": {"skips": False},
    "residual": {"head": "residual"},
    "print": {"memory_write": "all", "memory_temperature": 1.0, "literal_compact": True},
    "longer": {"history": 6},
}


def tiny(**changes):
    return MSTIConfig.read({"size": SIZE, "width": 8, "memory_items": 5} | changes)


def made(seed=0, **changes):
    torch.manual_seed(seed)
    return MSTINet(tiny(**changes)).eval()


def clips(frames, b=1, seed=0):
    return video(frames, b=b, size=SIZE, seed=seed)


def same(a, b, tolerance=1e-5):
    torch.testing.assert_close(a.frame, b.frame, rtol=0, atol=tolerance)
    assert a.motion is b.motion is None
    assert a.terms.keys() == b.terms.keys()
    for name in a.terms:
        torch.testing.assert_close(a.terms[name], b.terms[name], rtol=0, atol=tolerance)


# ---- equations


def test_astfm_is_eq_1_to_3():
    torch.manual_seed(0)
    astfm = ASTFM(8)
    app, mot = torch.randn(2, 2, 8, 5, 6)

    def g(layers, x):  # Eq. 2: a 1x1 convolution is a matrix at every place
        j1, _, j2 = layers
        hidden = torch.einsum("oc,nchw->nohw", j1.weight[..., 0, 0], x) + j1.bias[:, None, None]
        out = torch.einsum("oc,nchw->nohw", j2.weight[..., 0, 0], hidden.clamp_min(0))
        return out + j2.bias[:, None, None]

    pooled = mot.mean(3, keepdim=True).mean(2, keepdim=True)
    attention = astfm.attention
    moved = mot + g(attention.local, mot) / (1 + (-g(attention.pooled, pooled)).exp())  # Eq. 1
    torch.testing.assert_close(attention(mot), moved)
    weight = 1 / (1 + (-g(astfm.weigh, torch.cat((app, moved), 1))).exp())
    torch.testing.assert_close(astfm(app, mot), app * weight)  # Eq. 3


def prototypes(items=3, temperature=0.1, nearest=True, width=6):
    torch.manual_seed(1)
    memory = Prototypes(width, items, temperature, nearest).double()
    memory.started.fill_(1)
    return memory


def unit(x):
    return x / x.norm()


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_a_read_is_eq_4(temperature):
    memory = prototypes(temperature=temperature).eval()
    y = torch.randn(2, 4, 6).double()
    read, out = memory(y)
    for n in range(2):
        for k in range(4):
            q, items = unit(y[n, k]).float(), memory.items.float()
            cosines = torch.stack([q @ p for p in items])
            w = (cosines / temperature).exp()
            w = w / w.sum()
            want = sum(w[i] * items[i] for i in range(3))
            torch.testing.assert_close(out["weights"][n, k], w)
            torch.testing.assert_close(read[n, k], want)
            torch.testing.assert_close(out["likeness"][n, k], unit(want) @ q)
            torch.testing.assert_close(out["distance"][n, k], min((q - p).norm() for p in items))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("nearest", [True, False])
def test_a_write_is_eq_5(temperature, nearest):
    memory = prototypes(4, temperature, nearest)
    before, storage = memory.items.clone(), memory.items.data_ptr()
    y = torch.randn(1, 5, 6).double()
    memory(y)
    queries = [unit(q) for q in y[0]]
    for i, p in enumerate(before):
        taken = [q for q in queries if not nearest or int((before @ q).argmax()) == i]
        if not taken:
            assert torch.equal(memory.items[i], p)
            continue
        v = torch.stack([p @ q for q in taken]).div(temperature).exp()
        want = unit(p + sum(a * q for a, q in zip(v / v.sum(), taken, strict=True)))
        torch.testing.assert_close(memory.items[i], want, rtol=1e-5, atol=1e-6)
    assert memory.items.data_ptr() == storage
    torch.testing.assert_close(memory.items.norm(dim=1), torch.ones(4).double())


def test_where_every_query_writes_to_every_item_they_become_one():
    seen = {}
    for nearest in (True, False):
        memory = prototypes(4, 1.0, nearest, width=8)
        for i in range(30):
            g = torch.Generator().manual_seed(i)
            centres = torch.eye(4, 8).repeat(8, 1)[None]
            memory((centres + 0.05 * torch.randn(1, 32, 8, generator=g)).double())
        seen[nearest] = float((memory.items @ memory.items.T).triu(1).max())
    assert seen[False] > 0.99  # DEVIATION (8)
    assert seen[True] < 0.9


def test_the_memory_starts_at_queries_far_apart_and_only_once():
    memory = prototypes(3)
    memory.started.zero_()
    g = torch.Generator().manual_seed(0)
    y = torch.eye(3, 6).repeat(20, 1)[None] + 0.01 * torch.randn(1, 60, 6, generator=g)
    memory.eval()(y)
    assert memory.started == 0
    memory.train()(y)
    assert memory.started == 1
    found = memory.items[:, :3].argmax(1)
    assert sorted(found.tolist()) == [0, 1, 2]  # one item for each kind of query
    before = memory.items.clone()
    memory(-y)
    assert (memory.items * before).sum(1).min() > -0.5  # not started anew
    few = prototypes(7)
    few.started.zero_()
    few(y[:, :2])  # fewer queries than items
    assert torch.isfinite(few.items).all()


def test_eq_7_and_eq_8():
    w = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(entropy(w), torch.tensor(np.log(2) / 2, dtype=torch.float32))
    cos = torch.tensor([1.0, 0.95, 0.5, -0.4])
    ours = np.mean([0, 0, 0.4, 1.3])
    printed = np.mean([0.9, 0.85, 0.4, 0.3])
    assert float(compactness(cos, 0.1)) == pytest.approx(ours)
    assert float(compactness(cos, 0.1, literal=True)) == pytest.approx(printed)


def test_the_printed_compactness_wants_features_unlike_their_read():
    for literal, sign in ((False, -1), (True, 1)):
        cos = torch.tensor([0.5, 0.7], requires_grad=True)
        compactness(cos, 0.1, literal=literal).backward()
        assert (cos.grad.sign() == sign).all()


def test_dis_flow_of_a_shifted_picture():
    model = made(size=64)
    g = torch.Generator().manual_seed(0)
    noise = F.interpolate(torch.rand(1, 1, 12, 12, generator=g), (64, 64), mode="bicubic")
    before = (2 * noise - 1).clamp(-1, 1).expand(-1, 3, -1, -1)
    now = before.roll((0, 1), (2, 3))  # one pixel to the right: every place was 1 px to the left
    flow = model.moved(before, now)
    assert flow.shape == (1, 2, 64, 64)
    middle = flow[0, :, 16:-16, 16:-16].mean((1, 2))
    torch.testing.assert_close(middle, torch.tensor([-0.5, 0.0]), rtol=0, atol=0.05)  # of 64 / 32
    fast = model.moved(before, -before)
    assert fast.abs().max() <= 1
    torch.testing.assert_close(made(flow="rgbdiff").moved(before, now), (now - before) / 2)


# ---- the two ways through


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_step_in_a_loop_equals_forward(case):
    model = made(**CASES[case])
    k = model.history
    clip = clips(k + 2, b=2)
    with torch.no_grad():
        whole = model(clip)
        assert whole.frame.shape == (2, 3, 3, SIZE, SIZE)
        assert whole.motion is None
        if model.memory is None:
            assert not whole.terms
        else:
            assert whole.terms["distance"].shape == (2, 3)
        state = model.init_state()
        for i in range(k + 2):
            state, out = model.step(state, clip[:, i])
            if i < k - 1:
                assert out is None
                continue
            at = i - k + 1
            part = {name: x[:, at : at + 1] for name, x in whole.terms.items()}
            same(out, Prediction(whole.frame[:, at : at + 1], None, {}, part))
        same(model(clip, detach_context=True), whole, 0)


@pytest.mark.parametrize("flow", ["dis", "rgbdiff"])
def test_interleaved_streams_of_different_age(flow):
    model = made(flow=flow)
    first, second = clips(7, seed=1), clips(5, b=2, seed=2)
    with torch.no_grad():
        alone = [model(first), model(second)]
        states, seen = [model.init_state()] * 2, [[], []]
        for i in range(7):  # the second stream starts two frames later
            members = [0, 1] if i >= 2 else [0]
            frames = [first[:, i], second[:, i - 2]][: len(members)]
            old = [states[j] for j in members]
            kept = copy.deepcopy(old)
            new, out = model.step_batch(old, frames)
            for a, b in zip(old, kept, strict=True):
                assert len(a) == len(b)
                assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
            for j, state, prediction in zip(members, new, out, strict=True):
                states[j] = state
                seen[j].append(prediction)
    for whole, steps, k in zip(alone, seen, (4, 2), strict=True):
        assert steps[:3] == [None] * 3
        assert len(steps) == 3 + k
        for at, out in enumerate(steps[3:]):
            part = {name: x[:, at : at + 1] for name, x in whole.terms.items()}
            same(out, Prediction(whole.frame[:, at : at + 1], None, {}, part))
    assert len(states[0]) == 4


def test_no_frame_of_the_future_is_seen():
    model = made()
    clip = clips(6)
    other = clip.clone()
    other[:, 5] = -other[:, 5]
    with torch.no_grad():
        a, b = model(clip), model(other)
    assert torch.equal(a.frame[:, :2], b.frame[:, :2])
    assert not torch.equal(a.frame[:, 2], b.frame[:, 2])


def test_other_sizes_and_short_clips_are_refused():
    model = made()
    for shape in ((1, 4, 3, SIZE, 40), (1, 4, 3, 33, 33), (1, 4, 1, SIZE, SIZE)):
        with pytest.raises(ValueError, match=r"takes 3 x 32 x 32 px, found"):
            model(torch.zeros(shape))
        with pytest.raises(ValueError, match=r"takes 3 x 32 x 32 px, found"):
            model.step(model.init_state(), torch.zeros(shape)[:, 0])
    with pytest.raises(ValueError, match="at least 4 frames, got 3"):
        model(clips(3))


# ---- training


def total(model, clip):
    loss = sum(model.losses(model(clip[:, :-1]), clip).values())
    loss.backward()
    return float(loss.detach())


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_reaches_every_parameter(case):
    # At a delta of 0 no query is close enough for Eq. 8 to be silent.
    model = made(**{"delta": 0.0} | CASES[case]).train()
    total(model, clips(model.history + 2, b=2))
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
        assert float(p.grad.abs().max()) > 0, name


def test_the_memory_is_written_in_training_only():
    model, clip = made(), clips(5)
    before = model.memory.items.clone()
    with torch.no_grad():
        model(clip)
        model.step(model.init_state(), clip[:, 0])
    assert torch.equal(model.memory.items, before)
    model.train()(clip)
    assert not torch.equal(model.memory.items, before)
    assert not model.memory.items.requires_grad


@pytest.mark.parametrize("row", ABLATIONS)
def test_every_row_of_table_ii_learns(row):
    torch.manual_seed(0)
    model = MSTINet(ablation(row, tiny(flow="rgbdiff"))).train()
    adam, clip, curve = torch.optim.Adam(model.parameters(), 3e-3), clips(5, b=2), []
    for _ in range(30):
        adam.zero_grad()
        curve.append(total(model, clip))
        adam.step()
    assert curve[-1] < 0.5 * curve[0]
    kept = {"frame"} if row == "D" else {"frame", "separate", "compact"}
    assert set(model.losses(model(clip[:, :-1]), clip)) == kept


def test_the_rows_of_table_ii():
    rows = {name: MSTINet(ablation(name, tiny())) for name in ABLATIONS}
    assert [r.two for r in rows.values()] == [False, True, True, True, True]
    assert [r.memory is not None for r in rows.values()] == [True, True, True, False, True]
    astfm = [sum(isinstance(m, ASTFM) for m in r.modules()) for r in rows.values()]
    assert astfm == [0, 0, 0, 3, 3]
    assert rows["B"].late is not None
    assert len(rows["C"].fuse) == 3
    assert ablation("E", tiny()) == tiny()


def test_bf16_autocast_trains_and_streams():
    model = made().train()
    clip = clips(5, b=2)
    other = copy.deepcopy(model)
    want = float(sum(other.losses(other(clip[:, :-1]), clip).values()).detach())
    with torch.autocast("cpu", torch.bfloat16):
        found = total(model, clip)
    assert found == pytest.approx(want, rel=0.03)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert model.memory.items.dtype == torch.float32
    model.eval()
    state = model.init_state()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        for i in range(4):
            state, out = model.step(state, clip[:, i])
    assert torch.isfinite(out.frame).all()
    assert out.terms["distance"].dtype == torch.float32


def test_saved_weights_give_the_same_bits():
    model, other = made().train(), made(seed=3)
    clip = clips(5)
    model(clip)  # the memory is part of what is learnt
    other.load_state_dict(load(save(model.state_dict())))
    with torch.no_grad():
        a, b = model.eval()(clip), other(clip)
    assert torch.equal(a.frame, b.frame)
    assert torch.equal(a.terms["distance"], b.terms["distance"])


# ---- the paper's score


def slow_score(psnr, distance, tau):
    """Eq. 10, frame by frame."""
    scored = [i for i in range(len(psnr)) if psnr[i] == psnr[i] and distance[i] == distance[i]]
    out = [float("nan")] * len(psnr)

    def f(values, i):
        seen = [values[j] for j in scored]
        return (values[i] - min(seen)) / (max(seen) - min(seen)) if max(seen) > min(seen) else 0

    for i in scored:
        out[i] = -(1 - tau * (1 - f(psnr, i)) - (1 - tau) * f(distance, i))
    return out


@pytest.mark.parametrize("tau", [0.0, 0.7, 1.0])
def test_the_paper_score_is_minus_eq_10(tau):
    model = made(tau=tau)
    rng = np.random.default_rng(0)
    psnr, distance = rng.normal(30, 4, 40), rng.uniform(0.2, 1.2, 40)
    psnr[:4] = distance[:4] = np.nan
    psnr[9] = np.nan
    found = model.paper_score({"psnr": psnr, "distance": distance, "local_frame": psnr})
    np.testing.assert_allclose(found, slow_score(psnr, distance, tau))
    assert np.isnan(found).sum() == 5
    odd = {"psnr": np.array([30.0, 30, 20]), "distance": np.array([0.1, 0.2, 0.9])}
    assert made().paper_score(odd).argmax() == 2  # larger is more anomalous


def test_constant_or_absent_terms_score_without_nan():
    model = made()
    flat, moving = np.full(4, 30.0), np.array([1.0, 2, 3, 4])
    found = model.paper_score({"psnr": flat, "distance": moving})
    np.testing.assert_allclose(found, -(1 - 0.7 - 0.3 * (moving - 1) / 3), atol=1e-12)
    assert np.isfinite(model.paper_score({"psnr": flat, "distance": flat})).all()
    np.testing.assert_allclose(model.paper_score({"psnr": moving}), -(0.3 + 0.7 * (moving - 1) / 3))
    none = model.paper_score({"psnr": np.full(3, np.nan), "distance": np.full(3, np.nan)})
    assert np.isnan(none).all()


# ---- sizes and settings


def test_sizes():
    assert default_config("msti-net") == MSTIConfig()
    assert default_config("msti-net-128") == MSTIConfig.read(SIZES["msti-net-128"])
    paper, small = describe("msti-net"), describe("msti-net-128")
    assert 40 < paper["gmac_per_frame"] == paper["gmac_per_clip"] < 55
    assert small["gmac_per_frame"] < paper["gmac_per_frame"] / 15
    assert "MSTI-Net gives none" in table(paper)
    assert "GMAC per new frame" not in table(paper)
    with torch.device("meta"):
        model = build("msti-net")
    widths = [b[0].out_channels for b in model.block] + [model.memory.items.shape[1]]
    assert widths == [64, 128, 256, 512]
    assert len(model.memory.items) == 10
    assert all(isinstance(m, nn.Module) for m in model.fuse)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 36}, "size 36 is not a multiple of 8"),
        ({"width": 12}, "width 12 is not a multiple of 8"),
        ({"flow": "raft"}, "Setting flow: .*'dis', 'rgbdiff' or 'file', found 'raft'"),
        ({"memory_item": 3}, "Did you mean memory_items"),
    ],
)
def test_what_cannot_be_built_is_explained(changes, said):
    with pytest.raises(ConfigError, match=said):
        tiny(**changes)
