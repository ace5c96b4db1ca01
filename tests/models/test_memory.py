"""The memory of prototypes: reading, writing in training only, and its slow twin."""

import m2s2l_plain as plain
import pytest
import torch
import torch.nn.functional as F
from m2s2l_plain import made, video, weights

from oddframe.models.in_use import items_in_use
from oddframe.models.memory import MOVES, Memory, MemoryConfig, far_apart

READS = ["replace", "add", "concat"]


def memory(items=5, **options):
    torch.manual_seed(0)
    knobs = {"start": "random", "revive": False, **options, "items": items}
    m = Memory(4, MemoryConfig.read({f"memory_{k}": v for k, v in knobs.items()})).double()
    m.scale.data.fill_(1.7)
    return m


def queries(*shape, seed=1):
    return torch.randn(*shape, 4, generator=torch.Generator().manual_seed(seed)).double()


def slow_write(items, queries, momentum):
    """Each item moves towards the similarity-weighted mean of the queries nearest to it."""
    chosen = {m: [] for m in range(len(items))}
    for q in queries:
        q = q / q.norm()
        cosines = [float(q @ item) for item in items]
        nearest = max(range(len(items)), key=cosines.__getitem__)
        chosen[nearest].append((max(cosines[nearest], 0) + 1e-6, q))
    out = items.clone()
    for m, pairs in chosen.items():
        if pairs:
            mean = sum(w * q for w, q in pairs) / sum(w for w, _ in pairs)
            moved = momentum * items[m] + (1 - momentum) * mean
            out[m] = moved / moved.norm()
    return out


@pytest.mark.parametrize("read", READS)
def test_read(read):
    m = memory(read=read).eval()
    x = queries(2, 3)
    torch.testing.assert_close(m(x), plain.recall(weights(m), x, read))


def test_a_read_by_hand():
    m = memory(items=2, read="replace", temperature=1.0).eval()
    m.items.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]))
    x = torch.tensor([3.0, 4.0, 0, 0]).double()  # cosines .6 and .8
    first = 1 / (1 + torch.tensor(0.2).exp())
    want = 1.7 * torch.tensor([first, 1 - first, 0, 0])
    torch.testing.assert_close(m(x), want.double())


def test_a_replaced_feature_keeps_nothing_but_its_direction():
    m = memory(read="replace").eval()
    x = queries(6)
    torch.testing.assert_close(m(100 * x), m(x))
    assert torch.isfinite(m(torch.zeros_like(x))).all()


@pytest.mark.parametrize("read", READS)
def test_reading_is_the_same_in_training(read):
    m = memory(read=read)
    x = queries(3, 3)
    before = m.items.clone()
    found = m(x)
    m.items.copy_(before)
    assert torch.equal(found, m.eval()(x))


@pytest.mark.parametrize("read", READS)
def test_eval_writes_nothing(read):
    m = memory(read=read).eval()
    before = m.items.clone()
    for i in range(3):
        m(queries(50, seed=i))
    assert torch.equal(m.items, before)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("count", [1, 4, 60])
@pytest.mark.parametrize("items", [1, 7])  # a lone item is nearest even to what points away
def test_write_equals_its_slow_twin(momentum, count, items):
    m = memory(items=items, momentum=momentum)
    x = queries(count)
    want = slow_write(m.items, x, momentum)
    untouched = (want == m.items).all(1)
    before = m.items.clone()
    m(x)
    torch.testing.assert_close(m.items, want)
    assert torch.equal(m.items[untouched], before[untouched])  # not chosen: not a bit changes


@pytest.mark.parametrize("rule", ["nearest", "all"])
def test_the_other_write_rules_by_hand(rule):
    m = memory(items=3, write=rule)
    x = F.normalize(queries(9), dim=-1)
    cosine = x @ m.items.T
    want = m.items.clone()
    for i in range(3):
        some = [q for q in range(9) if rule == "all" or int(cosine[q].argmax()) == i]
        if some:
            share = torch.tensor([float(cosine[q, i].exp()) for q in some]).double()
            v = share / share.sum()
            want[i] = F.normalize(
                m.items[i] + sum(w * x[q] for w, q in zip(v, some, strict=True)), dim=0
            )
    m(x)
    torch.testing.assert_close(m.items, want)


def test_items_begin_at_queries_of_the_first_batch_that_lie_far_apart():
    m = memory(items=3, start="apart", momentum=1.0)
    # Many alike and two that are not: drawn at random, three queries would hardly hold both.
    x = torch.tensor([[1.0, 0, 0, 0]] * 50 + [[0, 1.0, 0, 0], [0, 0, 1.0, 0]]).double()
    m(x)
    assert float(m.started) == 1
    torch.testing.assert_close(m.items @ m.items.T, torch.eye(3).double())
    before = m.items.clone()
    m(torch.tensor([[0, 0, 0, 1.0]]).double())  # momentum 1: only a new start could move them
    assert torch.equal(m.items, before)
    assert float(memory(start="random").started) == 1


