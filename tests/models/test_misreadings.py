"""Would its test notice if an equation were read wrongly? One plausible misreading of each.

Each is put in the place of the right reading, and the test that `test_papers.EQUATIONS` names for
the equation must fail.
"""

from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from test_papers import COUNT, EQUATIONS
from torch import nn

from oddframe import losses
from oddframe.models import memory, msti, stnmamba
from oddframe.models.base import minmax
from oddframe.models.blocks import VSSB, MultiScaleConv, depthwise, resize_tokens
from oddframe.ops.backends import BACKENDS

KERNEL, VSSB_FORWARD = MultiScaleConv.kernel, VSSB.forward
GRADIENT, SSIM, SEPARATE = losses.gradient, losses.ssim, losses.separate
WINDOW, STN_LOSSES, MSTI_LOSSES = (
    stnmamba.STNMamba.window, stnmamba.STNMamba.losses, msti.MSTINet.losses,
)  # fmt: skip
STN_SCORE = stnmamba.STNMamba.paper_score


def kernel_without_input(self):
    weight, bias = KERNEL(self)
    middle = torch.zeros_like(weight)
    middle[:, :, 2, 2] = float(self.residual)
    return weight - middle, bias


def scan(decay=lambda step, rate: step.exp() * rate, *, again=False, c=F.silu):
    """Eq. 4-6 of M2S2L with something else for A, another delta in B, or another sigma in C."""

    def _scan(self, x, bare):
        B, C = self.to_BC(bare).chunk(2, -1)
        step = F.softplus(self.delta_bias)
        A = -decay(step, self.A_log.exp())
        shown = x * step if again else x
        delta = self.delta_bias.expand_as(x)
        return BACKENDS["chunked"](shown, delta, A, F.silu(B), c(C), True, False)[0]

    return _scan


def fusion(mix=torch.mul, gate=F.silu, both=True):
    """STNMamba's Eq. 4-6 with another mixture, another gate, or one residual only."""

    def forward(self, spatial, temporal):
        hidden = [
            depthwise(into(norm(x)), conv.weight, conv.bias)
            for x, norm, into, conv in zip(
                (spatial, temporal), self.norms, self.into, self.convs, strict=True
            )
        ]
        y = self.scan_norm(self.ss2d(mix(*hidden)))
        total = spatial + temporal if both else spatial
        for out, x in zip(self.out, hidden, strict=True):
            total = total + out(y * gate(x))
        return self.attend(total)

    return forward


def recall(cosine=True, mask=True, hard=False, on_read=False):
    """STNMamba's Eq. 7-9 and 11 by inner products, from all items, from one, or wrongly weighed."""

    def forward(self, x):
        items = F.normalize(self.items, dim=-1)
        query = F.normalize(x, dim=-1).flatten(1, 2)
        near = query @ items.T
        likeness = near if cosine else x.flatten(1, 2) @ items.T
        if mask:
            weak = likeness < likeness.topk(self.kept).values[..., -1:]
            likeness = likeness.masked_fill(weak, 0.0 if self.literal else -torch.inf)
        weight = F.one_hot(near.argmax(-1), len(items)).to(x) if hard else likeness.softmax(-1)
        read = (weight @ items).view_as(x)
        apart = torch.cdist(query, items).sort(-1).values[..., :2]
        return (x + self.share * read if on_read else self.share * x + read), apart

    return forward


def written_over_items(items, query, likeness, *, nearest):
    v = likeness.softmax(-1)  # over the items, not over the queries
    return F.normalize(items + (v.T @ query).to(items), dim=-1)


def hardest(self, y):
    """MSTI-Net's Eq. 4 from the nearest item alone."""
    query = F.normalize(y.float(), dim=-1)
    cosine = query @ self.items.float().T
    weights = F.one_hot(cosine.argmax(-1), len(self.items)).float()
    read = weights @ self.items.float()
    likeness = F.cosine_similarity(read, query, dim=-1)
    return read, {"weights": weights, "likeness": likeness, "distance": 1 - likeness}


