"""Whether a video shows the place that a RUN knows: another camera's has another background.

What is compared is structure, place by place, as `watch.upheaval` does, so that light and whoever
passes change little. Measured on seven places (Ped2, Avenue, four of public clips, four days and
nights of a webcam): of the same place 70 % and more looks alike by day, 33 % in the worst frame of
another light; of another one 17 % at most.
"""

from __future__ import annotations

from typing import Self

import cv2
import numpy as np

from oddframe.pictures import Picture
from oddframe.runtime.watch.upheaval import ALIKE, FEWEST, SIZE, TEXTURED, Look, alike, look
from oddframe.scoring.look import Grey
from oddframe.scoring.stay import small
from oddframe.scoring.usual import Usual

LEAST = 0.25
"""Share of the places that look alike, below which it is another place."""
LOOKS = 10
"""Frames that are looked at."""
EVERY = 10
"""One of so many."""


class Familiar:
    """Takes the frames of a video until it can be told.

    Args:
        picture: (128, 128) the RUN's median picture, `Stay.picture`; None: nothing is ever said.
    """

    def __init__(self, picture: Grey | None) -> None:
        self._known = None if picture is None else _look(picture)
        self._seen, self._shares = 0, list[float]()
        self._over = False
        if self._known is None or (self._known.contrast_p > TEXTURED).sum() < FEWEST:
            self._over = True

    @classmethod
    def of(cls, usual: Usual | None) -> Self:
        """Of what is usual in a RUN's scene; None of RUNs that were made without."""
        return cls(None if usual is None else usual.stay.picture)

    def take(self, picture: Picture) -> str | None:
        """The next frame's; once, what there is to be said of the place, in words."""
        self._seen += 1
        if self._over or (self._seen - 1) % EVERY:
            return None
        grey = np.asarray(cv2.cvtColor(picture.at(256), cv2.COLOR_BGR2GRAY), np.uint8)
        self._shares.append(self._share(_look(small(grey))))
        return self.finish() if len(self._shares) >= LOOKS else None

    def finish(self) -> str | None:
        """The video is over: what there is to be said, where it was not said before."""
        over, self._over = self._over, True
        if over or not self._shares:
            return None
        share = float(np.median(self._shares))
        if share >= LEAST:
            return None
        return (
            f"{100 * share:.0f} % of the picture looks like what this RUN learned, where of the "
            f"same place {100 * LEAST:.0f} % and more does, in any light: another camera, or one "
            "that was moved, needs a RUN of its own"
        )

    def _share(self, now: Look) -> float:
        assert self._known is not None
        rely = self._known.contrast_p > TEXTURED
        return float((alike(now, self._known)[rely] >= ALIKE).mean())


def _look(picture: Grey) -> Look:
    tiny = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return look(np.asarray(cv2.cvtColor(tiny, cv2.COLOR_GRAY2BGR), np.uint8), 0.0)
