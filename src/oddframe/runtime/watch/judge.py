"""Whether a connection lives, by what is new in it."""

from __future__ import annotations

from oddframe.runtime.watch.attempt import Attempt
from oddframe.runtime.watch.footage import Footage
from oddframe.runtime.watch.intake import Intake
from oddframe.runtime.watch.settings import ReaderConfig
from oddframe.sources.why import Trouble

GRACE_S = 0.5
"""So much longer than its own time limit a read may take before it is left: then it says itself
what it was."""
FIRST_PICTURE_S = 60.0
"""A stream begins with a key frame; where packets come, so long it is waited for."""


def judged(
    attempt: Attempt, intake: Intake, config: ReaderConfig, running: bool, now_s: float
) -> Trouble | None:
    """Why a connection that is not over must be left; None where it lives.

    Args:
        attempt: the connection.
        intake: what judges its pictures.
        config: the limits.
        running: whether the camera is said to run.
        now_s: by `time.monotonic`.
    """
    name = attempt.connection.name
    if isinstance(attempt.connection, Footage):
        since_s = attempt.reading_s
        if since_s is not None and now_s - since_s > config.timeout_s + GRACE_S:
            return Trouble("timeout", f"{name}: reading hangs. Check the disk or the network.")
    elif not attempt.count:
        return _silent_from_the_start(attempt, config, now_s)
    elif now_s - intake.last_new_s > config.silent_s:
        return Trouble("silent", f"{name} gave no new picture for {config.silent_s:g} s.")
    elif intake.frozen and (running or now_s - attempt.first_s > intake.trial_s):
        text = f"{name} shows the same picture for {config.frozen_s:g} s and more."
        return Trouble("frozen", f"{text} Check the camera, or start it again.")
    return None


def _silent_from_the_start(attempt: Attempt, config: ReaderConfig, now_s: float) -> Trouble | None:
    name, lasted_s = attempt.connection.name, now_s - attempt.began_s
    if attempt.silent_s(now_s) > config.timeout_s + GRACE_S:
        return Trouble("timeout", f"{name}: nothing came within {config.timeout_s:g} s.")
    if lasted_s > max(FIRST_PICTURE_S, config.timeout_s):
        text = f"{name} sends, but no picture within {lasted_s:.0f} s. Check its codec."
        return Trouble("codec_unsupported", text)
    return None
