"""Detection metrics over lists of per-video arrays (numpy only).

An AUC without its protocol is half a number: `oddframe.scoring.protocol` prints it beside.
"""

from oddframe.metrics.frame import (
    MacroAuc,
    average_precision,
    eer,
    frame_auc,
    macro_auc,
    one_class_videos,
    roc_curve,
)
from oddframe.metrics.psnr import psnr

__all__ = [
    "MacroAuc",
    "average_precision",
    "eer",
    "frame_auc",
    "macro_auc",
    "one_class_videos",
    "psnr",
    "roc_curve",
]
