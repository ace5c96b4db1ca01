"""Markdown and pictures from files of results alone."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from made import SMALL, made_up

from oddframe.cli import main
from oddframe.errors import ProtocolError, RunError
from oddframe.metrics.pairs import Wins, bootstrap_difference
from oddframe.models.papers import OTHERS
from oddframe.report.xy import Point, Series, cost_svg, sweep_svg
from oddframe.reproduce.measure import groups, mean_auc, printed
from oddframe.reproduce.render import render
from oddframe.reproduce.results import read_results
from oddframe.reproduce.tables import table

LIFT = {"M1": 0.8, "M2": 1.4, "M3": 1.5, "M4": 1.6, "L1": 0.9, "L2": 1.3}


def write(folder: Path, results) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for r in results:
        (folder / f"{r['run']}.json").write_text(json.dumps(r))
    return folder


@pytest.fixture
def m2s2l(tmp_path):
    """Made-up results of M2S2L's tables: two data sets, two seeds; L3 is the run of M4."""
    asked, results = table("m2s2l-tables"), []
    for data in ("ped2", "avenue-part"):
        for line in asked.lines:
            if line.name == "L3":
                continue
            for seed in (0, 1):
                r = made_up(asked, line, data, seed, LIFT[line.name])
                r["rows_of"] = ["M4", "L3"] if line.name == "M4" else [line.name]
                results.append(r)
    return write(tmp_path / "m2s2l-tables", results)


def cells(text: str, row: str) -> list[list[str]]:
    """The cells of every line of the page's tables that begins with a row's name."""
    lines = [[c.strip() for c in x.strip("|").split("|")] for x in text.splitlines() if "|" in x]
    return [x for x in lines if x[0] == row]


def wins_of(result, protocol, method) -> Wins:
    kept = result["pairs"][protocol]
    return Wins(
        np.array(kept["wins"][method]), np.array(kept["abnormal"]), np.array(kept["normal"])
    )


def test_rows_are_means_over_seeds_with_paired_differences(m2s2l):
    text = render(table("m2s2l-tables"), m2s2l).read_text()
    head = next(x for x in text.splitlines() if x.startswith("| row | seeds |"))
    columns = [c.strip() for c in head.strip("|").split("|")]
    part, ped2 = (x for x in cells(text, "M2") if len(x) == len(columns))
    found = {r["run"]: r for r in read_results(m2s2l)}
    m1, m2 = (
        [wins_of(found[f"ped2.m2s2l-edge.{row}.10m.s{s}"], "paper", "m2s2l-edge") for s in (0, 1)]
        for row in ("M1", "M2")
    )
    at = columns.index("`paper`")
    mean = 50 * (m2[0].auc + m2[1].auc)
    assert re.match(rf"{mean:.1f} \[\d+\.\d, \d+\.\d\]$", ped2[at])
    both = [Wins((a.wins + b.wins) / 2, a.abnormal, a.normal) for a, b in (m2, m1)]
    span = bootstrap_difference(*both)
    points = mean - 50 * (m1[0].auc + m1[1].auc)
    assert ped2[at + 1] == f"{points:+.1f} [{100 * span.low:+.1f}, {100 * span.high:+.1f}]"
    assert ped2[columns.index("seeds")] == "2"
    assert ped2[columns.index("steps")] == "1000 to 1001"
    assert ped2[columns.index("M")] == "0.58"
    assert ped2[-1] == "97.3"
    assert part[-1] == "91.1"
    assert "AUC, published (Avenue)" in text
    first = next(x for x in cells(text, "M1") if len(x) == len(columns))
    assert first[at + 1] == ""  # nothing stands before it


