"""What a model is to look at of every frame of a source, before any model is called."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace

import numpy as np

from oddframe.data.flow_folder import VideoFlow
from oddframe.errors import ConfigError
from oddframe.pictures import Plain
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.seen import Preprocessed
from oddframe.scoring.usual import Past
from oddframe.sources import Source
from oddframe.sources.rate import NEAR, Pacer
from oddframe.sources.stamps import PAUSE_STEPS, Usual
from oddframe.types import Frame, Image

PAUSE_S = 1.0
"""Between two frames of a camera, behind which no motion can be followed (at low rates it is
`PAUSE_STEPS` of them): so much was left out because whoever looks was too slow."""
STAYS = 1.05
"""A rate that was not near has to come nearer by this factor, or the looks go back and forth."""


class Rhythm:
    """How often each frame of one stream is looked at, and how much time lies before it.

    A slow camera's frames are looked at as often as its rate asks for, and never more: time that
    passed because nobody looked is told as `steps`, and not made up for.
    """

    def __init__(self, learned: float | None, live: bool, least: int = 0) -> None:
        """learned: the RUN's rate; None: not known. live: frames may be left out. least: looks at a
        frame: 1 where they are taken when they are due."""
        self._learned, self._live, self._least = learned, live, least
        self._pacer: Pacer | None = None
        self._before: float | None = None
        """Stream clock of the frame that was looked at last."""

    def next(self, frame: Frame, fps: float) -> tuple[int, float]:
        """Looks at the next frame, and the frames of the RUN's rate that each of them stands for;
        rates that are near count as that rate, as in files.

        fps: of the stream, of late; 0: not known. Behind a gap another rhythm begins.
        """
        learned = self._learned
        if learned is None:
            return 1, 1.0
        rate = min(learned, fps or learned)
        near = NEAR if self._pacer is None else NEAR / STAYS
        if not fps or 1 / near <= fps / learned <= near:
            self._pacer, times = None, 1
        else:
            self._pacer = self._pacer or Pacer(learned, fps)
            times = self._pacer.looks(frame)
        if not self._live:
            return times, 1.0
        times = max(self._least, min(times, math.ceil(learned / rate)))
        passed = 1.0 if self._before is None else (frame.pts_s - self._before) * rate
        if times:
            self._before = frame.pts_s
        return times, passed if passed > NEAR else 1.0


def looks(
    scorer: Scorer, source: Source, flow: VideoFlow | None, pace: Pacer | None,
    learned: float | None = None,
) -> Generator[tuple[Frame, list[Preprocessed]], None, None]:  # fmt: skip
    """Every frame with its looks: one, or as many as its rate asks for (`sources.rate`).

    Behind a gap nothing is compared with what was before it. Of a live source that is one as well
    where its frames were left out for too long.

    Args:
        pace: of files: how often; None: each once. learned: of live sources: the RUN's rate.

    Raises:
        SourceError, ConfigError: the source is damaged, or gives no pictures.
        DatasetError: there are more flow files than frames.
    """
    past = Past()
    frames = 0
    for frame, times, steps in _live(source, learned) if source.live else _files(source, pace):
        past = Past() if frame.gap else past
        frames = frame.index + 1
        carried = None if flow is None else flow.read(frame.index, scorer.model.size)
        if isinstance(frame.picture, Plain):  # decoded ones are pictures
            as_image(frame.image)
        found = []
        for _ in range(times):
            found.append(scorer.preprocess(frame.picture, past, carried, steps))
            past = found[-1].past
        yield frame, found
    if flow is not None:  # files left over are of another video
        flow.expect(frames)


def _files(source: Source, pace: Pacer | None) -> Generator[tuple[Frame, int, float]]:
    for frame in source:
        yield frame, 1 if pace is None else pace.looks(frame), 1.0


def _live(source: Source, learned: float | None) -> Generator[tuple[Frame, int, float]]:
    """Frames with how often they are looked at, and the steps before each."""
    usual, rhythm, before = Usual(1 / source.info.fps), Rhythm(learned, live=True), None
    for frame in source:
        if before is not None:
            passed = frame.pts_s - before.pts_s
            if passed > 0 and not frame.gap:  # the index counts those that were left out
                usual.take(passed / max(frame.index - before.index, 1))
            pause_s = max(PAUSE_S, PAUSE_STEPS / min(learned or math.inf, 1 / usual.step_s))
            frame = replace(frame, gap=True) if passed > pause_s else frame
        if frame.gap:
            rhythm = Rhythm(learned, live=True)
        before = frame
        yield frame, *rhythm.next(frame, 1 / usual.step_s)


def as_image(image: Image) -> Image:
    """The picture, if it is one.

    Raises:
        ConfigError: it is not.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ConfigError(
            f"A frame must be BGR uint8 (h, w, 3), found {image.dtype} {image.shape}."
        )
    return image
