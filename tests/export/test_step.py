"""The step and the clip as modules, before any export: against `Scorer`, for every model."""

import numpy as np
import pytest
import torch
from exporting import PLAIN, SCENE, TINY, by_scorer, flows, made, picture, planned

from oddframe.errors import ConfigError
from oddframe.export.plan import plan_model
from oddframe.export.step import Clip
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig

FRAMES = 5
"""Scored frames of a test video."""


def video(net, frames=FRAMES):
    return [picture(i, net.size, net.size) for i in range(net.history + frames)]


@torch.no_grad()
def stepped(plan, pictures, flow):
    """What the graph gives for a video, picture by picture."""
    state, found = plan.graph.init_state(), []
    for image, moved in zip(pictures, flow, strict=True):
        beside = () if moved is None else (moved,)
        out = plan.graph(torch.from_numpy(image), state, *beside)
        state = out["state"]
        found.append(out)
    return found


def agree(out, score, within=1e-4):
    """One frame of the graph against one of the scorer."""
    np.testing.assert_allclose(out["score"], score.score, atol=within)
    if np.isnan(score.score):
        assert all(bool(x.isnan().all()) for x in (out["heat"], *out["term"].values()))
        return
    np.testing.assert_allclose(out["heat"], score.heat, atol=10 * within)
    assert out["term"].keys() == score.terms.keys()
    for name, value in score.terms.items():
        np.testing.assert_allclose(out["term"][name], value, rtol=within, atol=within, err_msg=name)


@pytest.mark.parametrize("name", TINY)
def test_a_video_scores_as_in_torch(name):
    net = made(name)
    pictures = video(net)
    want = by_scorer(net, pictures)
    found = stepped(planned(net, name=name), pictures, flows(net, pictures))
    assert sum(np.isnan(score.score) for score, _ in want) == net.history
    assert len({round(score.score, 3) for score, _ in want}) > 3  # or anything would agree
    for out, (score, seen) in zip(found, want, strict=True):
        agree(out, score)
        for stream, local in ({} if seen is None else seen.local).items():
            np.testing.assert_allclose(out["local"][stream], local, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", TINY)
def test_a_clip_scores_as_the_stream_does_there(name):
    net = made(name)
    pictures = video(net, 3)
    moved, k = flows(net, pictures), net.history
    plan = planned(net, kind="clip", name=name)
    assert isinstance(plan.graph, Clip)
    for at, (score, _) in list(enumerate(by_scorer(net, pictures)))[k:]:
        here = slice(at - k, at + 1)
        beside = () if moved[0] is None else (torch.stack(moved[here]),)
        with torch.no_grad():
            out = plan.graph(torch.from_numpy(np.stack(pictures[here])), *beside)
        agree(out, score)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(ScoreConfig(flow=False, smooth=0.6), id="smoothed"),
        pytest.param(ScoreConfig(flow=False, block_px=1), id="no window"),
        pytest.param(ScoreConfig(flow=False, block_px=256), id="a window over everything"),
        pytest.param(ScoreConfig(flow=False, sharpness=0.5, one_voice=False), id="fused softly"),
        pytest.param(ScoreConfig(flow=False, streams=("motion",)), id="one stream"),
        pytest.param(ScoreConfig(flow=False, alpha=0.9), id="another alpha"),
    ],
)
def test_every_setting_of_the_score_counts(config):
    net = made("m2s2l-edge")
    pictures = video(net)
    found = stepped(planned(net, config), pictures, flows(net, pictures))
    for out, (score, _) in zip(found, by_scorer(net, pictures, config), strict=True):
        agree(out, score)


def test_flow_from_files_goes_in_as_it_does_in_torch():
    net = made("msti-net-128")
    net.set_flow("file")
    pictures = video(net, 3)
    rng = np.random.default_rng(0)
    moved = [rng.normal(0, 0.5, (2, net.size, net.size)).astype(np.float32) for _ in pictures]
    plan = planned(net, name="msti-net-128")
    assert plan.card.flow == "file"
    scorer = Scorer(net, PLAIN, SCENE)
    state = scorer.init_state()
    for out, image, flow in zip(
        stepped(plan, pictures, map(torch.from_numpy, moved)), pictures, moved, strict=True
    ):
        state, seen = scorer.observe(state, scorer.preprocess(image, state.past, flow))
        state, score = scorer.score(state, seen, 0.0)
        agree(out, score)


def test_two_streams_do_not_touch_each_other():
    net = made("m2s2l-edge")
    plan, pictures = planned(net), video(net, 3)
    alone = stepped(plan, pictures, [None] * len(pictures))
    states = [plan.graph.init_state(), plan.graph.init_state()]
    for i, image in enumerate(pictures):
        for stream, shown in enumerate((image, 255 - image)):
            with torch.no_grad():
                out = plan.graph(torch.from_numpy(shown), states[stream])
            states[stream] = out["state"]
            if not stream:
                torch.testing.assert_close(out["score"], alone[i]["score"], equal_nan=True)


def test_the_model_is_left_as_it_is():
    net = made("msti-net-128")
    before = {name: x.clone() for name, x in net.state_dict().items()}
    planned(net, name="msti-net-128")
    assert net.flow == "dis"
    assert net.carried == 0
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())
    assert all(p.requires_grad for p in net.parameters())
    net = made("m2s2l-edge")
    planned(net)
    assert {m.backend for m in net.modules() if hasattr(m, "backend")} == {"auto"}


def test_a_score_of_streams_without_a_network_cannot_be_exported():
    scene = {**SCENE, "flow": SCENE["frame"]}
    with pytest.raises(ConfigError, match="nothing to export"):
        plan_model("mnad-128", made("mnad-128"), ScoreConfig(streams=("flow",)), scene)


def test_what_is_left_out_is_said():
    scene = {**SCENE, "flow": SCENE["frame"], "stay": SCENE["frame"]}
    card = plan_model("mnad-128", made("mnad-128"), ScoreConfig(), scene).card
    assert (card.score, card.left_out, card.streams) == ("own", ("flow", "stay"), OWN_STREAMS)
    assert "not the score of the RUN" in card.about
    whole = planned(made("mnad-128"), PLAIN).card
    assert (whole.score, whole.left_out) == ("full", ())
    assert "not the score" not in whole.about


OWN_STREAMS = ("frame", "motion")


def test_a_model_without_a_scan_has_none_to_write_as_attention():
    with pytest.raises(ConfigError, match="no selective scan"):
        planned(made("mnad-128"), scan="linear-attention")