def test_one_run_is_two_rows_and_floors_stand_below(m2s2l):
    text = render(table("m2s2l-tables"), m2s2l).read_text()
    m4, l3 = (cells(text, row)[0] for row in ("M4", "L3"))
    assert m4[2] == l3[2]
    assert m4[3] != l3[3]  # each against the row before it in its own table
    assert cells(text, "`persistence`")[0][2] == "90.0 [85.0, 94.0]"
    seeds = [x for x in cells(text, "L1") if len(x) == 6]
    assert [x[1] for x in seeds] == ["0", "1"] * 2
    for said in ("abc1234", "1 thread a run, scan: torch", "rule of deploy"):
        assert said in text


def test_the_default_is_shown_clip_by_clip(tmp_path):
    asked = table("scenes")
    runs = [made_up(asked, asked.lines[0], "street", seed, 1.0) for seed in (0, 1)]
    text = render(asked, write(tmp_path / "scenes", runs)).read_text()
    clips = [cells(text, f"{i:02d}") for i in range(1, 7)]
    assert clips[2] == []  # no frame of it is abnormal
    kinds = ["m2s2l-edge", "m2s2l-edge:own"]
    for i in (0, 5):
        won = [[wins_of(r, "deploy", kind).wins[i].sum() for r in runs] for kind in kinds]
        assert clips[i][0] == [
            f"{i + 1:02d}", "30", *(f"{100 * np.mean(w) / (30 * 270):.1f}" for w in won)
        ]  # fmt: skip


def test_alarms_of_the_runs_that_have_a_threshold(tmp_path):
    asked = table("scenes")
    runs = [made_up(asked, asked.lines[0], "street", seed, 1.0) for seed in (0, 1, 2)]
    assert "Alarms" not in render(asked, write(tmp_path / "scenes", runs)).read_text()
    runs[0]["alarms"] = {
        "events": 5, "found": 4, "alarms": 7, "true_alarms": 5, "median_delay_s": 0.62,
        "false_alarms_per_hour": 60.0, "false_frame_share": 0.031,
    }  # fmt: skip
    runs[1]["alarms"] = {
        "events": 5, "found": 0, "alarms": 0, "true_alarms": 0, "median_delay_s": None,
        "false_alarms_per_hour": 0.0, "false_frame_share": 0.0,
    }  # fmt: skip
    text = render(asked, write(tmp_path / "scenes", runs)).read_text()
    lines = text[text.index("### Alarms") :].split("###")[1]
    assert cells(lines, "default") == [
        ["default", "0", "4 of 5", "0.6", "2 of 7", "60", "3.1"],
        ["default", "1", "0 of 5", "", "0 of 0", "0", "0.0"],
    ]


def test_items_in_use_stand_where_the_runs_have_them(m2s2l):
    asked = table("m2s2l-tables")
    assert "items in use" not in render(asked, m2s2l).read_text()
    path = m2s2l / "ped2.m2s2l-edge.M2.10m.s0.json"
    result = json.loads(path.read_text())
    found = {"common": {"items": 64, "in_use": 14}, "app": {"items": 64, "in_use": 9}}
    result["training"]["memory"] = found
    path.write_text(json.dumps(result))
    text = render(asked, m2s2l).read_text()
    assert "| steps | items in use | M |" in text
    assert [x for x in cells(text, "M2") if "14, 9 of 64" in x]


def test_the_same_files_give_the_same_page(m2s2l):
    asked = table("m2s2l-tables")
    assert render(asked, m2s2l).read_text() == render(asked, m2s2l).read_text()


def test_other_budgets_and_sizes_stand_apart(m2s2l):
    asked = table("m2s2l-tables")
    other = made_up(asked, asked.lines[0], "ped2", 0, 1.0)
    other["budget"] = {"minutes": 3}
    write(m2s2l, [{**other, "run": "x"}, {**other, "run": "y", "model": "m2s2l-small"}])
    text = render(asked, m2s2l).read_text()
    for head in (
        "## Ped2, m2s2l-edge, 10 minutes of one core's time",
        "## Ped2, m2s2l-edge, 3 minutes by the clock",
        "## Ped2, m2s2l-small, 3 minutes by the clock",
        "## part of Avenue, m2s2l-edge",
    ):
        assert head in text


