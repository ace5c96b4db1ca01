"""Two processes that each see half of every batch write what one does that sees all of it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from shares import BATCH, CASES, outcome

SCRIPT = Path(__file__).with_name("shares.py")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What both of the two processes have, by case."""
    files = [tmp_path_factory.mktemp("shares") / f"{rank}.pt" for rank in range(2)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [
        subprocess.Popen([sys.executable, str(SCRIPT), str(rank), str(port), str(file)])
        for rank, file in enumerate(files)
    ]
    try:
        assert [process.wait(200) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
    return [torch.load(file) for file in files]


@pytest.mark.parametrize("name", CASES)
def test_two_halves_are_written_as_one_whole(shared, name):
    want, (one, two) = outcome(name, slice(None)), (found[name] for found in shared)
    close = {"rtol": 1e-2, "atol": 1e-2} if name.endswith("half") else {"rtol": 1e-4, "atol": 1e-5}
    assert want.keys() == one.keys() == two.keys()
    for key, value in want.items():
        if key in ("out", "grad"):
            assert len(value) == BATCH
            got = torch.cat((one[key], two[key]))
        elif key.startswith("grad of"):  # DDP adds them up
            got = one[key] + two[key]
        else:
            assert torch.equal(one[key], two[key]), f"{key} differs between the processes"
            got = one[key]
        torch.testing.assert_close(got, value, **close, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", CASES)
def test_half_of_the_batch_alone_is_something_else(name):
    """The comparison above would see a process that looked at its own share only."""
    whole, half = outcome(name, slice(None)), outcome(name, slice(0, BATCH // 2))
    states = [k for k in whole if k not in ("out", "grad") and not k.startswith("grad of")]
    close = 0.01 if name.endswith("half") else 1e-4
    assert any(not torch.allclose(whole[k], half[k], atol=close) for k in states)
