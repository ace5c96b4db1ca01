"""Every verb as a user types it: output, files, exit codes, texts; nothing half-written."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import cv2
import numpy as np
import pytest
from stub_run import HISTORY

from oddframe.cli import main
from oddframe.cli.watch import Cameras, Telling, site_of
from oddframe.errors import OddframeError
from oddframe.judging.floors import FLOORS
from oddframe.report.heat import strip_rows
from oddframe.scoring.selftest import KINDS

SCORE = ["frame", "time_s", "score", "level", "alarm"]


@pytest.fixture
def oddframe_main(capsys):
    """`oddframe_main("score", RUN, …)` -> (exit code, stdout, stderr)."""

    def call(*args):
        code = main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def fails(result, *texts):
    """One paragraph on stderr, exit code 1, no traceback."""
    code, _, err = result
    assert code == 1, err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for text in texts:
        assert text in err, err


def left(folder):
    """Names of everything in a folder, hidden ones too; none where it does not exist."""
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


# ---- selftest


def test_a_selftest_without_footage_is_that_of_fit(oddframe_main, run_copy, tmp_path):
    run = run_copy
    card = json.loads((run / "model.json").read_text())
    fails(oddframe_main("selftest", run), "holds no self-test", "selftest RUN FOOTAGE")
    kinds = {
        kind: {"said": said.said, "seen": 0.5, "auc": 0.7, "zones": {"far": 0.5, "near": None}}
        for kind, said in KINDS.items()
    }
    card["training"] = {"selftest": {"clips": 9, "frames": 24, "things": 4, "kinds": kinds}}
    (run / "model.json").write_text(json.dumps(card))
    (run / "selftest.png").write_bytes(b"picture")
    wanted = ("selftest", run, "--json", tmp_path / "f.json", "--out", tmp_path / "f.png")
    code, out, err = oddframe_main(*wanted)
    assert code == 0, err
    assert "in 9 clips" in out
    assert "somebody running: 50% (far 50%)" in out
    assert json.loads((tmp_path / "f.json").read_text())["kinds"] == kinds
    assert (tmp_path / "f.png").read_bytes() == b"picture"


# ---- watch


def test_a_file_that_is_not_there_is_no_camera_that_comes_later(
    oddframe_main, shared_run, tmp_path
):
    fails(oddframe_main("watch", shared_run, tmp_path / "no.mp4"), "no.mp4 does not exist")


# ---- score


def test_names_of_any_bytes_are_printed_where_output_is_strict(shared_run, make_video, tmp_path):
    """Python is strict about UTF-8 in most locales, and names from a recorder need not be UTF-8."""
    for name in (b"entr\xe9e.avi", b"zaun.avi"):
        made = make_video(tmp_path / "made" / "clip.avi")
        made.rename(tmp_path / os.fsdecode(name))
    found = subprocess.run(
        [sys.executable, "-m", "oddframe", "score", shared_run, tmp_path, "--out", "out"],
        capture_output=True, cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert b"entr\xe9e" in found.stdout
    written = os.listdir(os.fsencode(tmp_path / "out"))
    assert {b"entr\xe9e.csv", b"zaun.csv"} <= set(written)


def test_what_is_wrong_with_a_folder_is_said_as_it_is(
    oddframe_main, shared_run, make_video, tmp_path
):
    make_video(tmp_path / "in" / "a.avi")
    shutil.copy(tmp_path / "in" / "a.avi", tmp_path / "in" / "a.mkv")
    fails(oddframe_main("score", shared_run, tmp_path / "in", "--out", tmp_path / "out"),
          "Two videos", "same name 'a'")  # fmt: skip


def test_a_link_to_frames_is_scored_by_its_own_name(
    oddframe_main, shared_run, make_frames, tmp_path
):
    make_frames(tmp_path / "real")
    (tmp_path / "gate").symlink_to(tmp_path / "real")
    code, _, err = oddframe_main("score", shared_run, tmp_path / "gate", "--out", tmp_path / "out")
    assert code == 0, err
    assert "gate.csv" in left(tmp_path / "out")


def test_a_long_name_that_fits_is_written(oddframe_main, shared_run, make_video, tmp_path):
    make_video(tmp_path / ("a" * 230 + ".avi"))
    video = tmp_path / ("a" * 230 + ".avi")
    code, _, err = oddframe_main("score", shared_run, video, "--out", tmp_path / "out")
    assert code == 0, err
    assert "a" * 230 + ".csv" in left(tmp_path / "out")


def test_score_writes_one_csv_per_video(
    oddframe_main, shared_run, write_street, make_video, tmp_path
):
    folder = write_street(tmp_path / "cam.1", odd_from=20)
    file = make_video(tmp_path / "clip.avi", frames=10)
    out = tmp_path / "out"
    code, text, err = oddframe_main("score", shared_run, folder, file, "--out", out)
    assert (code, err) == (0, "")
    assert left(out) == ["cam.1.csv", "cam.1.events.json", "clip.csv", "clip.events.json"]
    with (out / "cam.1.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert list(rows[0])[:5] == SCORE
    assert [row["score"] != "" for row in rows] == [i >= HISTORY for i in range(30)]
    assert "cam.1: 30 frames, max score" in text
    assert "frames/s" in text
    # What blinks from frame 20 on is in alarm on every other frame, and one alarm of one place.
    (event,) = json.loads((out / "cam.1.events.json").read_text())["events"]
    assert sum(row["alarm"] == "1" for row in rows) > 1
    assert float(rows[20]["time_s"]) <= event["start_s"] < event["end_s"]
    peak = rows[event["peak_frame"]]
    assert float(peak["level"]) == max(float(row["level"] or 0) for row in rows)
    assert event["peak_s"] == pytest.approx(float(peak["time_s"]), abs=1e-6)
    assert event["level"] == pytest.approx(float(peak["level"]), rel=1e-6)
    box = event["box"]
    assert box["x"] + box["w"] / 2 > 32 > 2 * box["y"]  # top right of 64 x 48
    assert ", 1 alarm, " in text
    assert f"  {event['start_s']:.1f} to {event['end_s']:.1f} s, level {event['level']:.2f}" in text


def test_score_takes_a_folder_of_videos(oddframe_main, shared_run, make_video, tmp_path):
    (tmp_path / "day").mkdir()
    for name in ("9", "10"):
        make_video(tmp_path / "day" / f"{name}.avi", frames=6)
    code, _, err = oddframe_main("score", shared_run, tmp_path / "day", "--out", tmp_path / "o")
    assert (code, err) == (0, "")
    assert left(tmp_path / "o") == ["10.csv", "10.events.json", "9.csv", "9.events.json"]


@pytest.mark.parametrize(
    ("stems", "wanted"),
    [
        ("gate-2 gate", "gate-2 gate"),
        ("gate gate", "gate gate-2"),
        ("gate gate gate-2", "gate gate-3 gate-2"),
        ("gate gate-2 gate", "gate gate-2 gate-3"),
    ],
)
def test_every_source_that_is_watched_has_a_name_of_its_own(tmp_path, stems, wanted):
    sources = [f"{i}/{stem}.mp4" for i, stem in enumerate(stems.split())]
    telling = Telling(tmp_path, [], "text")
    site = site_of(tmp_path, sources, Cameras([], False, []), telling)
    assert {name: c.source for name, c in site.cameras.items()} == dict(
        zip(wanted.split(), sources, strict=True)
    )


def test_a_sink_of_the_command_line_takes_passwords_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BROKER", "hunter2")
    sinks = ["{kind: mqtt, user: '${BROKER}', client_id: 'a-${BROKER}'}"]
    site = site_of(tmp_path, ["0"], Cameras([], False, []), Telling(tmp_path, sinks, "text"))
    assert site.sinks[1] == {"kind": "mqtt", "user": "hunter2", "client_id": "a-hunter2"}
    monkeypatch.delenv("BROKER")
    with pytest.raises(OddframeError, match=r"--sink names \$\{BROKER\}, which isn't set"):
        site_of(tmp_path, ["0"], Cameras([], False, []), Telling(tmp_path, sinks, "text"))


@pytest.mark.parametrize(
    "words",
    [
        ("score", "VIDEO", "RUN", "--out", "o"),
        ("watch", "VIDEO", "RUN"),
        ("calibrate", "VIDEO", "RUN", "--alarms-per-day", "1"),
        ("selftest", "VIDEO", "RUN"),
    ],
    ids=lambda words: words[0],
)
def test_run_and_video_the_wrong_way_round(
    oddframe_main, shared_run, make_video, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    given = {"RUN": shared_run, "VIDEO": make_video(tmp_path / "clip.avi", frames=6)}
    before = left(tmp_path)
    verb = f"oddframe {words[0]} {given['RUN']} {given['VIDEO']}"
    fails(oddframe_main(*(given.get(w, w) for w in words)), f"swapped: {verb}")
    assert left(tmp_path) == before


def test_score_with_overlay_plays_with_the_frames_size_and_rate_of_the_source(
    oddframe_main, shared_run, make_video, tmp_path
):
    file = make_video(tmp_path / "clip.avi", frames=14, fps=12.5, size=(66, 50))
    code, _, err = oddframe_main("score", shared_run, file, "--out", tmp_path / "o", "--overlay")
    assert (code, err) == (0, "")
    assert left(tmp_path / "o") == ["clip.csv", "clip.events.json", "clip.overlay.webm"]
    capture = cv2.VideoCapture(str(tmp_path / "o" / "clip.overlay.webm"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    frames = 0
    while True:
        ok, image = capture.read()
        if not ok:
            break
        frames += 1
        assert image.shape == (50 + strip_rows(50), 66, 3)  # the readout stands below
    assert frames == 14


def maps_of(oddframe_main, run, folder, *options):
    """What stands in the folder beside the CSV file, and what was said."""
    out = folder.parent / "o"
    code, text, err = oddframe_main("score", run, folder, "--out", out, *options)
    assert (code, err) == (0, "")
    files = {p.relative_to(out).as_posix() for p in out.rglob("*.*") if p.is_file()}
    return files - {f"{folder.name}.events.json"}, text


def test_score_with_maps_of_chosen_frames(oddframe_main, shared_run, write_street, tmp_path):
    folder = write_street(tmp_path / "cam", odd_from=20)
    found, text = maps_of(oddframe_main, shared_run, folder, "--maps", "--frames", "9, 21")
    assert found == {"cam.csv", "cam.maps/000009.png", "cam.maps/000021.png"}
    assert "maps of 2 frames" in text


def test_score_with_maps_of_its_own_choice_names_the_frames(
    oddframe_main, shared_run, write_street, tmp_path
):
    folder = write_street(tmp_path / "cam", odd_from=20)
    found, text = maps_of(oddframe_main, shared_run, folder, "--maps")
    rows = list(csv.DictReader((tmp_path / "o" / "cam.csv").open()))
    scored = [row for row in rows if row["score"]]
    highest = max(scored, key=lambda row: float(row["score"]))["frame"]
    lowest = min(scored, key=lambda row: float(row["score"]))["frame"]
    assert {f"cam.maps/{int(i):06d}.png" for i in (highest, lowest)} <= found
    assert f"and {lowest} (lowest score)" in text


def test_score_with_a_video_of_maps(oddframe_main, shared_run, write_street, tmp_path):
    folder = write_street(tmp_path / "cam", frames=range(12))
    found, text = maps_of(oddframe_main, shared_run, folder, "--maps", "--maps-video")
    assert found == {"cam.csv", "cam.maps.webm"}
    assert "maps of every frame" in text


def test_frames_that_can_have_no_maps_are_refused_before_any_work(
    oddframe_main, shared_run, write_street, tmp_path
):
    call = ("score", shared_run, write_street(tmp_path / "cam"), "--out", tmp_path / "o")
    fails(oddframe_main(*call, "--maps", "--frames", f"{HISTORY - 1}"), "has no prediction", "from")
    for wrong in (["--frames", "9"], ["--maps", "--frames", "a"], ["--maps", "--frames", "-3"]):
        assert oddframe_main(*call, *wrong)[0] == 2
    assert oddframe_main(*call, "--maps", "--maps-video", "--frames", "9")[0] == 2
    assert not (tmp_path / "o").exists()


def test_two_videos_of_one_stem_are_refused_before_any_work(
    oddframe_main, shared_run, make_video, tmp_path
):
    one, two = make_video(tmp_path / "a" / "x.avi"), make_video(tmp_path / "b" / "x.mp4")
    fails(
        oddframe_main("score", shared_run, one, two, "--out", tmp_path / "out"), "x.csv", "a/x.avi"
    )
    assert not (tmp_path / "out").exists()


def empty_folder(path, make_video, make_frames):
    (path / "empty").mkdir()
    return path / "empty", "No frames in"


def cut_mp4(path, make_video, make_frames):
    file = make_video(path / "cut.mp4", frames=40)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    return file, "cut.mp4"


def cut_avi(path, make_video, make_frames):
    file = make_video(path / "cut.avi", frames=60)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    return file, "truncated or damaged"


def text_as_avi(path, make_video, make_frames):
    (path / "notes.avi").write_text("not a video at all\n" * 50)
    return path / "notes.avi", "no video that FFmpeg knows"


def two_sizes(path, make_video, make_frames):
    folder = make_frames(path / "mixed", frames=8)
    cv2.imwrite(str(folder / "008.png"), np.zeros((20, 30, 3), np.uint8))
    return folder, "Frames of two sizes"


def missing(path, make_video, make_frames):
    return path / "nothing.mp4", "does not exist"


@pytest.mark.parametrize("make", [empty_folder, cut_mp4, cut_avi, text_as_avi, two_sizes, missing])
def test_bad_input_is_one_paragraph_and_leaves_nothing(
    oddframe_main, shared_run, make_video, make_frames, tmp_path, make
):
    bad, message = make(tmp_path, make_video, make_frames)
    out = tmp_path / "out"
    fails(oddframe_main("score", shared_run, bad, "--out", out, "--overlay"), message)
    assert left(out) == []


def test_a_video_cut_short_is_scored_when_that_is_allowed(
    oddframe_main, shared_run, make_video, tmp_path
):
    bad, _ = cut_avi(tmp_path, make_video, None)
    out = tmp_path / "out"
    assert oddframe_main("score", shared_run, bad, "--out", out, "--allow-short")[0] == 0
    assert left(out) == ["cut.csv", "cut.events.json"]


def test_an_output_folder_that_is_a_file(oddframe_main, shared_run, make_video, tmp_path):
    (tmp_path / "out").write_text("mine")
    fails(oddframe_main("score", shared_run, make_video(tmp_path / "v.avi"), "--out",
                        tmp_path / "out"), "Cannot write to")  # fmt: skip
    assert (tmp_path / "out").read_text() == "mine"


def test_an_output_folder_without_the_right_to_write(
    oddframe_main, shared_run, make_video, tmp_path
):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "out").mkdir(mode=0o500)
    video = make_video(tmp_path / "v.avi")
    fails(oddframe_main("score", shared_run, video, "--out", tmp_path / "out"), "Cannot write to")


@pytest.fixture
def full_disk(tmp_path):
    """A folder on a disk of 1 MB with no byte free; skips where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("a full disk needs root, to mount a small tmpfs")
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        with suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("options", [[], ["--overlay"]], ids=["csv", "overlay"])
def test_a_full_disk_is_said_and_leaves_nothing(
    oddframe_main, shared_run, make_video, full_disk, options
):
    video = make_video(full_disk.parent / "v.avi", frames=30)
    fails(oddframe_main("score", shared_run, video, "--out", full_disk, *options), "annot")
    assert left(full_disk) == ["filler"]


