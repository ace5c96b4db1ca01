"""Frame labels in every form, and the ways in which labels and videos do not fit."""

import sys

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from oddframe.data.labels import (
    check_lengths,
    frame_labels,
    has_labels,
    label_source,
    video_frames,
)
from oddframe.data.layouts import open_dataset
from oddframe.errors import DatasetError


@pytest.fixture
def ffp(make_frames, tmp_path):
    """Two test videos, "01" of 6 frames and "02" of 4, without labels yet."""
    root = tmp_path / "ped2"
    make_frames(root / "testing/frames/01", frames=6)
    make_frames(root / "testing/frames/02", frames=4)
    return root


FIRST, SECOND = [0, 1, 1, 0, 0, 1], [1, 1, 1, 1]


def assert_labels(root, first=FIRST, second=SECOND):
    labels = frame_labels(open_dataset(root))
    assert [a.tolist() for a in labels.values()] == [first, second]
    assert all(a.dtype == np.uint8 for a in labels.values())


def cell(*arrays):
    """A Matlab cell array 1 x N."""
    out = np.empty((1, len(arrays)), object)
    out[0] = [np.array(a) for a in arrays]
    return out


def write_npz(root, first=FIRST, second=SECOND, names=("01", "02")):
    np.savez(root / "labels.npz", **dict(zip(names, (first, second), strict=True)))


def test_npz(ffp):
    write_npz(ffp, np.array(FIRST, bool), np.array(SECOND, float))
    assert_labels(ffp)
    assert has_labels(open_dataset(ffp))


def test_npz_with_names_of_another_spelling(ffp):
    write_npz(ffp, names=("Test001", "Test002"))
    assert_labels(ffp)


def test_ffp_mat_counts_from_one_with_the_end_included(ffp):
    savemat(ffp / "ped2.mat", {"gt": cell([[2, 6], [3, 6]], [[1], [4]])})
    assert_labels(ffp)


def test_ffp_mat_with_a_normal_video(ffp):
    savemat(ffp / "ped2.mat", {"gt": cell(np.zeros((0, 0)), [[1], [4]])})
    assert_labels(ffp, first=[0] * 6)
    savemat(ffp / "ped2.mat", {"gt": cell([[1, 2], [3, 3], [5, 6]], [[1], [4]])})
    with pytest.raises(DatasetError, match=r"video 1: expected 2 x K .*\(3, 2\)"):
        frame_labels(open_dataset(ffp))


def test_ffp_mat_of_another_set(ffp):
    savemat(ffp / "ped2.mat", {"gt": cell([[2], [3]])})
    with pytest.raises(DatasetError, match=r"labels for 1 videos.*has 2; without labels: 02"):
        frame_labels(open_dataset(ffp))
    savemat(ffp / "ped2.mat", {"gt": cell([[2], [7]], [[1], [4]])})
    with pytest.raises(DatasetError, match=r"video 01, marks the frames 1 to 7.*has 6 frames"):
        frame_labels(open_dataset(ffp))
    savemat(ffp / "ped2.mat", {"other": 1})
    with pytest.raises(DatasetError, match="no variable 'gt'; it holds other"):
        frame_labels(open_dataset(ffp))
    (ffp / "ped2.mat").write_text("not matlab")
    with pytest.raises(DatasetError, match="cannot be read as a Matlab file"):
        frame_labels(open_dataset(ffp))


def test_without_scipy_the_extra_is_named(ffp, monkeypatch):
    savemat(ffp / "ped2.mat", {"gt": cell([[2], [3]], [[1], [4]])})
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(DatasetError, match=r"oddframe\[research\]"):
        frame_labels(open_dataset(ffp))


@pytest.mark.parametrize("where", ["root", "parent"])
def test_mnad_npy_is_cut_at_the_videos(ffp, where):
    folder = ffp if where == "root" else ffp.parent
    np.save(folder / "frame_labels_ped2.npy", np.array([FIRST + SECOND]))  # 1 x N
    assert_labels(ffp)


def test_mnad_npy_of_another_length(ffp):
    np.save(ffp / "frame_labels_ped2.npy", np.array([FIRST]))
    with pytest.raises(DatasetError, match="6 labels, the 2 test videos have 10 frames"):
        frame_labels(open_dataset(ffp))


def test_shanghaitech_folder_of_npy(make_frames, tmp_path):
    for name, values in (("01_0014", FIRST), ("01_0015", SECOND)):
        make_frames(tmp_path / "testing/frames" / name, frames=len(values))
        (tmp_path / "testing/test_frame_mask").mkdir(exist_ok=True)
        np.save(tmp_path / f"testing/test_frame_mask/{name}.npy", np.array(values))
    assert_labels(tmp_path)
    assert label_source(open_dataset(tmp_path)).startswith("test_frame_mask (2 files, blake2b ")


