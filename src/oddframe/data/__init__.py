"""Data sets: recognise their layouts, read their labels, keep their frames ready for training."""

from oddframe.data.dataset import Dataset, Video
from oddframe.data.frames import FrameStore, from_store, resize_bgr, to_model
from oddframe.data.labels import check_lengths, frame_labels, has_labels, label_source
from oddframe.data.layouts import open_dataset
from oddframe.data.manifest import manifest, manifest_hash
from oddframe.data.masks import pixel_masks

__all__ = [
    "Dataset",
    "FrameStore",
    "Video",
    "check_lengths",
    "frame_labels",
    "from_store",
    "has_labels",
    "label_source",
    "manifest",
    "manifest_hash",
    "open_dataset",
    "pixel_masks",
    "resize_bgr",
    "to_model",
]