# ---- RUN folders


def test_a_run_without_weights(oddframe_main, run_copy, make_video, tmp_path):
    (run_copy / "model.safetensors").unlink()
    video = make_video(tmp_path / "v.avi")
    fails(
        oddframe_main("score", run_copy, video, "--out", tmp_path / "o"),
        "model.safetensors missing",
    )
    assert not (tmp_path / "o").exists()


def test_a_run_with_cut_weights(oddframe_main, run_copy, make_video, tmp_path):
    weights = run_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    video = make_video(tmp_path / "v.avi")
    fails(
        oddframe_main("score", run_copy, video, "--out", tmp_path / "o"),
        "does not hold the weights",
    )


def test_a_run_of_another_version(oddframe_main, run_copy, make_video, tmp_path):
    card = json.loads((run_copy / "model.json").read_text())
    (run_copy / "model.json").write_text(json.dumps({**card, "format": 99}))
    video = make_video(tmp_path / "v.avi")
    fails(
        oddframe_main("score", run_copy, video, "--out", tmp_path / "o"),
        "format 99",
        "reads 1 to 3",
    )


def test_a_folder_that_is_no_run(oddframe_main, make_video, tmp_path):
    video = make_video(tmp_path / "v.avi")
    fails(oddframe_main("score", tmp_path, video, "--out", tmp_path / "o"), "not a finished RUN")


