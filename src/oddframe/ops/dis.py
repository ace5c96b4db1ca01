"""Dense optical flow between two grey pictures: OpenCV's DIS, which needs no learnt weights.

Plain arrays and no torch here, so that models and data sets compute the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MIN_PX = 12
"""OpenCV's DIS refuses smaller pictures."""


def dis_flow(current: NDArray[np.uint8], past: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Where each place of the current picture was before: (h, w, 2) float32 in pixels, x then y.

    current, past: grey uint8 (h, w). Preset fast, finest scale 1, computed *from* the current
    picture *to* the one before, so that the flow lies on the current picture; the same bits on
    any number of OpenCV threads.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    dis.setFinestScale(1)
    calc: Callable[..., Any] = dis.calc  # OpenCV's stubs do not know the None below
    # None: a flow handed in would be taken as the starting guess, a hidden state.
    return np.asarray(calc(current, past, None), np.float32)