def test_ucsd_list(make_frames, tmp_path):
    make_frames(tmp_path / "Test/Test001", suffix=".tif", frames=6)
    make_frames(tmp_path / "Test/Test002", suffix=".tif", frames=4)
    (tmp_path / "Test/UCSDped2.m").write_text(
        "TestVideoFile = {};\n% TestVideoFile{end+1}.gt_frame = [1:2];\n"
        "TestVideoFile{end+1}.gt_frame = [2:3, 6];\nTestVideoFile{end+1}.gt_frame = [1:4];\n"
    )
    assert_labels(tmp_path)
    (tmp_path / "Test/UCSDped2.m").write_text("x = 1;")
    with pytest.raises(DatasetError, match="UCSD's list"):
        frame_labels(open_dataset(tmp_path))


def write_gt(folder, values):
    folder.mkdir(parents=True)
    for i, value in enumerate(values, 1):
        mask = np.zeros((48, 64), np.uint8)
        mask[5:9, 6:8] = 255 * value
        cv2.imwrite(str(folder / f"{i:03d}.bmp"), mask)


def test_ucsd_masks_as_labels(make_frames, tmp_path):
    make_frames(tmp_path / "Test/Test001", suffix=".tif", frames=6)
    make_frames(tmp_path / "Test/Test002", suffix=".tif", frames=4)
    write_gt(tmp_path / "Test/Test001_gt", FIRST)
    with pytest.raises(DatasetError, match="no masks for the test videos Test002"):
        frame_labels(open_dataset(tmp_path))
    write_gt(tmp_path / "Test/Test002_gt", SECOND)
    assert_labels(tmp_path)
    assert "(10 files" in label_source(open_dataset(tmp_path))


def test_avenue_volumes(make_video, tmp_path):
    folder = tmp_path / "ground_truth_demo/testing_label_mask"
    folder.mkdir(parents=True)
    for number, values in ((1, FIRST), (2, SECOND)):
        make_video(tmp_path / f"testing_videos/0{number}.avi", frames=len(values))
        planes = [np.full((48, 64), value, np.uint8) for value in values]
        savemat(folder / f"{number}_label.mat", {"volLabel": cell(*planes)})
    assert_labels(tmp_path)


@pytest.fixture
def own(make_video, tmp_path):
    """Own footage at 10 fps: test videos "a" (12 frames) and "b_c" (5 frames, nested)."""
    make_video(tmp_path / "normal/n.mp4", frames=3)
    make_video(tmp_path / "test/a.mp4", frames=12, fps=10.0)
    make_video(tmp_path / "test/b/c.avi", frames=5, fps=10.0)

    def write(text):
        (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
        return {k: v.tolist() for k, v in frame_labels(open_dataset(tmp_path)).items()}

    return write


@pytest.mark.parametrize(
    "text",
    [
        "video,start_s,end_s\na,0.2,0.5\na.mp4,0.9,1.2\nb/c.avi,,\n",
        "video;start_s;end_s\ntest/a.mp4;0.2;0.5\n\na;0.9;1.5\n",
        "\ufeffVideo, Start_frame ,end_frame,note\na,2,5,bike\na,9,12,\n",
    ],
    ids=["seconds", "semicolons, past the end by a little", "frames, BOM, more columns"],
)
def test_csv(own, text):
    assert own(text) == {"a": [0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1], "b_c": [0] * 5}


def test_csv_finds_a_nested_video_by_its_own_name(own):
    assert own("video,start_frame,end_frame\nc.avi,0,1\n")["b_c"] == [1, 0, 0, 0, 0]
    assert own("video,start_s,end_s\nb/c,0.31,0.32\n")["b_c"] == [0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start,end\n1,2\n", "begins with 'start,end'; expected the header video,start_s,end_s"),
        ("", "begins with ''"),
        ("video,start_s,end_s\na,0,1\na,0.5,0.2\n", "line 3: expected a video, a start"),
        ("video,start_s,end_s\na,x,1\n", "line 2.*start_s 'x'"),
        ("video,start_s,end_s\na,0,\n", "line 2.*end_s ''"),
        ("video,start_s,end_s\na,-1,1\n", "line 2"),
        ("video,start_s,end_s\nzzz,0,1\n", r"not in the test split: zzz \(line 2\).*a, b_c"),
        ("video,start_s,end_s\na,0,9\n", r"line 2: .*0 to 9.*12 frames and ends at 1\.20 s"),
        ("video,start_frame,end_frame\na,3,13\n", "line 2: .*3 to 13"),
    ],
)
def test_csv_errors_name_the_line(own, text, message):
    with pytest.raises(DatasetError, match=message):
        own(text)


