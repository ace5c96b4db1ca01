"""Flow files found again: values at another size, and what is wrong with a folder, by name."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from layout_trees import LENGTHS, clips, own

from oddframe.data import FrameStore, footage_hashes, open_dataset, prepare
from oddframe.data.flow_files import read_flow, write_flow, write_flows
from oddframe.data.flow_folder import (
    FlowFolder,
    StoredFlow,
    VideoFlow,
    flow_folder,
    needs_flow,
    resize_flow,
)
from oddframe.errors import ConfigError, DatasetError

SIZE = 32


def files(folder, numbers, name="{:06d}.npy", h=6, w=8):
    """Flows whose x is the number of their file and whose y is minus that."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in numbers:
        flow = np.full((2, h, w), i, np.float32)
        flow[1] *= -1
        write_flow(folder / name.format(i), flow)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set and the folder that `data flow` makes of it; no test changes them."""
    root = tmp_path_factory.mktemp("flow")
    data = open_dataset(own(root))
    write_flows(data, root / "flows", SIZE)
    return data, root / "flows"


# ---- values


def test_another_size_changes_the_values_with_the_picture():
    rows, columns = np.mgrid[:48, :96].astype(np.float32)
    flow = np.stack([columns / 96, rows / 48])  # a zoom: its pixels scale with the picture
    for size in (24, 12):
        small = resize_flow(flow, size)
        assert (small.shape, small.dtype) == ((2, size, size), np.float32)
        centre = (np.arange(size) + 0.5) / size  # the mean over the places that one pixel covers
        want_x = (centre - 0.5 / 96) * size / 96
        want_y = (centre - 0.5 / 48) * size / 48
        np.testing.assert_allclose(small[0], np.broadcast_to(want_x, (size, size)), rtol=1e-4)
        np.testing.assert_allclose(
            small[1], np.broadcast_to(want_y[:, None], (size, size)), rtol=1e-4
        )
    large = resize_flow(np.full((2, 8, 16), 3, np.float32), 32)
    assert (large[0] == 6).all()
    assert (large[1] == 12).all()
    same = np.ones((2, 16, 16), np.float32)
    np.testing.assert_array_equal(resize_flow(same, 16), same)


@pytest.mark.parametrize("name", ["{:06d}.npy", "{:d}.flo", "flow_{:04d}.flo", "{:d}.NPY"])
def test_frame_i_gets_file_i_and_the_first_gets_nothing(tmp_path, name):
    folder = files(tmp_path / "v", range(1, 13), name.lower())
    if name.endswith("NPY"):
        for path in list(folder.iterdir()):
            path.rename(path.with_suffix(".NPY"))
    (folder / "readme.txt").write_text("how these 12 were made")
    (folder / ".000013.npy").write_text("what a sync leaves")
    flow = VideoFlow.open(folder)
    flow.expect(13)
    assert not flow.read(0, 4).any()
    assert flow.read(0, 4).shape == (2, 4, 4)
    for i in (1, 2, 10, 12):  # by number, not by letters
        x, y = flow.read(i, 4)  # from 6 x 8
        np.testing.assert_allclose(x, i * 4 / 8, rtol=1e-3)
        np.testing.assert_allclose(y, -i * 4 / 6, rtol=1e-3)


def test_a_store_reads_the_flow_of_its_own_frames(made, tmp_path):
    data, folder = made
    store = FrameStore.build(data.train, tmp_path / "store", SIZE)
    flow = StoredFlow(store, FlowFolder(folder).videos(data, "train"))
    first, second = LENGTHS["train"]
    for start, video, count in ((0, data.train[0], first), (first, data.train[1], second)):
        found = flow.read(start, start + count)
        assert found.shape == (count, 2, SIZE, SIZE)
        assert not found[0].any()
        for i in range(1, count):
            want = read_flow(folder / "training" / video.name / f"{i:06d}.npy")
            np.testing.assert_array_equal(found[i], want)
        np.testing.assert_array_equal(flow.read(start + 2, start + 4), found[2:4])


# ---- what is wrong with a video's files


@pytest.mark.parametrize(
    ("numbers", "name", "said"),
    [
        ([1, 2, 4], "{:06d}.npy", r"lacks the flow of frame 3: expected 4 files.*found 3"),
        ([2, 3], "{:06d}.npy", r"lacks the flow of frame 1: expected 3 files.*data flow"),
        ([0, 1, 2], "{:06d}.flo", r"begins with 000000\.flo; expected 1.*the next"),
        ([1, 2], "a{:d}_{:d}.npy", r"a1_1\.npy: a flow file is named by the number of its frame"),
    ],
)
def test_wrong_numbers_are_named(tmp_path, numbers, name, said):
    folder = tmp_path / "v"
    folder.mkdir()
    for i in numbers:
        write_flow(folder / name.format(i, i), np.zeros((2, 4, 4), np.float32))
    with pytest.raises(DatasetError, match=said):
        VideoFlow.open(folder)


def test_two_flows_of_one_frame_are_refused(tmp_path):
    folder = files(tmp_path / "v", [1, 2])
    files(folder, [2], "{:06d}.flo")
    with pytest.raises(DatasetError, match=r"two flows of frame 2, 000002\.flo and 000002\.npy"):
        VideoFlow.open(folder)


def test_too_few_and_too_many_files_are_counted(tmp_path):
    flow = VideoFlow.open(files(tmp_path / "v", range(1, 5)))
    flow.expect(5)
    for frames in (4, 6):
        said = f"holds 4 flow files; a video of {frames} frames has {frames - 1}"
        with pytest.raises(DatasetError, match=said):
            flow.expect(frames)
    with pytest.raises(DatasetError, match="no flow of frame 5: it holds 4 files"):
        flow.read(5, 8)


def test_files_that_cannot_be_used_are_named(tmp_path):
    folder = files(tmp_path / "v", range(1, 5), "{:06d}.flo")
    (folder / "000002.flo").write_bytes(b"PIEH")
    for i, value in ((3, np.nan), (4, 1.7e9)):
        flow = np.zeros((2, 4, 4), np.float32)
        flow[1, 2, 3] = value
        write_flow(folder / f"{i:06d}.flo", flow)
    found = VideoFlow.open(folder)
    found.read(1, 8)
    with pytest.raises(DatasetError, match=r"000002\.flo does not start as"):
        found.read(2, 8)
    for i in (3, 4):
        with pytest.raises(DatasetError, match=rf"00000{i}\.flo has places without flow"):
            found.read(i, 8)


# ---- a folder for a data set


def test_a_data_sets_flows_are_found_by_split_and_name(made):
    data, folder = made
    found = FlowFolder(folder)
    assert found.origin == f"opencv-dis-fast-backward at {SIZE}"
    for split, videos in (("train", data.train), ("test", data.test)):
        flows = found.videos(data, split)
        assert list(flows) == [v.name for v in videos]
        for flow, count in zip(flows.values(), LENGTHS[split], strict=True):
            flow.expect(count)


def test_a_folder_without_splits_will_do(made, tmp_path):
    data, _ = made
    for video, count in zip(data.test, LENGTHS["test"], strict=True):
        files(tmp_path / video.name, range(1, count))
    found = FlowFolder(tmp_path)
    assert found.origin == "files made elsewhere"
    assert [len(f.files) + 1 for f in found.videos(data, "test").values()] == LENGTHS["test"]


def test_a_missing_video_is_named_with_the_command(made, tmp_path):
    data, folder = made
    copy = shutil.copytree(folder, tmp_path / "flows")
    name = data.train[1].name
    shutil.rmtree(copy / "training" / name)
    with pytest.raises(DatasetError, match=rf"1 of 2 videos.*training/{name} .*oddframe data flow"):
        FlowFolder(copy).videos(data, "train")
    FlowFolder(copy).videos(data, "test")
    with pytest.raises(DatasetError, match="is not a folder of flow files"):
        FlowFolder(tmp_path / "none")


def test_flows_of_other_footage_are_refused(made, tmp_path):
    _, folder = made
    other = open_dataset(clips(tmp_path))
    with pytest.raises(DatasetError, match=r"holds flows of mine .*not of clips"):
        FlowFolder(folder).videos(other, "train")
    copy = shutil.copytree(folder, tmp_path / "flows")
    (copy / "flow.json").write_text('{"size": 32}')
    with pytest.raises(DatasetError, match=r"flow\.json is damaged"):
        FlowFolder(copy)


def test_a_prepared_set_is_the_same_footage(made, tmp_path):
    data, folder = made
    prepare(data, tmp_path / "small", SIZE)
    small = open_dataset(tmp_path / "small")
    known = json.loads((folder / "flow.json").read_text())["source"]
    assert known != footage_hashes(small)["manifest"]
    assert [len(f.files) + 1 for f in FlowFolder(folder).videos(small, "test").values()] == (
        LENGTHS["test"]
    )


def test_a_video_is_found_by_its_name_alone(made, tmp_path):
    data, folder = made
    for split, videos in (("training", data.train), ("testing", data.test)):
        for video in videos:
            assert FlowFolder(folder).find(video.name).folder == folder / split / video.name
    files(tmp_path / "clip", [1])
    assert FlowFolder(tmp_path).find("clip").files == ("000001.npy",)
    with pytest.raises(DatasetError, match=r"other has no flow files.*testing/other.*data flow"):
        FlowFolder(tmp_path).find("other")
    for split in ("training", "testing"):
        files(tmp_path / split / "01", [1])
    with pytest.raises(DatasetError, match=r"two videos named 01.*above the right one"):
        FlowFolder(tmp_path).find("01")
    assert FlowFolder(tmp_path / "testing").find("01").folder == tmp_path / "testing" / "01"


def test_a_model_without_flow_from_files_takes_no_folder(tmp_path):
    assert flow_folder(0, None, "RUN") is None
    assert flow_folder(2, None, "RUN") is None
    assert flow_folder(2, tmp_path, "RUN").path == tmp_path
    with pytest.raises(ConfigError, match="RUN takes no flow from files"):
        flow_folder(0, tmp_path, "RUN")
    assert "RUN takes its optical flow from files" in str(needs_flow("RUN"))
