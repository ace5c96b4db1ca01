"""The baselines: equations against plain re-computations, sizes against the published ones."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contract import video

from oddframe import losses
from oddframe.errors import ConfigError
from oddframe.models import build, default_config
from oddframe.models.base import Prediction, minmax
from oddframe.models.conv_ae import ConvAE, ConvAEConfig
from oddframe.models.convlstm_ae import ConvLSTM
from oddframe.models.ffp import FFP, FLAT, Discriminator, FFPConfig, lucas_kanade
from oddframe.models.info import count, describe, literal_switches, overview
from oddframe.models.memae import MemAE, MemAEConfig, SparseMemory
from oddframe.models.mnad import MNAD, Items, MNADConfig
from oddframe.models.unet import UNet

# ---- sizes


@pytest.mark.parametrize(
    ("name", "parameters_m", "gmac"), [("mnad", 15.6, 46.6), ("memae", 6.5, None)]
)
def test_the_published_size(name, parameters_m, gmac):
    info = describe(name)
    assert info["parameters"] / 1e6 == pytest.approx(parameters_m, rel=0.005)
    if gmac is not None:
        assert info["gmac_per_frame"] == pytest.approx(gmac, rel=0.005)


def test_memae_in_grey_costs_what_is_published():
    """Colour costs only in the first and the last layer, two of three channels each."""
    with torch.device("meta"):
        net = build("memae").eval()
    layer = 16 * 128 * 128 * 27 * 96 / 1e9  # one channel
    assert count(net)[0] - 2 * 2 * layer == pytest.approx(33.0, rel=0.015)


def test_conv_ae_halves_as_the_paper_draws_it():
    with torch.device("meta"):
        net = build("conv-ae")
        shapes = [torch.empty(1, 30, 256, 256)]
        for part in (*net.encoder, *net.decoder):
            shapes.append(part(shapes[-1]))
    found = [tuple(s.shape[1:3]) for s in shapes]
    for level in ((512, 64), (512, 32), (256, 32), (256, 16), (128, 16)):
        assert level in found
    assert shapes[-1].shape == shapes[0].shape


def test_the_overview_names_papers_and_literal_switches():
    row = overview("memae-128")
    assert row["paper"] == "MemAE (Gong et al., ICCV 2019, arXiv 1904.02639)"
    assert (row["size"], row["history"]) == (128, 16)
    assert row["literal"] == ["literal=true", "address=literal"]
    assert row["published_gmac"] is None
    assert literal_switches(default_config("msti-net")) == [
        "literal=true", "memory_temperature=1", "memory_write=all", "literal_compact=true",
    ]  # fmt: skip
    # A size whose values are the print's already is not told to take them.
    assert "head=direct" in literal_switches(default_config("stnmamba-128"))
    assert "head=direct" not in literal_switches(default_config("stnmamba"))
    assert literal_switches(default_config("mnad")) == []


# ---- settings


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("ffp", {"size": 100}, "size: .*multiple of 8, found 100"),
        ("mnad", {"size": 100}, "size: .*multiple of 8"),
        ("mnad", {"items": 1}, "items: .*greater than or equal to 2"),
        ("conv-ae", {"size": 120}, "size: .*multiple of 16"),
        ("convlstm-ae", {"size": 100}, "size: .*multiple of 8"),
        ("memae", {"history": 12}, "history: .*multiple of 8"),
        ("memae", {"size": 40}, "size: .*multiple of 16"),
    ],
)
def test_what_cannot_be_built_is_explained(name, changes, said):
    with pytest.raises(ConfigError, match=said) as error:
        type(default_config(name)).read(changes)
    assert "Value error" not in str(error.value)


# ---- U-Net, FFP


def test_a_skip_carries_what_the_bottleneck_does_not():
    net = UNet(6, 4).eval()
    x = torch.randn(1, 6, 32, 32)
    bottom, skips = net.encode(x)
    assert bottom.shape == (1, 32, 4, 4)
    assert [tuple(s.shape[1:]) for s in skips] == [(4, 32, 32), (8, 16, 16), (16, 8, 8)]
    blind = net.decode(bottom, [torch.zeros_like(s) for s in skips])
    assert not torch.allclose(blind, net.decode(bottom, skips))


def test_a_bare_encoder_ends_without_norm_and_relu():
    found, _ = UNet(6, 4, bare=True).encode(torch.randn(2, 6, 32, 32))
    assert float(found.detach().min()) < 0
    found, _ = UNet(6, 4).encode(torch.randn(2, 6, 32, 32))
    assert float(found.detach().min()) == 0


def test_ffp_is_held_against_the_frame_to_come():
    net = FFP(FFPConfig(size=16, width=2, lambda_gradient=0.5)).eval()
    clip = video(0, 7, 16, 2)
    out = net(clip[:, :-1])
    want = torch.stack([net(clip[:, i : i + 4]).frame[:, 0] for i in range(3)], 1)
    torch.testing.assert_close(out.frame, want)
    parts = net.losses(out, clip)
    torch.testing.assert_close(parts["frame"], ((want - clip[:, 4:]) ** 2).mean())
    torch.testing.assert_close(
        parts["gradient"], 0.5 * losses.gradient(want, clip[:, 4:], absolute=True)
    )


def test_lucas_kanade_sees_a_shift():
    g = torch.Generator().manual_seed(0)
    noise = F.interpolate(torch.rand(1, 1, 12, 12, generator=g), (64, 64), mode="bicubic")
    before = (2 * noise - 1).clamp(-1, 1).expand(-1, 3, -1, -1)
    for down, right in ((0, 1), (1, 0), (-1, 1)):
        now = before.roll((down, right), (2, 3))
        flow = lucas_kanade(now, before)
        assert flow.shape == (1, 2, 32, 32)
        middle = flow[0, :, 8:-8, 8:-8].mean((1, 2))
        torch.testing.assert_close(middle, -torch.tensor([right, down]) / 2, rtol=0, atol=0.08)
    assert float(lucas_kanade(before, before).abs().max()) == 0
    flat = torch.zeros(1, 3, 32, 32)
    assert bool(lucas_kanade(flat, flat + 0.1).isfinite().all())


def test_lucas_kanade_is_least_squares():
    now, then = torch.randn(2, 1, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    found = lucas_kanade(now, then)[0, :, 5, 6]
    a, b = (F.avg_pool2d(x.mean(1, keepdim=True), 2)[0, 0].numpy() for x in (now, then))
    rows, wanted = [], []
    for i in range(1, 10):
        for j in range(2, 11):
            middle = (a + b) / 2
            rows.append([(middle[i, j + 1] - middle[i, j - 1]) / 2,
                         (middle[i + 1, j] - middle[i - 1, j]) / 2])  # fmt: skip
            wanted.append(a[i, j] - b[i, j])
    rows = np.array(rows)
    want = np.linalg.solve(rows.T @ rows + 81 * FLAT * np.eye(2), rows.T @ np.array(wanted))
    np.testing.assert_allclose(found.numpy(), want, rtol=1e-4)


def test_ffp_flow_term():
    net = FFP(FFPConfig(size=32, width=2, lambda_flow=2.0))
    clip = video(0, 5, 32, 2)
    right = Prediction(clip[:, 4:], None)
    assert float(net.losses(right, clip)["flow"]) == 0
    still = Prediction(clip[:, 3:4].clone().requires_grad_(), None)
    loss = net.losses(still, clip)["flow"]
    want = 2 * lucas_kanade(clip[:, 4], clip[:, 3]).abs().mean()  # a still picture has no flow
    torch.testing.assert_close(loss, want)
    loss.backward()
    assert float(still.frame.grad.abs().max()) > 0


def test_ffp_adversarial_terms_each_train_their_own_network():
    torch.manual_seed(0)
    net = FFP(FFPConfig(size=32, width=4, lambda_adversarial=0.05)).train()
    clip = video(0, 5, 32, 2)
    out = net(clip[:, :-1])
    parts = net.losses(out, clip)
    fake, real = out.frame[:, 0], clip[:, 4]
    taken = 0.05 * ((net.judge(fake) - 1) ** 2).mean() / 2
    torch.testing.assert_close(parts["adversarial"], taken)
    judged = ((net.judge(real) - 1) ** 2).mean() / 2 + (net.judge(fake) ** 2).mean() / 2
    torch.testing.assert_close(parts["judge"], judged)
    parts["adversarial"].backward(retain_graph=True)
    assert all(p.grad is None for p in net.judge.parameters())
    assert net.unet.picture.weight.grad is not None
    net.zero_grad()
    parts["judge"].backward()
    assert all(p.grad is not None for p in net.judge.parameters())
    assert net.unet.picture.weight.grad is None
    assert FFP(FFPConfig(size=32, width=4)).judge is None


def test_the_judge_tells_real_from_drawn():
    torch.manual_seed(0)
    judge = Discriminator(4)
    adam = torch.optim.Adam(judge.parameters(), 1e-2)
    real, drawn = video(1, 1, 32, 4)[:, 0], torch.zeros(4, 3, 32, 32)
    for _ in range(40):
        loss = (judge(real) - 1).square().mean() + judge(drawn).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert judge(real).shape == (4, 1, 4, 4)
    assert float((judge(real) - judge(drawn)).mean().detach()) > 0.8


# ---- MNAD


def test_the_memory_answers_a_softmax_of_its_items():
    memory = Items(3, 5).eval()
    query = F.normalize(torch.randn(2, 4, 5), dim=-1)
    answer, far = memory(query)
    for n in range(2):
        for q in range(4):
            x = query[n, q]
            weights = [math.exp(float(x @ p)) for p in memory.items]
            want = sum(w * p for w, p in zip(weights, memory.items, strict=True)) / sum(weights)
            torch.testing.assert_close(answer[n, q], want)
            distances = sorted(float((x - p).square().sum()) for p in memory.items)
            assert far[n, q].tolist() == pytest.approx(distances[:2], rel=1e-4)


def test_the_memory_takes_the_queries_nearest_to_each_item():
    memory = Items(3, 5).train()
    before, query = memory.items.clone(), F.normalize(torch.randn(6, 5), dim=-1)
    memory(query.view(2, 3, 5))
    alike = query @ before.T
    for m, item in enumerate(before):
        own = [q for q in range(6) if int(alike[q].argmax()) == m]
        v = [math.exp(float(alike[q, m])) for q in range(6)]  # over all queries, Eq. 4
        v = [x / sum(v) for x in v]
        top = max((v[q] for q in own), default=1)
        new = item + sum((v[q] / top * query[q] for q in own), torch.zeros(5))
        torch.testing.assert_close(memory.items[m], new / new.norm())


def test_mnad_losses_and_distance():
    net = MNAD(MNADConfig(size=16, width=2, items=3, margin=0.3)).eval()
    clip = video(0, 5, 16, 2)
    out = net(clip[:, :-1])
    found, _ = net.unet.encode(clip[:, :4].flatten(1, 2))
    query = F.normalize(found, dim=1).flatten(2).mT  # n q d
    far = torch.cdist(query, net.memory.items.expand(2, -1, -1)).sort(-1).values
    parts = net.losses(out, clip)
    torch.testing.assert_close(parts["compact"], 0.1 * far[..., 0].square().mean())
    triplet = far[..., 0].square() - far[..., 1].square() + 0.3
    torch.testing.assert_close(parts["separate"], 0.1 * triplet.clamp_min(0).mean())
    torch.testing.assert_close(out.terms["distance"][:, 0], far[..., 0].mean(1))
    torch.testing.assert_close(parts["frame"], (out.frame[:, 0] - clip[:, 4]).square().mean())


def test_mnad_scores_a_video_as_its_paper():
    net = MNAD(MNADConfig(size=16, width=2))
    psnr = np.array([np.nan, 30.0, 20.0, 25.0])
    distance = np.array([np.nan, 0.2, 0.3, 0.4])
    score = net.paper_score({"psnr": psnr, "distance": distance})
    np.testing.assert_allclose(score[1:], [0, 0.6 + 0.4 * 0.5, 0.6 * 0.5 + 0.4])
    assert np.isnan(score[0])


def test_minmax():
    np.testing.assert_allclose(minmax(np.array([2.0, 4.0, 3.0])), [0, 1, 0.5])
    assert minmax(np.array([2.0, 2.0])).tolist() == [0, 0]
    assert np.isnan(minmax(np.array([np.nan]))).all()
    assert minmax(np.array([])).shape == (0,)


# ---- reconstruction


def test_a_reconstruction_is_held_against_its_own_window():
    net = ConvAE(ConvAEConfig(size=32, width=8, history=3)).eval()
    clip = video(0, 6, 32, 2)
    out = net(clip[:, :-1])
    assert net.reconstructs
    wrong = []
    for i in range(3):
        shown = clip[:, i : i + 3]
        again, _ = net.rebuild(shown)
        wrong.append((again - shown).square())
        torch.testing.assert_close(out.frame[:, i], again[:, -1])
        torch.testing.assert_close(out.terms["clip_error"][:, i], wrong[-1].mean((1, 2, 3, 4)))
    torch.testing.assert_close(net.losses(out, clip)["clip"], torch.stack(wrong).mean())
    terms = {"psnr": np.array([1.0, 2.0]), "clip_error": np.array([np.nan, 0.5])}
    np.testing.assert_array_equal(net.paper_score(terms), [np.nan, 0.5])


def test_a_convlstm_step_by_step():
    layer = ConvLSTM(2, 3)
    x = torch.randn(1, 4, 2, 5, 6)
    out = cell = torch.zeros(1, 3, 5, 6)
    weight, bias = layer.gates.weight, layer.gates.bias
    for t in range(4):
        both = torch.cat((x[:, t], out), 1)
        i, f, o, g = (
            F.conv2d(both, weight[3 * n : 3 * n + 3], bias[3 * n : 3 * n + 3], padding=1)
            for n in range(4)
        )
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        out = torch.sigmoid(o) * torch.tanh(cell)
        torch.testing.assert_close(layer(x)[:, t], out)


@torch.no_grad()
@pytest.mark.parametrize("cosine", [False, True])
def test_sparse_addressing(cosine):
    memory = SparseMemory(6, 4, 0.2, cosine)
    query = 3 * torch.randn(5, 4)
    read, weight = memory(query)
    for q in range(5):
        alike = [float(query[q] @ item) for item in memory.items]
        if cosine:
            alike = [float(F.cosine_similarity(query[q], item, 0)) for item in memory.items]
        w = [math.exp(a) / sum(map(math.exp, alike)) for a in alike]
        kept = [x if x > 0.2 else 0.0 for x in w]
        if not sum(kept):
            kept = [x if x == max(w) else 0.0 for x in w]
        kept = [x / sum(kept) for x in kept]
        assert weight[q].tolist() == pytest.approx(kept, rel=1e-4)
        want = sum(x * item for x, item in zip(kept, memory.items, strict=True))
        torch.testing.assert_close(read[q], want)


def test_under_a_cosine_next_to_nothing_passes_the_threshold():
    """Why the inner product is the default: DEVIATION (1) of memae."""
    weights = []
    for cosine in (True, False):
        torch.manual_seed(0)
        memory = SparseMemory(2000, 256, 0.0025, cosine)
        weights.append(memory(2 * torch.randn(50, 256))[1])
    cosine, dot = ((w > 0).sum(-1).float().mean() for w in weights)
    assert float(cosine) == 1  # its best item alone: all other weights stay below
    assert float(dot) > 10
    at_right_angles = math.e / (math.e + 1999)
    assert at_right_angles < 0.0025


def test_memae_losses():
    net = MemAE(MemAEConfig(size=16, widths=(2, 3, 4, 4), history=8, items=5, lambda_entropy=0.5))
    net.eval()
    clip = video(0, 9, 16, 2)
    out = net(clip[:, :-1])
    query = net.encoder(clip[:, :8].transpose(1, 2)).movedim(1, -1)
    _, weight = net.memory(query)
    entropy = torch.special.entr(weight).sum(-1).mean()
    parts = net.losses(out, clip)
    torch.testing.assert_close(parts["entropy"], 0.5 * entropy)
    wrong = (out.features["clip"] - clip[:, :8]).square().mean()
    torch.testing.assert_close(parts["clip"], wrong)