def test_no_labels_says_what_is_accepted(ffp, make_video, tmp_path):
    with pytest.raises(DatasetError, match=r"No frame labels .*labels\.npz.*labels\.csv"):
        frame_labels(open_dataset(ffp))
    flat = open_dataset(make_video(tmp_path / "x/a.mp4", frames=3))
    assert not has_labels(flat)
    with pytest.raises(DatasetError, match="no test videos"):
        label_source(flat)


def test_missing_and_foreign_labels_are_named(ffp):
    write_npz(ffp, names=("01", "07"))
    with pytest.raises(
        DatasetError, match=r"Videos without labels: 02\. Labels without a video: 07\."
    ):
        frame_labels(open_dataset(ffp))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1, 2, 0, 0, 0], "holds the value 2 "),
        ([0, 0.5, 1, 0, 0, 0], r"holds the value 0\.5 "),
        ([[0, 1, 0]] * 2, r"shape \(2, 3\)"),
        (["a"] * 6, "type <U1"),
        ([0, 1, 0], "Video 01 has 6 frames and 3 labels"),
    ],
)
def test_wrong_values(ffp, values, message):
    write_npz(ffp, np.array(values))
    with pytest.raises(DatasetError, match=message):
        frame_labels(open_dataset(ffp))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text"])
def test_broken_npz(ffp, content):
    (ffp / "labels.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"labels\.npz is not a \.npz archive"):
        frame_labels(open_dataset(ffp))


def test_pickled_labels_are_refused(ffp):
    np.savez(ffp / "labels.npz", **{"01": np.array([{}], object), "02": np.array(SECOND)})
    with pytest.raises(DatasetError, match="cannot be read"):
        frame_labels(open_dataset(ffp))


def test_check_lengths():
    check_lengths("01", 5, 5)
    with pytest.raises(DatasetError, match="Video 01 has 5 frames and 4 labels"):
        check_lengths("01", 4, 5)


def test_label_source_changes_with_the_labels(ffp):
    write_npz(ffp)
    before = label_source(open_dataset(ffp))
    assert before.startswith("labels.npz (blake2b ")
    assert label_source(open_dataset(ffp)) == before
    write_npz(ffp, first=[*SECOND, 0, 0])
    assert label_source(open_dataset(ffp)) != before


@pytest.mark.data
def test_real_ped2(real_data):
    data = open_dataset(real_data("ped2"))
    labels = frame_labels(data)
    assert sum(map(len, labels.values())) == 2010
    assert sum(int(a.sum()) for a in labels.values()) == 1648
    assert sum(video_frames(v) for v in data.train) == 2550
    for video in data.test:
        check_lengths(video.name, len(labels[video.name]), video_frames(video))


@pytest.mark.data
def test_real_avenue_part(real_data):
    data = open_dataset(real_data("avenue-part"))
    labels = frame_labels(data)
    assert [len(a) for a in labels.values()] == [video_frames(v) for v in data.test]
    assert sum(int(a.sum()) for a in labels.values()) == 577
    assert sum(video_frames(v) for v in data.train) == 2393
    whole = real_data("labels") / "avenue_frame_labels.npz"
    with pytest.raises(DatasetError, match=r"Labels without a video: 01, 02"):
        frame_labels(open_dataset(data.root, labels=whole))


def test_seconds_are_those_of_the_stamps(tmp_path):
    """A phone's 30, 10, 30 frames a second; a browser's file that knows no rate."""
    from encoded import encode

    stamps = [i / 30 for i in range(60)] + [2 + i / 10 for i in range(20)]
    stamps += [4 + i / 30 for i in range(60)]
    (tmp_path / "normal").mkdir()
    (tmp_path / "test").mkdir()
    encode(tmp_path / "normal" / "n.mp4", 20)
    encode(tmp_path / "test" / "phone.mp4", stamps=stamps, rate=30)
    encode(tmp_path / "test" / "web.webm", 100, 25, "libvpx", rate=1000)
    (tmp_path / "labels.csv").write_text(
        "video,start_s,end_s\nphone,1.5,3\nphone.mp4,4.5,5\nweb,1,2.48\nweb,3.2,3.201\n"
    )
    found = frame_labels(open_dataset(tmp_path))
    at = np.array(stamps)
    wanted = ((at >= 1.4999) & (at < 2.9999)) | ((at >= 4.4999) & (at < 4.9999))
    np.testing.assert_array_equal(found["phone"], wanted)
    assert np.flatnonzero(found["web"]).tolist() == [*range(25, 62), 80]
