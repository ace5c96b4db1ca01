"""Every layout is recognised from a small copy of it, and what is no layout is explained."""

import numpy as np
import pytest

from oddframe.data.check import check_dataset
from oddframe.data.dataset import numbers
from oddframe.data.layouts import open_dataset
from oddframe.errors import DatasetError


def names(videos):
    return [video.name for video in videos]


def test_ucsd_original_ignores_ground_truth_folders(make_frames, tmp_path):
    for folder in ("Train/Train001", "Train/Train002", "Test/Test001", "Test/Test002"):
        make_frames(tmp_path / folder, suffix=".tif", frames=2)
    make_frames(tmp_path / "Test/Test001_gt", suffix=".bmp", frames=2)
    (tmp_path / "Test/.DS_Store").touch()
    data = open_dataset(tmp_path)
    assert (data.layout, data.name) == ("ucsd", tmp_path.name)
    assert names(data.train) == ["Train001", "Train002"]
    assert names(data.test) == ["Test001", "Test002"]
    assert data.labels.kind == data.masks.kind == "gt_folders"


def test_ucsd_list_comes_before_masks(make_frames, tmp_path):
    make_frames(tmp_path / "Test/Test001", suffix=".tif", frames=2)
    make_frames(tmp_path / "Test/Test001_gt", suffix=".bmp", frames=2)
    (tmp_path / "Test/UCSDped1.m").write_text("TestVideoFile = {};")
    assert open_dataset(tmp_path).labels.kind == "ucsd_m"


def test_ffp_with_frame_folders_in_number_order(make_frames, tmp_path):
    root = tmp_path / "ped2"
    for name in ("1", "2", "10"):
        make_frames(root / "training/frames" / name, suffix=".jpg", frames=2)
        make_frames(root / "testing/frames" / name, suffix=".jpg", frames=2)
    data = open_dataset(root)
    assert data.layout == "ffp"
    assert names(data.train) == names(data.test) == ["1", "2", "10"]
    assert data.labels is None


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("ped2/ped2.mat", "intervals_mat"),
        ("ped2.mat", "intervals_mat"),
        ("ped2/gt.mat", "intervals_mat"),
        ("ped2/frame_labels_ped2.npy", "npy"),
        ("frame_labels_ped2.npy", "npy"),
        ("ped2/labels.npz", "npz"),
        ("avenue.mat", None),
        ("frame_labels_avenue.npy", None),
    ],
)
def test_where_ffp_labels_may_lie(make_frames, tmp_path, file, kind):
    make_frames(tmp_path / "ped2/testing/frames/01", frames=2)
    (tmp_path / file).touch()
    labels = open_dataset(tmp_path / "ped2").labels
    assert (labels.kind if labels else None) == kind


def test_avenue_original(make_video, tmp_path):
    for name in ("training_videos/01.avi", "training_videos/02.avi", "testing_videos/01.avi"):
        make_video(tmp_path / name, frames=3)
    (tmp_path / "ground_truth_demo/testing_label_mask").mkdir(parents=True)
    data = open_dataset(tmp_path)
    assert (data.layout, names(data.train), names(data.test)) == ("avenue", ["01", "02"], ["01"])
    assert data.labels.kind == data.masks.kind == "volumes"


def test_shanghaitech_trains_on_videos_and_tests_on_frames(make_video, make_frames, tmp_path):
    make_video(tmp_path / "training/videos/01_001.avi", frames=3)
    make_frames(tmp_path / "testing/frames/01_0014", frames=3)
    for name in ("test_frame_mask", "test_pixel_mask"):
        (tmp_path / "testing" / name).mkdir()
    data = open_dataset(tmp_path)
    assert (data.layout, names(data.train), names(data.test)) == (
        "shanghaitech",
        ["01_001"],
        ["01_0014"],
    )
    assert data.labels.path.name == "test_frame_mask"
    assert data.masks.path.name == "test_pixel_mask"


def test_folder_of_clips(make_video, tmp_path):
    for name in ("training/1.mp4", "training/10.mp4", "training/2.mp4", "testing/01.avi"):
        make_video(tmp_path / name, frames=3)
    np.savez(tmp_path / "labels.npz", **{"01": np.zeros(3)})
    np.savez(tmp_path / "pixel_masks.npz", **{"01": np.zeros((3, 48, 8), np.uint8)})
    data = open_dataset(str(tmp_path))
    assert (data.layout, names(data.train)) == ("clips", ["1", "2", "10"])
    assert data.labels.kind == data.masks.kind == "npz"


def test_own_footage_nested(make_video, make_frames, tmp_path):
    make_video(tmp_path / "normal/monday/cam 1.mp4", frames=3)
    make_frames(tmp_path / "normal/tuesday/morning/cam.2", frames=3)
    make_video(tmp_path / "test/a.mp4", frames=3)
    (tmp_path / "labels.csv").write_text("video,start_s,end_s\n")
    data = open_dataset(tmp_path)
    assert data.layout == "own"
    assert names(data.train) == ["monday_cam 1", "tuesday_morning_cam.2"]
    assert names(data.test) == ["a"]
    assert data.labels.kind == "csv"


def test_own_footage_as_one_frame_folder_each(make_frames, tmp_path):
    make_frames(tmp_path / "normal", frames=3)
    make_frames(tmp_path / "test", frames=3)
    data = open_dataset(tmp_path)
    assert (data.layout, names(data.train), names(data.test)) == ("own", ["normal"], ["test"])


