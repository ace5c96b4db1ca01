"""A small table on a small labelled set: seconds where the real ones take hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from oddframe.metrics.pairs import pair_wins
from oddframe.reproduce.tables import Line, Sweep, Table

TINY = (
    "model.size=64", "model.width=16", "model.depths=[1,1,1]", "model.history=4",
    "model.windows=[2,4]", "model.memory_items=4", "model.detail_frames=1", "model.state=1",
)  # fmt: skip
SMALL = Table(
    "small", "Rows that are made in seconds",
    (
        Line("L2", "m2s2l-edge", "L2", TINY),
        Line("L3", "m2s2l-edge", "L3", TINY, after="L2"),
        Line("M4", "m2s2l-edge", "M4", TINY),
        Line("alpha0", "m2s2l-edge", settings=(*TINY, "score.alpha=0"), rescored=True),
        Line("alpha1", "m2s2l-edge", settings=(*TINY, "score.alpha=1"), rescored=True),
    ),
    seeds=(0,), minutes=0.02,
    sweeps=(Sweep("alpha", ((0.0, "alpha0"), (1.0, "alpha1"))),),
)  # fmt: skip


def write_set(root: Path) -> Path:
    """A labelled set of small frame folders: a walker, and a box that blinks."""
    rng = np.random.default_rng(0)

    def clip(folder: Path, frames: int, odd_from: int) -> None:
        folder.mkdir(parents=True)
        for i in range(frames):
            image = np.full((48, 64, 3), (60, 90, 120), np.float64)
            x = 2 * i % 54
            image[24:36, x : x + 8] = (90, 80, 140)
            if i >= odd_from and i % 2:
                image[4:16, 48:60] = 250
            image = np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
            assert cv2.imwrite(str(folder / f"{i:04d}.png"), image)

    clip(root / "normal" / "a", 60, 10**6)
    labels = {}
    for name, odd_from in (("01", 24), ("02", 20), ("03", 28)):
        clip(root / "test" / name, 36, odd_from)
        labels[name] = (np.arange(36) >= odd_from).astype(np.uint8)
    np.savez(root / "labels.npz", **labels)
    return root


def made_up(
    table: Table, line: Line, data: str, seed: int, lift: float, *, model: str | None = None
) -> dict[str, Any]:
    """A file of results as `job.measured` writes it, of scores that nobody measured.

    lift: how far abnormal frames score above normal ones.
    """
    rng = np.random.default_rng([seed, int(100 * lift)])
    abnormal, normal = [30, 20, 0, 40, 25, 30], [40, 60, 50, 20, 55, 45]
    labels = [np.repeat([0, 1], [n, a]) for a, n in zip(abnormal, normal, strict=True)]
    hard = np.random.default_rng(7).normal(0, 0.5, len(labels))  # the same videos for all
    model = model or line.model

    def pairs(more: float) -> dict[str, Any]:
        scores = [
            rng.normal(h, 1, y.size) + (lift + more) * y for h, y in zip(hard, labels, strict=True)
        ]
        return {
            "abnormal": abnormal,
            "normal": normal,
            "wins": pair_wins(scores, labels).wins.tolist(),
        }

    kinds = {"paper": {"": 0.0}, "deploy": {"": 0.3, ":own": 0.1}}
    found: dict[str, Any] = {"paper": {}, "deploy": {}}
    for protocol, each in kinds.items():
        made = {f"{model}{kind}": pairs(more) for kind, more in each.items()}
        videos = [f"{i:02d}" for i in range(1, 1 + len(labels))]
        counts = {"videos": videos, "abnormal": abnormal, "normal": normal}
        found[protocol] = {**counts, "wins": {m: p["wins"] for m, p in made.items()}}
    floors = [
        {"method": floor, "protocol": protocol, "auc": 0.9, "auc_low": 0.85, "auc_high": 0.94,
         "floor": True, "protocol_text": "words"}
        for floor in ("persistence", "flowspeed") for protocol in found
    ]  # fmt: skip
    own = [
        {"method": model, "protocol": protocol, "auc": 0.5, "auc_low": None, "auc_high": None,
         "floor": False, "protocol_text": f"rule of {protocol}"} for protocol in found
    ]  # fmt: skip
    variants = {
        x.name: {"rows": [], "pairs": {"paper": (p := pairs(-0.01 * i)) | {"wins": p["wins"]}}}
        for i, x in enumerate(x for x in table.lines if x.rescored)
    }
    return {
        "format": 1, "table": table.name, "run": f"{data}.{model}.{line.name}.10m.s{seed}",
        "rows_of": [line.name], "model": model, "ablation": line.ablation, "recipe": "size",
        "seed": seed, "data": {"name": data}, "budget": {"core_minutes": 10}, "config": {},
        "oddframe": "0.1.0", "commit": "abc1234", "seconds": 700.0,
        "hardware": {"cpu": "A processor", "cores": 2, "gpu": None, "threads": 1},
        "training": {"steps": 1000 + seed, "core_minutes": 10.0},
        "cost": {"parameters": 580_000, "gmac_per_frame": 0.33}, "rows": own + floors,
        "videos": [], "pairs": found, "variants": variants,
    }  # fmt: skip
