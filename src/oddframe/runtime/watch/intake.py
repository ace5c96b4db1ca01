"""What becomes of every picture that a camera gives: dropped, held back, or handed on.

    picture -> new stamp? -> frozen? -> another picture, or not steady yet? -> LiveFrame

One camera's, over all its connections; used by one thread at a time.
"""

from __future__ import annotations

import math

from oddframe.pictures import Picture
from oddframe.runtime.watch import freeze, upheaval
from oddframe.runtime.watch.clock import Clock
from oddframe.runtime.watch.feed import Break, Feed, LiveFrame
from oddframe.runtime.watch.settings import ReaderConfig
from oddframe.sources.convert import Decoded
from oddframe.sources.live import Seen
from oddframe.sources.stamps import Usual

LOOK_S = 0.2
"""How often it is looked whether the picture became another (0.2 ms, and 0.35 to make the small
one of 720p)."""
PAUSE_S = 0.5
"""A break that is longer is a pause of the source, and no damage."""
NOMINAL_S = 0.04


class Intake:
    """Judges one camera's pictures, and counts what it drops in its feed."""

    def __init__(
        self, config: ReaderConfig, feed: Feed, files: bool = False,
        begins_utc: float | None = None,
    ) -> None:  # fmt: skip
        """files: the pictures are of files, in which every break is a pause.

        begins_utc: the time of the first frame of files that are not played in real time; None of
        all that comes in its own time.
        """
        self.frames = 0
        """That came with a new stamp."""
        self.width = self.height = 0
        self.unsettled: upheaval.Kind | None = None
        """What became of the picture, until it is steady again."""
        self.last_new_s = -math.inf
        """When the last frame with a new stamp came, by the caller's clock."""
        self._config, self._feed = config, feed
        self._files, self._begins_utc = files, begins_utc
        self._clock = Clock()
        self._usual = Usual(NOMINAL_S)
        self._freeze = freeze.State()
        self._upheaval = upheaval.State()
        self._looked_s = -math.inf
        self._at_s = -math.inf

    @property
    def frozen(self) -> bool:
        """The same picture comes again and again."""
        return self._freeze.frozen

    @property
    def trial_s(self) -> float:
        """How long a new connection may show what was frozen."""
        return freeze.trial_s(self._config.frozen_s)

    @property
    def fps(self) -> float:
        """Frames per second of late, by their stamps; 0 before the first."""
        return 1 / self._usual.step_s if self.frames > 1 else 0.0

    def connected(self) -> None:
        """What comes now is of a new connection."""
        self._feed.mark("lost" if self.frames else "start")
        self._clock.connected()
        self._at_s = -math.inf
        self._freeze = freeze.reconnected(self._freeze)
        self._forget()

    def take(self, seen: Seen, now_s: float, now_utc: float) -> LiveFrame | None:
        """Judge the next picture; gives the frame to hand on, None where it is dropped.

        Args:
            seen: as a `Connection` gives it.
            now_s: by `time.monotonic`.
            now_utc: by `time.time`.
        """
        picture, stamp_s, gap = seen
        live = self._begins_utc is None
        pts_s = self._clock.read(stamp_s, now_s, gap) if live else stamp_s
        if pts_s is None:
            self._feed.count("duplicate")
            return None
        why = self._break(picture, gap, now_s - self.last_new_s)
        step_s, self._at_s, self.last_new_s = pts_s - self._at_s, pts_s, now_s
        if math.isfinite(step_s):
            self._usual.take(step_s)
        index, self.frames = self.frames, self.frames + 1
        if why is not None:
            self._feed.mark(why)
        if self._is_frozen(picture, now_s):
            self._feed.mark("lost")
            self._feed.count("frozen")
            return None
        if self._is_unsettled(picture, pts_s):
            self._feed.count("unsettled")
            return None
        arrived_s = now_s if live else None
        t_utc = now_utc if self._begins_utc is None else self._begins_utc + pts_s
        return LiveFrame(index, pts_s, picture, why is not None, arrived_s, t_utc, why)

    def _break(self, picture: Picture, gap: bool, passed_s: float) -> Break | None:
        """Why this picture cannot be compared with the one before."""
        width, height = size_of(picture)
        if (width, height) != (self.width, self.height):
            known, self.width, self.height = self.width > 0, width, height
            self._forget()
            if known:
                return "size"
        if gap:
            return "lost" if self._files or passed_s > PAUSE_S else "damage"
        return None

    def _forget(self) -> None:
        """What the picture was is not to be compared with."""
        self._upheaval, self.unsettled, self._looked_s = upheaval.State(), None, -math.inf

    def _is_frozen(self, picture: Picture, now_s: float) -> bool:
        limit_s, state = self._config.frozen_s, self._freeze
        if limit_s and (state.points is None or now_s - state.at_s >= freeze.every_s(limit_s)):
            self._freeze = freeze.step(state, freeze.sample(picture), now_s, limit_s)
        return self._freeze.frozen

    def _is_unsettled(self, picture: Picture, pts_s: float) -> bool:
        """Whether the picture became another, or may be about to: neither is scored."""
        if not self._config.upheaval:
            return False
        if pts_s - self._looked_s < LOOK_S - 1e-3:
            held = self.unsettled is not None or self._upheaval.suspect is not None
            return held or upheaval.sudden(self._upheaval, picture.at(upheaval.SIZE), pts_s)
        self._looked_s = pts_s
        self._upheaval, found = upheaval.step(self._upheaval, picture.at(upheaval.SIZE), pts_s)
        if found is not None:
            self.unsettled = found.kind
            self._freeze = freeze.changed_picture(self._freeze)
            self._feed.mark("changed")
            self._feed.skip("unsettled")
        elif self._upheaval.settled:
            self.unsettled = None
        return self.unsettled is not None or self._upheaval.suspect is not None


def size_of(picture: Picture) -> tuple[int, int]:
    """Width and height of a picture, in pixels."""
    if isinstance(picture, Decoded):
        return picture.size
    height, width = picture.whole().shape[:2]
    return width, height
