"""Losses against plain numpy."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from oddframe import losses


def pair(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape), rng.uniform(-1, 1, shape)


def value(loss, *arrays, **options):
    return float(loss(*(torch.tensor(a) for a in arrays), **options))


def test_intensity_is_the_mean_square():
    a, b = pair(2, 3, 5, 7)
    assert value(losses.intensity, a, b) == pytest.approx(((a - b) ** 2).mean())


@pytest.mark.parametrize("absolute", [False, True])
def test_gradient_is_the_l1_of_differences(absolute):
    a, b = pair(2, 3, 5, 7)
    want = 0.0
    for axis in (-2, -1):
        da, db = np.diff(a, axis=axis), np.diff(b, axis=axis)
        want += np.abs(np.abs(da) - np.abs(db) if absolute else da - db).mean()
    assert value(losses.gradient, a, b, absolute=absolute) == pytest.approx(want)
    assert value(losses.gradient, a, b) != pytest.approx(
        value(losses.gradient, a, b, absolute=True)
    )


def test_gradient_by_hand():
    a = np.array([[0.0, 1.0], [0.0, 3.0]])  # rows differ by 0, 2; columns by 1, 3
    zero = np.zeros((2, 2))
    for absolute in (False, True):
        assert value(losses.gradient, a, zero, absolute=absolute) == pytest.approx(2 / 2 + 4 / 2)
        assert value(losses.gradient, a, a + 5, absolute=absolute) == 0


def test_an_inverted_edge_costs_twice_its_height():
    edge = np.repeat([[0.0, 0.0, 1.0, 1.0]], 4, 0)  # one of three column differences is an edge
    assert value(losses.gradient, edge, -edge) == pytest.approx(2 / 3)
    assert value(losses.gradient, edge, -edge, absolute=True) == 0  # FFP's form does not see it


def ssim_of(x, y, value_range, window):
    """Wang et al. 2004, every window by itself, two-dimensional Gaussian weights."""
    at = np.arange(window) - (window - 1) / 2
    w = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    w /= w.sum()
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    scores = []
    for a, b in zip(x.reshape(-1, *x.shape[-2:]), y.reshape(-1, *y.shape[-2:]), strict=True):
        for p, q in zip(
            sliding_window_view(a, (window, window)).reshape(-1, window, window),
            sliding_window_view(b, (window, window)).reshape(-1, window, window),
            strict=True,
        ):
            mp, mq = (w * p).sum(), (w * q).sum()
            vp, vq = (w * (p - mp) ** 2).sum(), (w * (q - mq) ** 2).sum()
            vpq = (w * (p - mp) * (q - mq)).sum()
            scores.append(
                (2 * mp * mq + c1) * (2 * vpq + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
            )
    return np.mean(scores)


@pytest.mark.parametrize(("value_range", "window"), [(2.0, 11), (1.0, 7)])
def test_ssim(value_range, window):
    a, b = pair(2, 3, 14, 12)
    b = 0.7 * a + 0.3 * b
    found = value(losses.ssim, a, b, value_range=value_range, window=window)
    assert found == pytest.approx(ssim_of(a, b, value_range, window), abs=1e-12)


def test_ssim_of_equal_opposite_and_constant_pictures():
    a, _ = pair(1, 3, 12, 12)
    assert value(losses.ssim, a, a) == pytest.approx(1)
    board = np.indices((12, 12)).sum(0) % 2 * 1.0 - 0.5  # no local mean: only structure counts
    assert value(losses.ssim, board[None, None], -board[None, None]) < -0.9
    flat = np.full((1, 3, 12, 12), 0.5)
    assert value(losses.ssim, flat, flat) == pytest.approx(1)
    assert value(losses.ssim, flat, np.zeros_like(flat)) < 0.01


def test_ssim_has_a_gradient_where_pictures_are_constant():
    x = torch.zeros(1, 3, 16, 16, requires_grad=True)
    (1 - losses.ssim(x, torch.rand(1, 3, 16, 16))).backward()
    assert torch.isfinite(x.grad).all()
    assert float(x.grad.abs().max()) > 0


def cosines(a, m):
    return (a * m).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(m, axis=-1)


def test_separate():
    a, m = pair(2, 5, 4)
    cross = np.stack([(p - p.mean(0)).T @ (q - q.mean(0)) / 5 for p, q in zip(a, m, strict=True)])
    want = (cosines(a, m) ** 2).mean() + (cross**2).mean()
    assert value(losses.separate, a, m) == pytest.approx(want)


def test_separate_as_printed():
    a, m = pair(2, 5, 4)
    product = np.stack([p @ q.T for p, q in zip(a, m, strict=True)])  # tokens by tokens
    want = -cosines(a, m).mean() + (product**2).mean()
    assert value(losses.separate, a, m, literal=True) == pytest.approx(want)


def test_the_print_rewards_similar_features_and_the_default_different_ones():
    a, _ = pair(1, 50, 4)
    a = 0.01 * a  # the products vanish, the cosine stays
    apart = np.roll(a * [1, -1, 1, -1], 1, -1)[..., ::-1]
    apart = apart - a * ((apart * a).sum(-1) / (a * a).sum(-1))[..., None]  # orthogonal
    assert value(losses.separate, a, a) > 0.9 > 0.1 > value(losses.separate, a, apart) >= 0
    assert value(losses.separate, a, a, literal=True) < -0.9
    assert value(losses.separate, a, apart, literal=True) == pytest.approx(0, abs=1e-3)


def test_separate_is_blind_to_the_sign_and_survives_empty_features():
    a, m = pair(2, 5, 4)
    assert value(losses.separate, a, m) == pytest.approx(value(losses.separate, a, -m))
    x = torch.zeros(1, 5, 4, requires_grad=True)
    losses.separate(x, torch.ones(1, 5, 4)).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("loss", [losses.intensity, losses.gradient])
def test_losses_are_means_that_do_not_grow_with_the_picture(loss):
    a, b = pair(1, 3, 8, 8)
    wide = [np.concatenate([v, v[:, :, :, ::-1]], -1) for v in (a, b)]
    assert value(loss, *wide) == pytest.approx(value(loss, a, b), rel=0.1)


def test_intensity_does_not_depend_on_the_batch():
    a, b = pair(4, 3, 8, 8)
    each = [value(losses.intensity, a[i], b[i]) for i in range(4)]
    assert value(losses.intensity, a, b) == pytest.approx(np.mean(each))