def test_an_idle_item_moves_to_the_query_that_is_served_worst():
    m = memory(items=3, revive=True, momentum=1.0)
    m.items.copy_(torch.tensor([[1.0, 0, 0, 0], [0.9, 0.1, 0, 0], [-1.0, 0, 0, 0]]).double())
    m.items.copy_(F.normalize(m.items, dim=-1))
    x = F.normalize(
        torch.tensor([[1.0, 0, 0, 0], [0.9, 0.1, 0, 0], [0.5, 0, 0, 0.8]]), dim=-1
    ).double()
    kept = m.items[:2].clone()
    steps = 0
    while torch.equal(m.items[2], torch.tensor([-1.0, 0, 0, 0]).double()):
        m(x)
        steps += 1
        assert steps < 400
    assert steps > 100  # an item that happens to win nothing for a while stays
    torch.testing.assert_close(m.items[2], x[2])
    torch.testing.assert_close(m.items[:2], kept)
    torch.testing.assert_close(m.use[2], torch.tensor(1 / 3).double())
    still = memory(items=3, revive=False, momentum=1.0)
    still.items.copy_(m.items)
    still.items[2] = torch.tensor([-1.0, 0, 0, 0])
    for _ in range(400):
        still(x)
    assert float(still.items[2, 0]) == -1


def test_centred_features_are_compared_without_what_they_share():
    m = memory(items=2, centre=True, read="replace", temperature=0.01)
    shared = torch.tensor([0, 0, 0, 50.0]).double()
    x = shared + torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]).double()
    m.items.copy_(torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]))
    m(x)
    torch.testing.assert_close(m.mean, shared)  # the first batch is taken whole
    m.items.copy_(torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]))
    assert m.which(x).tolist() == [0, 1]
    torch.testing.assert_close(m.eval().recall(x), 1.7 * m.items)
    before = m.mean.clone()
    m(x + 1)  # not in eval
    assert torch.equal(m.mean, before)
    m.train()(x + 1)
    torch.testing.assert_close(m.mean, before + 0.01)


def test_only_a_few_idle_items_move_at_once():
    m = memory(items=20, revive=True, momentum=1.0)
    m.use.zero_()
    before = m.items.clone()
    m(queries(100))
    assert int(((m.items - before).abs().amax(1) > 1e-6).sum()) == MOVES


def test_items_in_use_are_those_that_a_query_is_nearest_to():
    model = made()
    model.memory["app"].items.copy_(torch.eye(6, model.config.width))
    with items_in_use(model) as counts:
        model(video(5))
    assert set(counts) == {"memory.common", "memory.app", "memory.motion"}
    places = model.grid[0] * model.grid[1]
    windows = 5 - model.history + 1
    clips = len(video(5))
    assert all(int(c.sum()) == clips * windows * places for c in counts.values())
    assert all(len(c) == 6 for c in counts.values())
    seen = {n: c.clone() for n, c in counts.items()}
    model(video(5))
    assert all(torch.equal(counts[n], seen[n]) for n in seen)  # it counts while it is open


def test_what_is_read_is_what_is_joined():
    for read in READS:
        m = memory(read=read).eval()
        x = queries(2, 3)
        torch.testing.assert_close(m(x), m.joined(x, m.recall(x)))
    torch.testing.assert_close(memory(read="add").joined(x, x[0, 0]), x + x[0, 0])


def test_far_apart_takes_again_where_there_are_too_few():
    x = torch.eye(2)
    assert far_apart(x, 3).shape == (3, 2)
    assert torch.equal(far_apart(x, 2), x)


def test_items_stay_of_unit_length_and_of_one_storage():
    m = memory(items=6, momentum=0.7)
    storage = m.items.data_ptr()
    for i in range(50):
        m(queries(20, seed=i) * 10**i if i < 5 else queries(20, seed=i))
    torch.testing.assert_close(m.items.norm(dim=1), torch.ones(6).double())
    assert m.items.data_ptr() == storage


def test_writing_moves_items_towards_what_is_seen():
    m = memory(items=3, momentum=0.9)
    seen = F.normalize(queries(1), dim=-1)
    before = (m.items @ seen.T).max()
    for _ in range(60):
        m(seen + 0.01 * queries(8))
    assert float((m.items @ seen.T).max()) > max(0.99, float(before))


def test_items_get_no_gradient_and_the_write_does_not_disturb_that_of_the_features():
    m = memory()
    assert "items" not in dict(m.named_parameters())
    assert "items" in m.state_dict()
    x = queries(5).requires_grad_()
    before = m.items.clone()
    m(x).square().sum().backward()
    assert m.items.grad is None
    assert not m.items.requires_grad
    assert not torch.equal(m.items, before)
    found, x.grad = x.grad, None
    m.items.copy_(before)
    m.eval()(x).square().sum().backward()
    torch.testing.assert_close(found, x.grad)


def test_under_bf16_autocast_items_are_written_in_their_own_precision():
    m = memory().float()
    with torch.autocast("cpu", torch.bfloat16):
        out = m(queries(9).bfloat16())
    assert m.items.dtype == torch.float32
    torch.testing.assert_close(m.items.norm(dim=1), torch.ones(5))
    out.float().sum().backward()


def test_the_model_writes_in_training_only():
    model = made()
    parts = {"common", "app", "motion"}
    assert set(model.memory) == parts
    before = {p: model.memory[p].items.clone() for p in parts}
    model(video(5))
    state = model.init_state()
    for i in range(5):
        state, _ = model.step(state, video(5)[:, i])
    assert all(torch.equal(model.memory[p].items, before[p]) for p in parts)
    model.train()(video(5))
    assert not any(torch.equal(model.memory[p].items, before[p]) for p in parts)
    for p in parts:
        torch.testing.assert_close(model.memory[p].items.norm(dim=1), torch.ones(6))


def test_without_items_there_is_no_memory_and_undivided_there_is_one():
    assert len(made(memory_items=0).memory) == 0
    assert set(made(decompose=False).memory) == {"common"}
