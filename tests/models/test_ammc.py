"""AMMC-Net: pools, transfer, what the decoders read, losses and score against plain versions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contract import video

from oddframe import losses
from oddframe.errors import ConfigError
from oddframe.models import default_config
from oddframe.models.ammc import IDLE, AMMCConfig, AMMCNet, Pool
from oddframe.models.info import describe
from oddframe.models.memory import far_apart

SIZE = 16


def tiny(**changes):
    return AMMCConfig.read({"size": SIZE, "width": 2, "items": 3} | changes)


def made(seed=0, **changes):
    torch.manual_seed(seed)
    return AMMCNet(tiny(**changes)).eval()


def pool(items=4, width=6, decay=0.9):
    torch.manual_seed(1)
    made = Pool(width, items, decay)
    made.started.fill_(1)
    return made


def queries(n, q, width=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, q, width, generator=g), dim=-1)


def squared(x, y):
    """Squared distances of two maps (n, d, h, w) at every place, one after the other: (n, q)."""
    n, _, h, w = x.shape
    places = [(r, c) for r in range(h) for c in range(w)]
    rows = [[(x[i, :, r, c] - y[i, :, r, c]).pow(2).sum() for r, c in places] for i in range(n)]
    return torch.stack([torch.stack(row) for row in rows])


# ---- the pools


def test_a_query_is_answered_by_the_nearest_item():
    memory, query = pool().eval(), queries(2, 5)
    memory.items.mul_(torch.tensor([0.3, 0.7, 1.0, 0.5])[:, None])  # averages are shorter than 1
    answer = memory(query)
    for n in range(2):
        for q in range(5):
            far = [float((query[n, q] - item).norm()) for item in memory.items]
            assert torch.equal(answer[n, q], memory.items[int(np.argmin(far))])


def test_an_answer_is_by_distance_not_by_likeness():
    memory = pool(2, 2).eval()
    memory.items.copy_(torch.tensor([[3.0, 0.0], [0.5, 0.5]]))
    query = torch.tensor([[[1.0, 0.0]]])  # the first item's product is larger, its distance too
    assert torch.equal(memory(query)[0, 0], memory.items[1])


def test_a_write_is_a_moving_average_of_the_queries_won():
    memory = pool().train()
    memory.count.copy_(torch.tensor([3.0, 1.0, 2.0, 4.0]))
    storage = [memory.items.data_ptr(), memory.count.data_ptr()]
    # Sums and counts apart, as VQ-VAE keeps them.
    counts = memory.count.tolist()
    sums = [n * item.clone() for n, item in zip(counts, memory.items, strict=True)]
    for seed in range(3):
        query, before = queries(2, 5, seed=seed), memory.items.clone()
        memory(query)
        flat = query.flatten(0, 1)
        chosen = [int((q - before).norm(dim=1).argmin()) for q in flat]
        for i in range(4):
            won = [q for q, c in zip(flat, chosen, strict=True) if c == i]
            counts[i] = 0.9 * counts[i] + 0.1 * len(won)
            sums[i] = 0.9 * sums[i] + 0.1 * sum(won, torch.zeros(6))
            torch.testing.assert_close(memory.items[i], sums[i] / counts[i])
        torch.testing.assert_close(memory.count, torch.tensor(counts))
    assert [memory.items.data_ptr(), memory.count.data_ptr()] == storage


def test_queries_are_answered_before_they_are_written():
    memory, query = pool().train(), queries(2, 5)
    before = memory.items.clone()
    answer = memory(query)
    assert not torch.equal(memory.items, before)
    nearest = torch.cdist(query, before.expand(2, -1, -1)).argmin(-1)
    assert torch.equal(answer, before[nearest])


def test_idle_items_start_anew_at_queries_of_the_batch():
    memory = pool(4, 6, decay=0.5).train()
    idle = [1, 3]
    memory.items.copy_(torch.eye(4, 6))
    memory.items[idle] = -memory.items[[0, 2]]  # nobody's
    before = memory.items.clone()
    memory.count.fill_(2.0)
    query = torch.eye(6)[[0, 0, 0, 2, 2, 2, 4, 5]][None]
    fair, batches = 8 / 4, 0
    while torch.equal(memory.items[idle], before[idle]):
        memory(query)
        batches += 1
    halvings = int(np.ceil(np.log2(1 / IDLE)))  # until the count is below IDLE of the fair share
    assert batches == halvings
    assert all(any(torch.equal(memory.items[i], q) for q in query[0]) for i in idle)
    assert memory.count[idle].tolist() == [fair, fair]
    for _ in range(40):  # whoever finds its place taken starts anew until it finds a free one
        memory(query)
    assert (memory.count >= IDLE * fair).all()


def test_features_keep_both_signs_and_a_mean_of_zero():
    model = made().train()
    for stream in (model.app, model.motion):
        x = torch.randn(4, stream.unet.encoder[0][0].in_channels, SIZE, SIZE)
        found = stream.unet.encode(x)[0].detach()
        assert found.min() < 0 < found.max()
        torch.testing.assert_close(
            found.mean((0, 2, 3)), torch.zeros(found.shape[1]), atol=1e-5, rtol=0
        )


def test_a_pool_starts_at_queries_far_apart_and_only_once():
    memory = pool(3)
    memory.started.zero_()
    g = torch.Generator().manual_seed(0)
    near = torch.eye(3, 6).repeat(20, 1) + 0.01 * torch.randn(60, 6, generator=g)
    query = F.normalize(near, dim=-1)[None]
    memory.eval()(query)
    assert memory.started == 0
    memory.train()(query)
    assert memory.started == 1
    assert sorted(memory.items[:, :3].argmax(1).tolist()) == [0, 1, 2]
    assert memory.count.tolist() == [20, 20, 20]
    before = memory.items.clone()
    memory(-query)
    assert (memory.items * before).sum(1).min() > 0.5  # not started anew


def test_far_apart_takes_what_is_least_like_all_before():
    query = queries(1, 30)[0]
    chosen = [0]
    while len(chosen) < 6:
        likest = [max(float(q @ query[c]) for c in chosen) for q in query]
        chosen.append(int(np.argmin(likest)))
    assert torch.equal(far_apart(query, 6), query[chosen])
    assert far_apart(query[:2], 5).shape == (5, 6)  # fewer queries than asked for


# ---- between encoder and decoder


def heard(model):
    """What every part of interest got and gave in the next call, by name."""
    seen = {}
    for name, part in model.named_modules():
        if name.split(".")[-1] in ("pool", "transfer", "join"):
            part.register_forward_hook(
                lambda _, given, out, name=name: seen.update({name: (given[0], out)})
            )
    return seen


def as_map(answer):
    """(n, q, d) -> (n, d, h, w) of a tiny model."""
    return answer.mT.unflatten(2, (SIZE // 8, SIZE // 8))


def test_each_decoder_reads_the_original_the_answer_and_the_transferred_feature():
    model = made()
    seen, clip = heard(model), video(0, 5, SIZE, 2)
    out = model(clip[:, :-1])
    flows = model.take(clip[:, :-1])[:, 1:, 3:]
    streams = {
        "app": (model.app, clip[:, :4].flatten(1, 2), "motion.transfer", out.frame),
        "motion": (model.motion, flows.flatten(1, 2), "app.transfer", out.motion),
    }
    for name, (stream, given, other, drawn) in streams.items():
        found, skips = stream.unet.encode(given)
        original = found / found.norm(dim=1, keepdim=True)
        answer = as_map(seen[f"{name}.pool"][1])
        own, transferred = seen[f"{name}.transfer"][0], seen[other][1]
        torch.testing.assert_close(own, answer)  # Phi reads the answer, not the encoding
        want = torch.cat((original, answer, transferred), 1)
        torch.testing.assert_close(seen[f"{name}.join"][0], want)
        torch.testing.assert_close(drawn[:, 0], stream.unet.decode(stream.join(want), skips))
    assert out.motion.shape == (2, 1, 2, SIZE, SIZE)
    assert model.motion_is_next


def test_the_flow_is_held_against_that_to_the_frame_to_come():
    model, clip = made(flow="rgbdiff", lambda_motion=3.0), video(0, 6, SIZE, 2)
    out = model(clip[:, :-1])
    truth = (clip[:, 4:] - clip[:, 3:-1]) / 2
    want = 3 * (out.motion - truth).abs().mean()
    torch.testing.assert_close(model.losses(out, clip)["motion"], want)


def test_distances_and_terms():
    model = made()
    seen, clip = heard(model), video(0, 4, SIZE, 2)
    out = model(clip)
    commit, consistency, transfer = [], [], []
    for own, other in (("app", "motion"), ("motion", "app")):
        encoded = as_map(seen[f"{own}.pool"][0])
        answer, transferred = as_map(seen[f"{own}.pool"][1]), seen[f"{other}.transfer"][1]
        commit.append(squared(encoded, answer))
        consistency.append(squared(transferred, answer))
        transfer.append(squared(encoded, transferred))
    torch.testing.assert_close(out.features["commit"], torch.stack(commit, 1))
    torch.testing.assert_close(out.features["consistency"], torch.stack(consistency, 1))
    assert out.terms.keys() == {"commit", "transfer"}
    torch.testing.assert_close(out.terms["commit"][:, 0], torch.stack(commit).mean((0, 2)))
    torch.testing.assert_close(out.terms["transfer"][:, 0], torch.stack(transfer).mean((0, 2)))


def test_losses_are_named_and_weighted():
    weights = {"gradient": 0.5, "motion": 2.0, "commit": 0.3, "consistency": 0.7}
    model = made(**{f"lambda_{name}": w for name, w in weights.items()})
    clip = video(0, 6, SIZE, 2)
    out = model(clip[:, :-1])
    moved = torch.stack([model.moved(clip[:, t - 1], clip[:, t]) for t in (4, 5)], 1)
    commit, consistency = out.features["commit"], out.features["consistency"]  # n 2 q
    want = {
        "frame": (out.frame - clip[:, 4:]).square().mean(),
        "gradient": 0.5 * losses.gradient(out.frame, clip[:, 4:], absolute=True),
        "motion": 2.0 * (out.motion - moved).abs().mean(),
        "commit": 0.3 * (commit[:, 0].mean() + commit[:, 1].mean()),
        "consistency": 0.7 * (consistency[:, 0].mean() + consistency[:, 1].mean()),
    }
    found = model.losses(out, clip)
    assert found.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(found[name], value)


# ---- where gradients go


def reached(model, loss):
    """Names of the parts that the loss moves."""
    model.zero_grad()
    loss.backward(retain_graph=True)
    moves = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    return {".".join(n.split(".")[: 3 if ".unet." in n else 2]) for n in moves}


def test_commit_moves_the_encoders_alone():
    model, clip = made().train(), video(0, 4, SIZE, 2)
    commit = model(clip).features["commit"]
    assert reached(model, commit.mean()) == {"app.unet.encoder", "motion.unet.encoder"}
    assert reached(model, commit[:, 0].mean()) == {"app.unet.encoder"}
    assert reached(model, commit[:, 1].mean()) == {"motion.unet.encoder"}


def test_consistency_moves_who_transfers_and_not_what_it_is_held_against():
    model, clip = made().train(), video(0, 4, SIZE, 2)
    consistency = model(clip).features["consistency"]
    # [:, 0]: what motion says of appearance, against the answer of the appearance pool.
    assert reached(model, consistency[:, 0].mean()) == {"motion.unet.encoder", "motion.transfer"}
    assert reached(model, consistency[:, 1].mean()) == {"app.unet.encoder", "app.transfer"}


def test_the_gradient_behind_an_answer_is_that_of_its_query():
    model, clip = made(), video(0, 4, SIZE, 2)
    seen = {}

    def keep(name, x):
        seen[name] = x
        x.retain_grad()

    model.app.unet.encoder[-1].register_forward_hook(lambda _, given, out: keep("found", out))
    model.app.transfer.register_forward_pre_hook(lambda _, given: keep("answer", given[0]))
    model(clip).features["consistency"][:, 1].mean().backward()
    assert seen["answer"].grad.abs().max() > 0
    found = seen["found"].detach().requires_grad_()
    F.normalize(found, dim=1).backward(seen["answer"].grad)
    torch.testing.assert_close(seen["found"].grad, found.grad)


def test_the_pools_are_written_in_training_only_and_never_by_a_gradient():
    model, clip = made(), video(0, 5, SIZE, 2)
    kept = {name: value.clone() for name, value in model.state_dict().items() if "pool" in name}
    assert len(kept) == 6
    model(clip)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in kept.items())
    model.train()(clip)
    assert not any(torch.equal(model.state_dict()[name], value) for name, value in kept.items())
    assert not any("pool" in name for name, _ in model.named_parameters())


def test_the_items_stay_apart_while_it_learns():
    model = made(items=4, width=4, size=32, flow="rgbdiff").train()
    clip = video(0, 6, 32, 2)
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(30):
        loss = sum(model.losses(model(clip[:, :-1]), clip).values())
        adam.zero_grad()
        loss.backward()
        adam.step()
    for stream in (model.app, model.motion):
        assert torch.pdist(stream.pool.items).min() > 0.05
        assert (stream.pool.count > IDLE * 4 * 16 / 4).all()  # 4 windows of 16 queries, 4 items


# ---- the paper's score


def slow_score(columns, weights):
    """Weighted mean of the columns, each rescaled by its extremes, frame by frame."""
    out = []
    for row in zip(*columns, strict=True):
        total = 0.0
        for value, column, weight in zip(row, columns, weights, strict=True):
            known = [v for v in column if v == v]
            span = max(known) - min(known)
            total += weight * ((value - min(known)) / span if span else 0.0 * value)
        out.append(total / sum(weights))
    return out


@pytest.mark.parametrize(("motion", "commit"), [(1.0, 1.0), (0.5, 2.0), (0.0, 0.3)])
def test_the_score_is_a_weighted_mean_of_rescaled_terms(motion, commit):
    model = made(score_motion=motion, score_commit=commit)
    rng = np.random.default_rng(0)
    names = ("psnr_frame", "psnr_motion", "commit", "transfer", "psnr")
    terms = {name: rng.normal(30, 4, 40) for name in names}
    for column in terms.values():
        column[:4] = np.nan
    latent = terms["commit"] + terms["transfer"]
    found = model.paper_score(terms)
    columns = (-terms["psnr_frame"], -terms["psnr_motion"], latent)
    np.testing.assert_allclose(found, slow_score(columns, (1, motion, commit)))
    assert np.isnan(found).tolist() == [True] * 4 + [False] * 36
    # What the contract knows: no flow, one PSNR.
    bare = {name: terms[name] for name in ("psnr", "commit", "transfer")}
    want = slow_score((-terms["psnr"], latent), (1, commit))
    np.testing.assert_allclose(model.paper_score(bare), want)


def test_terms_that_never_change_say_nothing():
    model, flat = made(), np.full(3, 20.0)
    terms = dict.fromkeys(("psnr", "psnr_frame", "commit", "transfer"), flat)
    assert model.paper_score(terms).tolist() == [0, 0, 0]
    found = model.paper_score(terms | {"psnr_motion": np.array([30.0, 20, 10])})
    np.testing.assert_allclose(found, [0, 1 / 6, 1 / 3])


# ---- sizes and settings


def test_parameters_beside_the_published():
    info, small = describe("ammc"), describe("ammc-128")
    items = 2 * 256 * 512
    assert (info["parameters"] + items) / 1e6 == pytest.approx(25.0, rel=0.01)
    # DEVIATION (8): the print is near twice as many multiply-adds.
    assert 2 * info["gmac_per_frame"] == pytest.approx(169.5, rel=0.02)
    assert info["published"]["gmac"] == 169.5
    assert small["gmac_per_frame"] == pytest.approx(info["gmac_per_frame"] / 16, rel=0.02)
    assert (small["size"], small["published"]) == (128, None)
    assert default_config("ammc") == AMMCConfig()


@pytest.mark.parametrize("flow", ["dis", "rgbdiff", "file"])
def test_the_flow_that_is_read_is_the_flow_that_is_drawn(flow):
    model = made(flow=flow)
    clip = video(0, 5, SIZE, 2)
    if flow == "file":
        clip = torch.cat((clip, clip[:, :, :2]), 2)
    out = model(clip[:, :-1])
    truth = model.moved(clip[:, 3], clip[:, 4])
    assert out.motion[:, 0].shape == truth.shape
    assert out.frame.shape == (2, 1, 3, SIZE, SIZE)
    assert all(bool(part.isfinite()) for part in model.losses(out, clip).values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 100}, "size: .*multiple of 8, found 100"),
        ({"items": 1}, "items: .*greater than or equal to 2"),
        ({"decay": 1.0}, "decay: .*less than 1"),
        ({"history": 1}, "history: .*greater than or equal to 2"),
        ({"flow": "raft"}, "flow: .*'dis', 'rgbdiff' or 'file', found 'raft'"),
        ({"lambda_comit": 1}, "Did you mean lambda_commit"),
    ],
)
def test_what_cannot_be_built_is_explained(changes, said):
    with pytest.raises(ConfigError, match=said):
        tiny(**changes)
