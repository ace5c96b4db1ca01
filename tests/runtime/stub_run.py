"""A small untrained RUN: with the residual head it predicts "no change", so motion is odd."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from oddframe.models import build, default_config
from oddframe.models.m2s2l import M2S2L, M2S2LConfig
from oddframe.runs import save_run
from oddframe.scoring.scene import SceneFit
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig

HISTORY = 4
CONFIG = M2S2LConfig(
    size=64, width=16, patches=(8, 16), depths=(1, 1), history=HISTORY, windows=(2, 4), state=1,
    expand=1, upscale=4, memory_items=4, lambda_ssim=0, head="residual",
)  # fmt: skip


ADDED: dict[str, dict[str, Any]] = {
    "stnmamba": {"size": 64, "width": 8, "depth": 1, "memory_items": (4, 4, 4, 4), "state": 2},
    "msti-net": {"size": 32, "width": 16, "memory_items": 4},
    "mnad": {"size": 32, "width": 8, "items": 4},
    "ammc": {"size": 32, "width": 8, "items": 4},
    "vadmamba": {"size": 64, "history": 4, "width": 8, "state": 2, "codes": 8},
}
"""The models whose paper's score adds terms that are min-maxed, as small as they come."""


def street(
    index: int, width: int = 64, height: int = 48, odd_from: int = 10**6
) -> NDArray[np.uint8]:
    """A noisy picture with a slow walker; from `odd_from` on a bright box blinks at top right."""
    rng = np.random.default_rng(index)
    image = np.full((height, width, 3), (60, 90, 120), np.float64)
    x = (2 * index) % (width - 10)
    image[height // 2 : height // 2 + 12, x : x + 8] = (90, 80, 140)
    if index >= odd_from and index % 2:
        image[4:16, width - 16 : width - 4] = (250, 250, 250)
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def write_stub(folder: Path, smooth: float = 0.0, threshold: float | None = 3.0) -> Path:
    """Write the RUN, with the scene fitted on the normal street."""
    torch.manual_seed(0)
    net = M2S2L(CONFIG).eval()
    score = ScoreConfig(smooth=smooth, block_px=32)
    scorer, fitting = Scorer(net, score), SceneFit()
    state = scorer.init_state()
    for index in range(60):
        state, seen = scorer.observe(state, street(index))
        if seen is not None:
            fitting.add(seen.local)
    configs = {
        "model": CONFIG.model_dump(mode="json"),
        "score": score.model_dump(),
        "train": {"average": 0.998},
    }
    calibration = None if threshold is None else {"threshold": threshold, "alarms_per_day": 1.0}
    save_run(folder, "m2s2l-edge", net, configs, fitting.fit(), calibration, {})
    return folder


def write_added(folder: Path, name: str) -> Path:
    """An untrained RUN of one of `ADDED`, with its scene, without threshold."""
    torch.manual_seed(1)
    base = default_config(name)
    chosen = type(base).read({**base.model_dump(), **ADDED[name]})
    net, score = build(name, chosen).eval(), ScoreConfig(flow=False)
    scorer, fitting = Scorer(net, score), SceneFit()
    state = scorer.init_state()
    for index in range(30):
        state, seen = scorer.observe(state, street(index))
        if seen is not None:
            fitting.add(seen.local)
    configs = {
        "model": chosen.model_dump(mode="json"), "score": score.model_dump(mode="json"),
        "train": {"average": 0},
    }  # fmt: skip
    save_run(folder, name, net, configs, fitting.fit(), None, {})
    return folder


@pytest.fixture(scope="session")
def added_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A RUN of each of `ADDED` by its model's name; no test changes them."""
    folder = tmp_path_factory.mktemp("added")
    return {name: write_added(folder / name, name) for name in ADDED}


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RUN that no test changes."""
    return write_stub(tmp_path_factory.mktemp("stub") / "RUN")


@pytest.fixture
def run_copy(shared_run: Path, tmp_path: Path) -> Path:
    """A RUN of the test's own."""
    return Path(shutil.copytree(shared_run, tmp_path / "RUN"))


@pytest.fixture(scope="session")
def write_street() -> Callable[..., Path]:
    """`write_street(folder, frames=range(30), odd_from=…, width=64, height=48)`: frame folder."""
    import cv2

    def write(
        folder: Path,
        frames: range = range(30),
        odd_from: int = 10**6,
        width: int = 64,
        height: int = 48,
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for index in frames:
            image = street(index, width, height, odd_from)
            assert cv2.imwrite(str(folder / f"{index:04d}.png"), image)
        return folder

    return write


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory, write_street: Callable[..., Path]) -> Path:
    """A data set with two test clips, labels and packed pixel masks; no test changes it."""
    root = tmp_path_factory.mktemp("labelled") / "set"
    write_street(root / "normal" / "a", range(40))
    labels, masks = {}, {}
    for name, odd_from in (("01", 30), ("02", 24)):
        write_street(root / "test" / name, range(44), odd_from)
        truth = (np.arange(44) >= odd_from).astype(np.uint8)
        mask = np.zeros((44, 48, 64), np.uint8)
        mask[odd_from:, 4:16, 48:60] = 1
        labels[name], masks[name] = truth, np.packbits(mask, axis=-1)
    np.savez(root / "labels.npz", **labels)
    np.savez(root / "pixel_masks.npz", **masks)
    return root