def parts_times(original, **factors):
    def changed(self, prediction, clip):
        return {n: x * factors.get(n, 1.0) for n, x in original(self, prediction, clip).items()}

    return changed


def farthest(self, frames):
    out = WINDOW(self, frames)
    for i in (1, 2, 3, 4):
        out.terms[f"distance_{i}"] = out.features[f"nearest_{i}"][..., 0].amax(1)
    return out


def second_nearest(self, prediction, clip):
    prediction.features.update({n: x.flip(-1) for n, x in prediction.features.items()})
    parts = STN_LOSSES(self, prediction, clip)
    prediction.features.update({n: x.flip(-1) for n, x in prediction.features.items()})
    return parts


def summed(self, terms):
    far = sum(minmax(terms[f"distance_{i}"]) for i in (1, 2, 3, 4))
    return 0.8 * minmax(-terms["psnr"]) + 0.2 * far


def absolute_error(prediction, target):
    return (prediction - target).abs().mean()


def unsquared(app, motion, *, literal):
    """M2S2L's Eq. 9 with the norm of the product of all tokens, where its square is meant."""
    if not literal:
        return SEPARATE(app, motion)
    product = app @ motion.transpose(-1, -2)
    return product.abs().mean() - F.cosine_similarity(app, motion, dim=-1).mean()


def plain_pointwise(c_in, hidden, c_out):
    return nn.Sequential(nn.Conv2d(c_in, hidden, 1), nn.Identity(), nn.Conv2d(hidden, c_out, 1))


def averaged(self, maps):
    return torch.stack([resize_tokens(g, self.grid) for g in maps]).mean(0)


def twice_gated(y, weigh):
    gate = torch.sigmoid(weigh(y.mean((1, 2)))) + torch.sigmoid(weigh(y.amax((1, 2))))
    return y * gate[:, None, None]