# ---- calibrate


def test_calibrate_stores_a_threshold_and_its_interval(
    oddframe_main, run_copy, write_street, tmp_path
):
    weights = (run_copy / "model.safetensors").read_bytes()
    write_street(tmp_path / "more" / "a", range(80))
    write_street(tmp_path / "more" / "b", range(60))
    code, text, _ = oddframe_main("calibrate", run_copy, tmp_path / "more", "--alarms-per-day", 2)
    assert code == 0
    assert "provisional" in text
    card = json.loads((run_copy / "model.json").read_text())
    found = card["calibration"]
    assert found["threshold"] > 0
    assert found["alarms_per_day"] == 2
    assert found["footage"]["videos"] == 2
    assert found["text"] in text
    assert (run_copy / "model.safetensors").read_bytes() == weights
    assert len(left(run_copy)) == 2


def test_calibrating_on_the_training_footage_is_warned_of(
    oddframe_main, run_copy, write_street, tmp_path
):
    from oddframe.data import manifest, manifest_hash, open_dataset

    folder = write_street(tmp_path / "a", range(30))
    card = json.loads((run_copy / "model.json").read_text())
    card["data"] = {"manifest": manifest_hash(manifest(open_dataset(folder)))}
    (run_copy / "model.json").write_text(json.dumps(card))
    code, _, err = oddframe_main("calibrate", run_copy, folder, "--alarms-per-day", 1)
    assert code == 0
    assert "trained on" in err


