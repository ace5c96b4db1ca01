"""A small table made for real: results, resuming, failing runs, stopping."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made import SMALL, write_set
from rich.console import Console

from oddframe.errors import ConfigError, RunError
from oddframe.judging.floors import FLOORS
from oddframe.metrics.pairs import Wins
from oddframe.reproduce import job as one
from oddframe.reproduce import results, workers
from oddframe.reproduce.plan import Options, plan
from oddframe.reproduce.results import commit, read_result, result_file, undone

pytestmark = pytest.mark.timeout(900)
"""Every run is a process that imports torch: seconds, but not beside other work."""
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One row made once, beside a run that fails; data, results and RUNs."""
    root = tmp_path_factory.mktemp("made")
    data = write_set(root / "UCSDped2")  # a folder is not always named as its data set
    (root / "empty").mkdir()
    jobs = plan(SMALL, {"street": data, "empty": root / "empty"}, Options(only=("M4",)))
    failures = workers.perform(
        jobs, root / "out", root / "work", at_once=2, keep=True, console=QUIET
    )
    return root, jobs, failures


@pytest.fixture
def kept(made, tmp_path):
    """The job that was done, and a copy of its RUN."""
    root, (job, _), _ = made
    folder = tmp_path / job.name
    shutil.copytree(root / "work" / job.table / job.name, folder)
    return job, folder


def test_a_result_says_what_was_done_and_what_it_came_to(made):
    root, (job, _), _ = made
    found = read_result(result_file(root / "out", job))
    assert found["rows_of"] == ["L3", "M4"]
    assert (found["seed"], found["budget"]) == (0, {"core_minutes": 0.02})
    assert found["commit"] == commit()
    assert found["hardware"]["cores"] == os.cpu_count()
    assert found["hardware"]["threads"] == 1
    assert found["training"]["core_minutes"] >= 0.02
    assert found["training"]["steps"] > 0
    assert found["cost"]["parameters"] > 1000
    assert found["config"] == json.loads(json.dumps(job.config))
    assert found["data"]["name"] == "street"
    assert {r["method"] for r in found["rows"] if r["floor"]} == {
        *FLOORS,
    }  # fmt: skip
    assert [v["video"] for v in found["videos"]] == ["01", "02", "03"]
    odd = sum(v["abnormal"] > 0 for v in found["videos"])
    assert found["alarms"]["events"] >= odd >= 1
    assert found["alarms"]["found"] <= found["alarms"]["events"]


@pytest.mark.parametrize(
    ("protocol", "method"),
    [("paper", "m2s2l-edge"), ("deploy", "m2s2l-edge"), ("deploy", "m2s2l-edge:own")],
)
def test_the_pairs_kept_are_those_of_the_rows(made, protocol, method):
    root, (job, _), _ = made
    found = read_result(result_file(root / "out", job))
    kept = found["pairs"][protocol]
    counts = (np.array(kept["abnormal"]), np.array(kept["normal"]))
    wins = Wins(np.array(kept["wins"][method]), *counts)
    (row,) = (r for r in found["rows"] if (r["method"], r["protocol"]) == (method, protocol))
    assert wins.auc == pytest.approx(row["auc"], abs=1e-12)
    if method == "m2s2l-edge":
        both = counts[0][1] * counts[1][1]
        assert found["videos"][1]["auc"][protocol] == wins.wins[1, 1] / both


def test_a_variant_is_the_same_run_with_another_weight(made):
    from oddframe.data import open_dataset
    from oddframe.evaluation.evaluate import evaluate
    from oddframe.judging.judge import judge
    from oddframe.judging.named import PROTOCOLS
    from oddframe.runs import load_run
    from oddframe.runtime.detector import load

    root, (job, _), _ = made
    found = read_result(result_file(root / "out", job))
    assert list(found["variants"]) == ["alpha0", "alpha1"]
    run = load_run(root / "work" / "small" / job.name)
    videos = evaluate(
        load(run), open_dataset(root / "UCSDped2"), [PROTOCOLS["deploy"]], floors=()
    ).videos
    for row, term in (("alpha0", "psnr_motion"), ("alpha1", "psnr_frame")):
        judged = judge(
            {v.name: -v.terms[term] for v in videos}, {v.name: v.labels for v in videos},
            PROTOCOLS["paper"],
        )  # fmt: skip
        (kept,) = found["variants"][row]["rows"]
        assert kept["auc"] == pytest.approx(judged.wins.auc, abs=1e-9)
    assert found["variants"]["alpha0"]["rows"] != found["variants"]["alpha1"]["rows"]
    # A pause in the footage costs a variant the frames that it costs the rows of the run.
    before = found["variants"]["alpha0"]["rows"][0]
    terms = {name: x.copy() for name, x in videos[0].terms.items()}
    for x in (*terms.values(), score := videos[0].score.copy()):
        x[20:24] = np.nan
    paused = [replace(videos[0], score=score, terms=terms), *videos[1:]]
    kept = one._variant(job, load(run), job.variants[0], open_dataset(root / "UCSDped2"), paused)
    (row,) = kept["rows"]
    assert row["frames"] == before["frames"] - 4
    assert "averaged over training" in row["protocol_text"]


