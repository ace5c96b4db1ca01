"""How a camera is read: limits, patience, what is taken for a living picture."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from oddframe.config import Config


class ReadConfig(Config):
    """What a site may say of how a camera is read."""

    timeout_s: float = Field(10.0, gt=0)
    """Seconds that opening a source may take, and of files also reading on."""
    silent_s: float = Field(10.0, gt=0)
    """Seconds without a frame with a new stamp, after which a camera is down."""
    frozen_s: float = Field(30.0, ge=0)
    """Seconds after which a camera that shows the same picture again and again is down; 0 never.
    See `freeze` for what counts as the same."""
    upheaval: bool = True
    """Hold frames back after the camera was moved or covered, infrared went on, or a light was
    switched, until the picture is steady."""
    transport: Literal["tcp", "udp"] = "tcp"
    """RTSP: how pictures come. By UDP a lost packet is a broken picture."""
    retry_s: float = Field(1.0, gt=0)
    """Seconds before the first try to connect again; twice as long before each that follows."""
    retry_cap_s: float = Field(30.0, gt=0)
    """Seconds between two tries, at most; ten times as long where the password was refused three
    times, since many cameras lock out who tries again and again."""
    pause_s: float = Field(1.0, gt=0)
    """Seconds between two frames that are scored, above which the history is given up; at low rates
    five frames' time."""
    fps: float | None = Field(None, gt=0, le=1000)
    """Rate of a folder of frames, which cannot say it itself."""


class ReaderConfig(ReadConfig):
    """How one camera is read."""

    realtime: bool = True
    """Files: play them as a camera would send them; else every frame is handed on as soon as the
    one before is taken."""
