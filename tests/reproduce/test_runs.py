"""A small table made for real: results, resuming, failing runs, stopping."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from made import SMALL, write_set
from rich.console import Console

from oddframe.errors import ConfigError
from oddframe.metrics.pairs import Wins
from oddframe.reproduce import run as running
from oddframe.reproduce.plan import Options, plan
from oddframe.reproduce.results import commit, done, read_result, result_file

pytestmark = pytest.mark.timeout(900)
"""Every run is a process that imports torch: seconds, but not beside other work."""
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The table made once, two runs at a time; data, results and RUNs."""
    root = tmp_path_factory.mktemp("made")
    data = write_set(root / "set")
    jobs = plan(SMALL, {"set": data}, Options())
    failures = running.perform(
        jobs, root / "out", root / "work", at_once=2, keep=True, console=QUIET
    )
    assert failures == []
    return root, jobs


def test_a_result_says_what_was_done_and_what_it_came_to(made):
    root, jobs = made
    assert [j.rows for j in jobs] == [("L2",), ("L3", "M4")]
    found = read_result(result_file(root / "out", jobs[1]))
    assert found["rows_of"] == ["L3", "M4"]
    assert (found["seed"], found["budget"]) == (0, {"core_minutes": 0.02})
    assert found["commit"] == commit()
    assert found["hardware"]["cores"] == os.cpu_count()
    assert found["hardware"]["threads"] == 1
    assert found["training"]["core_minutes"] >= 0.02
    assert found["training"]["steps"] > 0
    assert found["cost"]["parameters"] > 1000
    assert found["config"] == json.loads(json.dumps(jobs[1].config))
    assert {r["method"] for r in found["rows"] if r["floor"]} == {
        "persistence", "blockdiff", "flowspeed",
    }  # fmt: skip
    assert [v["video"] for v in found["videos"]] == ["01", "02", "03"]


@pytest.mark.parametrize(
    ("protocol", "method"),
    [("paper", "m2s2l-edge"), ("deploy", "m2s2l-edge"), ("deploy", "m2s2l-edge:own")],
)
def test_the_pairs_kept_are_those_of_the_rows(made, protocol, method):
    root, jobs = made
    found = read_result(result_file(root / "out", jobs[0]))
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
    from oddframe.runs import load_run
    from oddframe.runtime.detector import load
    from oddframe.runtime.evaluate import evaluate
    from oddframe.scoring.judge import judge
    from oddframe.scoring.protocols import PROTOCOLS

    root, jobs = made
    found = read_result(result_file(root / "out", jobs[1]))
    assert list(found["variants"]) == ["alpha0", "alpha1"]
    run = load_run(root / "work" / "small" / jobs[1].name)
    videos = evaluate(
        load(run), open_dataset(root / "set"), [PROTOCOLS["deploy"]], floors=()
    ).videos
    for row, term in (("alpha0", "psnr_motion"), ("alpha1", "psnr_frame")):
        judged = judge(
            {v.name: -v.terms[term] for v in videos}, {v.name: v.labels for v in videos},
            PROTOCOLS["paper"],
        )  # fmt: skip
        (kept,) = found["variants"][row]["rows"]
        assert kept["auc"] == pytest.approx(judged.wins.auc, abs=1e-9)
    assert found["variants"]["alpha0"]["rows"] != found["variants"]["alpha1"]["rows"]


def test_what_is_done_is_not_made_again(made, monkeypatch):
    root, jobs = made
    monkeypatch.setattr(running, "_start", lambda *_: pytest.fail("made again"))
    assert running.perform(
        jobs, root / "out", root / "work", at_once=1, keep=True, console=QUIET
    ) == []  # fmt: skip
    other = plan(SMALL, {"set": root / "set"}, Options(recipe="paper"))
    path = result_file(root / "out", other[0])
    try:
        path.write_text(result_file(root / "out", jobs[0]).read_text())
        with pytest.raises(ConfigError, match="made with another configuration"):
            done(root / "out", other[0])
    finally:
        path.unlink()


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


def test_a_failing_run_is_named_and_the_others_go_on(tmp_path):
    data = write_set(tmp_path / "set")
    (tmp_path / "empty").mkdir()
    jobs = plan(SMALL, {"empty": tmp_path / "empty", "set": data}, Options(only=("L2",)))
    out, work = tmp_path / "out", tmp_path / "work"
    failures = running.perform(jobs, out, work, at_once=1, keep=False, console=QUIET)
    assert failures == ["empty.m2s2l-edge.L2.0.02m.s0"]
    note = json.loads((out / "small" / f"{failures[0]}.failed.json").read_text())
    assert str(tmp_path / "empty") in note["error"]
    assert done(out, jobs[1])
    assert not done(out, jobs[0])
    # The verb says the name, with exit code 1; a repaired run takes its note away.
    write_set(tmp_path / "empty" / "set")
    (tmp_path / "empty" / "set").rename(tmp_path / "whole")
    (tmp_path / "empty").rmdir()
    (tmp_path / "whole").rename(tmp_path / "empty")
    assert running.perform(jobs, out, work, at_once=1, keep=False, console=QUIET) == []
    assert not list(out.rglob("*.failed.json"))
