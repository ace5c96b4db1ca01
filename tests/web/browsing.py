"""What tests need that drive a browser: node, what it drives with, and a server in a process."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

PAGES = Path(__file__).parent / "pages"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START_S, RUN_S, INSTALL_S, STOP_S = 90.0, 600.0, 120.0, 40.0


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    return found


@pytest.fixture(scope="session")
def driver(node: str) -> None:
    """What drives a browser: fetched once, into a folder that git does not see."""
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip("no chromium is installed: apt-get install -y chromium")
    if (PAGES / "node_modules" / "axe-core").is_dir():
        return
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"], cwd=PAGES,
        capture_output=True, text=True, timeout=INSTALL_S, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm cannot fetch playwright-core and axe-core: {done.stderr[-200:]}")


def run_node(node: str, name: str, **environment: str) -> None:
    """Run tests of node; what they say is the message of a failure."""
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", name], cwd=PAGES, capture_output=True, text=True,
        timeout=RUN_S, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.rpartition("failing tests:")[2][:6000] + done.stderr


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def served(
    command: Sequence[str], address: str, ready: str, log: IO[str] | None = None,
    **environment: str,
) -> Iterator[str]:  # fmt: skip
    """A server in a process of its own, until the block is left.

    address: where it is, which is given. ready: path that answers once it is. log: what it says.
    """
    process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
    try:
        until = time.monotonic() + START_S
        while not answers(f"{address}{ready}"):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(address: str) -> bool:
    """Whether an address can be read."""
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
