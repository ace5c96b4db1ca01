"""Which runs a table needs, and on which data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from oddframe.cli import main
from oddframe.errors import ConfigError
from oddframe.models import ablations, entry
from oddframe.models.papers import PAPER_TABLES
from oddframe.reproduce.plan import Job, Options, data_sets, plan
from oddframe.reproduce.tables import TABLES, resized, table
from oddframe.train.wanted import configs

PED2 = {"ped2": Path("ped2")}


def test_every_row_of_the_papers_is_in_a_table():
    planned = {(line.model, line.ablation) for t in TABLES.values() for line in t.lines}
    for model in ("m2s2l-edge", "stnmamba-128", "msti-net-128"):
        assert {(model, row) for row in ablations(model)} <= planned
        assert entry(model).module in PAPER_TABLES


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_planned_and_its_rows_all_come_of_it(name):
    asked = table(name)
    rows = [line.name for line in asked.lines]
    assert len(set(rows)) == len(rows)
    jobs = plan(asked, PED2, Options())
    found = Counter(r for j in jobs for r in (*j.rows, *(v.row for v in j.variants)))
    assert found == {row: len(asked.seeds) for row in rows}
    assert len({j.name for j in jobs}) == len(jobs)
    for sweep in asked.sweeps:
        assert {row for _, row in sweep.rows} <= set(rows)
    assert {x.after for x in asked.lines} - {None} <= set(rows)


def test_rows_of_one_configuration_are_trained_once():
    jobs = plan(table("m2s2l-tables"), PED2, Options(seeds=(0,)))
    assert [j.rows for j in jobs] == [("M1",), ("M2",), ("M3",), ("M4", "L3"), ("L1",), ("L2",)]
    assert [j.name for j in jobs][3] == "ped2.m2s2l-edge.M4.10m.s0"
    assert jobs[0].config["model"]["ms_position"] == "none"


def test_what_needs_no_training_has_none():
    jobs = plan(table("stnmamba-sweeps"), PED2, Options())
    assert sorted(j.rows for j in jobs) == [("K100",), ("K20",), ("K40",), ("K60",), ("K80",)]
    (full,) = (j for j in jobs if j.variants)
    assert [v.row for v in full.variants] == [f"lambda{x:g}" for x in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    assert full.rows == ("K60",)


def test_options_change_the_plan_and_a_part_keeps_its_names():
    asked = table("m2s2l-tables")
    part = plan(asked, PED2, Options(only=("L3",), seeds=(4,), minutes=2.5))
    assert [(j.name, j.rows) for j in part] == [("ped2.m2s2l-edge.M4.2.5m.s4", ("M4", "L3"))]
    other = plan(asked, {"a": Path("a"), "b": Path("b")}, Options(size="m2s2l-small", seeds=(0,)))
    assert {j.model for j in other} == {"m2s2l-small"}
    assert {j.data for j in other} == {"a", "b"}
    paper = plan(asked, PED2, Options(recipe="paper", seeds=(0,), only=("M1",)))
    assert paper[0].name == "ped2.m2s2l-edge.M1.paper.10m.s0"
    assert paper[0].config["train"]["average"] == 0
    assert plan(table("models"), PED2, Options(size="paper"))[0].model == "m2s2l"


def test_a_clock_for_each_device():
    on = {d: plan(table("msti-tables"), PED2, Options(device=d))[0] for d in ("cpu", "cuda")}
    assert {d: job.clock for d, job in on.items()} == {"cpu": "core_minutes", "cuda": "minutes"}


def test_a_job_survives_json():
    for job in plan(table("stnmamba-sweeps"), PED2, Options()):
        again = Job.read(json.loads(json.dumps(job.plain())))
        assert again.variants == job.variants
        assert json.dumps(again.plain()) == json.dumps(job.plain())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: table("m2s2l-table"), "Did you mean m2s2l-tables.*stnmamba-losses \\(STNMamba, T"),
        (lambda: plan(table("msti-tables"), PED2, Options(only=("F",))), "no row 'F'.* A, B, C"),
        (lambda: resized("mnad-128", "m2s2l"), "no size of mnad-128: expected paper or mnad, mnad"),
    ],
)
def test_what_is_not_there(call, said):
    with pytest.raises(ConfigError, match=said):
        call()


# ---- options of the verb


def dry(tmp_path: Path, *words: str) -> int:
    call = ["reproduce", "msti-tables", "--data", f"a={tmp_path}", "--only", "A", "--dry-run"]
    return main([*call, "--out", str(tmp_path / "out"), *words])


def test_a_seed_that_is_asked_for_twice_is_one(tmp_path, capsys):
    assert len(plan(table("msti-tables"), PED2, Options(seeds=(0, 0, 1), only=("A",)))) == 2
    assert dry(tmp_path, "--seeds", "0,0", "--device", "cpu") == 0
    assert "1 runs of 10 minutes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--minutes", "0"), "--minutes must be a finite number above 0, found 0."),
        (("--minutes", "-1"), "--minutes must be a finite number above 0, found -1."),
        (("--minutes", "nan"), "--minutes must be a finite number above 0, found nan."),
        (("--minutes", "inf"), "--minutes must be a finite number above 0, found inf."),
        (("--seeds", ","), "--seeds is whole numbers, as 0,1,2; found ','."),
        (("--device", "cuda:1"), "--device cuda:1 is not one that reproduce takes: expected auto"),
        (("--device", "gpu"), "--device gpu is not one that reproduce takes: expected auto, cpu"),
        (("--device", "cuda"), "Device cuda is not there"),
    ],
)
def test_options_are_checked_before_any_work(tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert dry(tmp_path, *words) != 0
    told = " ".join(capsys.readouterr().err.replace("\u2502", " ").split())
    assert said in told


# ---- data sets


def test_data_sets_by_their_usual_names(tmp_path, monkeypatch):
    monkeypatch.delenv("ODDFRAME_DATA", raising=False)
    for name in ("UCSDped2", "avenue-part", "labels"):
        (tmp_path / name).mkdir()
    found = {"ped2": tmp_path / "UCSDped2", "avenue-part": tmp_path / "avenue-part"}
    assert data_sets([], tmp_path) == found
    monkeypatch.setenv("ODDFRAME_DATA", str(tmp_path))
    assert data_sets([], None) == found
    assert data_sets(["ped2", f"mine={tmp_path}"], None) == {
        "ped2": tmp_path / "UCSDped2", "mine": tmp_path,
    }  # fmt: skip
    (tmp_path / "avenue").mkdir()
    assert "avenue-part" not in data_sets([], None)  # the whole has it


def test_no_data_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("ODDFRAME_DATA", raising=False)
    with pytest.raises(ConfigError, match="no --root and no ODDFRAME_DATA"):
        data_sets([], None)
    with pytest.raises(ConfigError, match=f"none in {tmp_path}"):
        data_sets([], tmp_path)
    with pytest.raises(ConfigError, match="--data ped2: ped2 is not there"):
        data_sets(["ped2"], tmp_path)
    with pytest.raises(ConfigError, match="nowhere is not there"):
        data_sets(["x=nowhere"], tmp_path)


def test_rows_about_memories_have_some_whatever_the_size_has():
    """Rows of the paper too; only the rows that are called so have none."""
    for name in ("m2s2l-tables", "m2s2l-memory"):
        for line in table(name).lines:
            found = configs(line.model, line.settings, ablation=line.ablation).model
            assert found.memory_items == (0 if line.name.endswith("-off") else 64), line.name


def test_releases_are_found_under_the_names_that_they_unpack_to(tmp_path):
    for folder in ("UCSD_Anomaly_Dataset.v1p2/UCSDped1", "UCSD_Anomaly_Dataset.v1p2/UCSDped2",
                   "Avenue Dataset", "ShanghaiTech"):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
    found = {name: path.name for name, path in data_sets([], tmp_path).items()}
    assert found == {
        "ped1": "UCSDped1", "ped2": "UCSDped2", "avenue": "Avenue Dataset",
        "shanghaitech": "ShanghaiTech",
    }  # fmt: skip
