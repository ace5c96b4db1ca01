"""One video of `oddframe score`: its CSV, alarms and pictures, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oddframe.cli.score import Pictures
    from oddframe.report.maps import MapPictures, MapVideo
    from oddframe.runtime.alarms import Alarm
    from oddframe.runtime.detector import Detector
    from oddframe.runtime.result import Result
    from oddframe.sources import Reading
    from oddframe.types import SourceInfo

SHOWN = 10
"""Alarms of a video that are printed."""


def score_video(
    detector: Detector, spec: str, stem: str, out: Path, wanted: Pictures, reading: Reading
) -> None:
    """Score a video, write what is wanted of it into `out`, and say what there was."""
    import time
    from contextlib import ExitStack, closing

    from oddframe.cli.console import frame_bar
    from oddframe.report.video import OverlayWriter
    from oddframe.runtime.alarms import Alarms, write_alarms
    from oddframe.runtime.familiar import Familiar
    from oddframe.runtime.result import Collector, write_csv
    from oddframe.sources import open_as

    started = time.perf_counter()
    target: OverlayWriter | None = None
    maps: MapPictures | MapVideo | None = None
    with ExitStack() as stack:
        tick = stack.enter_context(frame_bar(stem))
        source = stack.enter_context(open_as(spec, reading))
        info, hint = source.info, source.frame_hint
        if wanted.overlay:
            target = stack.enter_context(OverlayWriter(out, stem, info, detector.info.threshold))
        if wanted.maps or wanted.maps_video:
            maps = _maps(out, stem, info, wanted)
            stack.enter_context(maps)
        collector = Collector(stem, (info.height, info.width), heat=False)
        alarms = Alarms(detector.scorer.scene or {})
        place = Familiar.of(detector.scorer.usual)
        for frame, score, seen in stack.enter_context(closing(detector.observe(source))):
            collector.add(score)
            alarms.take(score, info)
            _warn(stem, place.take(frame.picture))
            if target is not None:
                target.write(frame, score)
            if maps is not None:
                maps.take(score, seen)
            tick(frame.index + 1, hint)
        _warn(stem, place.finish())
    result = collector.result()
    curve = detector.paper_curve(result.terms) if result.terms else None
    write_csv(out / f"{stem}.csv", result, curve)
    raised = alarms.finish()
    names = [f"{stem}.csv"]
    if detector.info.threshold is not None:
        names.append(f"{stem}.events.json")
        write_alarms(out / names[1], raised)
    if target is not None:
        names.append(target.path.name)
    fps = len(result) / (time.perf_counter() - started)
    told = _summary(result, raised)
    print(f"{stem}: {len(result)} frames, {told}, {fps:.0f} frames/s -> {out}: {', '.join(names)}")
    for line in _lines(raised):
        print(line)
    if source.lost:
        print(f"{stem}: {source.lost}; nothing is scored there until the history is full again")
    if info.assumed:
        print(f"{stem}: times are for {info.fps:g} frames/s, which nothing says (--fps)")
    if maps is not None:
        print(f"{stem}: maps of {maps.finish()} -> {maps.path}")


def _maps(out: Path, stem: str, info: SourceInfo, wanted: Pictures) -> MapPictures | MapVideo:
    from oddframe.report.maps import MapPictures, MapVideo

    if wanted.maps_video:
        return MapVideo(out, stem, info)
    return MapPictures(out, stem, info, wanted.numbers)


def _warn(stem: str, said: str | None) -> None:
    import warnings

    from oddframe.errors import OddframeWarning

    if said is not None:
        warnings.warn(f"{stem}: {said}", OddframeWarning, stacklevel=2)


def _summary(result: Result, raised: Sequence[Alarm]) -> str:
    """The largest score and where, and how many alarms."""
    import numpy as np

    if np.isnan(result.score).all():
        return "too short for any score"
    worst = int(np.nanargmax(result.score))
    text = f"max score {result.score[worst]:.2f} at {result.time_s[worst]:.1f} s"
    if np.isnan(result.level[worst]):
        return text
    count = f"{len(raised)} alarm{'s' * (len(raised) != 1)}" if raised else "no alarm"
    return f"{text} (level {result.level[worst]:.2f}), {count}"


def _lines(raised: Sequence[Alarm]) -> Iterator[str]:
    """The alarms in order of time, a line each; of many the first."""
    for alarm in raised[:SHOWN]:
        why = f": {alarm.reasons[0]}" if alarm.reasons else ""
        yield f"  {alarm.start_s:.1f} to {alarm.end_s:.1f} s, level {alarm.level:.2f}{why}"
    if len(raised) > SHOWN:
        yield f"  and {len(raised) - SHOWN} more"
