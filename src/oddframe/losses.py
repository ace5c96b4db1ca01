"""Losses of the papers, as means so that their weights do not depend on the image size.

Letters: b images, c h w colour, rows, columns; n tokens, d width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def intensity(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error: the squared norms of M2S2L Eq. 7, 8, MSTI-Net Eq. 6, STNMamba Eq. 13."""
    return F.mse_loss(prediction, target)


def gradient(prediction: Tensor, target: Tensor, *, absolute: bool = False) -> Tensor:
    """L1 norm of the difference of the image gradients (M2S2L Eq. 7, second term), as a mean.

    (..., h, w) both; the mean over row differences plus that over column differences.
    absolute: compare the gradients' absolute values instead, to which an edge that rises where it
    should fall is no error (FFP, Liu et al. 2018).
    """
    total = prediction.new_zeros(())
    for dim in (-2, -1):
        ours, theirs = prediction.diff(dim=dim), target.diff(dim=dim)
        if absolute:
            ours, theirs = ours.abs(), theirs.abs()
        total = total + (ours - theirs).abs().mean()
    return total


def ssim(x: Tensor, y: Tensor, *, value_range: float = 2.0, window: int = 11) -> Tensor:
    """Structural similarity (Wang et al. 2004), mean over images, Gaussian window, sigma 1.5.

    Args:
        x: (b, c, h, w) with h, w >= window.
        y: as x.
        value_range: span of the values: 2 for [-1, 1].
        window: side of the window in pixels.
    """
    c = x.shape[1]
    at = torch.arange(window, dtype=x.dtype, device=x.device) - (window - 1) / 2
    kernel = torch.exp(-(at**2) / (2 * 1.5**2))
    kernel = kernel / kernel.sum()

    def blur(v: Tensor) -> Tensor:
        v = F.conv2d(v, kernel[None, None, :, None].expand(c, 1, -1, 1), groups=c)
        return F.conv2d(v, kernel[None, None, None, :].expand(c, 1, 1, -1), groups=c)

    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    map_ = ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return map_.mean()


def separate(app: Tensor, motion: Tensor, *, literal: bool = False) -> Tensor:
    """L_separate (M2S2L Eq. 9) on F_app and F_motion, (b, n, d) each.

    DEVIATION: the printed -cos rewards *similar* features, against the text; the default is
    +cos^2. The printed product of all token pairs is n x n; the default is the d x d
    cross-covariance of the two, which costs n/d times less and asks for something near it, not the
    same: that no channel of one predicts a channel of the other. `literal` keeps the print, as
    means.
    """
    cosine = F.cosine_similarity(app, motion, dim=-1)
    if literal:
        product = app @ motion.transpose(-1, -2)  # b n n
        return -cosine.mean() + product.square().mean()
    a = app - app.mean(1, keepdim=True)
    m = motion - motion.mean(1, keepdim=True)
    cross = a.transpose(-1, -2) @ m / app.shape[1]  # b d d
    return cosine.square().mean() + cross.square().mean()
