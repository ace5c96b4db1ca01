"""`oddframe score`: CSV files, and overlay videos if wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from oddframe.cli.console import COMPILED, DEVICE, FLOW, PRECISION, RUN, SETTINGS

if TYPE_CHECKING:
    from oddframe.runtime.detector import Detector
    from oddframe.runtime.result import Result
    from oddframe.scoring.scorer import Precision


def run(
    run: Path = RUN,
    videos: list[str] = typer.Argument(
        metavar="VIDEO...", help="Video files or folders of frames.", show_default=False
    ),
    out: Path = typer.Option(..., "--out", help="Folder for VIDEO's stem + .csv."),
    overlay: bool = typer.Option(
        False, "--overlay", help="Also write a video with the heat map (WebM, plays in browsers)."
    ),
    allow_short: bool = typer.Option(
        False, "--allow-short", help="Accept video files that end before their declared length."
    ),
    device: str = DEVICE,
    precision: str = PRECISION,
    compiled: bool = COMPILED,
    flow: Path | None = FLOW,
    settings: list[str] = SETTINGS,
) -> None:
    """Score videos: one CSV each, `frame,time_s,score,level,alarm` and the raw terms."""
    from oddframe.cli.console import writable_folder
    from oddframe.runs import load_run
    from oddframe.runtime.detector import load
    from oddframe.sources import open_source

    stems = _stems(videos, allow_short)
    loaded = load_run(run).with_settings(settings)
    detector = load(
        loaded, device, precision=cast("Precision", precision), compiled=compiled, flow=flow
    )
    for spec in stems.values() if detector.info.carried else []:
        with open_source(spec, allow_short=allow_short) as source:
            detector.flow_of(source)  # what is wrong shows before any work
    writable_folder(out)
    if loaded.changed:
        print(f"set after training: {', '.join(loaded.changed)}")
    if loaded.lost_threshold:
        print("the threshold was found for another score: levels stay empty and no alarm is raised")
    elif detector.info.threshold is None:
        print("the run is not calibrated: levels stay empty and no alarm is raised")
    for stem, spec in stems.items():
        _score(detector, spec, stem, out, overlay, allow_short)


def _stems(videos: list[str], allow_short: bool) -> dict[str, str]:
    """Output stem -> what to open; every input is looked at before any work."""
    from oddframe.errors import SourceError
    from oddframe.sources import open_source

    stems: dict[str, str] = {}
    for spec in videos:
        path = Path(spec)
        stem = path.resolve().name if path.is_dir() else path.stem
        if stem in stems:
            raise SourceError(
                f"{stems[stem]} and {spec} would both be written to {stem}.csv. Score them into "
                "two --out folders, or rename one."
            )
        stems[stem] = spec
    for spec in videos:
        with open_source(spec, allow_short=allow_short) as source:
            if source.live:
                raise SourceError(
                    f"{spec} is a live source without an end; expected video files or folders of "
                    "frames. Use `oddframe watch` for cameras and streams."
                )
    return stems


def _score(
    detector: Detector, spec: str, stem: str, out: Path, overlay: bool, allow_short: bool
) -> None:
    import time
    from contextlib import ExitStack

    from oddframe.cli.console import frame_bar
    from oddframe.report.video import OverlayWriter
    from oddframe.runtime.result import Collector, write_csv
    from oddframe.sources import open_source

    started = time.perf_counter()
    target = None
    with ExitStack() as stack:
        tick = stack.enter_context(frame_bar(stem))
        source = stack.enter_context(open_source(spec, allow_short=allow_short))
        info, hint = source.info, source.frame_hint
        if overlay:
            writer = OverlayWriter(out, stem, info, detector.info.threshold)
            target = stack.enter_context(writer)
        collector = Collector(stem, (info.height, info.width), heat=False)
        for frame, score in detector.follow(source):
            collector.add(score)
            if target is not None:
                target.write(frame, score)
            tick(frame.index + 1, hint)
    result = collector.result()
    write_csv(out / f"{stem}.csv", result)
    names = f"{stem}.csv" + (f" and {target.path.name}" if target is not None else "")
    fps = len(result) / (time.perf_counter() - started)
    print(f"{stem}: {len(result)} frames, {_summary(result)}, {fps:.0f} frames/s -> {out}: {names}")


def _summary(result: Result) -> str:
    """The largest score and where, and the alarms."""
    import numpy as np

    if np.isnan(result.score).all():
        return "too short for any score"
    worst = int(np.nanargmax(result.score))
    text = f"max score {result.score[worst]:.2f} at {result.time_s[worst]:.1f} s"
    if np.isnan(result.level[worst]):
        return text
    starts = int(np.count_nonzero(np.diff(result.alarm.astype(int), prepend=0) == 1))
    return (
        f"{text} (level {result.level[worst]:.2f}), alarm on {int(result.alarm.sum())} frames "
        f"in {starts} stretch{'es' * (starts != 1)}"
    )
