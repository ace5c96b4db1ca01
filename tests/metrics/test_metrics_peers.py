"""Our metrics give the AUCs that two peers published for the scores they released."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oddframe.metrics import frame_auc

pytestmark = pytest.mark.data


def labels_of(path: Path) -> list[np.ndarray]:
    with np.load(path) as z:
        return [z[key] for key in z.files]


@pytest.mark.parametrize(
    ("scores", "labels", "published"),
    [
        ("UCSDped2", "ped2/labels.npz", 0.9341),
        ("Avenue", "labels/avenue_frame_labels.npz", 0.8099),
    ],
)
def test_memae_per_video_min_max(real_data, scores, labels, published):
    # Clips of 16 frames score their middle: labels[8:-7].
    truth = [y[8:-7] for y in labels_of(real_data(labels))]
    errors = np.load(real_data(f"peers/memae/ckpt_{scores}_recons_error_original_1.0_40.npy"))
    videos = np.split(errors, np.cumsum([len(y) for y in truth])[:-1])
    assert round(frame_auc(videos, truth, normalise="per_video"), 4) == published


@pytest.mark.parametrize(
    ("prefix", "labels", "published"),
    [
        ("UCSD_Ped1", "labels/ped1_frame_labels.npz", 0.664),
        ("UCSD_Ped2", "ped2/labels.npz", 0.756),
        ("Results_Avenue", "labels/avenue_frame_labels.npz", 0.651),
        ("Results_ShanghaiTech", "labels/shanghaitech_frame_labels.npz", 0.677),
    ],
)
def test_svdgan_without_normalisation(real_data, prefix, labels, published):
    with np.load(real_data("peers/svdgan/scores.npz")) as z:
        irregular = [-z[key] for key in z.files if key.startswith(prefix)]
    # Ped2's clip 03 has 148 of 150 scores; the published figure belongs to its last 148 frames.
    truth = [y[-len(s) :] for s, y in zip(irregular, labels_of(real_data(labels)), strict=True)]
    assert round(frame_auc(irregular, truth), 3) == published
