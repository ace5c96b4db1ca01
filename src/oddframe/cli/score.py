"""`oddframe score`: CSV files, and if wanted overlay videos and what the model made of frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from oddframe.cli.console import RUN, SETTINGS
from oddframe.cli.options import Machine, ReadAs

if TYPE_CHECKING:
    from oddframe.runs import Run
    from oddframe.runtime.detector import Detector
    from oddframe.sources import Reading


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
    from oddframe.cli.score_video import score_video
    from oddframe.runs import load_run
    from oddframe.runtime.detector import load
    from oddframe.scoring.scorer import precision_of
    from oddframe.sources import open_as

    check_order("score", run, videos)
    frames = pictures.numbers
    loaded = load_run(run).with_settings(settings)
    reading = read.reading(loaded.used)
    stems = _stems(videos, reading)
    with exactness.file(loaded) as onnx:
        detector = load(
            loaded, machine.device, precision=precision_of(exactness.precision),
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
        score_video(detector, spec, stem, out, pictures, reading)


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
    from oddframe.cli.console import stderr
    from oddframe.data import open_dataset
    from oddframe.data.layouts import named
    from oddframe.sources.images import list_images

    path = Path(given)
    if not path.is_dir():
        yield path.stem, given
    elif list_images(path) or not any(path.iterdir()):  # of an empty one its source says so
        yield named(path).name, given
    else:
        dataset = open_dataset(path)
        if dataset.beside:
            stderr().print(replace(dataset, left_out=(), unreadable=()).left_out_text)
        yield from ((v.name, str(v.path)) for v in dataset.test or dataset.train)