def test_failures_are_on_the_page(m2s2l):
    note = {"run": "ped2.m2s2l-edge.M1.10m.s2", "rows_of": ["M1"], "error": "the disk was full"}
    (m2s2l / "ped2.m2s2l-edge.M1.10m.s2.failed.json").write_text(json.dumps(note))
    text = render(table("m2s2l-tables"), m2s2l).read_text()
    assert "- `ped2.m2s2l-edge.M1.10m.s2`: the disk was full" in text


def svg(path: Path) -> ET.Element:
    return ET.fromstring(path.read_text())


def test_models_are_drawn_by_what_they_cost(tmp_path):
    asked = table("models")
    results = [made_up(asked, x, "ped2", 0, 0.5 + 0.1 * i) for i, x in enumerate(asked.lines)]
    folder = write(tmp_path / "models", results)
    page = render(asked, folder).read_text()
    row = cells(page, "`stnmamba-128`")[0]
    assert row[-6:] == ["0.58", "7.2", "0.33", "1.5", "98.0", "40"]
    for file, absent in (("gmac", {"AnoPCN", "conv-ae"}), ("parameters", {"AnoPCN", "conv-ae"})):
        names = [t.text for t in svg(folder / f"ped2-cpu-10m-{file}.svg").iter() if t.text]
        assert {x.name for x in asked.lines} <= set(names)
        assert {"STD", "mnad", "m2s2l", "ASTT"} <= set(names)
        assert not absent & set(names)
        assert f"ped2-cpu-10m-{file}.svg" in page


def test_floors_are_those_of_the_row_that_the_page_names(tmp_path):
    asked = table("models")
    results = [made_up(asked, x, "ped2", 0, 0.5) for x in asked.lines]
    for i, r in enumerate(results):
        r["run"] = f"{len(results) - i:02d}"  # the last row is the first file
        for row in r["rows"]:
            row["auc"] = (50 + i) / 100
    page = render(asked, write(tmp_path / "models", results)).read_text()
    assert f"over the frames that `{asked.lines[0].model}` has scores for" in page
    (row,) = cells(page, "`flowspeed`")
    assert any(cell.startswith("50.0") for cell in row)


def test_pictures_of_other_clocks_have_other_names(tmp_path):
    asked = table("models")
    results = [made_up(asked, x, "ped2", 0, 0.5) for x in asked.lines]
    walls = [{**r, "run": f"{r['run']}.clock", "budget": {"minutes": 10}} for r in results]
    folder = write(tmp_path / "models", [*results, *walls])
    page = render(asked, folder).read_text()
    for file in ("ped2-cpu-10m-gmac.svg", "ped2-cpu-10m-clock-gmac.svg"):
        assert (folder / file).exists()
        assert f"({file})" in page


def test_sweeps_are_drawn_with_and_without_training(tmp_path):
    asked = table("stnmamba-sweeps")
    results = [
        made_up(asked, x, "ped2", 0, 1 + 0.1 * i)
        for i, x in enumerate(x for x in asked.lines if not x.rescored)
    ]
    for r in results:
        if r["rows_of"] != ["K60"]:
            r["variants"] = {}
    folder = write(tmp_path / asked.name, results)
    text = render(asked, folder).read_text()
    (row,) = cells(text, "lambda0.2")
    assert re.match(r"\d\d\.\d \[", row[2])
    first, second = (svg(folder / f"ped2-stnmamba-128-10m-sweep{i}.svg") for i in (1, 2))
    titles = [[t.text for t in e.iter() if t.tag.endswith("title")] for e in (first, second)]
    assert [len(t) for t in titles] == [6, 15]  # lambda under paper alone; K under all three
    assert any("K, % of the items 60" in t for t in titles[1])


