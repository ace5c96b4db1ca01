"""The pool of processes: each task once, whoever dies; and the command line, killed and stopped."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from archiving import alive, children_of
from dying import serve

from oddframe.archive import pool
from oddframe.archive.files import File
from oddframe.archive.pool import Pool
from oddframe.archive.tasks import Job, Task
from oddframe.errors import RunError


@pytest.fixture
def work(monkeypatch, tmp_path):
    """`work("a", "kills b", workers=2)`: what is said of each name, and how often it was begun."""
    monkeypatch.setattr(pool, "_serve", serve)

    def run(*names, workers=2, run="", stopped=lambda: False):
        tasks = [Task(File(f"/{name}.mp4", "")) for name in names]
        with Pool(Job(run, str(tmp_path)), workers, stopped) as engine:
            done = list(engine.run(iter(tasks)))
            pids = engine.processes
        assert not any(alive(pid) for pid in pids)
        begun = Counter(p.stem for p in tmp_path.iterdir())
        return {d.task.file.stem: d for d in done}, begun

    return run


def test_each_task_is_done_once_by_as_many_as_there_is_work_for(work):
    done, begun = work(*"abcdef", workers=2)
    assert set(begun) == set("abcdef")
    assert set(begun.values()) == {1}
    assert len({d.facts["pid"] for d in done.values()}) <= 2
    _, _ = work("z", workers=9)


def test_what_a_dead_worker_was_at_is_given_again(work):
    done, begun = work("a", "frail", "b", workers=1)
    assert begun == {"a": 1, "frail": 2, "b": 1}
    assert all(d.failed is None for d in done.values())


def test_what_kills_three_workers_is_given_up_and_named(work):
    done, begun = work("a", "kills", "b", workers=2)
    assert begun == {"a": 1, "kills": 3, "b": 1}
    assert "3 workers died of it" in done["kills"].failed
    assert "SIGKILL" in done["kills"].failed
    assert done["a"].failed is done["b"].failed is None


def test_workers_that_cannot_start_are_one_error(work):
    with pytest.raises(RunError, match="memory enough"):
        work("a", run="stillborn")
    with pytest.raises(RunError, match="no such RUN"):
        work("a", run="refused")


def test_stopping_ends_all_workers_at_once(work, tmp_path):
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work("slow", stopped=lambda: (tmp_path / "slow.0").exists())
    assert time.monotonic() - began < 50


@pytest.fixture(scope="module")
def clips(footage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for name in ("one", "two"):
        footage(folder / f"{name}.mp4", 100)
    return folder


def command(run, clips, out):
    """The driver as a program."""
    words = ["archive", run, clips, "--out", out, "--segment", "1", "--workers", "1"]
    return subprocess.Popen(
        [sys.executable, "-m", "oddframe", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def wait_for(driver, out, count):
    """Until so many segments are done, or the driver has ended."""
    while len(list(out.rglob("*.parquet"))) < count and driver.poll() is None:
        time.sleep(0.02)


def undisturbed(archived, run, clips):
    archived.out = archived.out.with_name("undisturbed")
    archived(run, [clips], segment_s=1.0)
    return archived.content()


def killed(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(900)
def test_worker_and_driver_can_be_killed(archived, light, clips, tmp_path):
    """What is left at the end is what nobody disturbed."""
    out = tmp_path / "out"
    driver = command(light, clips, out)
    wait_for(driver, out, 1)
    killed(children_of(driver.pid))
    wait_for(driver, out, 3)
    workers = children_of(driver.pid)
    killed([driver.pid])
    driver.wait()
    until = time.monotonic() + 20
    while any(alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in workers)
    assert 3 <= len(list(out.rglob("*.parquet"))) < 8

    driver = command(light, clips, out)
    said, _ = driver.communicate()
    assert driver.returncode == 0, said
    assert "2 of 2 files, 200 frames" in said
    archived.out = out
    found = archived.content()
    assert found == undisturbed(archived, light, clips)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_stopped_it_says_how_to_go_on(light, clips, tmp_path, number):
    driver = command(light, clips, tmp_path)
    wait_for(driver, tmp_path, 1)
    driver.send_signal(number)
    said, _ = driver.communicate()
    assert driver.returncode == 130, said
    assert "the same command again" in said
    assert 1 <= len(list(tmp_path.rglob("*.parquet"))) < 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_random_again_and_again(archived, light, clips, tmp_path, seed):
    rng, out = random.Random(seed), tmp_path / "out"
    for _ in range(6):
        driver = command(light, clips, out)
        begun = len(list(out.rglob("*.parquet")))
        wait_for(driver, out, begun + rng.randrange(2))
        time.sleep(rng.random())
        killed(rng.sample([*children_of(driver.pid), driver.pid], 1))
        time.sleep(rng.random())
        killed([driver.pid])
        driver.wait()
    driver = command(light, clips, out)
    said, _ = driver.communicate()
    assert driver.returncode == 0, said
    archived.out = out
    found = archived.content()
    assert found == undisturbed(archived, light, clips)


def tmpfs(folder, megabytes):
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder],
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("no small file system can be mounted here")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_disk_that_is_really_full(archived, light, clips, tmp_path):
    """Filled while the archive is on its way, then emptied."""
    small = tmp_path / "small"
    tmpfs(small, 1)
    try:
        out, ballast = small / "out", small / "ballast"
        driver = command(light, clips, out)
        wait_for(driver, out, 2)
        with ballast.open("wb") as file:
            try:
                while True:
                    file.write(bytes(4096))
                    file.flush()
            except OSError:
                pass
        said, _ = driver.communicate()
        assert driver.returncode == 1, said
        assert "No space left" in said
        assert "same command again" in said
        ballast.unlink()
        driver = command(light, clips, out)
        said, _ = driver.communicate()
        assert driver.returncode == 0, said
        archived.out = out
        found = archived.content()
        archived.out = tmp_path / "elsewhere"
        assert found == undisturbed(archived, light, clips)
    finally:
        subprocess.run(["umount", small], check=False)