def test_prepared_or_not_it_is_the_same_footage(oddframe_main, run_copy, write_street, tmp_path):
    from oddframe.data import footage_hashes, open_dataset

    folder, small = write_street(tmp_path / "a", range(30)), tmp_path / "small"
    assert oddframe_main("data", "prepare", folder, "--out", small, "--size", 64)[0] == 0
    for trained, given in ((small, folder), (folder, small)):
        card = json.loads((run_copy / "model.json").read_text())
        card["data"] = footage_hashes(open_dataset(trained))
        (run_copy / "model.json").write_text(json.dumps(card))
        code, _, err = oddframe_main("calibrate", run_copy, given, "--alarms-per-day", 1)
        assert code == 0
        assert "trained on" in err


def test_calibrate_refuses_a_rate_of_none(oddframe_main, run_copy, write_street, tmp_path):
    folder = write_street(tmp_path / "a", range(8))
    before = (run_copy / "model.json").read_bytes()
    fails(oddframe_main("calibrate", run_copy, folder, "--alarms-per-day", 0), "above 0")
    assert (run_copy / "model.json").read_bytes() == before


# ---- evaluate


def test_evaluate_prints_every_number_with_its_protocol_and_writes_json(
    oddframe_main, shared_run, labelled, tmp_path
):
    target = tmp_path / "r" / "e.json"
    code, text, _ = oddframe_main("evaluate", shared_run, "--data", labelled, "--json", target)
    assert code == 0
    rows = json.loads(target.read_text())["rows"]
    assert {row["protocol"] for row in rows} == {"paper", "deploy"}
    assert all(0 <= row["auc"] <= 1 and row["protocol_text"] for row in rows)
    assert {row["method"] for row in rows if row["floor"]} == {
        *FLOORS,
    }  # fmt: skip
    for row in rows:
        assert row["protocol_text"] in text
    assert "worst-judged clips" in text
    assert "hottest place inside the true outline" in text
    assert left(target.parent) == ["e.json"]


