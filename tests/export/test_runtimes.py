"""Every model in ONNX Runtime and as a file of torch, against `Scorer`: minutes each."""

from pathlib import Path

import numpy as np
import pytest
import torch
from exporting import PLAIN, SCENE, TINY, by_scorer, flows, made, picture, planned

from oddframe.export.plan import plan_model
from oddframe.export.write import write
from oddframe.models import build
from oddframe.runtime.onnx_scorer import OnnxStep
from oddframe.sources import open_source

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

WITHIN = 1e-4
SCANS = ["m2s2l-edge", "stnmamba-128", "vadmamba-128"]
REAL = ["mnad-128", "m2s2l-edge", "msti-net-128", "stnmamba-128"]


def in_onnx(file, pictures, flow):
    """The scores of a video, and everything else that comes out."""
    step = OnnxStep(file)
    state, found = step.init_state(), []
    for image, moved in zip(pictures, flow, strict=True):
        inputs = {"picture": image} | ({} if moved is None else {"flow": moved.numpy()})
        state, out = step(state, inputs)
        found.append(out)
    return found


def agree(found, want):
    """The largest difference of a score; heat and terms are held against each other too."""
    worst = 0.0
    for out, (score, _) in zip(found, want, strict=True):
        assert bool(np.isnan(out["score"])) == np.isnan(score.score)
        if not np.isnan(score.score):
            worst = max(worst, abs(float(out["score"]) - score.score))
            np.testing.assert_allclose(out["heat"], score.heat, atol=10 * WITHIN)
            for name, value in score.terms.items():
                np.testing.assert_allclose(out[f"term.{name}"], value, rtol=WITHIN, atol=WITHIN)
    assert worst < WITHIN
    return worst


@pytest.mark.parametrize("name", TINY)
def test_a_video_in_onnx_runtime(name, tmp_path):
    net = made(name)
    pictures = [picture(i, net.size, net.size) for i in range(net.history + 5)]
    write(planned(net, name=name), tmp_path / "m.onnx", "onnx")
    agree(in_onnx(tmp_path / "m.onnx", pictures, flows(net, pictures)), by_scorer(net, pictures))


@pytest.mark.parametrize("name", SCANS)
def test_scans_as_linear_attention(name, tmp_path):
    net = made(name)
    pictures = [picture(i, net.size, net.size) for i in range(net.history + 4)]
    write(planned(net, name=name, scan="linear-attention"), tmp_path / "m.onnx", "onnx")
    assert b"LinearAttention" in (tmp_path / "m.onnx").read_bytes()
    agree(in_onnx(tmp_path / "m.onnx", pictures, flows(net, pictures)), by_scorer(net, pictures))


@pytest.mark.parametrize("name", ["m2s2l-edge", "convlstm-ae-128", "ammc-128"])
def test_a_clip_in_onnx_runtime(name, tmp_path):
    net = made(name)
    pictures = [picture(i, net.size, net.size) for i in range(net.history + 2)]
    plan = planned(net, kind="clip", name=name)
    write(plan, tmp_path / "m.onnx", "onnx")
    moved, want = flows(net, pictures), by_scorer(net, pictures)
    for at in range(net.history, len(pictures)):
        here = slice(at - net.history, at + 1)
        given = {"pictures": np.stack(pictures[here])}
        if moved[0] is not None:
            given["flow"] = torch.stack(moved[here]).numpy()
        _, out = OnnxStep(tmp_path / "m.onnx")({}, given)
        agree([out], [want[at]])


@pytest.mark.parametrize("name", ["m2s2l-edge", "stnmamba-128", "msti-net-128"])
def test_a_video_in_torch_alone(name, tmp_path):
    net = made(name)
    pictures = [picture(i, net.size, net.size) for i in range(net.history + 4)]
    plan = planned(net, name=name)
    write(plan, tmp_path / "m.pt2", "torch")
    step, state = torch.export.load(tmp_path / "m.pt2").module(), plan.graph.init_state()
    for image, moved, (score, _) in zip(
        pictures, flows(net, pictures), by_scorer(net, pictures), strict=True
    ):
        with torch.no_grad():
            out = step(torch.from_numpy(image), state, *(() if moved is None else (moved,)))
        state = out["state"]
        np.testing.assert_allclose(out["score"], score.score, atol=WITHIN)


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_the_first_clip_of_ped2_at_the_real_size(name, real_data, tmp_path, capsys):
    """Untrained weights: what is compared is arithmetic, and each step carries the last one's."""
    torch.manual_seed(0)
    net = build(name).eval()
    write(plan_model(name, net, PLAIN, SCENE), tmp_path / "m.onnx", "onnx")
    with open_source(real_data("ped2") / "testing/01.mp4") as source:
        pictures = [frame.at(net.size) for frame in source]
    worst = agree(in_onnx(tmp_path / "m.onnx", pictures, flows(net, pictures)),
                  by_scorer(net, pictures))  # fmt: skip
    size = Path(tmp_path / "m.onnx").stat().st_size / 2**20
    with capsys.disabled():
        print(f"\n{name}: {len(pictures)} frames, score within {worst:.1e}, file {size:.1f} MB")