def test_own_footage_without_test(make_video, tmp_path):
    make_video(tmp_path / "normal/a.mp4", frames=3)
    assert open_dataset(tmp_path).test == ()


def test_flat_folder_of_videos(make_video, tmp_path):
    for name in ("b10.mp4", "b9.avi"):
        make_video(tmp_path / name, frames=3)
    (tmp_path / "poster.jpg").touch()
    data = open_dataset(tmp_path)
    assert (data.layout, names(data.train), data.test) == ("flat", ["b9", "b10"], ())


def test_flat_folder_of_frame_folders(make_frames, tmp_path):
    for name in ("2", "10"):
        make_frames(tmp_path / name, frames=2)
    assert names(open_dataset(tmp_path).train) == ["2", "10"]


def test_one_frame_folder_and_one_file(make_frames, make_video, tmp_path):
    one = open_dataset(make_frames(tmp_path / "cam", frames=2))
    assert (names(one.train), one.train[0].path.name) == (["cam"], "cam")
    file = open_dataset(make_video(tmp_path / "street.mp4", frames=2))
    assert (names(file.train), file.test, file.name) == (["street"], (), "street")


def test_a_stranger_is_told_what_was_expected_and_found(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "src").mkdir()
    with pytest.raises(DatasetError, match=r"it holds notes\.txt, src/.*Expected one of:"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="not a video file"):
        open_dataset(tmp_path / "notes.txt")
    with pytest.raises(DatasetError, match="does not exist"):
        open_dataset(tmp_path / "nothing")


def test_the_folder_meant_is_named(make_video, tmp_path):
    make_video(tmp_path / "ped2/testing/01.mp4", frames=3)
    make_video(tmp_path / "ped2/training/01.mp4", frames=3)
    with pytest.raises(DatasetError, match=r"Did you mean .*ped2\?"):
        open_dataset(tmp_path)


def test_an_empty_split_is_an_error(make_video, tmp_path):
    make_video(tmp_path / "training/01.mp4", frames=3)
    (tmp_path / "testing").mkdir()
    with pytest.raises(DatasetError, match=r"testing holds no videos.*it is empty"):
        open_dataset(tmp_path)


def test_two_videos_of_one_name(make_video, tmp_path):
    make_video(tmp_path / "a.mp4", frames=3)
    make_video(tmp_path / "a.avi", frames=3)
    with pytest.raises(DatasetError, match=r"same name 'a': a\.avi and a\.mp4"):
        open_dataset(tmp_path)


def test_labels_can_be_named(make_video, tmp_path):
    make_video(tmp_path / "data/testing/01.mp4", frames=3)
    np.savez(tmp_path / "other.npz", **{"01": np.zeros(3)})
    data = open_dataset(tmp_path / "data", labels=tmp_path / "other.npz")
    assert (data.labels.kind, data.labels.path.name) == ("npz", "other.npz")
    with pytest.raises(DatasetError, match="it does not exist"):
        open_dataset(tmp_path / "data", labels=tmp_path / "nothing.npz")
    (tmp_path / "x.txt").touch()
    with pytest.raises(DatasetError, match="it is neither"):
        open_dataset(tmp_path / "data", labels=tmp_path / "x.txt")


def test_numbers_of_names():
    assert numbers("Test001") == numbers("01") == numbers("1_label") == (1,)
    assert numbers("01_0014") == (1, 14)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "train", "test"), [("ped2", 16, 12), ("avenue-part", 4, 3), ("clips", 2, 0)]
)
def test_real_folders(real_data, name, train, test):
    data = open_dataset(real_data(name))
    assert (len(data.train), len(data.test)) == (train, test)


def test_a_link_to_a_data_set_has_the_name_and_the_labels_of_the_link(make_frames, tmp_path):
    for split in ("training", "testing"):
        make_frames(tmp_path / "store17" / split / "frames" / "01")
    (tmp_path / "sets").mkdir()
    link = tmp_path / "sets" / "ped2"
    link.symlink_to(tmp_path / "store17")
    np.save(tmp_path / "sets" / "frame_labels_ped2.npy", np.zeros(8))
    found = open_dataset(link)
    assert found.name == "ped2"
    assert [file.path.name for file in found.label_files] == ["frame_labels_ped2.npy"]
    # Behind a link, .. is where the link leads to.
    assert open_dataset(link / ".." / "store17").name == "store17"


def test_folders_of_pictures_beside_videos_are_named(make_video, make_frames, tmp_path):
    make_video(tmp_path / "a.avi")
    make_frames(tmp_path / "thumbs")
    found = open_dataset(tmp_path)
    assert [v.name for v in found.train] == ["a"]
    assert "left out 1 folder of pictures beside videos (thumbs)" in found.left_out_text
    assert any("(thumbs)" in note for note in check_dataset(found).notes)


def test_own_footage_of_labelled_tests_alone(make_video, tmp_path):
    make_video(tmp_path / "test" / "a.avi")
    with pytest.raises(DatasetError, match="No data set in"):
        open_dataset(tmp_path)
    (tmp_path / "labels.csv").write_text("video,start,stop\na,2,4\n")
    found = open_dataset(tmp_path)
    assert (found.layout, found.train, [v.name for v in found.test]) == ("own", (), ["a"])
