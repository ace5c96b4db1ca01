"""The whole way in a browser on `oddframe serve`: seen, judged, taught; a camera from nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from browsing import RUN_S, free_port, run_node, served

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
from stub_run import street, write_stub

from encoded import encode
from oddframe.calibration.calibrate import calibrate

LONG_S = 240
"""Of footage: more than all of it takes."""
TURN = 59
"""Frames after which it repeats itself: the walker is where he began."""
RIGHT, LEFT = range(10, 18), range(40, 48)
"""Where in a turn something blinks at that side."""
SIZE = (128, 96)


def calm(k):
    return street(k, *SIZE)


def odd(k):
    """The street, on which a bright box blinks at the right and at the left in turn."""
    image = calm(k)
    if k % 2 and (k in RIGHT or k in LEFT):
        x = SIZE[0] - 16 if k in RIGHT else 4
        image[4:16, x : x + 12] = 250
    return image


def film(path, fps, picture):
    turn = [picture(k) for k in range(TURN)]
    encode(path, LONG_S * fps, fps, "mpeg4", size=SIZE, pictures=lambda i: turn[i % TURN])


@pytest.fixture
def whole(driver: None, tmp_path: Path) -> Iterator[str]:
    """Address of a real server, whose one camera is a file."""
    film(tmp_path / "gate.mp4", 5, odd)  # few: what drops none is the same each time
    film(tmp_path / "calm.mp4", 10, calm)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine they wait for each other
    try:
        run = write_stub(tmp_path / "RUN")
    finally:
        torch.set_num_threads(threads)
    # A threshold of about 7 that rests on a day, so that a rate can be told of any other.
    scores = np.random.default_rng(1).gamma(2.0, 0.5, 26 * 3600)
    card = json.loads((run / "model.json").read_text())
    card["calibration"] = calibrate([scores], 1.0, 1.0)
    (run / "model.json").write_text(json.dumps(card))
    port, site = free_port(), tmp_path / "site.yaml"
    site.write_text(
        f"store: {{path: store}}\nweb: {{port: {port}}}\n"
        "detect: {model: RUN, merge_gap_s: 2}\n"
        "cameras: {gate: {source: gate.mp4, realtime: true}}\n"
    )
    command = [sys.executable, "-m", "oddframe", "serve", str(site)]
    address = f"http://127.0.0.1:{port}"
    with (
        (tmp_path / "serve.log").open("w") as log,
        served(command, address, "/healthz", log, OMP_NUM_THREADS="1"),
    ):
        yield address


@pytest.mark.browser
@pytest.mark.timeout(RUN_S)
def test_the_whole_way(node, whole, tmp_path):
    film = str(tmp_path / "calm.mp4")
    try:
        run_node(node, "whole.test.mjs", ODDFRAME_STAND=whole, ODDFRAME_FILM=film)
    finally:
        print((tmp_path / "serve.log").read_text()[-6000:])  # of a failure
