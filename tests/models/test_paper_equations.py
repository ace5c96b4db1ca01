"""Equations of the three papers, computed once more in numpy from their print alone.

What stands in blocks of a model is in the model's own tests; `test_papers.EQUATIONS` says which
test holds which equation. Here is what joins the parts: losses and scores.
"""

import math

import numpy as np
import pytest
import test_msti
import test_stnmamba
import torch
from m2s2l_plain import made, vssb, weights

from oddframe.metrics.check import normalise_videos
from oddframe.models.base import Prediction
from oddframe.models.stnmamba import vssb as stnmamba_vssb
from oddframe.scoring.scene import SceneFit
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig
from test_losses import cosines, ssim_of

SIDE = 12


def some(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def outputs(seed=0):
    """A clip of six frames (two targets of a history of four) and what a model might say of it."""
    clip = some(2, 6, 3, SIDE, SIDE, seed=seed)
    frame, moving = some(2, 2, 3, SIDE, SIDE, seed=1), some(2, 2, 3, SIDE, SIDE, seed=2)
    app, motion = some(4, 7, 5, seed=3), some(4, 7, 5, seed=4)
    features = {"app": torch.tensor(app), "motion": torch.tensor(motion)}
    said = Prediction(torch.tensor(frame), torch.tensor(moving), features)
    return clip, said


def parts(said, clip, **changes):
    found = made(**changes).losses(said, torch.tensor(clip))
    return {name: float(value) for name, value in found.items()}


def steps(x):
    """The gradient of pictures (..., h, w): differences of neighbours down and to the right."""
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


# ---- M2S2L


def test_l_frame_is_eq_7():
    clip, said = outputs()
    got, true = said.frame.numpy(), clip[:, 4:]
    norm = sum(np.abs(a - b).mean() for a, b in zip(steps(got), steps(true), strict=True))
    found = parts(said, clip)
    assert found["frame"] == pytest.approx(np.square(got - true).mean())
    assert found["gradient"] == pytest.approx(0.2 * norm)  # lambda_g
    # An inverted picture has the same absolute gradients, and still is wrong.
    inverted = Prediction(torch.tensor(-true), said.motion, said.features)
    slopes = sum(np.abs(2 * a).mean() for a in steps(true))
    assert parts(inverted, clip)["gradient"] == pytest.approx(0.2 * slopes)


def test_l_motion_is_eq_8():
    clip, said = outputs()
    got = said.motion.numpy().reshape(4, 3, SIDE, SIDE)
    true = ((clip[:, 3:5] - clip[:, 2:4]) / 2).reshape(4, 3, SIDE, SIDE)  # M_t of t = 3, 4
    found = parts(said, clip)
    assert found["motion"] == pytest.approx(0.5 * np.square(got - true).mean())  # lambda_m
    alike = ssim_of(got, true, 2.0, 11)
    assert found["ssim"] == pytest.approx(0.5 * 0.2 * (1 - alike), abs=1e-9)


def test_l_separate_is_eq_9_and_our_form_of_it():
    clip, said = outputs()
    app, motion = (said.features[name].numpy() for name in ("app", "motion"))
    pairs = [np.dot(a[i], m[j]) for a, m in zip(app, motion, strict=True)
             for i in range(7) for j in range(7)]  # fmt: skip
    printed = -cosines(app, motion).mean() + np.square(pairs).mean()
    assert parts(said, clip, literal_separate=True)["separate"] == pytest.approx(0.1 * printed)
    total = np.square(cosines(app, motion)).mean()
    for a, m in zip(app, motion, strict=True):
        cross = [np.mean((a[:, i] - a[:, i].mean()) * (m[:, j] - m[:, j].mean()))
                 for i in range(5) for j in range(5)]  # fmt: skip
        total += np.square(cross).mean() / 4
    assert parts(said, clip)["separate"] == pytest.approx(0.1 * total)  # DEVIATION (9)


def seen_by(model, images, alpha):
    """Raw terms of every scored frame as the whole pipeline has them, and what the model said."""
    fit, scorer = SceneFit(), Scorer(model, ScoreConfig(alpha=alpha, flow=False))
    state = scorer.init_state()
    for image in images:
        state, seen = scorer.observe(state, image)
        if seen is not None:
            fit.add(seen.local)
    scorer = Scorer(model, ScoreConfig(alpha=alpha, flow=False), fit.fit())
    state, terms = scorer.init_state(), []
    for image in images:
        state, score = scorer.step(state, image)
        terms.append(score.terms)
    frames = np.stack([image[..., ::-1].transpose(2, 0, 1) / 127.5 - 1 for image in images])
    with torch.no_grad():
        said = model(torch.tensor(frames[None, :-1], dtype=torch.float32))
    return terms[model.history :], frames, said


def pictures(n, side):
    return np.random.default_rng(5).integers(0, 256, (n, side, side, 3)).astype(np.uint8)


def decibels(got, true):
    mse = np.mean((got - true) ** 2)
    return 10 * math.log10(2**2 / mse)  # MAX: the span of [-1, 1]


def test_the_score_of_m2s2l_is_that_of_section_ii_f():
    model, k = made(), 4
    terms, frames, said = seen_by(model, pictures(13, 64), 0.6)
    got, moving = said.frame[0].numpy(), said.motion[0].numpy()
    combined = []
    for i, seen in enumerate(terms):  # predicted from frames i ... i + 3
        of_frame = decibels(got[i], frames[k + i])
        of_motion = decibels(moving[i], (frames[k + i - 1] - frames[k + i - 2]) / 2)
        assert seen["psnr_frame"] == pytest.approx(of_frame, rel=1e-5)
        assert seen["psnr_motion"] == pytest.approx(of_motion, rel=1e-5)
        combined.append(0.6 * of_frame + 0.4 * of_motion)
        assert seen["psnr"] == pytest.approx(combined[-1], rel=1e-5)
    series = {name: np.array([s[name] for s in terms]) for name in terms[0]}
    score = model.paper_score(series, alpha=0.6)
    (scaled,) = normalise_videos([score], "per_video")
    low, high = min(combined), max(combined)
    want = [1 - (p - low) / (high - low) for p in combined]  # larger = more anomalous
    np.testing.assert_allclose(scaled, want, atol=1e-4)


# ---- STNMamba


@torch.no_grad()
def test_stnmamba_vssb_is_eq_1():
    block = test_stnmamba.shaken(stnmamba_vssb(8, 2, 2))
    x = test_stnmamba.noise(2, 5, 3, 8)
    for n in range(2):
        torch.testing.assert_close(block(x)[n], vssb(weights(block), x[n]), rtol=1e-9, atol=1e-9)


def test_stnmamba_is_trained_as_eq_12_to_15():
    """The four terms from the queries and items themselves, level by level."""
    model, clip = test_stnmamba.made(lambda_compact=0.3, lambda_separate=0.7), some(2, 5, 3, 64, 64)
    clip, queries = torch.tensor(clip, dtype=torch.float32), {}
    for level, bank in model.memory.items():
        bank.register_forward_pre_hook(lambda _m, x, level=level: queries.update({level: x[0]}))
    with torch.no_grad():
        out = model(clip[:, :-1])
        found = {name: float(v) for name, v in model.losses(out, clip).items()}
    near = sparse = mean = 0.0
    for level, x in queries.items():
        q = x.flatten(0, 2).double().numpy()
        q /= np.linalg.norm(q, axis=1, keepdims=True)
        items = model.memory[level].items.double().numpy()
        apart = np.sort([[np.linalg.norm(a - p) for p in items] for a in q], axis=1)
        near += apart[:, 0].mean()
        sparse += np.maximum(apart[:, 0] - apart[:, 1] + 1, 0).mean()
        mean += apart[:, :2].mean()  # the text: average distance to the two nearest
    assert len(queries) == 4
    error = float(((out.frame - clip[:, 4:]).double() ** 2).mean())
    assert found["frame"] == pytest.approx(error, rel=1e-5)  # Eq. 13
    assert found["separate"] == pytest.approx(0.7 * sparse, rel=1e-4)  # Eq. 14, DEVIATION (9)
    assert found["compact"] == pytest.approx(0.3 * near, rel=1e-4)  # Eq. 15
    literal = test_stnmamba.made(literal_separate=True, lambda_separate=0.7).losses(out, clip)
    assert float(literal["separate"]) == pytest.approx(0.7 * mean, rel=1e-4)
    assert set(found) == {"frame", "separate", "compact"}  # Eq. 12: their sum


def test_the_score_of_stnmamba_is_eq_16_to_19():
    model, k = test_stnmamba.made(), 4
    queries = {}
    for level, bank in model.memory.items():
        bank.register_forward_pre_hook(lambda _m, x, level=level: queries.update({level: x[0]}))
    terms, frames, said = seen_by(model, pictures(13, 64), 0.5)
    psnr = [decibels(said.frame[0, i].numpy(), frames[k + i]) for i in range(len(terms))]
    far = []
    for level, x in queries.items():  # of the last call: all windows at once
        q = x.double().numpy().reshape(len(terms), -1, x.shape[-1])
        q /= np.linalg.norm(q, axis=-1, keepdims=True)
        items = model.memory[level].items.double().numpy()
        nearest = np.linalg.norm(q[:, :, None] - items, axis=-1).min(-1)
        far.append(nearest.mean(1))  # Eq. 17
        seen = [s[f"distance_{level}"] for s in terms]
        np.testing.assert_allclose(seen, far[-1], rtol=1e-4)
    np.testing.assert_allclose([s["psnr"] for s in terms], psnr, rtol=1e-5)  # Eq. 16

    def norm(values):
        return (np.array(values) - min(values)) / (max(values) - min(values))

    odd = 0.8 * norm([-p for p in psnr]) + 0.2 * sum(map(norm, far)) / 4  # Eq. 18
    normality = 1 - odd  # Eq. 19
    score = model.paper_score({name: np.array([s[name] for s in terms]) for name in terms[0]})
    np.testing.assert_allclose(1 - score, normality, atol=1e-3)


# ---- MSTI-Net


@pytest.mark.parametrize("literal", [False, True])
def test_msti_net_is_trained_as_eq_6_to_9(literal):
    model, clip = test_msti.made(literal_compact=literal), test_msti.clips(6, b=2)
    queries = []
    model.memory.register_forward_pre_hook(lambda _m, x: queries.append(x[0].double().numpy()))
    with torch.no_grad():
        out = model(clip[:, :-1])
        found = {name: float(v) for name, v in model.losses(out, clip).items()}
    items, temperature = model.memory.items.double().numpy(), 0.1
    entropy, compact = [], []
    for y in queries[0].reshape(-1, items.shape[1]):
        cosine = items @ y / np.linalg.norm(y)  # items have unit length
        w = np.exp(cosine / temperature) / np.exp(cosine / temperature).sum()
        again = w @ items
        alike = again @ y / np.linalg.norm(again) / np.linalg.norm(y)
        entropy.append(-sum(v * math.log(v) for v in w))
        compact.append(max(abs(alike) - 0.1, 0) if literal else max(1 - alike - 0.1, 0))
    error = float(((out.frame - clip[:, 4:]).double() ** 2).mean())
    assert found["frame"] == pytest.approx(0.8 * error, rel=1e-5)  # Eq. 6
    assert found["separate"] == pytest.approx(3e-4 * np.mean(entropy), rel=1e-4)  # Eq. 7
    assert found["compact"] == pytest.approx(1e-3 * np.mean(compact), rel=1e-4)  # Eq. 8
    assert set(found) == {"frame", "separate", "compact"}  # Eq. 9: their sum
    assert out.features["weights"].shape == (4, 16, 5)
    assert out.features["likeness"].shape == (4, 16)


def test_the_score_of_msti_net_is_minus_eq_10():
    model, k = test_msti.made(), 4
    queries = []
    model.memory.register_forward_pre_hook(lambda _m, x: queries.append(x[0].double().numpy()))
    terms, frames, said = seen_by(model, pictures(13, 32), 0.5)
    psnr = [decibels(said.frame[0, i].numpy(), frames[k + i]) for i in range(len(terms))]
    items, far = model.memory.items.double().numpy(), []
    for window in queries[-1]:  # of the last call: all windows at once
        q = window / np.linalg.norm(window, axis=1, keepdims=True)
        far.append(np.mean([min(np.linalg.norm(p - a) for p in items) for a in q]))

    def f(values):
        return (np.array(values) - min(values)) / (max(values) - min(values))

    regular = 1 - 0.7 * (1 - f(psnr)) - 0.3 * f(far)
    score = model.paper_score({name: np.array([s[name] for s in terms]) for name in terms[0]})
    np.testing.assert_allclose(-score, regular, atol=1e-3)