CA, ASTFM = msti.ChannelAttention.forward, msti.ASTFM.forward
STN, MSTI = "oddframe.models.stnmamba", "oddframe.models.msti"
TMB = "oddframe.models.temporal.TMB._scan"
WRONG = {
    ("M2S2L", 1): (
        "oddframe.models.blocks.MultiScaleConv.kernel", lambda self: [x / 3 for x in KERNEL(self)],
    ),
    ("M2S2L", 2): ("oddframe.models.blocks.MultiScaleConv.kernel", kernel_without_input, "stem"),
    ("M2S2L", 3): ("oddframe.models.m2s2l.M2S2L.spatial", averaged, "default"),
    ("M2S2L", 4): (TMB, scan(lambda step, rate: (step * rate).exp()), True, 3),
    ("M2S2L", 5): (TMB, scan(again=True), True, 3),
    ("M2S2L", 6): (TMB, scan(c=lambda x: x), True, 3),
    ("M2S2L", 7): ("oddframe.losses.gradient", lambda a, b: GRADIENT(a, b, absolute=True)),
    ("M2S2L", 8): ("oddframe.losses.ssim", lambda a, b: SSIM(a, b, value_range=1.0)),
    ("M2S2L", 9): ("oddframe.losses.separate", unsquared),
    ("M2S2L", "score"): ("oddframe.scoring.scorer.PEAK", 1.0),
    ("STNMamba", 1): ("oddframe.models.blocks.VSSB.forward", lambda m, x: VSSB_FORWARD(m, x) - x),
    ("STNMamba", 2): (
        f"{STN}.ScaleVSSB.forward",
        lambda self, x: self.block(self.narrow(F.gelu(self.convs(self.widen(x))))),
    ),
    ("STNMamba", 3): (
        f"{STN}.ChannelVSSB.forward",
        lambda self, x: twice_gated(self.block(x), self.weigh),
    ),
    ("STNMamba", 4): (f"{STN}.STFB.forward", fusion(mix=torch.add)),
    ("STNMamba", 5): (f"{STN}.STFB.forward", fusion(gate=torch.sigmoid)),
    ("STNMamba", 6): (f"{STN}.STFB.forward", fusion(both=False)),
    ("STNMamba", 7): (f"{STN}.MemoryBank.forward", recall(hard=True), 0.6, 4, False),
    ("STNMamba", 8): (f"{STN}.MemoryBank.forward", recall(cosine=False), 0.6, 4, False),
    ("STNMamba", 9): (f"{STN}.MemoryBank.forward", recall(mask=False), 0.6, 4, False),
    ("STNMamba", 10): (f"{STN}.written", written_over_items, True),
    ("STNMamba", 11): (f"{STN}.MemoryBank.forward", recall(on_read=True), 0.6, 4, False),
    ("STNMamba", 12): (f"{STN}.STNMamba.losses", parts_times(STN_LOSSES, compact=0.25)),
    ("STNMamba", 13): ("oddframe.losses.intensity", absolute_error),
    ("STNMamba", 14): (f"{STN}.STNMamba._separate", lambda self, d: F.relu(d[..., 0] - d[..., 1])),
    ("STNMamba", 15): (f"{STN}.STNMamba.losses", second_nearest),
    ("STNMamba", 16): ("oddframe.scoring.scorer.PEAK", 1.0),
    ("STNMamba", 17): (f"{STN}.STNMamba.window", farthest),
    ("STNMamba", 18): (f"{STN}.STNMamba.paper_score", summed),
    ("STNMamba", 19): (
        f"{STN}.STNMamba.paper_score", lambda self, terms: 1 - STN_SCORE(self, terms),
    ),
    ("MSTI-Net", 1): (f"{MSTI}.ChannelAttention.forward", lambda self, x: CA(self, x) - x),
    ("MSTI-Net", 2): (f"{MSTI}.pointwise", plain_pointwise),
    ("MSTI-Net", 3): (f"{MSTI}.ASTFM.forward", lambda self, a, m: a + ASTFM(self, a, m)),
    ("MSTI-Net", 4): (f"{MSTI}.Prototypes.forward", hardest, 0.1),
    ("MSTI-Net", 5): (f"{MSTI}.written", written_over_items, 0.1, False),
    ("MSTI-Net", 6): ("oddframe.losses.intensity", absolute_error, False),
    ("MSTI-Net", 7): (f"{MSTI}.entropy", lambda w: w.square().sum(-1).mean(), False),
    ("MSTI-Net", 8): (
        f"{MSTI}.compactness", lambda cos, delta, literal: (1 - cos).clamp_min(0).mean(), False,
    ),
    ("MSTI-Net", 9): (f"{MSTI}.MSTINet.losses", parts_times(MSTI_LOSSES, frame=1.25), False),
    ("MSTI-Net", 10): (
        f"{MSTI}.MSTINet.paper_score",
        lambda self, t: -(1 - 0.7 * (1 - minmax(t["psnr"])) + 0.3 * minmax(t["distance"])),
    ),
}  # fmt: skip
"""For each equation: what is replaced, by what, and the parameters of its test."""


def held(paper, number):
    """The test of an equation, and the parameters it is called with here."""
    module, name = EQUATIONS[paper][number].split(".")
    return getattr(import_module(module), name), WRONG[paper, number][2:]


def test_every_equation_has_a_misreading():
    assert set(WRONG) == {(paper, n) for paper in COUNT for n in EQUATIONS[paper]}


@pytest.mark.parametrize(("paper", "number"), list(WRONG))
def test_a_misreading_does_not_pass(paper, number, monkeypatch):
    test, values = held(paper, number)
    target, wrong = WRONG[paper, number][:2]
    monkeypatch.setattr(target, wrong)
    with pytest.raises(AssertionError):
        test(*values)


@pytest.mark.parametrize(
    ("change", "test", "values"),
    [
        (scan(), ("M2S2L", 4), (True, 3)),
        (fusion(), ("STNMamba", 4), ()),
        (recall(), ("STNMamba", 9), (0.6, 4, False)),
    ],
    ids=["scan", "fusion", "recall"],
)
def test_the_rewritten_parts_differ_in_the_misreading_alone(change, test, values, monkeypatch):
    monkeypatch.setattr(WRONG[test][0], change)
    held(*test)[0](*values)


def test_the_memory_that_is_misread_is_the_shared_one():
    assert stnmamba.written is msti.written is memory.written