def test_printed_figures():
    lines = {x.name: x for x in table("stnmamba-losses").lines}
    assert printed(lines["B1"], "avenue-part") == 88.1
    assert printed(lines["B1"], "ped2") is None
    assert printed(table("models").lines[0], "shanghaitech") == 77.9
    assert printed(SMALL.lines[3], "ped2") is None
    assert OTHERS["ASTT"].gmac == 18.9


def test_seeds_of_different_frames_have_no_mean():
    one = Wins(np.ones((2, 2)), np.array([1, 1]), np.array([1, 1]))
    other = Wins(np.ones((2, 2)), np.array([1, 1]), np.array([1, 2]))
    with pytest.raises(ProtocolError, match="different frames"):
        mean_auc([(0, one), (1, other)])


def change(folder: Path, name: str, **values) -> None:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_seeds_of_different_configurations_have_no_mean(m2s2l):
    name = "ped2.m2s2l-edge.M2.10m.s1"
    change(m2s2l, name, config={"model": {"width": 8}})
    change(m2s2l, name.replace("s1", "s0"), config={"model": {"width": 16}})
    with pytest.raises(ProtocolError, match=r"model\.width is 8 instead of 16") as error:
        render(table("m2s2l-tables"), m2s2l)
    assert f"{name}.json" in str(error.value)
    assert f"{name.replace('s1', 's0')}.json" in str(error.value)


def test_seeds_of_different_footage_have_no_mean(m2s2l):
    change(m2s2l, "ped2.m2s2l-edge.M2.10m.s1", data={"name": "ped2", "manifest": "ab"})
    with pytest.raises(ProtocolError, match=r'data\.manifest is "ab" instead of null'):
        render(table("m2s2l-tables"), m2s2l)


def test_a_seed_counts_once(m2s2l):
    path = m2s2l / "ped2.m2s2l-edge.M2.10m.s1.json"
    (m2s2l / "copy.json").write_text(path.read_text())
    with pytest.raises(ProtocolError, match=r"copy\.json and .*s1\.json are both seed 1 of row M2"):
        render(table("m2s2l-tables"), m2s2l)


@pytest.mark.parametrize("text", ["{", "[]", '{"run": "x"}'])
def test_a_damaged_note_of_a_failure_is_one_paragraph(m2s2l, text):
    (m2s2l / "x.failed.json").write_text(text)
    with pytest.raises(RunError, match=r"x\.failed\.json is damaged: expected .* Delete it"):
        render(table("m2s2l-tables"), m2s2l)


def test_a_damaged_file_and_an_empty_folder(m2s2l, tmp_path, capsys):
    assert len(groups(table("m2s2l-tables"), read_results(m2s2l))) == 2
    next(m2s2l.glob("*.json")).write_text("{")
    with pytest.raises(RunError, match=r"is damaged.*Delete it"):
        render(table("m2s2l-tables"), m2s2l)
    code = main(["reproduce", "models", "--render", "--out", str(tmp_path / "none")])
    assert code == 1
    assert "holds no results of models" in capsys.readouterr().err


# ---- the pictures by themselves


def test_labels_of_close_points_do_not_lie_on_one_another():
    points = [Point(f"method-{i}", 10 + i, 90 + 0.1 * i, measured=bool(i % 2)) for i in range(5)]
    root = ET.fromstring(cost_svg(points, "t", "GMAC"))
    texts = [
        e for e in root.iter() if (e.text or "").startswith("method-") and e.tag.endswith("}text")
    ]
    boxes = []
    for e in texts:
        x, y, wide = float(e.get("x")), float(e.get("y")), 6.6 * len(e.text)
        x -= {"start": 0, "middle": wide / 2, "end": wide}[e.get("text-anchor")]
        boxes.append((x, y - 11, x + wide, y + 3))
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_one_point_alone_is_a_picture():
    ET.fromstring(sweep_svg([Series("paper", (3.0,), (90.0,))], "t & u", "x"))
    ET.fromstring(cost_svg([Point("a<b", 1.0, 90.0, True)], "t", "GMAC"))
