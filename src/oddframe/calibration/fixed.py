"""A calibration that nothing goes on from, but whose thresholds somebody may set by hand.

    fixed = Fixed.read(calibration, kept)
    fixed.set(5.2, "infrared"); fixed.undo()
    kept = fixed.plain()

What is set survives restarts, and is forgotten where somebody calibrates again. See `running` for
what goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from oddframe.calibration.calibrate import in_force, threshold_of
from oddframe.calibration.changes import Change, mark_of, newest, set_by_hand
from oddframe.calibration.rate import by_hand


class Fixed:
    """Of one camera."""

    def __init__(self, calibration: Mapping[str, Any]) -> None:
        self.calibration = in_force(calibration)
        """That of now."""
        self.changes: list[Change] = []
        """Newest last; all by hand."""
        self._first, self._mark = dict(self.calibration), mark_of(calibration)

    def set(self, threshold: float, light: str | None = None) -> Change:
        """Somebody sets the threshold of a light, or the one for all; it holds from now on."""
        now = threshold_of(self.calibration, light)
        change = set_by_hand(light or "", now, threshold, now)
        self.changes = newest([*self.changes, change])
        self.calibration = by_hand(self.calibration, threshold, light)
        return change

    def undo(self) -> None:
        """Take the last change back; nothing happens where there is none."""
        self._become(self.changes[:-1])

    def plain(self) -> dict[str, Any]:
        """What has to outlive a restart, as JSON."""
        return {"began": self._mark, "changes": [asdict(c) for c in self.changes]}

    @classmethod
    def read(cls, calibration: Mapping[str, Any], values: Mapping[str, Any]) -> Self:
        """Go on from what `plain` gave; it is passed over where it is of another calibration."""
        out = cls(calibration)
        if values.get("began") == out._mark:
            out._become([Change(**c) for c in values["changes"]])
        return out

    def _become(self, changes: list[Change]) -> None:
        self.changes, self.calibration = changes, dict(self._first)
        for light, threshold in {k: t for c in changes for k, t in c.after.items()}.items():
            self.calibration = by_hand(self.calibration, threshold, light or None)
