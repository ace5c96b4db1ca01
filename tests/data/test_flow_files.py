"""Flow files: a round trip, what is wrong with a wrong one, and a data set's flows resumed."""

import cv2
import numpy as np
import pytest
from layout_trees import LENGTHS, own

from oddframe.cli import main
from oddframe.data import open_dataset
from oddframe.data.flow_files import read_flow, write_flow, write_flows
from oddframe.errors import DatasetError
from oddframe.ops.dis import dis_flow
from oddframe.sources import open_source

SIZE = 32
PAIRS = sum(n - 1 for split in LENGTHS.values() for n in split)


def some(h=5, w=7):
    return np.random.default_rng(0).normal(0, 3, (2, h, w)).astype(np.float32)


def test_flo_round_trip_and_its_bytes(tmp_path):
    path, flow = tmp_path / "a.flo", some()
    write_flow(path, flow)
    assert np.array_equal(read_flow(path), flow)
    theirs = cv2.readOpticalFlow(str(path))  # (h, w, 2)
    assert np.array_equal(np.moveaxis(theirs, -1, 0), flow)
    other = tmp_path / "b.flo"
    assert cv2.writeOpticalFlow(str(other), np.ascontiguousarray(np.moveaxis(flow, 0, -1)))
    assert other.read_bytes() == path.read_bytes()


def test_npy_round_trip(tmp_path):
    path, flow = tmp_path / "a.npy", some()
    write_flow(path, flow)
    found = read_flow(path)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, flow, rtol=1e-3)
    assert np.load(path).dtype == np.float16


def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path):
    good = tmp_path / "good.flo"
    write_flow(good, some())
    data = good.read_bytes()
    files = {
        "magic.flo": (b"PIEX" + data[4:], "does not start as a Middlebury .flo"),
        "short.flo": (data[:-4], "says 7 x 5 pixels, which is 292 bytes; it has 288"),
        "empty.flo": (b"", "does not start as"),
        "huge.flo": (data[:4] + b"\xff\xff\xff\x7f" * 2 + data[12:], "says 2147483647"),
        "cut.npy": (b"\x93NUMPY", "cannot be read as optical flow"),
        "a.png": (b"x", "is a .flo or .npy file"),
    }
    for name, (content, said) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DatasetError, match=said) as error:
            read_flow(tmp_path / name)
        assert name in str(error.value)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_flow(tmp_path / "absent.flo")
    for array in (np.zeros((5, 7, 2)), np.zeros((2, 5), np.float16), np.zeros((2, 5, 7), int)):
        np.save(tmp_path / "shape.npy", array)
        with pytest.raises(DatasetError, match="expected optical flow"):
            read_flow(tmp_path / "shape.npy")
    with pytest.raises(DatasetError, match=r"shape \(2, h, w\), found"):
        write_flow(good, np.zeros((5, 7, 2)))
    with pytest.raises(DatasetError, match=r"written as \.flo or \.npy"):
        write_flow(tmp_path / "a.png", some())


def greys(path):
    with open_source(path) as source:
        small = [frame.at(SIZE) for frame in source]
    return [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in small]


def test_the_flows_of_a_data_set(tmp_path):
    data, out, ticks = open_dataset(own(tmp_path)), tmp_path / "out", []
    done = write_flows(data, out, SIZE, lambda n, total: ticks.append((n, total)))
    assert (done.written, done.kept, done.flows) == (4, 0, PAIRS)
    assert done.bytes == sum(p.stat().st_size for p in out.rglob("*.npy"))
    frames = sum(map(sum, LENGTHS.values()))
    assert [n for n, _ in ticks] == list(range(1, frames + 1))
    for split, videos in (("training", data.train), ("testing", data.test)):
        for video in videos:
            pictures = greys(video.path)
            names = sorted(p.name for p in (out / split / video.name).iterdir())
            assert names == [f"{i:06d}.npy" for i in range(1, len(pictures))]
            for i, name in enumerate(names, 1):
                found = np.load(out / split / video.name / name)
                assert (found.dtype, found.shape) == (np.float16, (2, SIZE, SIZE))
                want = np.moveaxis(dis_flow(pictures[i], pictures[i - 1]), -1, 0).astype(np.float16)
                assert np.array_equal(found, want)
    assert not list(out.rglob(".*"))


def test_a_stopped_run_goes_on(tmp_path):
    data, out = open_dataset(own(tmp_path)), tmp_path / "out"
    stop = LENGTHS["train"][0] + 2

    def interrupt(done, _):
        if done == stop:  # in the middle of the second video
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_flows(data, out, SIZE, interrupt)
    first = out / "training" / data.train[0].name
    assert [p.name for p in (out / "training").iterdir()] == [first.name]
    (out / "training" / f".{data.train[1].name}.tmp").mkdir()  # what a killed run leaves
    times = {p: p.stat().st_mtime_ns for p in first.iterdir()}
    done = write_flows(data, out, SIZE)
    assert (done.written, done.kept) == (3, 1)
    assert {p: p.stat().st_mtime_ns for p in first.iterdir()} == times
    assert len(list(out.rglob("*.npy"))) == PAIRS
    assert not list(out.rglob(".*"))
    assert (write_flows(data, out, SIZE).written, done.kept) == (0, 1)


def test_another_size_source_or_folder_is_refused(tmp_path):
    data, out = open_dataset(own(tmp_path)), tmp_path / "out"
    write_flows(data, out, SIZE)
    with pytest.raises(DatasetError, match=r"at 32 pixels .* at 48"):
        write_flows(data, out, 48)
    (out / "flow.json").write_text("{")
    with pytest.raises(DatasetError, match="something unreadable"):
        write_flows(data, out, SIZE)
    with pytest.raises(DatasetError, match="exists and is not empty"):
        write_flows(data, tmp_path, SIZE)
    with pytest.raises(DatasetError, match="--size must be 16 to 4096, found 8"):
        write_flows(data, tmp_path / "new", 8)


def test_the_command(tmp_path, capsys):
    root, out = own(tmp_path), tmp_path / "out"
    assert main(["data", "flow", str(root), "--out", str(out), "--size", "32"]) == 0
    assert f"4 videos written, 0 were there; {PAIRS} flows of 32x32" in capsys.readouterr().out
    assert main(["data", "flow", str(root), "--out", str(out), "--size", "64"]) == 1
    assert "Choose another --out folder" in " ".join(capsys.readouterr().err.split())
