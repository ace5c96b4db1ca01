"""Where a detector looks: hottest places, regions, tracks and pixels against the masks.

Letters: n frames of one video, h w rows and columns of its pictures.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from oddframe.data.masks import Masks, outlines
from oddframe.errors import OddframeWarning, ProtocolError
from oddframe.metrics.pixels import pixel_auc, pixel_criterion_auc
from oddframe.metrics.region_maps import map_criteria, tracks_of
from oddframe.types import Map

LARGEST = 6e4
"""Heat is kept in float16, which ends at 65504."""


@dataclass(frozen=True, slots=True)
class Localisation:
    """Whether the hottest place of abnormal frames lies on what is truly abnormal.

    `flagged` are the abnormal frames whose alarm is on: what an operator would look at. `inside`
    is inside the `outlines` of the mask, `exact` on one of its pixels; `chance` is the mean share
    of the picture that the outlines cover, which a random place would hit.
    """

    abnormal: int
    abnormal_inside: int
    abnormal_exact: int
    flagged: int
    flagged_inside: int
    flagged_exact: int
    chance: float

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON; a share of no frames is None."""

        def part(frames: int, inside: int, exact: int) -> dict[str, Any]:
            return {
                "frames": frames, "inside": inside, "share": _share(inside, frames),
                "exact": exact, "exact_share": _share(exact, frames),
            }  # fmt: skip

        return {
            "flagged": part(self.flagged, self.flagged_inside, self.flagged_exact),
            "abnormal": part(self.abnormal, self.abnormal_inside, self.abnormal_exact),
            "chance": self.chance,
        }


class Hits:
    """Counts abnormal frames whose hottest place lies on what is abnormal."""

    def __init__(self, heats: Heats | None = None) -> None:
        self.heats = heats
        """Where whole maps are kept too."""
        self.abnormal = self.abnormal_inside = self.abnormal_exact = 0
        self.flagged = self.flagged_inside = self.flagged_exact = 0
        self.covered = 0.0

    def add(self, video: str, frame: int, heat: Map, mask: NDArray[np.bool_], alarm: bool) -> None:
        """Take one frame; frames without a mask are normal and do not count."""
        if self.heats is not None:
            self.heats.add(video, frame, heat)
        if not mask.any():
            return
        place, whole = hottest(heat, mask.shape), outlines(mask)
        inside, exact = bool(whole[place]), bool(mask[place])
        self.abnormal += 1
        self.abnormal_inside += inside
        self.abnormal_exact += exact
        self.flagged += alarm
        self.flagged_inside += inside and alarm
        self.flagged_exact += exact and alarm
        self.covered += float(whole.mean())

    def sum(self) -> Localisation:
        """What was counted."""
        return Localisation(
            self.abnormal,
            self.abnormal_inside,
            self.abnormal_exact,
            self.flagged,
            self.flagged_inside,
            self.flagged_exact,
            self.covered / max(self.abnormal, 1),
        )


def hottest(heat: Map, size: tuple[int, ...]) -> tuple[int, int]:
    """Row and column of the hottest place, in a picture of (h, w) pixels.

    The middle of the hottest cell of the map, at the model's own resolution: what a bilinear
    enlargement has as its largest value, without the enlargement.
    """
    row, col = divmod(int(np.argmax(heat)), heat.shape[1])
    return int((row + 0.5) * size[0] / heat.shape[0]), int((col + 0.5) * size[1] / heat.shape[1])


@dataclass(frozen=True, slots=True)
class Regions:
    """Localisation of all scored frames of the test set, not of one place a frame."""

    rbdc: float
    """Region-based detection criterion (Ramachandra and Jones 2020), 0..1."""
    tbdc: float
    """Track-based detection criterion, 0..1."""
    regions: int
    tracks: int
    pixel_auc: float
    """ROC AUC over all pixels, 0..1."""
    pixel_criterion_auc: float
    """Frame AUC where 40 % of what is abnormal must be seen (Mahadevan et al. 2010), 0..1."""
    text: str = (
        "heat maps, boxes around connected parts at 40 thresholds, IoU and share of track 0.1; "
        "tracks made from the masks by overlap, not drawn by people"
    )
    """How they were made."""

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Heats:
    """The heat maps of the scored frames of a test set, in float16: 131 kB a frame at 256 px.

    They lie in a temporary file (in TMPDIR) and not in memory: 5 GB of ShanghaiTech. On a coarser
    grid they would be judged otherwise: RBDC 70 for 61 where 256 cells become 64 (Ped2, six clips,
    frame differences and optical flow as heat).
    """

    def __init__(self) -> None:
        self.frames: dict[str, list[int]] = {}
        """Of each video which frames there is a map of."""
        self._shape: tuple[int, ...] = ()
        self._file: IO[bytes] | None = None
        self._full = False

    def add(self, video: str, frame: int, heat: Map) -> None:
        """Keep one frame's map (h, w), of the same size for all; one video after the other.

        Where the disk is full no map is kept any more, with a warning, and nothing is judged.
        """
        if self._full:
            return
        small = np.clip(heat, -LARGEST, LARGEST).astype(np.float16)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  as long as the maps are wanted
                self._shape = small.shape
            self._file.write(small.tobytes())
            self._file.flush()
        except OSError as error:
            self._full = True
            warnings.warn(
                f"left out: regions, tracks and pixels. Their heat maps cannot be kept in "
                f"{tempfile.gettempdir()} ({error.strerror}); free space there, or set TMPDIR.",
                OddframeWarning,
                stacklevel=2,
            )
        self.frames.setdefault(video, []).append(frame)

    def maps(self) -> dict[str, NDArray[np.float16]]:
        """Per video its maps (n, h, w), on the disk."""
        if self._file is None or self._full:
            return {}
        counts = [len(frames) for frames in self.frames.values()]
        shape = (sum(counts), *self._shape)
        whole = np.memmap(self._file, np.float16, "r", shape=shape)
        parts = np.split(whole, np.cumsum(counts)[:-1])
        return dict(zip(self.frames, parts, strict=True))

    def judge(self, masks: Mapping[str, Masks]) -> Regions | None:
        """Hold them against the masks, a video in memory at a time.

        None where nothing can be said: no scored frame is abnormal or none is normal, or pictures
        of several sizes.
        """
        maps = {name: found for name, found in self.maps().items() if name in masks}
        sizes, tracks = set(), {}
        for name in maps:
            truth = masks[name][self.frames[name]]
            sizes.add(truth.shape[1:])
            tracks[name] = tracks_of(truth)
        if len(sizes) != 1 or not any(tracks.values()):
            return None
        try:
            found = map_criteria(
                maps, tracks, {name: len(m) for name, m in maps.items()}, sizes.pop()
            )
            pixels, criterion = (
                of(
                    maps.values(),
                    (masks[n][self.frames[n]] for n in maps),
                    names=list(maps),
                )
                for of in (pixel_auc, pixel_criterion_auc)
            )
        except ProtocolError:
            return None
        return Regions(found.rbdc, found.tbdc, found.regions, found.tracks, pixels, criterion)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
