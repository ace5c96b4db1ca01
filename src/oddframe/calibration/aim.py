"""A calibration for another number of alarms a day, from the peaks that it was made of.

What a site asks for (`detect.alarms_per_day`) need not be what the RUN was calibrated for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from oddframe.calibration.calibrate import finished, in_force, kept
from oddframe.calibration.light import modes_of
from oddframe.calibration.peaks import Footage
from oddframe.calibration.refit import refit, side_of
from oddframe.errors import ConfigError


def aimed(calibration: Mapping[str, Any], per_day: float) -> dict[str, Any]:
    """The calibration that the same footage gives for so many alarms in 24 hours.

    Args:
        calibration: as `calibrate` gives it.
        per_day: false alarms to accept, above 0.

    Raises:
        ConfigError: it keeps no peaks, or too few of them for so many alarms.
    """
    known = in_force(calibration)
    if known.get("alarms_per_day") == per_day:
        return known
    out = _side(known, per_day)
    modes = {name: _side(side, per_day) for name, side in modes_of(known).items()}
    return finished({**out, "modes": modes} if modes else out)


def _side(side: Mapping[str, Any], per_day: float) -> dict[str, Any]:
    """The values of all light, or of one."""
    footage = Footage.read(side["evidence"]) if side.get("evidence") else None
    command = f"oddframe calibrate RUN FOOTAGE --alarms-per-day {per_day:g}"
    if footage is None or len(footage.peaks) < 2:
        raise ConfigError(
            f"The RUN's threshold rests on too little footage to say which one is passed "
            f"{per_day:g} times a day. Calibrate it: {command}"
        )
    if np.isfinite(footage.depth) and per_day * footage.total_h / 24 > len(footage.peaks):
        raise ConfigError(
            f"The RUN was calibrated for {side['alarms_per_day']:g} alarms a day and keeps "
            f"{len(footage.peaks)} peaks, too few to say which threshold is passed {per_day:g} "
            f"times a day. Calibrate it for that: {command}"
        )
    none = np.zeros(0)
    fitted = refit(footage, none, none, per_day)
    merged = float((side.get("promise") or {}).get("merged", 1.0))
    found = {**side, **side_of(fitted, fitted.threshold, per_day, merged)}
    evidence = footage.largest(kept(per_day * footage.total_h / 24)).plain()
    return {**found, "alarms_per_day": float(per_day), "evidence": evidence}
