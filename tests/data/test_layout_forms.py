"""Each layout in its exact form loads whole; a gap, doubled frames, late labels are named."""

import json
import shutil

import numpy as np
import pytest
from layout_trees import FORMS, LABELS, LENGTHS, cell, ffp, frames, planes
from scipy.io import savemat

from oddframe.cli import main
from oddframe.data import check_dataset, frame_labels, open_dataset, pixel_masks
from oddframe.errors import DatasetError
from oddframe.sources import open_source
from oddframe.sources.images import list_images

FOLDERS = {"ffp", "mnad", "ucsd", "shanghaitech"}
"""Forms whose test videos are folders of frames."""


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def problems(root):
    """{(kind, video): text}; fails on two findings of the same kind and video."""
    findings = check_dataset(open_dataset(root)).findings
    found = {(one.kind, one.video): one.text for one in findings}
    assert len(found) == len(findings)
    return found


def test_frames_labels_and_masks(form, tmp_path):
    write, has_masks = FORMS[form]
    data = open_dataset(write(tmp_path))
    assert data.layout == {"mnad": "ffp"}.get(form, form)
    for split, videos in (("train", data.train), ("test", data.test)):
        counts = []
        for video in videos:
            with open_source(video.path) as source:
                counts.append(sum(1 for _ in source))
        assert counts == LENGTHS[split]
    assert [v.tolist() for v in frame_labels(data).values()] == LABELS
    masks = pixel_masks(data)
    assert (masks is not None) == has_masks
    for name, row in zip([v.name for v in data.test], LABELS, strict=True):
        assert masks is None or (masks[name] == planes(row)).all()


def test_nothing_is_wrong_with_it(form, tmp_path):
    assert problems(FORMS[form][0](tmp_path)) == {}


def second(root):
    """Name of the second test video's folder or file, and its path."""
    video = open_dataset(root).test[0]
    return f"test/{video.name}", video.path


@pytest.mark.parametrize("form", sorted(FOLDERS), indirect=True)
def test_a_gap(form, tmp_path):
    root = FORMS[form][0](tmp_path)
    name, folder = second(root)
    gone = list_images(folder)[3]
    gone.unlink()
    found = problems(root)
    assert f"number {int(gone.stem)} (between" in found["gap", name]
    assert gone.suffix in found["gap", name]
    if form in ("ucsd", "shanghaitech"):
        assert "1 more masks than frames" in found["masks length", name]
    elif form == "mnad":
        assert "14 labels" in found["labels length", ""]
        assert "13 frames: 1 label too many" in found["labels length", ""]
    else:
        assert "has 7: 1 label too many" in found["labels length", name]


@pytest.mark.parametrize("form", sorted(FOLDERS), indirect=True)
def test_two_files_of_one_number(form, tmp_path):
    root = FORMS[form][0](tmp_path)
    name, folder = second(root)
    one = list_images(folder)[2]
    shutil.copy(one, one.with_stem(str(int(one.stem))))
    text = problems(root)["doubled", name]
    assert f"{one.name} and {int(one.stem)}{one.suffix}" in text
    assert "1 of 8 frame numbers" in text
    assert ("repeated", name) not in problems(root)


def test_a_whole_folder_doubled_is_said_once(tmp_path):
    root = ffp(tmp_path)
    folder = root / "testing/frames/01"
    for file in list_images(folder):
        shutil.copy(file, file.with_suffix(".jpeg"))
    found = problems(root)
    assert "8 of 8 frame numbers are there twice: every one, such as" in found["doubled", "test/01"]


@pytest.mark.parametrize("form", sorted(FORMS), indirect=True)
def test_labels_one_frame_late(form, tmp_path):
    write, has_masks = FORMS[form]
    late = [[row[0], *row[:-1]] for row in LABELS]
    root = write(tmp_path, late)
    found = problems(root)
    if not has_masks or form == "avenue":  # nothing to hold them against
        assert not found
        return
    names = [f"test/{video.name}" for video in open_dataset(root).test]
    assert set(found) == {("labels shifted", name) for name in names}
    for text in found.values():
        assert "are 1 frame late against the pixel masks: moved by -1" in text


@pytest.mark.parametrize("form", ["mnad", "shanghaitech", "clips"], indirect=True)
def test_labels_one_frame_too_short(form, tmp_path):
    root = FORMS[form][0](tmp_path, [LABELS[0][:-1], LABELS[1]])
    found = problems(root)
    name = "" if form == "mnad" else second(root)[0]
    assert list(found) == [("labels length", name)]
    assert "1 label too few" in found["labels length", name]


def test_the_command_names_it_and_fails(tmp_path, capsys):
    root = ffp(tmp_path)
    assert main(["data", "check", str(root)]) == 0
    assert "all of it is as it should be" in capsys.readouterr().out
    (root / "testing/frames/02/003.jpg").unlink()
    assert main(["data", "check", str(root), "--json", str(tmp_path / "r.json")]) == 1
    text = capsys.readouterr().out
    assert "- gap, test/02: 1 frame is missing: number 3 (between 002.jpg and 004.jpg)" in text
    assert "1 thing is wrong" in text  # the labels of 02 end before the video does
    report = json.loads((tmp_path / "r.json").read_text())
    assert [(f["kind"], f["video"]) for f in report["findings"]] == [("gap", "test/02")]


def test_ped1_has_masks_for_some_clips_only(tmp_path):
    root = tmp_path / "UCSDped1"
    lines = ["TestVideoFile = {};"]
    for i in range(1, 37):
        frames(root / f"Test/Test{i:03d}", i, 2, "{:03d}.tif", first=1)
        lines.append("TestVideoFile{end+1}.gt_frame = [2:2];")
    frames(root / "Train/Train001", 40, 2, "{:03d}.tif", first=1)
    for i in (3, 4, 14):
        frames(root / f"Test/Test{i:03d}_gt", 1, 2, "{:03d}.bmp", first=1)
    (root / "Test/UCSDped1.m").write_text("\n".join(lines))
    data = open_dataset(root)
    assert len(data.test) == 36
    assert all(v.tolist() == [0, 1] for v in frame_labels(data).values())
    assert list(pixel_masks(data)) == ["Test003", "Test004", "Test014"]


def test_avenue_numbers_of_one_and_two_digits(tmp_path):
    """01.avi … 21.avi with 1_label.mat … 21_label.mat: some names are equal, some are not."""
    root = FORMS["avenue"][0](tmp_path)
    shutil.copy(root / "testing_videos/02.avi", root / "testing_videos/10.avi")
    folder = root / "ground_truth_demo/testing_label_mask"
    shutil.copy(folder / "2_label.mat", folder / "10_label.mat")
    labels = frame_labels(open_dataset(root))
    assert list(labels) == ["01", "02", "10"]
    assert labels["01"].tolist() == LABELS[0]


def test_matlab_7_3_says_what_to_do(tmp_path):
    root = ffp(tmp_path)
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512, b" ")
    (root / "ped2.mat").write_bytes(head + b"\x89HDF\r\n\x1a\n" + bytes(64))
    with pytest.raises(DatasetError, match=r"version 7\.3 .*save\('ped2\.mat', 'gt', '-v7'\)"):
        frame_labels(open_dataset(root))


def test_a_mask_of_another_number_of_frames(tmp_path):
    root = FORMS["avenue"][0](tmp_path)
    volume = cell(list(planes(LABELS[0][:-2]).astype(np.uint8)))
    savemat(root / "ground_truth_demo/testing_label_mask/1_label.mat", {"volLabel": volume})
    assert "6 masks, 8 frames: 2 fewer" in problems(root)["masks length", "test/01"]
