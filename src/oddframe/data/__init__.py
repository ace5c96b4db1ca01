"""Data sets: recognise their layouts, read their labels, keep their frames ready for training."""

from oddframe.data.check import Finding, Report, check_dataset
from oddframe.data.dataset import Dataset, Video
from oddframe.data.frames import FrameStore, from_store, to_model
from oddframe.data.labels import check_lengths, frame_labels, has_labels, label_source
from oddframe.data.layouts import open_dataset
from oddframe.data.manifest import footage_hashes, manifest, manifest_hash, source_hash
from oddframe.data.masks import pixel_masks
from oddframe.data.official import OFFICIAL, Official, label_set, recognise
from oddframe.data.prepare import PrepareResult, prepare
from oddframe.pictures import resize_bgr

__all__ = [
    "OFFICIAL",
    "Dataset",
    "Finding",
    "FrameStore",
    "Official",
    "PrepareResult",
    "Report",
    "Video",
    "check_dataset",
    "check_lengths",
    "footage_hashes",
    "frame_labels",
    "from_store",
    "has_labels",
    "label_set",
    "label_source",
    "manifest",
    "manifest_hash",
    "open_dataset",
    "pixel_masks",
    "prepare",
    "recognise",
    "resize_bgr",
    "source_hash",
    "to_model",
]
