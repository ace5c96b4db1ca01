"""Events of an archive: those that the same scores make live, ranked, with pictures and a page."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow
import pytest
from archiving import THRESHOLD, Archived, write_light

import oddframe
from oddframe.archive.events import _about, _peaks, find_events
from oddframe.archive.manifest import manifest_of, read_manifest
from oddframe.archive.parquet import BOX
from oddframe.archive.pictures import MARK_BGR, marked
from oddframe.calibration.peaks import peak_frames
from oddframe.cli import main
from oddframe.errors import RunError
from oddframe.events.event import Box
from oddframe.events.rules import Rules
from oddframe.events.tracker import events_of
from oddframe.report.archive import PAGE, clock, names_of, write_archive_page
from oddframe.runs import load_run

# Two bursts that are more than 10 s apart, in a recording that pauses between.
PAUSED = [i / 25 + 30 * (i >= 40) for i in range(80)]


@pytest.fixture(scope="module")
def clips(footage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    footage(folder / "paused.mkv", 80, 20, stamps=PAUSED, rate=25)
    footage(folder / "calm.mp4", 30, 10**6)
    footage(folder / "late.mp4", 60, 50)
    (folder / "no video.mp4").write_text("text")
    return folder


@pytest.fixture(scope="module")
def made(light, clips, tmp_path_factory):
    """An archive; tests add to it."""
    archived = Archived(tmp_path_factory.mktemp("made") / "DIR")
    archived(light, [clips])
    return archived


def found_in(out, **rules):
    events, entries = find_events(
        out, read_manifest(out), Rules().override([f"{k}={v}" for k, v in rules.items()]),
        lambda *_: None,
    )  # fmt: skip
    assert len(entries) == 4
    return events


@pytest.mark.parametrize("rules", [{}, {"raise_level": 3.9}, {"merge_gap_s": 60}], ids=str)
def test_events_are_those_of_the_rules_on_one_pass(made, light, clips, rules):
    wanted = []
    chosen = Rules().override([f"{k}={v}" for k, v in {"alert_level": 4, **rules}.items()])
    for name in ("paused.mkv", "calm.mp4", "late.mp4"):
        result = oddframe.load(light).score(clips / name, heat=False)
        for start_s, end_s, peak in events_of(result.score, result.time_s, THRESHOLD, chosen):
            wanted.append((name, start_s, end_s, peak / THRESHOLD))
    found = found_in(made.out, alert_level=4, **rules)
    mine = [(e.file.rpartition("/")[2], e.start_s, e.end_s, e.level) for e in found]
    assert sorted(mine) == sorted(wanted)
    assert len(found) >= (2 if "merge_gap_s" in rules else 3)
    levels = [e.level for e in found]
    assert levels == sorted(levels, reverse=True)
    assert [e.rank for e in found] == list(range(1, len(found) + 1))


def test_frames_of_an_event_are_found_whatever_its_stamps_round_to():
    """The end is a sum of differences: for one start in seven it is above the last stamp."""
    time_s = np.arange(1500) / 25
    for start in range(0, 1500, 7):
        score = np.where(np.arange(1500) >= start, 2.0, 0.0)
        score[-2] = 3.0
        assert list(_peaks(score, time_s, True, Rules())) == [(start, 1499, 1498)]


def test_the_peak_is_its_frame_with_its_place_and_reasons(made, clips):
    for event in found_in(made.out):
        rows = made.table(event.file)
        i = event.peak_frame
        assert rows["frame"][i] == i
        assert rows["score"][i] == event.score == THRESHOLD * event.level
        assert rows["time_s"][i] == event.peak_s
        inside = (rows["time_s"] >= event.start_s) & (rows["time_s"] <= event.end_s)
        assert np.nanmax(rows["score"][inside]) == event.score
        x, y = event.box.x + event.box.w / 2, event.box.y + event.box.h / 2
        assert 144 <= x <= 158  # `street`'s box, of 160 x 96
        assert y <= 24
        assert event.size == (160, 96)
        assert "unlike anything seen here (right, far)" in event.reasons[0]


@pytest.mark.parametrize(("spread", "fast"), [(0.5, "4.5 times as fast"), (None, "moves faster")])
def test_words_say_how_fast_and_how_rare_as_live_ones_do(spread, fast):
    row = {"z_flow": 3.0, "z_way": 2.9, "z_stay": None, "local_way": 40.0, "local_stay": None,
           **dict(zip(BOX, (0, 0, 8, 8), strict=True))}  # fmt: skip
    table = pyarrow.table({name: [value] for name, value in row.items()})
    _, _, (first, second) = _about(table, 0, (90, 90), spread)
    assert fast in first
    assert first.endswith("(left, far)")
    assert "40 times as rare" in second


def test_the_archive_keeps_what_the_words_are_made_by(made, light):
    assert read_manifest(made.out).spread is None  # a RUN without optical flow
    run = load_run(light)
    scene = {"flow": replace(run.scene["frame"], std=0.25)}
    assert manifest_of(replace(run, scene=scene), made.job(light, []), []).spread == 0.25


def test_without_a_threshold_separate_peaks_are_ranked(archived, clips, tmp_path):
    run = write_light(tmp_path / "RUN", threshold=None)
    archived(run, [clips / "paused.mkv"])
    events, _ = find_events(archived.out, read_manifest(archived.out), Rules(), lambda *_: None)
    result = oddframe.load(run).score(clips / "paused.mkv", heat=False)
    peaks = peak_frames(result.score, result.time_s, 10.0)
    assert [e.peak_frame for e in events] == peaks.tolist()
    assert all(e.level is None for e in events)


def test_events_are_of_the_threshold_of_their_light(archived, light, clips, tmp_path):
    run = Path(shutil.copytree(light, tmp_path / "RUN"))
    card = json.loads((run / "model.json").read_text())
    lights = {"colour": {"threshold": 100.0}, "infrared": {"threshold": 2.0}}
    card["calibration"] |= {"threshold": 100.0, "modes": lights}
    (run / "model.json").write_text(json.dumps(card))
    archived(run, [clips / "late.mp4"])
    manifest = read_manifest(archived.out)
    [event, *_], entries = find_events(archived.out, manifest, Rules(), lambda *_: None)
    assert event.level == event.score / 2 > 1
    assert manifest.run["parts"] != manifest_of(load_run(light), archived.job(run), []).run["parts"]
    write_archive_page(archived.out, manifest, [event], [None], entries)
    assert "threshold 100 in colour, 2 in infrared" in (archived.out / PAGE).read_text("utf8")


def test_nothing_scored_yet_and_no_archive_are_errors(archived, light, tmp_path):
    archived.job(light, [])
    with pytest.raises(RunError, match="is scored yet"):
        find_events(archived.out, read_manifest(archived.out), Rules(), lambda *_: None)
    with pytest.raises(RunError, match="is no archive"):
        read_manifest(tmp_path)


def test_the_command_writes_tables_pictures_and_a_page(made, clips, capsys):
    assert main(["archive", "events", str(made.out), "--top", "2"]) == 0
    out = made.out
    assert "events.html" in capsys.readouterr().out
    with (out / "events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = json.loads((out / "events.json").read_text())["events"]
    assert [v["rank"] for v in values] == [int(r["rank"]) for r in rows] == [1, 2, 3]
    assert [r["picture"] for r in rows] == ["events/0001.jpg", "events/0002.jpg", ""]
    assert sorted(p.name for p in (out / "events").iterdir()) == ["0001.jpg", "0002.jpg"]
    for row, value in zip(rows, values, strict=True):
        assert float(row["level"]) == pytest.approx(value["level"], rel=1e-5)
        assert int(row["box_x"]) == value["box"]["x"]
    image = cv2.imread(str(out / "events" / "0001.jpg"))
    assert image.shape == (192, 320, 3)
    amber = np.abs(image.astype(int) - MARK_BGR).sum(2) < 150
    assert amber.any()
    assert np.flatnonzero(amber.any(0)).min() > 240  # around the box at the right
    page = (out / "events.html").read_text()
    assert page.count('<article class="card"') == 2
    assert page.count("data:image/jpeg;base64,") == 2
    assert "1 more are in events.csv" in page
    assert "no video.mp4" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_the_page_of_docs_reads_the_scores_of_all_files(made, monkeypatch, tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "archive.md").read_text("utf8")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "scored").symlink_to(made.out)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert {Path(f).stem for f in names["loud"]["file"].to_pylist()} == {"paused", "late"}
    assert min(names["loud"]["level"].to_pylist()) > 2


def test_footage_that_is_gone_costs_its_picture_alone(archived, light, footage, tmp_path):
    gone = footage(tmp_path / "gone.mp4", 40, 20)
    archived(light, [gone])
    gone.unlink()
    assert main(["archive", "events", str(archived.out)]) == 0
    page = (archived.out / "events.html").read_text()
    assert "the footage cannot be read any more" in page
    assert json.loads((archived.out / "events.json").read_text())["events"][0]["picture"] is None


def test_marks_stay_in_the_picture():
    image = np.zeros((540, 960, 3), np.uint8)
    shown = marked(image, Box(900, 500, 60, 40))
    assert shown.shape == (270, 480, 3)
    assert shown.any()
    assert not marked(image, None).any()
    assert not image.any()


def test_files_of_one_name_are_told_apart_by_their_folders():
    paths = ["/rec/gate/05.30.mp4", "/rec/yard/05.30.mp4", "/rec/yard/b/1.mp4"]
    assert list(names_of(paths).values()) == ["gate/05.30.mp4", "yard/05.30.mp4", "yard/b/1.mp4"]
    assert names_of(["/rec/gate/1.mp4"]) == {"/rec/gate/1.mp4": "1.mp4"}
    assert names_of(["s3://b/a/1.mp4", "/rec/1.mp4"])["/rec/1.mp4"] == "/rec/1.mp4"


def test_clocks():
    assert clock(0) == "0:00.0"
    assert clock(59.96) == "1:00.0"
    assert clock(3723.4) == "1:02:03.4"


def test_an_option_that_cannot_be_leaves_no_folder(light, clips, tmp_path, capsys):
    out = tmp_path / "DIR"
    command = ["archive", str(light), str(clips), "--out", str(out)]
    assert main([*command, "--precision", "bf16"]) != 0
    assert "float32 or bfloat16, found 'bf16'" in capsys.readouterr().err
    assert not out.exists()


def test_the_words_of_the_command_line(capsys):
    for words in (["archive", "--help"], ["archive", "events", "--help"]):
        assert main(words) == 0
    said = capsys.readouterr().out
    assert "oddframe archive events [OPTIONS]" in said
    assert "--segment" in said
    assert main(["--help"]) == 0
    assert "archive events" in capsys.readouterr().out
