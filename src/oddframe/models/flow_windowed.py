"""Models of whole windows that also read the optical flow between their frames.

A stream computes the flow to each new frame once and keeps it beside the frame, as channels.

Letters: b clips or streams, t frames given, k history, m windows, n = b m, c h w channels, rows,
columns. Flow is (x, y): where each place of a frame was in the frame before.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oddframe.models.base import Prediction, motion
from oddframe.models.windowed import Windowed

FlowKind = Literal["dis", "rgbdiff", "file"]
"""DIS optical flow of the frames; halved RGB differences instead of it; flow that comes with the
frames, read from files (`oddframe data flow` writes them, or a network elsewhere)."""
FLOW_SPAN = 1 / 32
"""Flow of this share of the picture's side per frame becomes 1; faster is clamped."""


def flow_channels(kind: FlowKind) -> int:
    """Channels of one flow."""
    return 3 if kind == "rgbdiff" else 2


class FlowWindowed(Windowed):
    """A model that writes `moving(frames, flows)` in place of `window`."""

    flow: FlowKind
    """Set before the first frame; `file` makes frames (b, 5, h, w): RGB, then pixels per frame."""

    def moving(self, frames: Tensor, flows: Tensor) -> Prediction:
        """(n, k, 3, h, w), (n, k - 1, c, h, w) -> a prediction without the axis of moments."""
        raise NotImplementedError

    def set_flow(self, kind: FlowKind) -> None:
        """Choose where flow comes from."""
        self.flow = kind
        self.carried = 2 if kind == "file" else 0

    def moved(self, previous: Tensor, current: Tensor) -> Tensor:
        """The flow from one frame to the next, (b, 3 or 5, h, w) both -> (b, c, h, w) in [-1, 1].

        rgbdiff: (V_t - V_{t-1}) / 2. dis, file: (x, y), 1 = `FLOW_SPAN` of the side.
        """
        if self.flow == "rgbdiff":
            return motion(previous, current)
        if self.flow == "file":
            found = current[:, 3:]
        elif current.device.type == "meta":  # only shapes are asked for
            return current.new_empty(len(current), 2, *current.shape[2:])
        else:
            found = dis_pixels(previous, current)
        return (found / (FLOW_SPAN * self.size)).clamp(-1, 1)

    def moved_to_come(self, clip: Tensor) -> Tensor:
        """The flow to the frame after each window, (b m, c, h, w); clip (b, t + 1, c, h, w)."""
        last, after = clip[:, self.history - 1 : -1], clip[:, self.history :]
        return self.moved(last.flatten(0, 1), after.flatten(0, 1))

    def window(self, frames: Tensor) -> Prediction:
        """Take the channels apart again; the first frame's flow leads out of the window."""
        return self.moving(frames[:, :, :3], frames[:, 1:, 3:])

    def take(self, clip: Tensor) -> Tensor:
        """Frames with the flow to each, that to the first left at 0: (b, t, 3 + c, h, w)."""
        b = len(clip)
        found = self.moved(clip[:, :-1].flatten(0, 1), clip[:, 1:].flatten(0, 1)).unflatten(
            0, (b, -1)
        )
        flows = torch.cat((torch.zeros_like(found[:, :1]), found), 1)
        return torch.cat((clip[:, :, :3], flows), 2)

    def take_next(self, last: Tensor | None, frame: Tensor) -> Tensor:
        """`take` for one new frame: only the flow to the frame before is computed."""
        b, _, h, w = frame.shape
        if last is None:
            found = frame.new_zeros(b, flow_channels(self.flow), h, w)
        else:
            found = self.moved(last[:, :3], frame)
        return torch.cat((frame[:, :3], found), 1)


def dis_pixels(previous: Tensor, current: Tensor) -> Tensor:
    """DIS optical flow from frame to frame: (b, c, h, w) both -> (b, 2, h, w), x and y in px."""
    from oddframe.ops.dis import dis_flow

    pairs = zip(_grey(current[:, :3]), _grey(previous[:, :3]), strict=True)
    both = np.stack([dis_flow(now, past) for now, past in pairs])
    return torch.from_numpy(both).movedim(-1, 1).to(current)


def _grey(frames: Tensor) -> NDArray[np.uint8]:
    """RGB frames in [-1, 1], (n, 3, h, w), as grey pictures (n, h, w) uint8 (ITU-R BT.601)."""
    red, green, blue = frames.detach().float().cpu().unbind(1)
    luma = (0.299 * red + 0.587 * green + 0.114 * blue + 1) * 127.5
    grey: NDArray[np.uint8] = luma.round().clamp(0, 255).to(torch.uint8).numpy()
    return grey
