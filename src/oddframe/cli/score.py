"""`oddframe score`: CSV files, and if wanted overlay videos and what the model made of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from oddframe.cli.console import RUN, SETTINGS
from oddframe.cli.options import Machine, ReadAs

if TYPE_CHECKING:
    from oddframe.report.maps import MapPictures, MapVideo
    from oddframe.runs import Run
    from oddframe.runtime.alarms import Alarm
    from oddframe.runtime.detector import Detector
    from oddframe.runtime.result import Result
    from oddframe.scoring.scorer import Precision
    from oddframe.sources import Reading
    from oddframe.types import SourceInfo

SHOWN = 10
"""Alarms of a video that are printed."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is written beside the CSV file of a video."""

    overlay: bool = typer.Option(
        False, "--overlay", help="Also write a video with the heat map (WebM, plays in browsers)."
    )
    maps: bool = typer.Option(
        False, "--maps",
        help="Also write frame, prediction and errors side by side: the frames of the highest "
        "separate scores and a quiet one, stem + .maps/000120.png.",
    )  # fmt: skip
    frames: str | None = typer.Option(
        None, "--frames", metavar="120,240", help="Of these frames instead (--maps), from 0."
    )
    maps_video: bool = typer.Option(
        False, "--maps-video", help="Every frame's maps as a video instead: stem + .maps.webm."
    )

    @property
    def numbers(self) -> tuple[int, ...] | None:
        """`--frames 120,240` as numbers; None: chosen by their scores."""
        if self.frames is None:
            return None
        if not self.maps or self.maps_video:
            raise typer.BadParameter("--frames says of which frames --maps makes pictures.")
        parts = [part.strip() for part in self.frames.split(",")]
        if not all(part.isdecimal() for part in parts):
            raise typer.BadParameter(
                f"--frames is a list of numbers as 120,240; found {self.frames!r}."
            )
        return tuple(int(part) for part in parts)


@dataclass(frozen=True, slots=True)
class Exactness:
    """How a RUN is computed."""

    precision: str = typer.Option(
        "float32", "--precision", help="float32 or bfloat16 (faster for large sizes)."
    )
    compiled: bool = typer.Option(
        False, "--compile", help="Rewrite the model by torch.compile: slow to start, then faster."
    )
    runtime: str = typer.Option(
        "torch", "--runtime", metavar="torch|onnx",
        help="onnx: ONNX Runtime computes the model; the scores are the same to 1e-4.",
    )  # fmt: skip
    onnx: Path | None = typer.Option(
        None, "--onnx", metavar="FILE",
        help="What `oddframe export` made of the RUN; without it that is made here, a minute.",
    )  # fmt: skip

    @contextmanager
    def file(self, run: Run) -> Iterator[Path | None]:
        """The ONNX file to score with; one that is made here is removed again. None: torch."""
        if self.runtime not in ("torch", "onnx"):
            raise typer.BadParameter(f"--runtime is torch or onnx, found {self.runtime!r}.")
        if self.runtime == "torch":
            if self.onnx is not None:
                raise typer.BadParameter("--onnx FILE is for --runtime onnx.")
            yield None
        elif self.onnx is not None:
            yield self.onnx
        else:
            from tempfile import TemporaryDirectory

            from oddframe.cli.console import stderr
            from oddframe.export.write import export_run

            with TemporaryDirectory(prefix="oddframe-") as folder:
                made = Path(folder) / "model.onnx"
                with stderr().status(f"exporting {run.name}"):
                    export_run(run, made, "onnx")
                yield made


def command(
    run: Path = RUN,
    videos: list[str] = typer.Argument(
        metavar="VIDEO...",
        help="Video files, folders of frames, or folders of either; of a data set its test videos.",
        show_default=False,
    ),
    out: Path = typer.Option(..., "--out", help="Folder for VIDEO's stem + .csv."),
    settings: list[str] = SETTINGS,
    *,
    pictures: Pictures,
    read: ReadAs,
    machine: Machine,
    exactness: Exactness,
) -> None:
    """Score videos: one CSV each, `frame,time_s,score,level,alarm` and the raw terms.

    A calibrated RUN's alarms come in stem + .events.json: when, where, how high and
    why. What is less than 10 s apart is one alarm, as alarms a day are counted.

    The last column, paper_curve, is the curve that the model's paper plots: rescaled by the
    extremes of the whole video, so it looks ahead. All others are causal.
    """
    from oddframe.cli.console import check_order, writable_folder
    from oddframe.runs import load_run
    from oddframe.runtime.detector import load
    from oddframe.sources import open_as

    check_order("score", run, videos)
    frames = pictures.numbers
    loaded = load_run(run).with_settings(settings)
    reading = read.reading(loaded.used)
    stems = _stems(videos, reading)
    with exactness.file(loaded) as onnx:
        detector = load(
            loaded, machine.device, precision=cast("Precision", exactness.precision),
            compiled=exactness.compiled, flow=machine.flow, onnx=onnx,
        )  # fmt: skip
    _check_frames(frames, detector)
    for spec in stems.values() if detector.info.carried else []:
        with open_as(spec, reading) as source:
            detector.flow_of(source)  # what is wrong shows before any work
    writable_folder(out)
    if loaded.changed:
        print(f"set after training: {', '.join(loaded.changed)}")
    if loaded.lost_threshold:
        print("the threshold was found for another score: levels stay empty and no alarm is raised")
    elif detector.info.threshold is None:
        print("the run is not calibrated: levels stay empty and no alarm is raised")
    for stem, spec in stems.items():
        _score(detector, spec, stem, out, pictures, reading)


def _check_frames(frames: tuple[int, ...] | None, detector: Detector) -> None:
    """Refuse, before any work, frames that can have no prediction."""
    from oddframe.errors import ConfigError

    early = [i for i in frames or () if i < detector.info.history]
    if early:
        raise ConfigError(
            f"--frames: frame {early[0]} has no prediction. {detector.info.model} needs "
            f"{detector.info.history} frames before the first, so ask for frames from "
            f"{detector.info.history} on."
        )


def _stems(videos: list[str], reading: Reading) -> dict[str, str]:
    """Output stem -> what to open; every input is looked at before any work."""
    from oddframe.errors import SourceError
    from oddframe.sources import open_as

    stems: dict[str, str] = {}
    for given in videos:
        for stem, spec in _named(given):
            if stem in stems:
                raise SourceError(
                    f"{stems[stem]} and {spec} would both be written to {stem}.csv. Score them "
                    "into two --out folders, or rename one."
                )
            stems[stem] = spec
    for spec in stems.values():
        with open_as(spec, reading) as source:
            if source.live:
                raise SourceError(
                    f"{source.info.name} is a live source without an end; expected video files or "
                    "folders of frames. Cameras and streams are for Detector.stream, from Python."
                )
    return stems


def _named(given: str) -> Iterator[tuple[str, str]]:
    """Name and path of a video, or of every one in a folder of videos."""
    from oddframe.data import open_dataset
    from oddframe.errors import DatasetError
    from oddframe.sources.images import list_images

    path = Path(given)
    if not path.is_dir():
        yield path.stem, given
    elif list_images(path):
        yield path.resolve().name, given
    else:
        try:
            dataset = open_dataset(path)
        except DatasetError:  # opened as a folder of frames it says what is in it
            yield path.resolve().name, given
            return
        yield from ((v.name, str(v.path)) for v in dataset.test or dataset.train)


def _score(
    detector: Detector, spec: str, stem: str, out: Path, wanted: Pictures, reading: Reading
) -> None:
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
        alarms = Alarms(detector.info.threshold, detector.scorer.scene or {})
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
