"""Detection metrics over lists of per-video arrays (numpy; OpenCV for connected components only).

An AUC without its protocol is half a number: `oddframe.judging.protocol` prints it beside.
"""

from oddframe.metrics.events import (
    EventScore,
    RecallCurve,
    event_score,
    events_at,
    recall_curve,
    runs,
)
from oddframe.metrics.frame import (
    Curve,
    MacroAuc,
    average_precision,
    curve,
    eer,
    frame_auc,
    macro_auc,
    one_class_videos,
    roc_curve,
    tpr_at_fpr,
)
from oddframe.metrics.pairs import (
    DifferenceInterval,
    Interval,
    Wins,
    bootstrap,
    bootstrap_difference,
    pair_wins,
)
from oddframe.metrics.pixels import pixel_auc, pixel_criterion_auc
from oddframe.metrics.psnr import psnr
from oddframe.metrics.region_files import read_detections, read_tracks
from oddframe.metrics.region_maps import boxes_of, map_criteria, map_thresholds, tracks_of
from oddframe.metrics.regions import Detections, RegionScore, Track, region_criteria

__all__ = [
    "Curve",
    "Detections",
    "DifferenceInterval",
    "EventScore",
    "Interval",
    "MacroAuc",
    "RecallCurve",
    "RegionScore",
    "Track",
    "Wins",
    "average_precision",
    "bootstrap",
    "bootstrap_difference",
    "boxes_of",
    "curve",
    "eer",
    "event_score",
    "events_at",
    "frame_auc",
    "macro_auc",
    "map_criteria",
    "map_thresholds",
    "one_class_videos",
    "pair_wins",
    "pixel_auc",
    "pixel_criterion_auc",
    "psnr",
    "read_detections",
    "read_tracks",
    "recall_curve",
    "region_criteria",
    "roc_curve",
    "runs",
    "tpr_at_fpr",
    "tracks_of",
]
