"""What a model is to look at of every frame of a source, before any model is called."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from oddframe.data.flow_folder import VideoFlow
from oddframe.errors import ConfigError
from oddframe.pictures import Plain
from oddframe.scoring.scorer import Preprocessed, Scorer
from oddframe.scoring.usual import Past
from oddframe.sources import Source
from oddframe.sources.rate import Pacer
from oddframe.types import Frame, Image


def looks(
    scorer: Scorer, source: Source, flow: VideoFlow | None, pace: Pacer | None
) -> Generator[tuple[Frame, list[Preprocessed]], None, None]:
    """Every frame with its looks: one, or as many as its rate asks for (`sources.rate`).

    Behind a gap nothing is compared with what was before it.

    Raises:
        SourceError, ConfigError: the source is damaged, or gives no pictures.
        DatasetError: there are more flow files than frames.
    """
    past = Past()
    frames = 0
    for frame in source:
        past = Past() if frame.gap else past
        frames = frame.index + 1
        carried = None if flow is None else flow.read(frame.index, scorer.model.size)
        if isinstance(frame.picture, Plain):  # decoded ones are pictures
            as_image(frame.image)
        found = []
        for _ in range(1 if pace is None else pace.looks(frame)):
            found.append(scorer.preprocess(frame.picture, past, carried))
            past = found[-1].past
        yield frame, found
    if flow is not None:  # files left over are of another video
        flow.expect(frames)


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
