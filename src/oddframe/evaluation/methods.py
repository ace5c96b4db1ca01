"""The methods of a comparison: RUNs scored on a data set, scores made elsewhere, and the floors.

    methods = collect(runs, scores, dataset, protocols, folder, tick)

Letters: n frames of one video.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oddframe import __version__, sources
from oddframe.data import Dataset, frame_labels, label_source, manifest, manifest_hash
from oddframe.data.dataset import video_fps
from oddframe.data.official import benchmark_of
from oddframe.errors import ConfigError
from oddframe.evaluation.evaluate import score_all
from oddframe.evaluation.kept import ByVideo, Kept, Store
from oddframe.evaluation.scored import available, floors_of, leading, paced
from oddframe.identity import parts_of
from oddframe.judging.floors import FLOORS, floor_scores
from oddframe.judging.paper import PaperScore
from oddframe.judging.protocol import Protocol
from oddframe.judging.score_files import NOT_STATED, Reading, foreign_scores
from oddframe.models import carried
from oddframe.models.base import Terms
from oddframe.runs import Run, load_run
from oddframe.runtime.detector import load
from oddframe.scoring.settings import score_again

Floats = NDArray[np.float64]
_UNTRAINED = "none (a floor learns nothing)"


@dataclass(frozen=True, slots=True)
class Method:
    """One way of scoring, with its scores for every test video."""

    name: str
    scores: ByVideo
    """(n,) per video, larger = more anomalous, NaN where there is none."""
    terms: Mapping[str, Terms] = field(default_factory=dict)
    """Of a run, the raw terms of every video, from which the score of its paper is made."""
    paper: PaperScore | None = None
    """Of a run, how; None where the method has one score only."""
    weights: str = NOT_STATED
    """Which weights a run holds; of other methods how they were chosen."""
    changed: tuple[str, ...] = ()
    """Settings of a run that were changed after training, in words."""
    floor: bool = False
    missing_end: int = 0
    """Frames at the end of every video that have no score."""
    blind: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Frames that some run has no score for though others before or beside them have one; none is
    judged on them."""

    @property
    def usual(self) -> int:
        """Frames at the beginning of videos without a score: of a run that is its history, which
        takes longer where frames are left out or missing (`blind`)."""
        each = [leading(values) for values in self.scores.values()]
        return max(each) if self.paper is None else min(each)

    def under(self, protocol: Protocol) -> ByVideo:
        """The scores that a protocol is applied to."""
        scores = self.scores
        if self.paper is not None and protocol.score == "paper":
            frames = {name: len(values) for name, values in scores.items()}
            scores = self.paper.scores(self.terms, frames, protocol)
        if not self.blind:
            return scores
        return {name: np.where(self.blind[name], np.nan, x) for name, x in scores.items()}

    def stated(self, protocol: Protocol) -> Protocol:
        """The protocol as it is applied to these scores, with how they were chosen."""
        protocol = replace(protocol, holes=bool(self.blind))
        if self.paper is None:
            return replace(protocol, select=self.weights, single=True)
        return self.paper.stated(protocol, self.weights, self.changed)


Tick = Callable[[str], Callable[[int, int | None], None]]
"""Gives a progress callback for a title."""


@dataclass(frozen=True, slots=True)
class How:
    """How methods are scored and read."""

    reading: Reading = field(default_factory=Reading)
    """Of scores made elsewhere."""
    device: str = "cpu"
    settings: Sequence[str] = ()
    """Score settings changed after training."""


USUAL = How()


