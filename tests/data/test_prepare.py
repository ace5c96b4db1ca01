"""A prepared set holds what its source does, bit for bit at its size, and survives a stop."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple

import cv2
import numpy as np
import pytest
from layout_trees import FORMS, LABELS, LENGTHS, clips, ffp, own, video

from encoded import encode
from oddframe.cli import main
from oddframe.data import (
    FrameStore,
    check_dataset,
    footage_hashes,
    frame_labels,
    label_source,
    manifest,
    manifest_hash,
    open_dataset,
    pixel_masks,
    prepare,
    source_hash,
)
from oddframe.data.footage import range_in_use, scaled_alike, survey
from oddframe.data.prepare import resize_mask
from oddframe.errors import DatasetError, OddframeWarning, SourceError
from oddframe.sources import Reading, frame_times, open_as, open_source

SIZE = 32


def pictures(path, size=SIZE):
    """All frames as a model of that size sees them."""
    with open_source(path) as source:
        return [frame.at(size) for frame in source], source.info


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_bit_for_bit(form, tmp_path):
    data = open_dataset(FORMS[form][0](tmp_path))
    done = prepare(data, tmp_path / "out", SIZE)
    small = open_dataset(tmp_path / "out")
    assert (done.written, done.kept, done.frames) == (4, 0, sum(map(sum, LENGTHS.values())))
    assert small.layout == "prepared"
    pairs = zip(data.train + data.test, small.train + small.test, strict=True)
    for one, other in pairs:
        assert one.name == other.name
        (images, info), (stored, kept) = pictures(one.path), pictures(other.path)
        assert len(images) == len(stored) == len(frame_times(other.path))
        for image, same in zip(images, stored, strict=True):
            assert np.array_equal(image, same)
        assert (kept.fps, kept.width, kept.height) == (info.fps, SIZE, SIZE)
    assert [v.tolist() for v in frame_labels(small).values()] == LABELS
    masks, before = pixel_masks(small), pixel_masks(data)
    assert (masks is None) == (before is None)
    for name in masks or []:
        assert masks[name].shape == (len(before[name]), SIZE, SIZE)
        assert masks[name].any(axis=(1, 2)).tolist() == before[name].any(axis=(1, 2)).tolist()
    assert check_dataset(small).findings == ()


def test_the_manifest(tmp_path):
    data = open_dataset(own(tmp_path))
    prepare(data, tmp_path / "out", SIZE)
    small = open_dataset(tmp_path / "out")
    source = manifest_hash(manifest(data))
    assert source_hash(small) == source != manifest_hash(manifest(small))
    assert footage_hashes(small) == {"manifest": manifest_hash(manifest(small)), "source": source}
    assert list(footage_hashes(data)) == ["manifest"]
    found = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (found["source"], found["size"], found["complete"]) == (source, SIZE, True)
    assert found["labels"] == label_source(data)
    rows = [(v["split"], v["name"], v["frames"], v["fps"]) for v in found["videos"]]
    assert rows[-2:] == [("test", "odd1", 8, 10.0), ("test", "odd2", 6, 10.0)]
    assert all(len(v["blake2b"]) == 32 for v in found["videos"])
    before = manifest(small)
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    assert manifest(open_dataset(tmp_path / "elsewhere"))["videos"] == before["videos"]


def test_grey_takes_a_third(tmp_path):
    for name, tint in (("grey", 0), ("colour", 30)):
        folder = tmp_path / "in" / name
        folder.mkdir(parents=True)
        for i in range(4):
            image = np.full((48, 64, 3), 60 + 9 * i, np.uint8)
            image[:8, :8, 0] += tint
            assert cv2.imwrite(str(folder / f"{i}.png"), image)
    late = tmp_path / "in" / "late"  # grey at first, then not
    late.mkdir()
    for i, name in enumerate(("grey", "grey", "colour")):
        shutil.copy(tmp_path / "in" / name / f"{i}.png", late / f"{i}.png")
    data = open_dataset(tmp_path / "in")
    ticks = []
    prepare(data, tmp_path / "out", SIZE, lambda done, total: ticks.append((done, total)))
    small = open_dataset(tmp_path / "out")
    shapes = {v.name: np.load(v.path, mmap_mode="r").shape for v in small.train}
    assert shapes == {
        "colour": (4, SIZE, SIZE, 3), "grey": (4, SIZE, SIZE, 1), "late": (3, SIZE, SIZE, 3),
    }  # fmt: skip
    for one, other in zip(data.train, small.train, strict=True):
        for image, same in zip(pictures(one.path)[0], pictures(other.path)[0], strict=True):
            assert np.array_equal(image, same)
    assert ticks[-1] == (11, 11)


def test_the_frame_store_is_that_of_the_source(tmp_path):
    data = open_dataset(ffp(tmp_path))
    prepare(data, tmp_path / "out", SIZE)
    small = open_dataset(tmp_path / "out")
    one = FrameStore.build(data.train, tmp_path / "a", SIZE)
    other = FrameStore.build(small.train, tmp_path / "b", SIZE)
    assert np.array_equal(one.read(0, one.frames), other.read(0, other.frames))
    assert [v.fps for v in one.videos] == [v.fps for v in other.videos]


def test_a_frame_belongs_to_whoever_took_it(tmp_path):
    prepare(open_dataset(ffp(tmp_path)), tmp_path / "out", SIZE)
    path = open_dataset(tmp_path / "out").train[0].path
    first = pictures(path)[0]
    for image in pictures(path)[0]:
        image[:] = 0
    assert np.array_equal(first, pictures(path)[0])


def test_run_again_keeps_what_is_whole(tmp_path):
    data = open_dataset(clips(tmp_path))
    out = tmp_path / "out"
    prepare(data, out, SIZE)
    again = prepare(data, out, SIZE)
    assert (again.written, again.kept) == (0, 4)
    before = (out / "testing/01.npy").read_bytes()
    damaged = bytearray(before)
    damaged[len(damaged) // 2] ^= 1
    (out / "testing/01.npy").write_bytes(damaged)
    (out / "training/02.npy").unlink()
    (out / "labels.npz").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"lacks 1 of its videos, such as training/02\.npy"):
        open_dataset(out)
    third = prepare(data, out, SIZE)
    assert (third.written, third.kept) == (2, 2)
    assert (out / "testing/01.npy").read_bytes() == before
    assert check_dataset(open_dataset(out)).findings == ()


def test_check_names_what_was_changed_since(tmp_path):
    prepare(open_dataset(clips(tmp_path)), tmp_path / "out", SIZE)
    path = tmp_path / "out/testing/01.npy"
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    found = check_dataset(open_dataset(tmp_path / "out")).findings
    assert [(one.kind, one.text.split()[0]) for one in found] == [("damaged", "testing/01.npy")]


def test_a_stop_in_the_middle_leaves_only_whole_videos(tmp_path):
    data = open_dataset(clips(tmp_path))
    out = tmp_path / "out"

    def stop(done, total):
        if done == 7:  # in the second video of four
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(data, out, SIZE, stop)
    assert sorted(p.name for p in out.rglob("*") if p.is_file()) == ["01.npy", "manifest.json"]
    with pytest.raises(DatasetError, match=r"half prepared \(1 videos so far\)"):
        open_dataset(out)
    ticks = []
    done = prepare(data, out, SIZE, lambda done, total: ticks.append((done, total)))
    assert (done.written, done.kept) == (3, 1)
    assert (ticks[0], ticks[-1]) == ((6, 23), (23, 23))
    assert check_dataset(open_dataset(out)).findings == ()


def test_a_kill_is_survived(tmp_path):
    root = tmp_path / "long"
    for i in range(1, 7):
        video(root / f"normal/{i}.avi", i, 60)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "oddframe", "data", "prepare", str(root), "--out", str(out)]
    process = subprocess.Popen([*command, "--size", "512"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if len(list((out / "training").glob("[0-9].npy") if out.exists() else [])) >= 2:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.wait()
    if process.returncode == 0:
        pytest.skip("it was done before it could be killed")
    done = prepare(open_dataset(root), out, 512)
    assert done.kept >= 1
    assert done.kept + done.written == 6
    assert check_dataset(open_dataset(out)).findings == ()
    assert not [p for p in out.rglob("*") if p.name.endswith(".tmp")]


def test_what_cannot_be_prepared(tmp_path, monkeypatch):
    root = ffp(tmp_path)
    data = open_dataset(root)
    with pytest.raises(DatasetError, match="--size must be 16 to 4096, found 3"):
        prepare(data, tmp_path / "out", 3)
    with pytest.raises(DatasetError, match="is not empty"):
        prepare(data, root, SIZE)
    prepare(data, tmp_path / "out", SIZE)
    with pytest.raises(DatasetError, match=r"holds ped2 at 32 pixels .*not ped2 at 64"):
        prepare(data, tmp_path / "out", 64)
    with pytest.raises(DatasetError, match="prepared already"):
        prepare(open_dataset(tmp_path / "out"), tmp_path / "out2", 16)
    space = namedtuple("space", "total used free")(1, 1, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: space)
    with pytest.raises(DatasetError, match=r"needs about .* GB, the disk has 0\.0 GB"):
        prepare(data, tmp_path / "full", SIZE)
    assert not (tmp_path / "full").exists()


def test_labels_of_another_length_stop_it_at_their_video(tmp_path):
    root = clips(tmp_path)
    np.savez(root / "labels.npz", **{"01": LABELS[0], "02": LABELS[1][:-1]})
    with pytest.raises(DatasetError, match="Video 02 has 6 frames and 5 labels"):
        prepare(open_dataset(root), tmp_path / "out", SIZE)
    assert not (tmp_path / "out/testing/02.npy").exists()


@pytest.mark.parametrize("cut", [0, 60, 700])
def test_a_cut_array_is_no_video(cut, tmp_path):
    prepare(open_dataset(ffp(tmp_path)), tmp_path / "out", SIZE)
    path = tmp_path / "out/training/01.npy"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SourceError, match=r"01\.npy is no \.npy file of frames, or was cut short"):
        open_source(path)


def test_arrays_of_others(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8)))
    with pytest.raises(SourceError, match=r"shape \(3, 8, 8\) and type float64; expected frames"):
        open_source(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.zeros((3, 8, 8, 3), np.uint8))
    assert pictures(tmp_path / "b.npy")[1].fps == 25.0


def test_something_stays_of_every_mask():
    mask = np.zeros((48, 64), bool)
    mask[5, 6] = True
    assert resize_mask(mask, 16).sum() == 1
    assert not resize_mask(np.zeros((48, 64), bool), 16).any()
    mask[:24] = True
    assert resize_mask(mask, 16)[:8].all()
    assert not resize_mask(mask, 16)[8:].any()


def test_names_that_no_archive_can_hold_are_refused_before_decoding(tmp_path):
    root = own(tmp_path)
    odd = root / "test" / os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(root / "test/odd1.mp4", odd)
    with pytest.raises(DatasetError, match=r"caf\? in .*test is not UTF-8"):
        prepare(open_dataset(root), tmp_path / "out", SIZE)
    assert not (tmp_path / "out").exists()
    (root / "labels.csv").unlink()
    assert prepare(open_dataset(root), tmp_path / "out", SIZE).written == 5


PAUSED = [i / 10 + 3600 * (i >= 25) for i in range(50)]


def stamps(path):
    """What a source says of its frames: all, from a time on, from a place on."""
    with open_source(path) as source:
        table = source.table()
        found = [[(f.index, round(f.pts_s, 3), f.gap) for f in frames]
                 for frames in (source, source.frames_from(2.35))]  # fmt: skip
        at = [(f.index, f.gap) for f in source.frames_at(table.place(25))][:2]
        return found, at, source.info.fps, source.info.steady, round(source.length_s, 1)


def test_pauses_and_uneven_times_are_kept(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    encode(tmp_path / "in" / "paused.mp4", stamps=PAUSED, rate=10)
    uneven = np.cumsum([0.2 + 0.15 * (i % 3 == 1) for i in range(30)])
    encode(tmp_path / "in" / "uneven.mp4", stamps=[0.0, *uneven], rate=5)
    root, out = str(tmp_path / "in"), str(tmp_path / "out")
    assert main(["data", "prepare", root, "--out", out, "--size", str(SIZE)]) == 0
    said = capsys.readouterr().out
    assert "note: paused: one pause of 60 min in all" in said
    assert "note: uneven" not in said
    for name in ("paused", "uneven"):
        source, prepared = tmp_path / f"in/{name}.mp4", tmp_path / f"out/training/{name}.npy"
        assert stamps(prepared) == stamps(source)
        np.testing.assert_allclose(frame_times(prepared), frame_times(source), atol=1e-6)
    assert stamps(prepared)[3] is False  # uneven, as its source
    whole, later = stamps(tmp_path / "out/training/paused.npy")[0]
    assert [i for i, _, gap in whole if gap] == [25]
    assert [i for i, _, gap in later if gap] == [0, 1]  # its first, and behind the pause


def test_16_bit_footage_is_scaled_as_one(tmp_path):
    """A wall of the same 1,000 counts, with and without something hot; and a hotter test clip."""
    root = tmp_path / "in"
    for name, hot in (("normal/a", 1500), ("normal/b", 30000), ("test/c", 60000)):
        (root / name).mkdir(parents=True)
        image = np.full((48, 64), 1000, np.uint16)
        image[8:24, 8:24] = hot
        for i in range(3):
            image[40, i] = 1100
            cv2.imwrite(str(root / f"{name}/{i}.png"), image)
    with pytest.warns(OddframeWarning, match="c has values from 1000 to 60000"):
        prepare(open_dataset(root), tmp_path / "out", SIZE)
    small = open_dataset(tmp_path / "out")
    sources = [video.open() for video in small.train + small.test]
    assert len({int(next(iter(source)).image[20, 28, 0]) for source in sources}) == 1  # the wall
    (used,) = {source.used for source in sources}
    assert used[1] > 30000
    assert range_in_use(survey(small.train, SIZE, lambda done: None)) == used
    assert scaled_alike(open_dataset(root)).test[0].reading.used == used
    with pytest.warns(OddframeWarning, match=r"prepared from 16-bit .*learned with 0 to 9000"):
        open_as(small.test[0].path, Reading(used=(0, 9000))).scale_by((0, 9000))


def test_facts_that_are_damaged_or_of_someone_else(tmp_path):
    path = tmp_path / "a.npy"
    for line, fps, gaps in (
        (b"", 25.0, []), (b"{", 25.0, []), (b'{"fps": 10}', 10.0, []),
        (b'{"fps": 10, "gaps": [1, 99]}', 10.0, [1]),
        (b'{"fps": 10, "times": [0, 1]}', 25.0, []), (b"[1]", 25.0, []),
    ):  # fmt: skip
        np.save(path, np.zeros((3, 16, 16, 1), np.uint8))
        path.write_bytes(path.read_bytes() + line)
        source = open_source(path)
        assert (source.info.fps, [f.index for f in source if f.gap]) == (fps, gaps)


def test_the_command(tmp_path, capsys):
    root, out = ffp(tmp_path), tmp_path / "out"
    assert main(["data", "prepare", str(root), "--out", str(out), "--size", str(SIZE)]) == 0
    assert "4 videos written, 0 were there; 23 frames of 32x32" in capsys.readouterr().out
    assert main(["data", "check", str(out)]) == 0
    assert "layout prepared" in capsys.readouterr().out
    assert main(["data", "prepare", str(root), "--out", str(root)]) == 1
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.data
def test_real_ped2(real_data, tmp_path):
    data = open_dataset(real_data("ped2"))
    data = type(data)(
        data.root, data.layout, (), data.test[7:9], data.name, None, None
    )  # fmt: skip
    done = prepare(data, tmp_path / "out", 256)
    assert done.bytes == pytest.approx(300 * 256 * 256, rel=1e-4)
    for one, other in zip(data.test, open_dataset(tmp_path / "out").test, strict=True):
        for image, same in itertools.islice(
            zip(pictures(one.path, 256)[0], pictures(other.path, 256)[0], strict=True), 0, None, 20
        ):
            assert np.array_equal(image, same)
