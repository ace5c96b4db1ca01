"""On a Ray cluster of several nodes in this machine: the same files, also where a node is lost.

pytest -m ray tests/archive/test_cluster.py
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from archiving import alive, children_of

from oddframe.archive.cluster import Cluster
from oddframe.cli import main

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'oddframe[ray]'")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]

QUICK = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500,
         "health_check_timeout_ms": 5000, "health_check_failure_threshold": 3}  # fmt: skip
"""A lost node is noticed in seconds."""


@pytest.fixture
def cluster(monkeypatch):
    """A head without cores and three nodes of one core each."""
    from ray.cluster_utils import Cluster as Nodes

    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "5")
    monkeypatch.setenv("RAY_enable_metrics_collection", "0")
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": QUICK}
    nodes = Nodes(initialize_head=True, head_node_args=head)
    nodes.workers = [nodes.add_node(num_cpus=1) for _ in range(3)]
    yield nodes
    nodes.shutdown()


@pytest.fixture(scope="module")
def clips(footage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for name in ("one", "two"):
        footage(folder / f"{name}.mp4", 150)
    (folder / "no video.mp4").write_text("text")
    return folder


@pytest.fixture
def on(cluster, archived, light, clips):
    """Score the clips on the cluster; what came of it is what nobody disturbed."""

    def run(before):
        return archived(
            light, [clips], segment_s=1.0,
            engine=lambda job, before: Watched(job, cluster.address, before), before=before,
        )  # fmt: skip

    return run


class Watched(Cluster):
    """With something that is called before each task is handed over."""

    def __init__(self, job, address, before):
        super().__init__(job, address, None, lambda: False)
        self.before, self.done = before, []

    def run(self, tasks):
        def watched():
            for task in tasks:
                self.before(task)
                self.done.append(task)
                yield task

        return super().run(watched())


def undisturbed(archived, light, clips):
    archived.out = archived.out.with_name("undisturbed")
    archived(light, [clips], segment_s=1.0)
    return archived.content()


def test_a_node_that_is_lost_costs_nothing(on, cluster, archived, light, clips):
    scored = []

    def before(task):
        scored.append(task)
        if len([t for t in scored if t.segment is not None]) == 8:
            cluster.remove_node(cluster.workers.pop(), allow_graceful=False)

    outcome = on(before)
    assert [f.file.stem for f in outcome.failures] == ["no video"]
    found = archived.content()
    assert len(found) == 12
    assert found == undisturbed(archived, light, clips)


def test_an_actor_that_is_killed_is_replaced(on, archived, light, clips):
    def before(task):
        if task.segment is not None and task.segment.start == 75 and "one" in task.file.path:
            mine = [pid for pid in descendants(os.getpid()) if "ray::_Actor" in named(pid)]
            assert mine
            os.kill(mine[0], signal.SIGKILL)

    on(before)
    assert archived.content() == undisturbed(archived, light, clips)


def descendants(pid):
    """Ids of the processes below a process: those of this test, and nobody else's."""
    for child in children_of(pid):
        yield child
        yield from descendants(child)


def named(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


def command(run, clips, out, address):
    words = ["archive", run, clips, "--out", out, "--segment", "1", "--ray", address]
    return subprocess.Popen(
        [sys.executable, "-m", "oddframe", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def wait_for(driver, out, count):
    while len(list(out.rglob("*.parquet"))) < count and driver.poll() is None:
        time.sleep(0.05)


def test_driver_and_head_can_be_lost_and_the_command_goes_on(
    cluster, archived, light, clips, tmp_path
):
    out = tmp_path / "out"
    driver = command(light, clips, out, cluster.address)
    wait_for(driver, out, 2)
    children = children_of(driver.pid)
    driver.kill()
    driver.wait()
    until = time.monotonic() + 60
    while any(alive(pid) for pid in children) and time.monotonic() < until:
        time.sleep(0.1)

    driver = command(light, clips, out, cluster.address)
    wait_for(driver, out, 6)
    cluster.head_node.kill_gcs_server()
    said, _ = driver.communicate()
    assert driver.returncode == 1, said
    assert "was lost" in said
    assert "the same command again" in said
    assert "Traceback" not in said

    archived.out = out
    assert len(archived.content()) >= 6
    archived(light, [clips], segment_s=1.0)
    found = archived.content()
    assert found == undisturbed(archived, light, clips)


def test_no_cluster_is_one_error(light, clips, tmp_path, capfd):
    code = main([
        "archive", str(light), str(clips), "--out", str(tmp_path), "--ray", "127.0.0.1:1",
    ])  # fmt: skip
    assert code == 1
    said = capfd.readouterr().err
    assert "There is no Ray cluster at 127.0.0.1:1" in said
    assert "ray start" in said
