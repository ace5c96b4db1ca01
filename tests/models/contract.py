"""What every model must do: a class of tests that a model passes by naming itself.

    class TestFFP(ModelContract):
        name = "ffp-128"
        config = {"size": 32, "width": 8}

The configuration should be small: every test builds the model anew.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from oddframe.models import build, default_config
from oddframe.models.base import extremes
from oddframe.models.in_use import items_in_use
from oddframe.models.info import count

EXTRA = 2
"""Frames of a test clip beyond the history: so many windows more than one."""


def video(seed, frames, size, streams=1):
    """Smooth pictures that move: (b, t, 3, size, size) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    rate = torch.tensor(rng.uniform(2, 6, (streams, 1, 3, 1, 1)), dtype=torch.float32)
    phase = torch.tensor(rng.uniform(0, 6, (streams, 1, 3, 1, 1)), dtype=torch.float32)
    at = torch.arange(frames).view(1, -1, 1, 1, 1) * 0.2
    y, x = (torch.linspace(0, 1, size).view(s) for s in ((-1, 1), (1, -1)))
    return 0.8 * torch.sin(rate * x + phase + at) * torch.cos(rate * y - at)


class ModelContract:
    """Tests of one model; see the head of this file."""

    name: ClassVar[str]
    config: ClassVar[dict[str, Any]]
    """Changes of the size's own configuration that make it small."""
    steps: ClassVar[int] = 30
    lr: ClassVar[float] = 3e-3
    learns: ClassVar[float] = 0.7
    """Share of the first loss that `steps` steps on two clips must get below."""

    def made(self, seed=0):
        torch.manual_seed(seed)
        base = default_config(self.name)
        return build(self.name, type(base).read({**base.model_dump(), **self.config}))

    def clip(self, net, seed=0, streams=2, extra=EXTRA):
        return video(seed, net.history + extra, net.size, streams)

    def loss(self, net, clip):
        parts = net.losses(net(clip[:, :-1]), clip)
        assert all(part.ndim == 0 and bool(part.isfinite()) for part in parts.values())
        return torch.stack(list(parts.values())).sum()

    def test_shapes(self):
        net = self.made().eval()
        clip = self.clip(net)
        out = net(clip)
        moments = EXTRA + 1
        assert out.frame.shape == (2, moments, 3, net.size, net.size)
        if out.motion is not None:  # of optical flow there are two channels
            truth = net.moved(clip[:, 0], clip[:, 1])
            assert out.motion.shape == (2, moments, *truth.shape[1:])
        assert all(term.shape == (2, moments) for term in out.terms.values())
        assert bool(out.frame.isfinite().all())
        assert net(clip[:, : net.history]).frame.shape[1] == 1
        with pytest.raises(ValueError, match=f"at least {net.history} frames"):
            net(clip[:, : net.history - 1])

    def test_the_same_again(self):
        a, b = self.made(3), self.made(3)
        clip = self.clip(a)
        torch.testing.assert_close(self.loss(a, clip), self.loss(b, clip), rtol=0, atol=0)
        a, b = self.made(3).eval(), self.made(3).eval()
        torch.testing.assert_close(a(clip).frame, b(clip).frame, rtol=0, atol=0)

    def test_detached_context_gives_the_same_numbers(self):
        net = self.made().eval()
        clip = self.clip(net)
        torch.testing.assert_close(net(clip, True).frame, net(clip).frame, rtol=1e-5, atol=1e-5)

    def test_gradient_reaches_every_parameter(self):
        net = self.made().train()
        self.loss(net, self.clip(net)).backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
            assert float(parameter.grad.abs().max()) > 0, name

    @torch.no_grad()
    def test_two_streams_of_different_age_give_what_their_clips_give(self):
        net = self.made().eval()
        clips = [self.clip(net, seed, 1, extra=4) for seed in (1, 2)]
        whole = [net(clip) for clip in clips]
        states, late, found = [net.init_state(), net.init_state()], 2, {0: [], 1: []}
        for t in range(clips[0].shape[1]):
            if t < late:  # the first stream alone
                states[0], prediction = net.step(states[0], clips[0][:, t])
                predictions = [prediction]
            else:
                frames = [clips[0][:, t], clips[1][:, t - late]]
                states, predictions = net.step_batch(states, frames)
            for i, prediction in enumerate(predictions):
                found[i].append(prediction)
        for i, predictions in found.items():
            assert predictions[: net.history - 1] == [None] * (net.history - 1)
            for at, prediction in enumerate(predictions[net.history - 1 :]):
                self.alike(prediction, whole[i], at)

    def alike(self, step, clip, at):
        """One prediction of a stream against that of the clip's window."""
        torch.testing.assert_close(step.frame[:, 0], clip.frame[:, at], rtol=1e-5, atol=1e-5)
        assert (step.motion is None) == (clip.motion is None)
        if step.motion is not None:
            torch.testing.assert_close(step.motion[:, 0], clip.motion[:, at], rtol=1e-5, atol=1e-5)
        assert step.terms.keys() == clip.terms.keys()
        for name, value in step.terms.items():
            torch.testing.assert_close(value[:, 0], clip.terms[name][:, at], rtol=1e-5, atol=1e-5)

    @torch.no_grad()
    def test_a_step_leaves_the_state_alone(self):
        net = self.made().eval()
        clip = self.clip(net, streams=1, extra=1)
        state = net.init_state()
        for t in range(net.history):
            state, _ = net.step(state, clip[:, t])
        first, second = (net.step(state, clip[:, -1])[1] for _ in range(2))
        torch.testing.assert_close(first.frame, second.frame, rtol=0, atol=0)

    @torch.no_grad()
    def test_nothing_is_written_at_test_time(self):
        net = self.made().eval()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        clip = self.clip(net)
        net(clip)
        state = net.init_state()
        for t in range(clip.shape[1]):
            state, _ = net.step(state, clip[:, t])
        for name, value in net.state_dict().items():
            assert torch.equal(value, before[name]), name

    def test_it_learns_two_clips_by_heart(self):
        net = self.made().train()
        clip = self.clip(net, extra=1)
        adam = torch.optim.Adam(net.parameters(), lr=self.lr)
        curve = []
        for _ in range(self.steps):
            loss = self.loss(net, clip)
            adam.zero_grad()
            loss.backward()
            adam.step()
            curve.append(float(loss.detach()))
        assert min(curve[-3:]) < self.learns * curve[0], curve

    @torch.no_grad()
    def test_weights_survive_safetensors(self):
        net, other = self.made(1).train(), self.made(2).eval()
        clip = self.clip(net)
        net(clip)  # running means and memories move
        net.eval()
        state = {name: value.contiguous() for name, value in net.state_dict().items()}
        assert not torch.allclose(net(clip).frame, other(clip).frame)
        other.load_state_dict(load(save(state)))
        torch.testing.assert_close(net(clip).frame, other(clip).frame, rtol=0, atol=0)

    def test_its_cost_can_be_counted(self):
        net = self.made().eval()
        frame, clip = count(net.to("meta"))
        assert 0 < frame <= clip

    @pytest.mark.parametrize("mode", ["train", "eval"])
    def test_bfloat16(self, mode):
        net = self.made().train(mode == "train")
        clip = self.clip(net)
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.loss(net, clip)
        loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in net.parameters())

    @torch.no_grad()
    def test_bfloat16_streams_like_float32(self):
        net = self.made().eval()
        clip = self.clip(net, streams=1, extra=0)
        state, prediction = net.init_state(), None
        for frame in clip.unbind(1):
            with torch.autocast("cpu", torch.bfloat16):
                state, prediction = net.step(state, frame)
        assert float((prediction.frame - net(clip).frame).abs().mean()) < 0.05

    @pytest.mark.parametrize(("rows", "cols"), [(3, 3), (0, 16), (-16, -16)])
    def test_another_frame_size_is_refused(self, rows, cols):
        net = self.made().eval()
        clip = torch.zeros(1, net.history, 3, net.size + rows, net.size + cols)
        said = rf"{net.size} x {net.size} px, found 3 x {net.size + rows} x {net.size + cols}"
        with pytest.raises(ValueError, match=said):
            net(clip)
        with pytest.raises(ValueError, match=said):
            net.step(net.init_state(), clip[:, 0])

    @torch.no_grad()
    def test_every_memory_says_which_items_its_queries_win(self):
        net = self.made().train()
        clip = self.clip(net)
        net(clip)  # memories that start from queries have started
        net.eval()
        with items_in_use(net) as counts:
            before = net(clip).frame
        tables = {
            n.rpartition(".")[0] for n in net.state_dict() if n.endswith((".items", ".codes"))
        }
        assert counts.keys() == tables
        assert all(int(wins.sum()) > 0 for wins in counts.values())
        torch.testing.assert_close(
            net(clip).frame, before, rtol=0, atol=0
        )  # looking changes nothing

    def test_the_papers_score_of_a_video_that_never_changes(self):
        net = self.made().eval()
        out = net(self.clip(net))
        terms = {name: np.full(7, 2.5) for name in ("psnr", *out.terms)}
        assert np.isfinite(net.paper_score(terms)).all()
        gaps = {name: np.array([np.nan, *values]) for name, values in terms.items()}
        assert np.isnan(net.paper_score(gaps)).tolist() == [True] + 7 * [False]

    def test_the_papers_score_rises_with_what_is_odd(self):
        net = self.made().eval()
        terms = {name: np.array([1.0, 2.0, 4.0]) for name in net(self.clip(net)).terms}
        score = net.paper_score({"psnr": np.array([30.0, 20.0, 10.0]), **terms})
        assert (np.diff(score) > 0).all()

    def test_the_papers_score_says_whether_its_terms_are_rescaled(self):
        net = self.made().eval()
        names = ("psnr", *net(self.clip(net)).terms)
        rng = np.random.default_rng(0)
        terms = {name: rng.uniform(10, 20, 9) for name in names}
        score = net.paper_score(terms)
        larger = net.paper_score({name: 3 * values + 1 for name, values in terms.items()})
        assert np.allclose(score, larger) == net.paper_normalised
        ranges = {name: extremes(values) for name, values in net.paper_terms(terms).items()}
        np.testing.assert_allclose(net.paper_score(terms, ranges), score, atol=1e-12)
        wider = {name: (low - 10, high) for name, (low, high) in ranges.items()}
        assert np.allclose(net.paper_score(terms, wider), score) != net.paper_normalised
        curve = net.paper_curve(terms)
        assert curve.min() >= -1e-12
        assert curve.max() <= 1 + 1e-12
        assert not np.allclose(net.paper_curve(terms, wider), curve)

    def test_the_weights_of_its_score_have_names(self):
        weights = self.made().paper_weights(0.25)
        assert all(name.isidentifier() and value >= 0 for name, value in weights.items())
