"""`describe`: counts against counts by hand, and the published budget."""

import json

import pytest
import torch
from m2s2l_plain import tiny
from torch import nn

from oddframe.errors import ConfigError
from oddframe.models.base import Prediction, VADModel
from oddframe.models.blocks import VSSB
from oddframe.models.info import count, describe, table
from oddframe.models.m2s2l import M2S2L


class Toy(VADModel):
    """A convolution per new frame, a linear layer per prediction."""

    history, size = 3, 8

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.linear = nn.Linear(4, 5)

    def init_state(self):
        return ()

    def step(self, state, frame):
        state = (*state, self.conv(frame))[-self.history :]
        if len(state) < self.history:
            return state, None
        return state, self.tell(sum(state))

    def tell(self, x):
        y = self.linear(x.permute(0, 2, 3, 1))
        return Prediction(y, y)

    def forward(self, clip):
        return self.tell(self.conv(clip.flatten(0, 1)).sum(0, keepdim=True))


def test_count_of_a_warm_step_and_of_a_clip():
    conv, linear = 8 * 8 * 3 * 4 * 9, 8 * 8 * 4 * 5
    frame, clip = count(Toy().to("meta"))
    assert frame == pytest.approx((conv + linear) / 1e9)
    assert clip == pytest.approx((3 * conv + linear) / 1e9)


def vssb_by_hand(d, expand, n, places):
    """Parameters and multiply-adds of one VSSB."""
    e, k = expand * d, 4
    r = max(1, e // 16)
    norms = 2 * d + 2 * e
    products = [d * 2 * e, 9 * e, e * k * (r + 2 * n), k * r * e, e * d]
    others = e + k * e + k * n * e + e  # conv bias, delta bias, A, D
    return norms + sum(products) + others, places * sum(products)


@pytest.mark.parametrize(("d", "expand", "n"), [(8, 1, 1), (16, 2, 4), (256, 2, 16)])
def test_a_vssb_by_hand(d, expand, n):
    class OneBlock(Toy):
        def __init__(self):
            super().__init__()
            self.block = VSSB(d, expand=expand, state=n)

        def step(self, state, frame):
            return (), self.block(frame.new_empty(1, 6, 5, d))

        def forward(self, clip):
            return self.block(clip.new_empty(1, 6, 5, d))

    parameters, macs = vssb_by_hand(d, expand, n, 30)
    block = VSSB(d, expand=expand, state=n)
    assert sum(p.numel() for p in block.parameters()) == parameters
    assert count(OneBlock().to("meta")) == pytest.approx((macs / 1e9, macs / 1e9))


def test_scans_of_a_tiny_model_by_hand():
    model = M2S2L(tiny())
    # Width 16, inner 32, state 2. Spatial: 8x8 and 4x4 tokens in four directions, one block each.
    spatial = 9 * (64 + 16) * 4 * 32 * 2
    decoders = 2 * 9 * 64 * 4 * 32 * 2
    temporal = 9 * 16 * (1 + 3) * 32 * 2  # windows of 2 and 4 frames at 4x4 places
    assert model.scan_flops() == spatial + decoders + temporal
    assert model.scan_flops(4) == 4 * spatial + decoders + temporal


def test_describe_of_another_configuration():
    info = describe("m2s2l", tiny())
    model = M2S2L(tiny())
    assert (info["size"], info["history"]) == (64, 4)
    assert info["parameters"] == sum(p.numel() for p in model.parameters())
    assert info["scan_gflop_per_frame"] == model.scan_flops() / 1e9
    assert info["gflop_per_frame"] == 2 * info["gmac_per_frame"] + info["scan_gflop_per_frame"]
    # A clip encodes four frames and predicts once; a step encodes one.
    assert info["gmac_per_frame"] < info["gmac_per_clip"] < 4 * info["gmac_per_frame"]


def test_the_count_does_not_depend_on_the_weights():
    torch.manual_seed(5)
    a = describe("m2s2l", tiny())
    torch.manual_seed(6)
    assert a == describe("m2s2l", tiny())


def test_the_paper_size_keeps_to_the_published_budget():
    info = describe("m2s2l")
    assert 14.0e6 <= info["parameters"] <= 15.7e6
    assert info["gmac_per_frame"] <= 20.1
    assert info["gmac_per_clip"] > 100  # why the published figure can only be per new frame
    assert info["published"] == {
        "parameters_m": 14.9, "gmac": 20.1, "fps": 45, "source": "M2S2L, Table I",
        "auc": {"ped2": 98.5, "avenue": 92.1, "shanghaitech": 77.9},
    }  # fmt: skip
    text = table(json.loads(json.dumps(info)))
    for part in ("14.9 M", "20.1 GMAC", "45 frames/s", "M2S2L, Table I"):
        assert part in text


def test_the_edge_size_has_no_published_figures():
    info = describe("m2s2l-edge")
    assert info["published"] is None
    assert info["gmac_per_frame"] < 0.6
    assert "published" not in table(info)


def test_an_unknown_name():
    with pytest.raises(ConfigError, match="Did you mean m2s2l"):
        describe("m2s2")
