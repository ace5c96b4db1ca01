"""The benchmarks are recognised by what a folder holds; their label sets are told apart."""

import numpy as np
import pytest
from scipy.io import savemat

from oddframe.data.check import check_dataset
from oddframe.data.labels import frame_labels, label_source
from oddframe.data.layouts import open_dataset
from oddframe.data.official import (
    OFFICIAL,
    benchmark,
    digest,
    known_labels,
    label_set,
    label_shift,
    recognise,
    shifted,
)
from oddframe.errors import DatasetError

TOTALS = {
    "ped1": (34, 6800, 36, 7200, [4045]),
    "ped2": (16, 2550, 12, 2010, [1648]),
    "avenue": (16, 15328, 21, 15324, [3712, 3867]),
    "shanghaitech": (330, 274515, 107, 40791, [17326]),
}


@pytest.mark.parametrize("name", TOTALS)
def test_totals(name):
    one = OFFICIAL[name]
    abnormal = [sum(s.abnormal) for s in one.label_sets]
    assert (
        one.train_videos, one.train_frames, len(one.test), one.test_frames, abnormal
    ) == TOTALS[name]  # fmt: skip
    assert all(len(s.abnormal) == len(one.test) for s in one.label_sets)
    for labels in one.label_sets:
        lengths = [n for _, n in one.test]
        assert all(k <= n for k, n in zip(labels.abnormal, lengths, strict=True))
    frames = [n for _, n in one.train if n is not None]
    assert not frames or sum(frames) == one.train_frames


def counts(name, prefix=""):
    return {prefix + video: frames for video, frames in OFFICIAL[name].test}


@pytest.mark.parametrize("name", OFFICIAL)
def test_each_is_recognised_without_its_name(name):
    assert recognise(counts(name)).name == name


def test_names_of_another_spelling():
    assert recognise(counts("ped2", "Test0")).name == "ped2"


def test_a_few_missing_or_wrong_do_not_matter():
    found = counts("avenue")
    del found["07"], found["12"]
    found["01"] -= 1
    assert recognise(found).name == "avenue"


def test_a_part_is_recognised():
    assert recognise({"17": 426, "19": 248, "21": 76}).name == "avenue"


def test_clips_of_one_length_need_a_name():
    found = {"01": 200, "02": 200, "03": 200}
    assert recognise(found) is None
    assert recognise(found, "data/UCSDped1").name == "ped1"


def test_a_name_alone_is_not_enough():
    assert recognise({"01": 6, "02": 4}, "ped2") is None
    assert recognise({}, "ped2") is None


def test_shifting_fills_with_the_end_value():
    labels = np.array([0, 1, 1, 0, 1], np.uint8)
    assert shifted(labels, 1).tolist() == [0, 0, 1, 1, 0]
    assert shifted(labels, -2).tolist() == [1, 0, 1, 1, 1]


def made_up(name, which):
    """Labels with the right number of abnormal frames per video, all at the start."""
    one = OFFICIAL[name]
    rows = zip(one.test, one.set(which).abnormal, strict=True)
    return {v: (np.arange(n) < k).astype(np.uint8) for (v, n), k in rows}


def test_a_complete_set_must_be_right_frame_by_frame():
    labels = made_up("ped2", "ucsd")
    assert label_set("ped2", labels) is None
    assert digest(labels) != OFFICIAL["ped2"].set("ucsd").digest


def test_a_part_goes_by_the_numbers_of_each_video():
    for which in ("mask", "ffp"):
        labels = made_up("avenue", which)
        part = {name: labels[name] for name in ("17", "19", "21")}
        assert label_set("avenue", part) == which
    assert label_set("avenue", {"03": labels["03"]}) is None  # the same in both sets
    assert label_set("avenue", {"1": labels["17"]}) is None
    assert label_set("avenue", {}) is None


def test_avenue_labels_by_name(make_video, tmp_path):
    root = tmp_path / "Avenue Dataset"
    lengths = {"08": 36, "21": 76}
    for name, frames in lengths.items():
        make_video(root / f"testing_videos/{name}.avi", frames=frames)
    ffp = made_up("avenue", "ffp")
    cells = np.empty((1, 2), object)
    cells[0] = [np.array([[1], [int(ffp[name].sum())]]) for name in lengths]
    savemat(root / "avenue.mat", {"gt": cells})
    folder = root / "ground_truth_demo/testing_label_mask"
    folder.mkdir(parents=True)
    mask = made_up("avenue", "mask")
    for name in lengths:
        planes = np.empty((1, lengths[name]), object)
        planes[0] = [np.full((48, 64), value, np.uint8) for value in mask[name]]
        savemat(folder / f"{int(name)}_label.mat", {"volLabel": planes})

    data = open_dataset(root)
    assert [f.kind for f in data.label_files] == ["intervals_mat", "volumes"]
    assert label_source(data).startswith('avenue.mat (Avenue labels "ffp", blake2b ')
    by_name = open_dataset(root, labels="mask")
    assert by_name.labels.kind == "volumes"
    assert frame_labels(by_name)["08"].sum() == 36
    assert 'testing_label_mask (Avenue labels "mask", 2 files, ' in label_source(by_name)
    assert open_dataset(root, labels="ffp").labels == data.labels
    found = check_dataset(data)
    assert 'other labels, not used here: testing_label_mask, the set "mask" (--labels mask)' in (
        found.notes
    )
    assert (found.label_set, found.findings) == ("ffp", ())
    (root / "avenue.mat").unlink()
    with pytest.raises(DatasetError, match=r'set "ffp".*Found: testing_label_mask is "mask"'):
        open_dataset(root, labels="ffp")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "file", "which"),
    [
        ("ped1", "labels/ped1_frame_labels.npz", "ucsd"),
        ("ped2", "ped2/labels.npz", "ucsd"),
        ("avenue", "labels/avenue_frame_labels.npz", "mask"),
        ("avenue", "labels/avenue_mnad_frame_labels.npz", "ffp"),
        ("shanghaitech", "labels/shanghaitech_frame_labels.npz", "shanghaitech"),
    ],
)
def test_real_label_sets(real_data, name, file, which):
    folder, file = file.split("/")
    with np.load(real_data(folder) / file) as archive:
        labels = {key: archive[key].astype(np.uint8) for key in archive.files}
    one, found = known_labels(labels)
    assert (one.name, found) == (name, which)
    assert [int(v.sum()) for v in labels.values()] == list(one.set(which).abnormal)
    late = {video: shifted(values, 1) for video, values in labels.items()}
    assert label_set(name, late) is None
    assert label_shift(name, late) in ((which, 1), None)  # an edge may lose a frame
    assert label_shift(name, labels) == (which, 0)


@pytest.mark.data
def test_real_part_of_avenue(real_data):
    data = open_dataset(real_data("avenue-part"))
    assert 'Avenue labels "mask"' in label_source(data)
    assert recognise(data).name == "avenue"
    with pytest.raises(DatasetError, match=r'none .* is the set "ffp"'):
        open_dataset(data.root, labels="ffp")


def test_a_part_that_holds_nothing_to_know_it_by_is_known_by_its_name():
    cut = {"01": 44, "02": 44}
    assert benchmark(counts("ped2"), "any/thing") == "ped2"
    assert benchmark(counts("avenue"), "ped2/mine") == "avenue"  # what it holds comes first
    assert benchmark(cut, "data/Avenue-part") == "avenue"
    assert benchmark(cut, "UCSDped2/test") == "ped2"
    assert benchmark(cut, "my/street") is None
    assert benchmark(cut, "ped1/ped2") is None
