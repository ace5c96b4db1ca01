"""Pixel masks in every form, loaded per video."""

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from oddframe.data.labels import frame_labels
from oddframe.data.layouts import open_dataset
from oddframe.data.masks import pixel_masks
from oddframe.errors import DatasetError

RNG = np.random.default_rng(0)


@pytest.fixture
def clips(make_video, tmp_path):
    """One test clip of 3 frames, 60 wide: not a multiple of 8."""
    make_video(tmp_path / "testing/01.avi", frames=3, size=(60, 48))
    return tmp_path


def test_packed_npz_is_cropped_to_the_width(clips):
    masks = RNG.random((3, 48, 60)) > 0.5
    np.savez(clips / "pixel_masks.npz", **{"01": np.packbits(masks, axis=-1)})
    found = pixel_masks(open_dataset(clips))
    assert list(found) == ["01"]
    assert found["01"].dtype == np.bool_
    assert (found["01"] == masks).all()
    assert "02" not in found


def test_plain_npz(clips):
    masks = RNG.random((3, 48, 60)) > 0.5
    np.savez(clips / "pixel_masks.npz", **{"01": masks.astype(np.uint8) * 255})
    assert (pixel_masks(open_dataset(clips))["01"] == masks).all()


def test_masks_of_another_size_or_video(clips):
    np.savez(clips / "pixel_masks.npz", **{"01": np.zeros((3, 20, 60), bool)})
    with pytest.raises(DatasetError, match=r"shape \(3, 20, 60\).*needs \(frames, 48, 60\)"):
        pixel_masks(open_dataset(clips))["01"]
    np.savez(clips / "pixel_masks.npz", **{"01": np.zeros((3, 48, 60)), "05": np.zeros(1)})
    with pytest.raises(DatasetError, match="Labels without a video: 05"):
        pixel_masks(open_dataset(clips))


def test_no_masks(clips):
    assert pixel_masks(open_dataset(clips)) is None


def test_ucsd_masks_of_some_videos(make_frames, tmp_path):
    for name in ("Test001", "Test002"):
        make_frames(tmp_path / "Test" / name, frames=2, suffix=".tif")
    folder = tmp_path / "Test/Test002_gt"
    folder.mkdir()
    planes = RNG.random((12, 48, 64)) > 0.5
    for i, plane in enumerate(planes):  # 0.bmp … 11.bmp: text order would put 10 before 2
        cv2.imwrite(str(folder / f"{i}.bmp"), plane.astype(np.uint8) * 255)
    found = pixel_masks(open_dataset(tmp_path))
    assert list(found) == ["Test002"]
    assert (found["Test002"] == planes).all()
    cv2.imwrite(str(folder / "5.bmp"), np.zeros((5, 5), np.uint8))
    with pytest.raises(DatasetError, match=r"two sizes .*5\.bmp is \(5, 5\)"):
        found["Test002"]
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match="holds no mask pictures"):
        found["Test002"]


def test_avenue_volume(make_video, tmp_path):
    make_video(tmp_path / "testing_videos/01.avi", frames=3)
    folder = tmp_path / "testing_label_mask"
    folder.mkdir()
    planes = RNG.random((3, 48, 64)) > 0.5
    volume = np.empty((1, 3), object)
    volume[0] = list(planes.astype(np.uint8))
    savemat(folder / "1_label.mat", {"volLabel": volume})
    found = pixel_masks(open_dataset(tmp_path))
    assert (found["01"] == planes).all()
    savemat(folder / "1_label.mat", {"volLabel": np.zeros((3, 4))})
    with pytest.raises(DatasetError, match="a cell of one mask per frame"):
        found["01"]


def test_shanghaitech_folder(make_frames, tmp_path):
    make_frames(tmp_path / "testing/frames/01_0014", frames=3)
    for name in ("test_frame_mask", "test_pixel_mask"):
        (tmp_path / "testing" / name).mkdir()
    masks = RNG.random((3, 48, 64)) > 0.5
    np.save(tmp_path / "testing/test_pixel_mask/01_0014.npy", masks)
    assert (pixel_masks(open_dataset(tmp_path))["01_0014"] == masks).all()
    (tmp_path / "testing/test_pixel_mask/01_0014.npy").write_text("x")
    with pytest.raises(DatasetError, match=r"not a \.npy file"):
        pixel_masks(open_dataset(tmp_path))["01_0014"]


@pytest.mark.data
@pytest.mark.parametrize("name", ["ped2", "avenue-part"])
def test_real_masks_agree_with_the_labels(real_data, name):
    data = open_dataset(real_data(name))
    labels, masks = frame_labels(data), pixel_masks(data)
    assert list(masks) == list(labels)
    for video, mask in masks.items():
        assert (mask.any(axis=(1, 2)) == labels[video]).all()