def test_evaluate_writes_a_page(oddframe_main, shared_run, labelled, tmp_path):
    page = tmp_path / "pages" / "report.html"
    code, text, _ = oddframe_main(
        "evaluate", shared_run, "--data", labelled, "--protocol", "deploy", "--report", page
    )
    assert code == 0
    assert f"written to {page}" in text
    assert "persistence" in page.read_text("utf8")


def test_evaluate_with_labels_of_another_length(oddframe_main, shared_run, labelled, tmp_path):
    labels = {k: v[:-3] for k, v in np.load(labelled / "labels.npz").items()}
    np.savez(tmp_path / "other.npz", **labels)
    result = oddframe_main(
        "evaluate", shared_run, "--data", labelled, "--labels", tmp_path / "other.npz",
        "--json", tmp_path / "r" / "e.json",
    )  # fmt: skip
    fails(result, "44 frames and 41 labels")
    assert left(tmp_path / "r") == []


def test_evaluate_with_an_unknown_protocol(oddframe_main, shared_run, labelled):
    result = oddframe_main("evaluate", shared_run, "--data", labelled, "--protocol", "papr")
    fails(result, "papr", "expected paper, deploy")


def test_evaluate_scores_made_elsewhere(oddframe_main, tmp_path):
    np.savez(tmp_path / "s.npz", a=np.array([0.1, 0.2, 0.9, 0.8]), b=np.array([0.3, 0.7]))
    np.savez(tmp_path / "l.npz", a=np.array([0, 0, 1, 1]), b=np.array([0, 1]))
    code, text, _ = oddframe_main(
        "evaluate-scores", tmp_path / "s.npz", tmp_path / "l.npz", "--protocol", "deploy",
        "--json", tmp_path / "e.json",
    )  # fmt: skip
    assert code == 0
    assert "100.00" in text
    (row,) = json.loads((tmp_path / "e.json").read_text())["rows"]
    assert row["auc"] == 1.0


