"""Does the self-test order RUNs as labels do? `python tests/scoring/ordering.py WORK RESULTS`.

WORK is the folder of RUNs, RESULTS that of files, of one `oddframe reproduce scenes --keep` (WORK
and OUT have a folder for each table); --data is as there. Every RUN is shown made anomalies in the
training footage of its scene, the same for all RUNs of one scene; its rescored rows (other streams,
other fusion) are told from the same frames. Beside the mean AUC of the made kinds stands the micro
AUC of `deploy` on the labelled clips. Printed, and in WORK/ordering.json: both of each RUN and row,
and Spearman's rank correlation within each scene, of the RUNs alone and of all rows. What was
measured before is passed over.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import oddframe.runtime.selftest as footage
from oddframe.atomic import write_json
from oddframe.data import open_dataset
from oddframe.reproduce.plan import data_sets
from oddframe.reproduce.tables import TABLES
from oddframe.runs import Run, load_run
from oddframe.runtime.detector import load
from oddframe.scoring.seen import ScorerState
from oddframe.scoring.selftest import SelfTest, selftest
from oddframe.scoring.settings import ScoreConfig, chosen, together
from oddframe.types import Score


class Noted:
    """A scorer that notes the streams of every frame, call by call."""

    def __init__(self, scorer: Any) -> None:
        self.scorer, self.calls = scorer, list[list[Mapping[str, float]]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scorer, name)

    def step_batch(self, states: Any, images: Any, pts_s: Any, **how: Any) -> Any:
        states, found = self.scorer.step_batch(states, images, pts_s, **how)
        self.calls.append([streams(score) for score in found])
        return states, found


class Told:
    """What was noted, under another score: nothing is looked at."""

    def __init__(self, noted: Noted, config: ScoreConfig) -> None:
        self.model, self.threshold = noted.model, noted.threshold
        self.calls: Iterator[list[Mapping[str, float]]] = iter(noted.calls)
        self.config = config

    def init_state(self) -> ScorerState:
        return ScorerState(None)

    def observe(self, state: Any, image: Any) -> tuple[Any, None]:
        return state, None

    def step_batch(self, states: Any, images: Any, pts_s: Any, **how: Any) -> Any:
        scores = [
            together(chosen(x, self.config), self.config) if x else math.nan
            for x in next(self.calls)
        ]
        return states, [Score(0, 0.0, value, math.nan, False) for value in scores]


def streams(score: Score) -> dict[str, float]:
    """Its streams before they are fused."""
    return {n.removeprefix("z_"): x for n, x in score.terms.items() if n.startswith("z_")}


def made(
    run: Run, path: Path, variants: Mapping[str, Sequence[str]], clips: int
) -> dict[str, float]:
    """Mean AUC of the made kinds: "" of the RUN itself, and by the name of each row."""
    detector = load(run)
    noted, shown = Noted(detector.scorer), dict[str, Any]()

    def caught(scorer: Any, pieces: Any, cuts: Any, **how: Any) -> SelfTest:
        shown.update(pieces=pieces, cuts=cuts, clips=how["clips"], seed=how["seed"])
        return selftest(noted, pieces, cuts, clips=clips, seed=how["seed"])

    real, footage.selftest = footage.selftest, caught
    try:
        found, _ = footage.selftest_of(detector, open_dataset(path).train, clips=clips)
    finally:
        footage.selftest = real
    out = {"": found.mean_auc}
    for row, settings in variants.items():
        config = run.with_settings(settings).score_config
        if config.lag_s or config.smooth:  # of frames that come later, or before
            continue
        out[row] = selftest(Told(noted, config), **shown).mean_auc
    return out


def judged(result: Mapping[str, Any]) -> dict[str, float]:
    """AUC of `deploy`, as `made` names them."""
    [own] = [
        r["auc"] for r in result["rows"]
        if r["protocol"].startswith("deploy") and r["method"] == result["model"]
    ]  # fmt: skip
    told = {n: v["rows"][0] for n, v in result["variants"].items()}
    rows = {n: r["auc"] for n, r in told.items() if r["protocol"].startswith("deploy")}
    return {"": own, **rows}


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--clips", type=int, default=24)
    asked = parser.parse_args()
    file = asked.work / "ordering.json"
    known: dict[str, Any] = json.loads(file.read_text("utf8")) if file.exists() else {"runs": {}}
    for path in sorted(asked.results.glob("*.json")):
        if path.stem in known["runs"]:
            continue
        result = json.loads(path.read_text("utf8"))
        true, name = judged(result), result["data"]["name"]
        settings = {x.name: x.settings for x in TABLES[result["table"]].lines if x.name in true}
        [place] = data_sets(
            [d for d in asked.data if d.partition("=")[0] == name] or [name], None
        ).values()
        test = made(load_run(asked.work / path.stem), place, settings, asked.clips)
        both = {row: [test[row], true[row]] for row in test if row in true}
        known["runs"][path.stem] = {"scene": name, "rows": both}
        write_json(file, known)
        print(f"{path.stem}: made {test['']:.3f}, true {true['']:.3f}", flush=True)
    known["rank"] = ranked(known["runs"])
    write_json(file, known)
    print(json.dumps(known["rank"], indent=1))


def ranked(runs: Mapping[str, Any]) -> dict[str, Any]:
    """Spearman's correlation, and of how many, within each scene: of RUNs, and of all rows."""
    out: dict[str, Any] = {}
    for scene in sorted({r["scene"] for r in runs.values()}):
        own = [r["rows"] for r in runs.values() if r["scene"] == scene]
        for kind, pairs in (
            ("RUNs", [rows[""] for rows in own]),
            ("rows", [pair for rows in own for pair in rows.values()]),
        ):
            points = np.array(pairs, dtype=float)
            rho = float(spearmanr(*points.T).statistic) if len(points) > 2 else None
            out.setdefault(scene, {})[kind] = {"correlation": rho, "of": len(points)}
    return out


if __name__ == "__main__":
    main()
