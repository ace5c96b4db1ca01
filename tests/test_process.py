"""Waiting threads: as cheap from Python as from the command line, torch loaded before or after."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from oddframe import process

LATE = """
import os, torch
from oddframe import process
threads = lambda: len(os.listdir("/proc/self/task"))
torch.ones(1 << 20).add_(1)
before = threads()
process.tune()
rested = threads() - before
process.tune()
assert threads() - before == rested
print(rested)
"""
EARLY = """
import os, sys, oddframe
assert "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ
try:
    oddframe.load("/nowhere")
except oddframe.OddframeError:
    print(os.environ["OMP_WAIT_POLICY"])
"""
TIMED = """
import sys
from oddframe import process
if sys.argv[1] == "command line":
    process.tune()
import torch
process.tune()
import time
import numpy as np
from oddframe.models import build, default_config
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig
net = build("m2s2l-edge", default_config("m2s2l-edge"))
scorer = Scorer(net, ScoreConfig(flow=False))
state, image = scorer.init_state(), np.zeros((256, 256, 3), np.uint8)
for i in range(40):
    if i == 10:
        began = time.perf_counter()
    state, _ = scorer.observe(state, scorer.preprocess(np.roll(image, i), state.past))
print((time.perf_counter() - began) / 30)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
@pytest.mark.parametrize(("most", "threshold"), [(2**31 - 1, 2**31 - 1), (1 << 25, 1 << 25)])
def test_tensors_are_not_mapped_one_by_one_by_an_older_glibc_either(monkeypatch, most, threshold):
    kept = {"threshold": 128 << 10}

    class Libc:
        def __init__(self, _):
            pass

        def mallopt(self, what, value):
            if what == -3 and value <= most:
                kept["threshold"] = value
            return int(what != -3 or value <= most)

    monkeypatch.setattr(ctypes, "CDLL", Libc)
    process.keep_freed_memory()
    assert kept["threshold"] == threshold


def said(code, *args, **variables):
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run(
        [sys.executable, "-c", code, *args], env=kept | variables, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_where_torch_is_there_already_a_team_rests():
    cores = len(os.sched_getaffinity(0))
    assert int(said(LATE)) >= cores
    assert said(LATE, OMP_WAIT_POLICY="ACTIVE") == "0"  # the user's own choice


def test_what_is_called_first_prepares_before_torch_comes():
    assert said(EARLY) == "PASSIVE"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_python_program_on_a_busy_machine_is_as_fast_as_the_command_line():
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    try:
        took = {how: [] for how in ("command line", "Python")}
        for _ in range(4):
            for how, times in took.items():
                times.append(float(said(TIMED, how)))
    finally:
        for process in busy:
            process.kill()
    assert min(took["Python"]) < 1.2 * min(took["command line"]), took