def test_a_variant_that_is_scored_anew_leaves_out_the_clips_that_the_rows_do(made, monkeypatch):
    from oddframe.data import open_dataset
    from oddframe.evaluation.evaluate import score_all
    from oddframe.reproduce.plan import Variant
    from oddframe.runs import load_run
    from oddframe.runtime.detector import load

    root, (job, _), _ = made
    run, dataset = (
        load_run(root / "work" / "small" / job.name), open_dataset(root / "UCSDped2")
    )  # fmt: skip
    monkeypatch.setattr(one, "paced", lambda *_: True)
    detector, smooth = load(run), Variant("x", None, ("score.smooth=.5",))
    kept = score_all(detector, dataset, floors=())[1:]
    again = one._again(kept, detector, smooth, run.score_config, dataset)
    assert [v.name for v in again] == [v.name for v in kept] == ["02", "03"]
    assert not np.array_equal(again[0].score, kept[0].score, equal_nan=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 7}, "seed is 0 instead of 7"),
        ({"ablation": "L2"}, 'ablation is "L3" instead of "L2"'),
        ({"device": "cuda"}, 'device is "cpu" instead of "cuda"'),
        ({"config": {"model": {"width": 8}}}, "config.model.width is 16 instead of 8"),
    ],
)
def test_a_finished_run_of_another_job_is_not_taken(kept, monkeypatch, change, said):
    monkeypatch.setattr(one, "evaluate", lambda *_, **__: pytest.fail("evaluated"))
    job, folder = kept
    with pytest.raises(RunError, match=re.escape(said)) as error:
        one.perform(replace(job, **change), folder)
    assert f"{folder} holds a finished RUN" in str(error.value)
    assert "Delete that folder" in str(error.value)


def test_a_finished_run_of_other_footage_is_not_taken(kept, tmp_path):
    job, folder = kept
    (shutil.copytree(job.path, tmp_path / "set") / "normal" / "a" / "0059.png").unlink()
    with pytest.raises(RunError, match=r"data\.manifest is "):
        one.perform(replace(job, path=str(tmp_path / "set")), folder)


def test_a_finished_run_of_the_job_is_evaluated(kept, monkeypatch):
    class Evaluated(Exception):
        pass

    def stop(_, dataset, *__, **___):
        raise Evaluated(dataset.test[0].reading.used)

    _, folder = kept
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "used": [6000, 14000]}))
    monkeypatch.setattr(one, "evaluate", stop)
    with pytest.raises(Evaluated, match=r"\(6000, 14000\)"):  # as it was trained on
        one.perform(*kept)


def test_what_is_done_is_not_made_again(made, monkeypatch):
    root, jobs, _ = made
    monkeypatch.setattr(workers, "_start", lambda *_: pytest.fail("made again"))
    assert workers.perform(
        jobs[:1], root / "out", root / "work", at_once=1, keep=True, console=QUIET
    ) == []  # fmt: skip
    assert undone(root / "out", jobs) == jobs[1:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config": {"model": {"width": 8}}}, "config.model.width is 16 instead of 8"),
        ({"minutes": 0.0199}, "budget.core_minutes is 0.02 instead of 0.0199"),
        ({"device": "cuda"}, 'device is "cpu" instead of "cuda"'),
        ({"data": "road"}, 'data.name is "street" instead of "road"'),
        ({"protocols": ("paper",)}, 'protocols is ["deploy", "paper"] instead of ["paper"]'),
        ({"variants": ()}, 'variants is ["alpha0", "alpha1"] instead of []'),
        ({"memory": True}, "memory is false instead of true"),
    ],
)
def test_a_result_that_was_made_otherwise_is_refused(made, monkeypatch, change, said):
    root, (job, _), _ = made
    other = replace(job, **change)
    monkeypatch.setattr(results, "result_file", lambda *_: result_file(root / "out", job))
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        undone(root / "out", [other])
    assert "--keep left under --work" in str(error.value)


def test_a_model_without_memories_has_nothing_to_say_of_them(made, tmp_path):
    root, (job, _), _ = made
    path = result_file(tmp_path, job)
    found = json.loads(result_file(root / "out", job).read_text())
    assert found["training"].pop("memory")  # as `fit` leaves it of a model without
    path.parent.mkdir()
    path.write_text(json.dumps(found))
    assert undone(tmp_path, [replace(job, memory=True)]) == []


def test_a_result_of_other_footage_is_refused(made, tmp_path):
    root, (job, _), _ = made
    data = shutil.copytree(job.path, tmp_path / "set")
    moved = replace(job, path=str(data))
    assert undone(root / "out", [moved]) == []  # the same footage in another place
    (data / "normal" / "a" / "0059.png").unlink()
    with pytest.raises(ConfigError, match=r"data\.manifest is "):
        undone(root / "out", [moved])