# ---- fit, info, data, doctor


@pytest.mark.parametrize(
    ("setting", "near"), [("train.lrr=1", "train.lr"), ("model.widht=8", "model.width")]
)
def test_fit_with_an_unknown_setting_names_the_nearest(
    oddframe_main, write_street, tmp_path, setting, near
):
    write_street(tmp_path / "d" / "a", range(10))
    result = oddframe_main(
        "fit", "--model", "m2s2l-edge", "--data", tmp_path / "d", "--out", tmp_path / "R",
        "--set", setting,
    )  # fmt: skip
    fails(result, f"Did you mean {near}?")
    assert not (tmp_path / "R").exists()


def test_fit_with_an_unknown_model(oddframe_main, tmp_path):
    result = oddframe_main(
        "fit", "--model", "m2s2l-egde", "--data", tmp_path, "--out", tmp_path / "R"
    )
    fails(result, "Did you mean m2s2l-edge?")


def test_info_as_text_and_as_json(oddframe_main, monkeypatch):
    info = pytest.importorskip("oddframe.models.info", reason="models/info.py is not written yet")
    found = {"model": "m2s2l", "parameters": 1234567, "gmac_per_frame": 20.125, "published": None}
    monkeypatch.setattr(info, "describe", lambda name: found)  # the real one takes seconds
    code, text, _ = oddframe_main("info", "m2s2l", "--json")
    assert (code, json.loads(text)) == (0, found)
    text = oddframe_main("info", "m2s2l")[1]
    assert "1,234,567" in text
    assert "20.12" in text
    fails(oddframe_main("info", "m2s2"), "Unknown model 'm2s2'")


