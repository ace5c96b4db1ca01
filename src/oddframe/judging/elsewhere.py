"""Files of scores and labels made elsewhere, judged: rows by protocol, events, regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.data.label_readers import load_array
from oddframe.errors import ProtocolError
from oddframe.judging.judge import evaluate_arrays
from oddframe.judging.named import for_missing, for_short
from oddframe.judging.protocol import Protocol
from oddframe.judging.score_files import NOT_STATED, Foreign, Reading, named_alike, read_foreign
from oddframe.metrics.events import EventScore, events_at
from oddframe.metrics.region_files import read_detections, read_tracks
from oddframe.metrics.regions import region_criteria
from oddframe.metrics.rows import Row, load_npz
from oddframe.sources.names import naturally


def evaluate_scores_files(
    scores: Path | str,
    labels: Path | str,
    protocols: Sequence[Protocol],
    *,
    drop: int | None = None,
    method: str | None = None,
    select: str | None = None,
    reading: Reading | None = None,
    train: Path | str | None = None,
) -> list[Row]:
    """Evaluate scores made elsewhere: one row per protocol.

    drop: frames to leave out at the start of every video instead of the protocols' own number.
    A method that has no score for more frames than a protocol drops loses these as well.
    method: defaults to the name of the file of scores.
    select: how weights were chosen; default: not stated.
    train: .npy or .npz of scores on training video, for protocols that scale by them.

    Raises ProtocolError and DatasetError for files, names, lengths or values that do not fit.
    """
    found = read_foreign(Path(scores), Path(labels), protocols, reading or Reading())
    known = None if train is None else _train_scores(Path(train))
    rows = []
    for protocol in protocols:
        applied = (
            stated(protocol, found)
            if drop is None
            else for_missing(replace(protocol, drop=drop), 0, found.cut[1])
        )
        applied = replace(applied, select=select or NOT_STATED, single=True)
        rows.append(
            evaluate_arrays(
                method or Path(scores).stem, found.scores, found.labels, applied,
                found.source, known,
            )
        )  # fmt: skip
    return rows


def stated(protocol: Protocol, found: Foreign) -> Protocol:
    """The protocol with the frames that these scores do not have (`for_short`, `for_missing`)."""
    leading = max(_leading(s) for s in found.scores.values())
    shortest = min(s.size for s in found.scores.values())
    # A video without any score is no clip length: the rule then refuses it by name.
    first = leading if leading < shortest else 0
    return for_missing(for_short(protocol, shortest, first), first, found.cut[1])


def evaluate_events(
    found: Foreign, threshold: float, fps: float | Mapping[str, float], tolerance_s: float = 0.0
) -> EventScore:
    """Judge the frames at or above a threshold by events, over the frames that have a score.

    threshold: of `found.scores`, so minus that of regularity. fps: of all videos, or by video.

    Raises ProtocolError and ConfigError as `metrics.events_at`.
    """
    kept = {k: np.isfinite(v) for k, v in found.scores.items() if k in found.labels}
    names = [k for k, frames in kept.items() if frames.any()]
    rates = {} if isinstance(fps, float | int) else named_alike(dict(fps), names)
    return events_at(
        [found.scores[k][kept[k]] for k in names],
        [found.labels[k][kept[k]] for k in names],
        threshold, fps if isinstance(fps, float | int) else [rates[k] for k in names],
        tolerance_s=tolerance_s, names=names,
    )  # fmt: skip


def evaluate_region_files(
    regions: Path | None, tracks: Path | None, labels: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    """RBDC and TBDC of detections and true tracks in text files, one per video.

    regions: folder of detections, a file for each video (an empty one where nothing was found).
    tracks: folder of true tracks, a file for each video that has any. labels: for the frames.

    Raises ProtocolError: a folder is not given, files and videos do not belong together, or a line
    that cannot be read.
    """
    if regions is None or tracks is None or not regions.is_dir() or not tracks.is_dir():
        raise ProtocolError(
            f"RBDC and TBDC need a folder of detections and one of tracks, found {regions} and "
            f"{tracks}. Give both: --regions DIR --tracks DIR."
        )
    frames = {name: int(y.size) for name, y in labels.items()}
    found = {name: read_detections(path) for name, path in _by_video(regions, frames).items()}
    truth = {name: read_tracks(path) for name, path in _by_video(tracks, frames).items()}
    score = region_criteria(found, truth, frames)
    text = f"{score.regions} regions in {score.tracks} tracks, {score.frames} frames; IoU 0.1"
    return {"rbdc": score.rbdc, "tbdc": score.tbdc, "text": text}


def _by_video(folder: Path, names: Mapping[str, int]) -> dict[str, Path]:
    """The text files of a folder by the videos' names."""
    files = {
        p.stem: p
        for p in naturally(folder.iterdir(), lambda p: p.name)
        if p.suffix.lower() in (".txt", ".csv")
    }
    if not files:
        raise ProtocolError(f"{folder} holds no .txt or .csv file; expected one per video.")
    return named_alike(files, list(names))


def _train_scores(path: Path) -> NDArray[np.float64]:
    """All training scores in one array; frames without a score are left out."""
    arrays = [load_array(path)] if path.suffix.lower() == ".npy" else [*load_npz(path).values()]
    whole = np.concatenate([np.asarray(a, np.float64).reshape(-1) for a in arrays])
    return np.asarray(whole[~np.isnan(whole)])


def _leading(values: NDArray[Any]) -> int:
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        return 0
    scored = np.flatnonzero(~np.isnan(values))
    return int(scored[0]) if scored.size else values.size
