"""RUNs that take their optical flow from files: scores, evaluation, every verb, refusals."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from stub_run import street

import oddframe
from oddframe.cli import main
from oddframe.data import open_dataset, to_model
from oddframe.data.flow_files import write_flow, write_flows
from oddframe.data.flow_folder import VideoFlow
from oddframe.errors import ConfigError, DatasetError
from oddframe.evaluation.evaluate import evaluate
from oddframe.evaluation.methods import collect
from oddframe.judging.named import PROTOCOLS, parse_protocols
from oddframe.models import build, carried
from oddframe.models.info import describe
from oddframe.models.msti import MSTIConfig

SIZE, HISTORY = 64, 4
SETTINGS = ["model.size=64", "model.width=8", "model.memory_items=3"]


@pytest.fixture(scope="module")
def flows(labelled, tmp_path_factory):
    """What `data flow` makes of the data set."""
    out = tmp_path_factory.mktemp("flow") / "flows"
    write_flows(open_dataset(labelled), out, SIZE)
    return out


@pytest.fixture(scope="module")
def trained(labelled, tmp_path_factory, flows):
    """A RUN of flow from files, by the command."""
    run = tmp_path_factory.mktemp("run") / "FLOW"
    args = ["fit", "--model", "msti-net-128", "--data", str(labelled), "--out", str(run)]
    settings = [part for s in [*SETTINGS, "model.flow=file"] for part in ("--set", s)]
    assert main([*args, "--epochs", "2", *settings, "--flow", str(flows)]) == 0
    return run


class Camera(oddframe.sources.Source):
    """A live source that nobody may read."""

    live = True

    def _frames(self):
        raise AssertionError("read")


def with_flow(run, kind, path):
    """The same weights with flow from elsewhere."""
    shutil.copytree(run, path)
    card = json.loads((path / "model.json").read_text())
    card["config"]["model"]["flow"] = kind
    (path / "model.json").write_text(json.dumps(card))
    return path


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


def left(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


# ---- the same numbers as flow of the frames


def test_files_at_the_models_size_give_the_model_what_it_computes_itself(labelled, flows):
    torch.manual_seed(0)
    nets = [build("msti-net", MSTIConfig(size=SIZE, width=8, flow=k)).eval()
            for k in ("dis", "file")]  # fmt: skip
    nets[1].load_state_dict(nets[0].state_dict())
    with oddframe.open_source(labelled / "test" / "01") as source:
        frames = np.stack([to_model(frame.image, SIZE) for frame in source])[20:30]
    files = VideoFlow.open(flows / "testing" / "01")
    flow = np.stack([files.read(i, SIZE) for i in range(20, 30)])
    pictures = torch.from_numpy(frames)[None]
    both = torch.from_numpy(np.concatenate((frames, flow), 1))[None]
    assert np.abs(flow).max() > 0.5  # something moves
    with torch.inference_mode():
        taken = [
            net.take(clip)[:, 1:, 3:] for net, clip in zip(nets, (pictures, both), strict=True)
        ]
        # float16 keeps 11 bits of the pixels; 2 px are 1
        torch.testing.assert_close(taken[1], taken[0], rtol=1e-3, atol=1e-4)
        out = [net(clip).frame for net, clip in zip(nets, (pictures, both), strict=True)]
        nothing = nets[1](torch.cat((pictures, torch.zeros_like(pictures[:, :, :2])), 2)).frame
    torch.testing.assert_close(out[1], out[0], rtol=1e-2, atol=1e-4)
    assert (nothing - out[0]).abs().max() > 1e-3  # and it shows in what comes out


def test_a_run_scores_with_files_as_it_does_with_the_flow_of_the_frames(
    trained, labelled, flows, tmp_path
):
    own = oddframe.load(with_flow(trained, "dis", tmp_path / "DIS"))
    files = oddframe.load(trained, flow=flows)
    video = labelled / "test" / "02"
    a, b = own.score(video), files.score(video)
    assert np.isnan(b.score).tolist() == [i < HISTORY for i in range(44)]
    np.testing.assert_allclose(b.terms["psnr"], a.terms["psnr"], rtol=1e-4)
    np.testing.assert_allclose(b.score, a.score, rtol=0.02, atol=0.02)
    still = shutil.copytree(flows, tmp_path / "still")
    for path in still.rglob("*.npy"):
        np.save(path, np.full((2, 8, 8), 0.5, np.float16))
    c = oddframe.load(trained, flow=still).score(video)
    assert not np.allclose(c.terms["psnr"][HISTORY:], a.terms["psnr"][HISTORY:], rtol=1e-4)


def test_stream_step_and_score_are_one(trained, labelled, flows):
    detector = oddframe.load(trained, flow=flows / "testing")
    assert (detector.info.carried, detector.info.size) == (2, SIZE)
    video = labelled / "test" / "01"
    result, files = detector.score(video), VideoFlow.open(flows / "testing" / "01")
    streamed = [s.score for s in detector.stream(video)]
    state, stepped = detector.init_state(), []
    with oddframe.open_source(video) as source:
        for frame in source:
            flow = files.read(frame.index, SIZE)
            state, score = detector.step(state, frame.image, frame.pts_s, flow)
            stepped.append(score.score)
    np.testing.assert_array_equal(streamed, result.score)
    np.testing.assert_array_equal(stepped, result.score)
    again = oddframe.load(trained).score(video, flow=files)  # files at hand need no folder
    np.testing.assert_array_equal(again.score, result.score)


# ---- the verbs


@pytest.mark.slow
def test_evaluate_takes_the_flow_of_the_test_videos(trained, labelled, flows, tmp_path, capsys):
    flows = shutil.copytree(flows, tmp_path / "flows")
    shutil.copytree(flows / "testing" / "02", flows / "training" / "01")  # not that of test/01
    page, numbers = tmp_path / "page.html", tmp_path / "n.json"
    args = ["evaluate", str(trained), "--data", str(labelled), "--protocol", "deploy"]
    out = ["--json", str(numbers), "--report", str(page)]
    assert main([*args, "--flow", str(flows), *out]) == 0
    assert "data:image/jpeg" in page.read_text()
    rows = json.loads(numbers.read_text())["rows"]
    found = evaluate(oddframe.load(trained, flow=flows), open_dataset(labelled),
                     parse_protocols("deploy"))  # fmt: skip
    assert rows[0]["auc"] == found.rows[0]["auc"]
    for video in found.videos:
        detector = oddframe.load(trained)
        files = VideoFlow.open(flows / "testing" / video.name)
        alone = detector.score(labelled / "test" / video.name, flow=files)
        np.testing.assert_array_equal(alone.score, video.score)
    capsys.readouterr()
    assert main(args) == 1
    assert "takes its optical flow from files: give their folder, --flow FOLDER" in said(capsys)


def test_what_is_wrong_with_the_flow_shows_before_anything_is_scored(
    trained, labelled, flows, tmp_path
):
    seen, dataset = [], open_dataset(labelled)

    def refused(flow, match):
        with pytest.raises(DatasetError, match=match):
            evaluate(oddframe.load(trained, flow=flow), dataset, [PROTOCOLS["deploy"]],
                     lambda *at: seen.append(at))  # fmt: skip

    short = shutil.copytree(flows, tmp_path / "short")
    (short / "testing" / "02" / "000043.npy").unlink()
    refused(short, "holds 42 flow files; a video of 44 frames has 43")
    shutil.rmtree(short / "testing" / "02")
    refused(short, "1 of 2 videos")
    index = json.loads((flows / "flow.json").read_text())
    (short / "flow.json").write_text(json.dumps({**index, "source": "0" * 32}))
    refused(short, r"holds flows of set \(manifest 0000")
    assert not seen


FILES = (".csv", ".events.json", ".maps", ".overlay.webm")


def test_score_finds_the_flow_by_the_name_of_the_video(trained, labelled, flows, tmp_path, capsys):
    videos = [str(labelled / "test" / name) for name in ("01", "02")]
    out = tmp_path / "out"
    args = ["score", str(trained), *videos, "--out", str(out)]
    assert main([*args, "--flow", str(flows), "--overlay", "--maps", "--frames", "30"]) == 0
    assert left(out) == [f"{n}{end}" for n in ("01", "02") for end in FILES]
    assert left(out / "02.maps") == ["000030.png"]
    with (out / "02.csv").open() as file:
        found = [float(row["score"] or "nan") for row in csv.DictReader(file)]
    want = oddframe.load(trained, flow=flows).score(videos[1]).score
    np.testing.assert_allclose(found, want, rtol=1e-4)
    capsys.readouterr()
    alone = tmp_path / "alone"
    shutil.copytree(flows / "testing" / "01", alone / "01")
    shutil.rmtree(out)
    assert main([*args, "--flow", str(alone)]) == 1
    assert "The video 02 has no flow files" in said(capsys)
    assert main(args) == 1
    assert "--flow FOLDER" in said(capsys)
    assert left(out) == []


def test_a_video_file_of_another_length_is_noticed(trained, make_video, tmp_path):
    video = make_video(tmp_path / "clip.avi", frames=20, size=(SIZE, SIZE))
    folder = tmp_path / "flows" / "clip"
    folder.mkdir(parents=True)
    detector = oddframe.load(trained, flow=tmp_path / "flows")
    for i in range(1, 19):
        write_flow(folder / f"{i}.flo", np.zeros((2, 8, 8), np.float32))
    with pytest.raises(DatasetError, match="no flow of frame 19"):
        detector.score(video)
    write_flow(folder / "19.flo", np.zeros((2, 8, 8), np.float32))
    assert len(detector.score(video)) == 20
    write_flow(folder / "20.flo", np.zeros((2, 8, 8), np.float32))
    with pytest.raises(DatasetError, match="holds 20 flow files; a video of 20 frames has 19"):
        detector.score(video)


def test_calibrate_takes_the_flow_of_the_normal_videos(trained, labelled, tmp_path, capsys):
    run, normal = shutil.copytree(trained, tmp_path / "RUN"), labelled / "normal"
    before = oddframe.load(run).info.calibration
    write_flows(open_dataset(normal), tmp_path / "flows", SIZE)
    args = ["calibrate", str(run), str(normal), "--alarms-per-day", "1"]
    assert main(args) == 1
    assert "--flow FOLDER" in said(capsys)
    assert main([*args, "--flow", str(tmp_path / "flows")]) == 0
    after = oddframe.load(run).info.calibration
    assert after["footage"]["name"] == "normal"
    assert after != before


def test_compare_names_the_verbs_that_read_flow(trained, shared_run, labelled, tmp_path):
    with pytest.raises(ConfigError, match=r"compare does not read.*evaluate --flow.*score --flow"):
        collect(
            [shared_run, trained], {}, open_dataset(labelled), [PROTOCOLS["deploy"]],
            tmp_path / "scores", lambda _: pytest.fail("scored first"),
        )  # fmt: skip


# ---- what has no flow, and what takes none


def test_live_sources_and_lone_frames_have_no_flow(trained, flows):
    detector = oddframe.load(trained, flow=flows)
    camera = Camera(oddframe.types.SourceInfo("camera 0", 64, 48, 25.0, None))
    with pytest.raises(ConfigError, match="cannot score the live source camera 0"):
        next(detector.stream(camera))
    state = detector.init_state()
    with pytest.raises(ConfigError, match="this one came without"):
        detector.step(state, street(0))
    with pytest.raises(ConfigError, match="this one came without"):
        detector.step_batch([state, state], [street(0), street(0)])
    with pytest.raises(ConfigError, match=r"shape \(2, 64, 64\) beside RGB, found \(2, 8, 8\)"):
        detector.step(state, street(0), 0.0, np.zeros((2, 8, 8), np.float32))


def test_a_run_that_takes_no_flow_refuses_a_folder(shared_run, labelled, flows, tmp_path, capsys):
    with pytest.raises(ConfigError, match="takes no flow from files"):
        oddframe.load(shared_run, flow=flows)
    video, out = labelled / "test" / "01", tmp_path / "out"
    args = [str(shared_run), str(video), "--out", str(out), "--flow", str(flows)]
    assert main(["score", *args]) == 1
    assert "takes no flow from files: leave --flow out" in said(capsys)
    assert left(out) == []
    detector = oddframe.load(shared_run)
    assert detector.flows_of(open_dataset(labelled), "test") == {}
    with oddframe.open_source(video) as source:
        assert detector.flow_of(source) is None
    with pytest.raises(ConfigError, match="found"):
        detector.step(detector.init_state(), street(0), 0.0, np.zeros((2, 64, 64), np.float32))


def test_the_table_of_models_knows_what_frames_carry():
    assert carried("m2s2l-edge") == carried("msti-net") == 0
    config = MSTIConfig(size=SIZE, width=8, flow="file")
    assert carried("msti-net", config) == 2
    assert describe("msti-net", config)["gmac_per_frame"] > 0
