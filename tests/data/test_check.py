"""`check_dataset` names everything that is wrong, each thing precisely, and goes on."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_trees import LABELS, clips, ffp, frames, mat_intervals, own, ucsd, video

from oddframe.cli import main
from oddframe.data import check_dataset, frame_labels, open_dataset
from oddframe.data.check_frames import picture_size
from oddframe.data.check_labels import best_shift
from oddframe.data.official import OFFICIAL
from oddframe.errors import SourceError


def report(root):
    return check_dataset(open_dataset(root))


def texts(root, kind):
    """{video: text} of the findings of a kind."""
    return {one.video: one.text for one in report(root).findings if one.kind == kind}


def test_counts_and_one_class(tmp_path):
    root = clips(tmp_path)
    np.savez(root / "labels.npz", **{"01": LABELS[0], "02": [0] * 6})
    found = report(root)
    assert [(s.split, s.videos, s.frames) for s in found.splits] == [
        ("train", 2, 9), ("test", 2, 14),
    ]  # fmt: skip
    assert found.splits[0].kinds == ("64x48 25 fps",)
    assert (found.labelled_frames, found.abnormal_frames, found.one_class) == (14, 4, ("02",))
    assert (found.masked, found.official, found.label_set) == (2, None, None)
    assert [(one.kind, one.video) for one in found.findings] == [("labels and masks", "test/02")]
    assert found.plain()["findings"][0]["kind"] == "labels and masks"


def test_several_gaps(tmp_path):
    root = ffp(tmp_path)
    (root / "training/frames/01/001.jpg").unlink()
    frames(root / "training/frames/03", 3, 12)
    for number in (2, 5, 6, 7):
        (root / f"training/frames/03/{number:03d}.jpg").unlink()
    found = texts(root, "gap")
    assert "1 frame is missing: number 1 (between 000.jpg and 002.jpg)" in found["train/01"]
    assert "4 frames are missing: number 2, 5 to 7 (first between 001.jpg" in found["train/03"]


def test_steps_are_said_once(tmp_path):
    root = ffp(tmp_path)
    for file in list((root / "training/frames/01").iterdir()):
        if int(file.stem) % 2:
            file.unlink()
    assert "in steps of 2 (000.jpg, 002.jpg, …)" in texts(root, "gap")["train/01"]


def test_a_folder_that_starts_elsewhere(tmp_path):
    root = ffp(tmp_path)
    frames(root / "training/frames/03", 3, 4)
    frames(root / "training/frames/04", 4, 4, first=2)
    found = texts(root, "start")
    assert list(found) == ["train/04"]
    assert "has number 2, that of 3 other folders 0: frames 0 to 1 are missing" in found["train/04"]


def test_neighbours_of_the_same_bytes(tmp_path):
    root = ffp(tmp_path)
    folder = root / "testing/frames/01"
    shutil.copy(folder / "003.jpg", folder / "004.jpg")
    text = texts(root, "repeated")["test/01"]
    assert "Copies of the frame before, byte by byte: 1 (003.jpg = 004.jpg)" in text


def test_a_video_at_twice_its_rate(tmp_path):
    root = clips(tmp_path)
    path = root / "training/03.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (64, 48))
    for i in range(12):
        writer.write(np.full((48, 64, 3), 20 * (i // 2), np.uint8))
    writer.release()
    assert "6 of 12 frames are copies" in texts(root, "repeated")["train/03"]


def test_sizes_within_a_folder(tmp_path):
    root = ffp(tmp_path)
    for suffix in (".jpg", ".png", ".bmp"):
        path = root / f"training/frames/01/009{suffix}"
        assert cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    text = texts(root, "size")["train/01"]
    assert "000.jpg is 64x48, but 009.bmp (30x20), 009.jpg (30x20), 009.png (30x20)" in text


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif"])
def test_header_sizes(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    image = np.random.default_rng(0).integers(0, 255, (37, 51, 3), np.uint8)
    assert cv2.imwrite(str(path), image)
    data = path.read_bytes()
    assert picture_size(path, data) == (51, 37)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match="cannot be decoded"):
        picture_size(path, path.read_bytes())


def test_undecodable_videos_and_pictures_do_not_stop_it(tmp_path):
    root = clips(tmp_path)
    (root / "training/01.avi").write_bytes(b"no video")
    (root / "testing/02.avi").write_bytes(b"")
    found = report(root)
    assert {one.video for one in found.findings} == {"train/01", "test/02"}
    assert {one.kind for one in found.findings} == {"undecodable"}
    assert found.labelled_frames == 14
    other = ffp(tmp_path / "other")
    (other / "testing/frames/01/003.jpg").write_bytes(b"\xff\xd8 cut")
    assert "003.jpg" in texts(other, "undecodable")["test/01"]


def test_labels_without_a_video_and_videos_without_labels(tmp_path):
    root = clips(tmp_path)
    np.savez(root / "labels.npz", **{"01": LABELS[0], "07": [0], "09": [0]})
    assert "labels without a video (2): 07, 09" in texts(root, "no video")[""]
    assert list(texts(root, "unlabelled")) == ["test/02"]


def test_masks_without_a_video(tmp_path):
    root = ucsd(tmp_path)
    shutil.copytree(root / "Test/Test002_gt", root / "Test/Test009_gt")
    (root / "Test/Test002_gt/003.bmp").unlink()
    assert "masks without a video (1): Test009" in texts(root, "no video")[""]
    assert "number 3 (between 002.bmp and 004.bmp)" in texts(root, "mask gap")["test/Test002"]


def test_every_wrong_line_of_a_csv(tmp_path):
    root = own(tmp_path)
    (root / "labels.csv").write_text(
        "video,start_frame,end_frame\nodd1,2,99\nnone,1,2\nodd2,0,2\nodd2,7,9\nodd9,1,2\n"
    )
    found = report(root).findings
    assert [one.kind for one in found] == ["labels length", "no video", "labels length", "no video"]
    for one, line in zip(found, (2, 3, 5, 6), strict=True):
        assert f"line {line}" in one.text


def test_a_list_for_more_videos(tmp_path):
    root = ffp(tmp_path)
    mat_intervals(root / "ped2.mat", [*LABELS, [1, 0]])
    assert "labels of 3 videos, the test split has 2" in texts(root, "labels")[""]


def test_one_video_twice(tmp_path):
    root = clips(tmp_path)
    shutil.copy(root / "testing/01.avi", root / "training/05.avi")
    text = texts(root, "same video")["test/01"]
    assert "same frames as train/05" in text
    assert "must not be trained on" in text


def test_shifts():
    truth = np.zeros(40, np.uint8)
    truth[10:20] = truth[30:40] = 1
    for shift in range(-3, 4):
        assert best_shift(np.roll(truth, shift), truth) == shift
    other = truth.copy()
    other[10:15] = 0
    assert best_shift(other, truth) == 0  # five frames less at one end are no shift
    assert best_shift(truth[:1], truth[:1]) == 0


# ---- against the benchmarks


@pytest.fixture
def ped2(tmp_path):
    """Ped2 with its own lengths, one file per frame small and different."""
    root = tmp_path / "ped2"
    one = OFFICIAL["ped2"]
    value = 0
    for folder, videos in (("training", one.train), ("testing", one.test)):
        for name, n in videos:
            place = root / folder / "frames" / name
            place.mkdir(parents=True)
            for i in range(n):
                value += 1
                image = np.array([[value % 256, value // 256]], np.uint8)
                data = cv2.imencode(".bmp", image)[1].tobytes()
                (place / f"{i:03d}.bmp").write_bytes(data)
    return root


def by_video(found):
    return {(one.kind, one.video): one.text for one in found.findings}


def test_the_whole_benchmark_then_damaged(ped2):
    found = report(ped2)
    assert (found.official, found.findings) == ("ped2", ())
    shutil.rmtree(ped2 / "testing/frames/07")
    shutil.rmtree(ped2 / "training/frames/16")
    (ped2 / "testing/frames/03/149.bmp").unlink()
    shutil.copytree(ped2 / "testing/frames/12", ped2 / "testing/frames/13")
    found = by_video(report(ped2))
    assert "test video 07 of UCSD Ped2 is not there" in found["missing", "test/07"]
    assert ("missing", "train/16") in found
    assert "149 frames, UCSD Ped2 has 150" in found["length", "test/03"]
    assert "1 too few" in found["length", "test/03"]
    assert ("same video", "test/13") in found
    assert ("not official", "test/13") in found
    totals = [text for (kind, _), text in found.items() if kind == "frames"]
    assert totals == ["The test split has 2009 frames, UCSD Ped2 has 2010: 1 fewer."] or totals


def test_labels_of_a_benchmark(ped2):
    one = OFFICIAL["ped2"]
    rows = zip(one.test, one.set("ucsd").abnormal, strict=True)
    labels = {v: (np.arange(n) < k).astype(np.uint8) for (v, n), k in rows}
    np.savez(ped2 / "labels.npz", **labels)
    text = by_video(report(ped2))["labels", ""]
    assert "marks 1648 abnormal frames and is no label set of UCSD Ped2" in text
    assert 'expected 1648 ("ucsd")' in text


def test_a_concatenated_list_names_the_video_that_is_short(ped2):
    np.save(ped2 / "frame_labels_ped2.npy", np.zeros((1, 2010)))
    (ped2 / "testing/frames/03/149.bmp").unlink()
    found = by_video(report(ped2))
    assert "2010 labels" in found["labels length", ""]
    assert "150 labels in frame_labels_ped2.npy, 149 frames" in found["labels length", "test/03"]


def test_a_part_is_told_as_one(ped2, capsys):
    for split, keep in (("training", "05"), ("testing", "09")):
        for folder in (ped2 / split / "frames").iterdir():
            if folder.name not in (keep, "03", "04"):
                shutil.rmtree(folder)
    found = report(ped2)
    assert found.findings == ()
    assert "a part of UCSD Ped2: 3 of 12 test videos, 03, 04, 09" in found.notes
    assert main(["data", "check", str(ped2)]) == 0
    assert "note: a part of UCSD Ped2: 3 of 16 train videos, 03, 04, 05" in capsys.readouterr().out


@pytest.mark.data
@pytest.mark.parametrize(("name", "labels"), [("ped2", "ucsd"), ("avenue-part", "mask")])
def test_real_clips_are_as_they_should_be(real_data, tmp_path, name, labels):
    root = tmp_path / name
    root.mkdir()
    for part in ("testing", "labels.npz", "pixel_masks.npz"):
        (root / part).symlink_to(real_data(name) / part)
    found = report(root)
    assert found.findings == ()
    assert (found.official, found.label_set) == (name.removesuffix("-part"), labels)


@pytest.mark.data
def test_real_labels_a_frame_late(real_data, tmp_path):
    root = tmp_path / "avenue-part"
    shutil.copytree(real_data("avenue-part") / "testing", root / "testing")
    with np.load(real_data("avenue-part") / "labels.npz") as archive:
        late = {k: np.concatenate([archive[k][:1], archive[k][:-1]]) for k in archive.files}
    np.savez(root / "labels.npz", **late)
    shutil.copy(real_data("avenue-part") / "pixel_masks.npz", root)
    found = by_video(report(root))
    assert {kind for kind, _ in found} == {"labels shifted"}
    assert all("1 frame late" in text for text in found.values())


def test_a_video_from_nowhere_is_no_benchmark(tmp_path):
    video(tmp_path / "x/a.avi", 1, 3)
    found = report(tmp_path / "x")
    assert (found.official, found.labels, found.findings) == (None, None, ())


BAD_SECTOR = Path("/proc/self/mem")  # a file that opens and cannot be read


@pytest.mark.skipif(not BAD_SECTOR.exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("number", [0, 2, 5])
def test_a_picture_on_a_bad_sector_is_told_with_all_the_rest(tmp_path, number):
    root = ffp(tmp_path)
    file = root / f"training/frames/01/{number:03d}.jpg"
    file.unlink(missing_ok=True)
    file.symlink_to(BAD_SECTOR)
    (root / "training/frames/02/001.jpg").unlink()
    found = report(root)
    texts = {one.video: one.text for one in found.findings if one.kind == "undecodable"}
    assert f"{number:03d}.jpg cannot be read: Input/output error" in texts["train/01"]
    assert "gap" in {one.kind for one in found.findings}
    assert {"01", "02"} == set(frame_labels(open_dataset(root)))


def test_pictures_that_are_shown_turned_have_the_size_that_is_shown(tmp_path):
    root = ffp(tmp_path)
    for file in (root / "training/frames/01").glob("*.jpg"):
        turned = cv2.rotate(cv2.imread(str(file)), cv2.ROTATE_90_COUNTERCLOCKWISE)
        data = cv2.imencode(".jpg", turned)[1].tobytes()
        tiff = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06" + bytes(7)
        exif = b"Exif\x00\x00" + tiff
        head = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
        if file.stem != "000":  # the others are as they are
            file.write_bytes(data[:2] + head + data[2:])
    assert texts(root, "size") == {}