def test_models_as_a_table_and_as_json(oddframe_main, monkeypatch, tmp_path):
    from oddframe import models

    some = {name: models.MODELS[name] for name in ("mnad", "mnad-128", "memae-128")}
    monkeypatch.setattr(models, "MODELS", some)
    code, text, _ = oddframe_main("models", "--json", tmp_path / "m.json")
    lines = text.splitlines()
    assert (code, len(lines)) == (0, 5)
    assert lines[1].split()[:7] == ["mnad", "256", "4", "15.65", "15.6", "46.48", "46.6"]
    assert "  MNAD (Park et al., CVPR 2020, arXiv 2003.13228)  " in lines[1]
    assert lines[1].split()[-1] == "-"  # its paper prints nothing that is done otherwise
    assert lines[3].endswith("  literal=true address=literal")
    rows = json.loads((tmp_path / "m.json").read_text())["rows"]
    assert [row["model"] for row in rows] == list(some)
    assert rows[0]["literal"] == []


def test_data_synth_then_check(oddframe_main, tmp_path):
    root = tmp_path / "made"
    code, _, _ = oddframe_main(
        "data", "synth", root, "--train-clips", 1, "--test-clips", 1, "--train-seconds", 1,
        "--test-seconds", 3,
    )  # fmt: skip
    assert code == 0
    code, text, _ = oddframe_main("data", "check", root)
    assert code == 0
    assert "train: 1 video, 15 frames" in text
    assert "labels.npz" in text
    assert "pixel masks of 1 of 1" in text
    fails(oddframe_main("data", "check", tmp_path / "none"), "does not exist")


def test_doctor_names_what_matters(oddframe_main):
    code, text, _ = oddframe_main("doctor")
    assert code == 0
    for word in (
        "torch",
        "threads",
        "OMP_WAIT_POLICY PASSIVE",
        "scan",
        "reference: ok",
        ".webm: ok",
    ):
        assert word in text


# ---- exit codes


@pytest.mark.parametrize(
    "args",
    [["scoer"], ["score"], ["score", "R", "v.mp4"], ["fit", "--epochs", "many"], ["info", "--no"]],
    ids=["verb", "arguments", "required option", "number", "option"],
)
def test_usage_errors_are_2(oddframe_main, args):
    code, out, err = oddframe_main(*args)
    assert code == 2
    assert out == ""
    assert "Usage: oddframe" in err


def test_help_and_version_are_0(oddframe_main):
    code, text, _ = oddframe_main("--help")
    assert code == 0
    for verb in ("fit", "calibrate", "score", "evaluate-scores", "info", "data", "doctor"):
        assert verb in text
    assert oddframe_main("--version")[:2] == (0, "oddframe 0.1.0\n")


@pytest.mark.parametrize("place", [0, 1, 3], ids=["before the verb", "after it", "at the end"])
def test_debug_shows_the_traceback_wherever_it_stands(oddframe_main, tmp_path, place):
    args = ["data", "check", tmp_path / "none"]
    args.insert(place, "--debug")
    code, _, err = oddframe_main(*args)
    assert code == 1
    assert "Traceback" in err
    assert "error: " in err


def raising(error):
    def describe(_):
        if isinstance(error, signal.Signals):
            signal.raise_signal(error)
        raise error

    return describe


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (signal.SIGTERM, 130, "interrupted\n"),
        (OddframeError("plain words"), 1, "error: plain words\n"),
        (
            ZeroDivisionError("by zero"),
            1,
            "ZeroDivisionError: by zero. Run the command again with ",
        ),
    ],
    ids=["Ctrl-C", "SIGTERM", "ours", "unexpected"],
)
def test_what_goes_wrong_inside_a_verb(oddframe_main, monkeypatch, error, code, text):
    import oddframe.models

    monkeypatch.setattr(oddframe.models, "entry", raising(error))
    got, _, err = oddframe_main("info", "m2s2l")
    assert got == code
    assert text in err
    assert "Traceback" not in err


def test_a_closed_pipe_is_quiet():
    code = "import sys; from oddframe.cli import main; sys.exit(main(['doctor']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")


def test_help_is_quick_and_loads_no_torch():
    code = (
        "import sys; from oddframe.cli import main; main(['--help']); "
        "assert not {'torch', 'cv2', 'numpy', 'lightning'} & set(sys.modules)"
    )
    took = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.6  # 0.2 s on an idle machine