def test_a_data_set_is_hashed_once_a_command(made, monkeypatch):
    root, (job, _), _ = made
    calls = []
    kept = results.footage_hashes
    monkeypatch.setattr(
        results, "footage_hashes", lambda dataset: calls.append(dataset) or kept(dataset)
    )
    assert undone(root / "out", [job, job]) == []
    assert len(calls) == 1


def command(root: Path, minutes: float) -> subprocess.Popen[str]:
    """The verb in a process of its own, with the small table in the table of tables."""
    code = (
        "import sys; from made import SMALL; from oddframe.reproduce import tables;"
        "tables.TABLES['small'] = SMALL; from oddframe.train import progress;"
        "from oddframe.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [
        "reproduce", "small", "--data", f"set={root / 'set'}", "--out", root / "out", "--work",
        root / "work", "--minutes", minutes, "--only", "L2", "--device", "cpu",
    ]  # fmt: skip
    here = str(Path(__file__).parent)
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], text=True, stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}, start_new_session=True,
    )  # fmt: skip


def wait_for_steps(root: Path, process: subprocess.Popen[str], rows: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        found = [p.read_bytes().count(b"\n") for p in (root / "work").rglob("train.csv")]
        if found and max(found) >= rows:
            return
        time.sleep(0.05)
    pytest.fail(f"no steps: {process.poll()}")


def test_hours_without_a_terminal_are_not_silent(monkeypatch):
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(workers, "time", SimpleNamespace(monotonic=lambda: now.s))
    jobs = [SimpleNamespace(name=name, minutes=10) for name in ("one", "other")]
    console = Console(file=io.StringIO(), width=100)
    with workers._board(jobs, 1, console) as board:
        child = SimpleNamespace(job=jobs[0], started=0.0)
        for now.s in range(0, 700, 10):
            board.show([child])
    assert console.file.getvalue().splitlines() == [
        "21 %, about 20 min left: one",
        "41 %, about 15 min left: one",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_stopped_table_goes_on_where_it_was(tmp_path, how):
    write_set(tmp_path / "set")
    first = command(tmp_path, 0.1)
    with contextlib.ExitStack() as stack:
        stack.callback(first.kill)
        wait_for_steps(tmp_path, first, 4)
        first.send_signal(how)
        _, err = first.communicate(timeout=300)
        if how == signal.SIGINT:
            assert first.returncode == 130
            assert "each run saves its state" in err
        # What was running sees that nobody waits for it, saves and ends; nothing is half-written.
        (state,) = (tmp_path / "work").rglob("state.ckpt")
        lock = next((tmp_path / "work").rglob("*.lock"))
        wait_until_free(lock)
        csv = next((tmp_path / "work").rglob("train.csv"))
        steps = csv.read_bytes().count(b"\n")
        assert not list((tmp_path / "out").rglob("*.json"))
        assert state.exists()
        again = command(tmp_path, 0.1)
        stack.callback(again.kill)
        _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert (
        "## set, m2s2l-edge, 0.1 minutes" in (tmp_path / "out" / "small" / "README.md").read_text()
    )
    (result,) = (tmp_path / "out").rglob("*.json")
    training = read_result(result)["training"]
    assert training["steps"] >= steps - 1
    assert 0.1 <= training["core_minutes"] < 0.2  # not from the start once more
    assert not list((tmp_path / "work").rglob("model.json"))  # the RUN is deleted


def wait_until_free(lock: Path) -> None:
    import fcntl

    deadline = time.monotonic() + 300
    with lock.open("w") as file:
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.1)
    pytest.fail("the run went on without its parent")


def test_a_failing_run_is_named_and_the_others_go_on(made):
    root, (job, empty), failures = made
    assert failures == [empty.name] == ["empty.m2s2l-edge.L3.0.02m.s0"]
    note = json.loads((root / "out" / "small" / f"{failures[0]}.failed.json").read_text())
    assert str(root / "empty") in note["error"]
    assert undone(root / "out", [job, empty]) == [empty]


@pytest.mark.slow
def test_a_whole_table_is_made_and_a_repaired_run_takes_its_note_away(tmp_path):
    data = write_set(tmp_path / "set")
    (tmp_path / "empty").mkdir()
    sets = {"set": data, "empty": tmp_path / "empty"}
    jobs = plan(SMALL, sets, Options())
    assert [j.rows for j in jobs] == 2 * [("L2",), ("L3", "M4")]
    out, work = tmp_path / "out", tmp_path / "work"
    failures = workers.perform(jobs, out, work, at_once=2, keep=False, console=QUIET)
    assert sorted(failures) == [j.name for j in jobs[2:]]
    assert undone(out, jobs) == jobs[2:]
    shutil.copytree(data, tmp_path / "empty", dirs_exist_ok=True)
    assert workers.perform(jobs, out, work, at_once=2, keep=False, console=QUIET) == []
    assert not list(out.rglob("*.failed.json"))
    assert undone(out, jobs) == []
    assert not list(work.rglob("model.json"))