def collect(
    runs: Sequence[Path],
    scores: Mapping[str, Path],
    dataset: Dataset,
    protocols: Sequence[Protocol],
    folder: Path,
    tick: Tick,
    how: How = USUAL,
) -> list[Method]:
    """Score the data set with each run and the floors; read the scores made elsewhere.

    What a run gave is kept in `folder` as NAME.npz, which `evaluate-scores` reads too, and as
    NAME.terms.npz (its raw terms), and taken from there where the run (but for its threshold), the
    data, how they are read and this program's version are still the same: an interrupted
    comparison goes on with the next run, and other score settings (`How.settings`, see
    `Run.with_settings`; each goes to all runs that know it) need no second pass over the videos,
    but where a video has another rate than the run.

    Each run reads 16-bit footage by its own range (`Run.used`), the floors by the first run's.

    Raises:
        RunError, DatasetError, ProtocolError, SourceError: as `evaluate` and `foreign_scores`.
        ConfigError: a run takes its optical flow from files; a setting that no run knows.
        ProtocolError: the paper's score of a run is not defined under a protocol.
    """
    labels = frame_labels(dataset)
    source = label_source(dataset, labels)
    # Files that do not fit must show before an hour of scoring, not after it.
    others = {
        name: foreign_scores(path, dict(labels), source, protocols, how.reading)
        for name, path in scores.items()
    }
    store, whole = Store(folder), _Shown(dataset, manifest_hash(manifest(dataset)))
    counts = {video: len(values) for video, values in labels.items()}
    known = benchmark_of(dataset, counts)
    trained = [
        _trained(name, run, changed, known, whole.read_by(run))
        for name, (run, changed) in _opened(runs, how.settings).items()
    ]
    for one in trained:
        one.paper.check(protocols)
        if store.get(one.name, one.key) is None:
            _check_flow(one.run)
    shown = trained[0].footage if trained else whole  # floors see what the first run sees
    methods = [_of_run(one, store, shown, tick, how.device) for one in trained]
    for name, other in others.items():
        methods.append(Method(name, other.scores, missing_end=other.cut[1]))
    return methods + _floors(store, shown, tick)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A data set as somebody reads it."""

    dataset: Dataset
    files: str
    """A hash of its videos."""

    def read_by(self, run: Run) -> _Shown:
        """As a run reads it, whose training footage says what 16-bit values mean."""
        return replace(self, dataset=self.dataset.read_as(replace(self.reading, used=run.used)))

    @property
    def reading(self) -> sources.Reading:
        """How all of it is read."""
        return self.dataset.test[0].reading

    def key(self, content: object) -> str:
        """Of what a method's scores are made of: itself (JSON), the footage, this program."""
        plain = [__version__, content, self.files, asdict(self.reading)]
        text = json.dumps(plain, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class _Trained:
    """A run to compare."""

    name: str
    run: Run
    changed: Run
    """The same with the settings that were changed after training."""
    paper: PaperScore
    footage: _Shown
    key: str
    """Of the run unchanged, whose scores are kept."""


def _trained(name: str, run: Run, changed: Run, data: str | None, footage: _Shown) -> _Trained:
    paper = PaperScore(changed.outline(), changed.name, changed.score_config, data)
    return _Trained(name, run, changed, paper, footage, _key(run, footage))


def _key(run: Run, footage: _Shown) -> str:
    # A threshold moves no score.
    return footage.key({part: x for part, x in parts_of(run).items() if part != "threshold"})


def _of_run(one: _Trained, store: Store, shown: _Shown, tick: Tick, device: str) -> Method:
    """A run's scores and terms, from what is kept, else scored here.

    shown: as floors see it.
    """
    dataset = one.footage.dataset
    if store.get(one.name, one.key) is None:
        # A floor's scores come with the first run: each frame is then decoded once for both.
        lacking = _lacking(store, shown) if one.footage.reading == shown.reading else ()
        videos = score_all(load(one.run, device), dataset, tick(one.name), lacking)
        given = Kept({v.name: v.score for v in videos}, {v.name: v.terms for v in videos})
        store.put(one.name, one.key, given)
        for floor in videos[0].floors if videos else ():
            values = {v.name: v.floors[floor] for v in videos}
            store.put(floor, shown.key(floor), Kept(values))
    kept = store.given(one.name, one.key)
    alike = one.run.fused_alike(one.changed.score_config)
    scores = kept.scores if alike else _again(one, kept, store, tick, device)
    store.show(one.name, scores)
    return Method(
        one.name, scores, kept.terms, one.paper, one.run.weights_text, one.changed.changed
    )


def _again(one: _Trained, kept: Kept, store: Store, tick: Tick, device: str) -> ByVideo:
    """The scores of a run under other settings: from the terms kept, else from the videos."""
    dataset, config = one.footage.dataset, one.changed.score_config
    if paced(one.run.fps, dataset):  # the terms do not tell each look
        name, key = f"{one.name}.set", _key(one.changed, one.footage)
        if store.get(name, key) is None:
            videos = score_all(load(one.changed, device), dataset, tick(one.name), ())
            store.put(name, key, Kept({v.name: v.score for v in videos}))
        return store.given(name, key).scores
    fps = {video.name: video_fps(video) for video in dataset.test if config.lag_s}
    again = {
        video: score_again(known, config, fps.get(video))
        for video, known in kept.terms.items()
        if known
    }
    return {**kept.scores, **again}


def _opened(paths: Sequence[Path], settings: Sequence[str]) -> dict[str, tuple[Run, Run]]:
    """The runs by name, each as it is and with the settings that it knows."""
    runs = {name: load_run(path) for name, path in _named(paths).items()}
    known = {name: set(run.settable) for name, run in runs.items()}
    asked = {setting: setting.partition("=")[0].strip() for setting in settings}
    for setting, key in asked.items():
        if not any(key in keys for keys in known.values()):
            able = "; ".join(f"{name}: {', '.join(r.settable)}" for name, r in runs.items())
            raise ConfigError(
                f"{setting!r} is no score setting of any RUN here. What can be set after training: "
                f"{able or 'nothing, there is no RUN'}."
            )
    return {
        name: (run, run.with_settings([s for s, key in asked.items() if key in known[name]]))
        for name, run in runs.items()
    }


def _check_flow(run: Run) -> None:
    # What is kept of a run is known again by its files, and flow files are none of them.
    if carried(run.name, run.model_config):
        raise ConfigError(
            f"{run.path} takes its optical flow from files, which compare does not read. Use "
            "`oddframe evaluate --flow FOLDER`, or `oddframe score --flow FOLDER` and compare the "
            "scores it writes (--scores)."
        )


def _floors(store: Store, shown: _Shown, tick: Tick) -> list[Method]:
    """The floors, scored here where no run has brought them along."""
    lacking, dataset = _lacking(store, shown), shown.dataset
    if lacking:
        lacking, ground = floors_of(lacking, dataset)
        found: dict[str, dict[str, Floats]] = {f: {} for f in lacking}
        step, done = tick("floors"), 0
        for video in dataset.test:
            with video.open() as source:
                values = floor_scores(source, lacking, ground=ground) if lacking else {}
            for f in lacking:
                found[f][video.name] = values[f]
            done += len(next(iter(values.values()), ()))
            step(done, None)
        for f in lacking:
            store.put(f, shown.key(f), Kept(found[f]))
    known = {f: store.get(f, shown.key(f)) for f in FLOORS}
    return [
        Method(f, kept.scores, weights=_UNTRAINED, floor=True)
        for f, kept in known.items()
        if kept is not None
    ]


def _lacking(store: Store, shown: _Shown) -> Sequence[str]:
    """The floors that nothing is kept of."""
    names = available(FLOORS, shown.dataset)
    return [f for f in names if store.get(f, shown.key(f)) is None]


def _named(runs: Sequence[Path]) -> dict[str, Path]:
    """Runs by the names of their folders, with the parents' where these are the same."""
    short = [p.absolute().name for p in runs]
    names = [
        n if short.count(n) == 1 else f"{p.absolute().parent.name}-{n}"
        for n, p in zip(short, runs, strict=True)
    ]
    taken = [n for n in names if n in FLOORS or names.count(n) > 1]
    if taken:
        raise ConfigError(
            f"Two methods would be called {taken[0]!r}. Rename a RUN folder: its name is the "
            "method's name in the comparison."
        )
    return dict(zip(names, runs, strict=True))
