"""Packets of a video stream to pictures with stamps, past any damage (PyAV, that is FFmpeg).

    for frame, seconds, gap in Decoder(container, stream, step_s): ...

Time is what the stamps say, from the first picture on, and always grows. What is broken is left
out and counted; decoding goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import av
import av.error

from oddframe.sources.packets import LOST_STEPS, Opened
from oddframe.sources.stamps import Usual, duration, is_pause

PLACE_S = 2.0
"""Damage that is so near to damage before it is the same place."""
NOTHING_S = 1e-3
"""What a stamp that does not grow is behind the one before."""
HEAL_S = 10.0
"""Pictures after damage are built on broken ones until the next key frame, or for so long where
none comes."""
DELAY = 64
"""Packets that a decoder may hold back: so long after an error pictures that never came are lost,
where else they are of a kind that is not shown."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What of a source could not be read."""

    frames: int = 0
    """Pictures that are in the file and cannot be decoded; where not even their stamps are left,
    as many as the hole has room for."""
    damaged: int = 0
    """Pictures that were decoded, but of broken data or of pictures made of such: delivered, and
    never scored."""
    places: int = 0
    """Places with damage, one after the other."""
    pauses: int = 0
    """Holes between stamps without any sign of damage: the recording paused, or what was there is
    gone without a trace."""
    paused_s: float = 0.0
    """Seconds that they make."""

    def __bool__(self) -> bool:
        return bool(self.places or self.pauses)

    def __str__(self) -> str:
        said = []
        if self.places:
            where = "one place" if self.places == 1 else f"{self.places} places"
            said.append(
                f"damaged in {where} ({self.frames} frames could not be decoded, {self.damaged} "
                "only in part)"
            )
        if self.pauses:
            pauses = "one pause" if self.pauses == 1 else f"{self.pauses} pauses"
            said.append(f"{pauses} of {duration(self.paused_s)} in all")
        return ", ".join(said) or "nothing lost"


Found = tuple[av.VideoFrame, float, bool]
"""A frame, its seconds since the first one, and whether a gap is before it."""


Stamp = tuple[int, int]
"""Which clock, and what it says."""


class Decoder:
    """The pictures of one stream in order; `lost` counts what was not to be had."""

    def __init__(
        self, opened: Opened, step_s: float, zero_s: float | None = None, key: int | None = None
    ) -> None:
        """opened: at its beginning, or after a seek. step_s: the typical step between stamps.

        zero_s: the stamp that seconds count from, by default that of the first picture.
        key: stamp of the packet to begin with; those before it are passed over.
        """
        self._opened, self._key = opened, key
        self._usual = Usual(step_s)
        self._clock = _Clock(float(opened.stream.time_base or 0), step_s, zero_s)
        self._waiting: set[Stamp] = set()
        """Of packets whose pictures have not come."""
        self._gone: set[Stamp] = set()
        """Of those that were counted as lost, as long as they may still come."""
        self._sent = self._come = 0
        """Clocks of the packets and of the pictures: decoders run behind."""
        self._sent_stamp: int | None = None
        self._stamped = opened.container.format.name != "avi"  # it numbers packets, not pictures
        self._suspect = -DELAY - 1
        """The packet with which something broke last."""
        self._ill_s: float | None = None
        """When the damage was that pictures are still built on."""
        self._noted_s: float | None = None
        self._counted = 0
        """Lost pictures that were counted since the last one that came."""
        self.packets = 0
        self.lost = Lost()

    def __iter__(self) -> Iterator[Found]:
        """Pictures with their seconds since the first one, and whether a gap is before them."""
        for packet in self._opened.watched(self._step_s):
            if packet is None:
                self._suspect = self.packets
                continue
            if self._key is not None:
                if packet.pts != self._key:
                    continue
                self._key = None
            self.packets += 1
            if self._stamped and packet.pts is not None and not packet.is_discard:
                self._waiting.add((self._clock_of(packet), packet.pts))
            if packet.is_corrupt:
                self._suspect = self.packets
            yield from self._decoded(packet)
        yield from self._decoded(None)
        if self._suspicious and self._waiting and self._clock.began:
            self._note(lost=len(self._waiting))

    @property
    def damaged(self) -> bool:
        """Whether anything so far was broken."""
        return self._suspect > -DELAY - 1 or bool(self.lost.places)

    @property
    def zero_s(self) -> float:
        """The stamp that seconds count from."""
        return self._clock.zero_s

    @property
    def _step_s(self) -> float:
        """The typical step: of a file as it was given, of a stream that of late."""
        return self._usual.step_s

    @property
    def _suspicious(self) -> bool:
        return self.packets - self._suspect <= DELAY

    def _clock_of(self, packet: av.Packet[Any]) -> int:
        """The number of a packet's clock: segments set one behind the other have each their own."""
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is not None:
            base, last = float(self._opened.stream.time_base or 0), self._sent_stamp
            if last is not None and is_pause((last - stamp) * base, self._step_s):
                self._sent += 1
            self._sent_stamp = stamp
        return self._sent

    def _passed(self, frame: av.VideoFrame) -> tuple[Stamp, set[Stamp]]:
        """The stamp of a picture, and those that were waited for and are not behind it."""
        clocks = [clock for clock, pts in self._waiting if pts == frame.pts]
        self._come = min(clocks, default=self._come)
        own = self._come, -1 if frame.pts is None else frame.pts
        return own, {stamp for stamp in self._waiting if frame.pts is not None and stamp <= own}

    def _may_come(self, stamps: set[Stamp], own: Stamp) -> set[Stamp]:
        """Without those long before a picture: a camera that loses one a second runs for weeks."""
        base = float(self._opened.stream.time_base or 1)
        return {s for s in stamps if s[0] == own[0] and s[1] > own[1] - HEAL_S / base}

    def _decoded(self, packet: av.Packet[Any] | None) -> Iterator[Found]:
        try:
            frames = self._opened.stream.decode(packet)
        except (av.error.FFmpegError, ValueError):
            self._suspect = self.packets
            unstamped = packet is not None and (packet.pts is None or not self._stamped)
            if unstamped and self._clock.began:
                self._note(lost=1)
                self._ill_s = self._clock.at_s
            return
        for frame in frames:
            if frame.width and frame.height:
                yield frame, *self._placed(frame)

    def _placed(self, frame: av.VideoFrame) -> tuple[float, bool]:
        """Where a picture lies in time, and whether there is a gap before it."""
        first = not self._clock.began  # before the first key frame nothing can be had
        own, passed = self._passed(frame)
        self._waiting -= passed
        now_s, step_s, jumped = self._clock.read(frame)
        seen = (self._suspicious or frame.is_corrupt) and not first
        late = passed - {own} if seen else set()
        skipped = len(late)
        hole = seen and step_s > LOST_STEPS * self._step_s
        if skipped or hole:
            room = round(step_s / self._step_s) - 1 if hole else 0
            self._note(lost=max(skipped, room - self._counted), since_s=now_s - step_s)
            self._gone = self._may_come(self._gone | late, own)
        if own in self._gone:  # broken stamps: it came after all
            self._gone.discard(own)
            self._note(lost=-1)
        was_ill = self._ill_s is not None
        if frame.is_corrupt or ((skipped or hole) and not frame.key_frame):
            self._ill_s = now_s
        elif was_ill and (frame.key_frame or now_s - cast(float, self._ill_s) > HEAL_S):
            self._ill_s = None
        if self._ill_s is not None:
            self._note(lost=0, damaged=1)
        self._counted = 0
        pause = jumped or is_pause(step_s, self._step_s)
        if pause and not (first or jumped or self._near(now_s - step_s)):
            pauses, paused_s = self.lost.pauses + 1, self.lost.paused_s + step_s
            self.lost = replace(self.lost, pauses=pauses, paused_s=paused_s)
        gap = pause or bool(skipped) or hole or was_ill or self._ill_s is not None
        if self._opened.live and not first and step_s > NOTHING_S * 1.5:  # not a stamp again
            self._usual.take(step_s)
        return now_s, gap and not first

    def _note(self, lost: int, damaged: int = 0, since_s: float | None = None) -> None:
        """Count what is broken here; since_s: where it begins."""
        now_s = self._clock.at_s
        new = not self._near(now_s if since_s is None else since_s)
        self._noted_s = now_s
        self._counted += lost
        known = self.lost
        self.lost = replace(
            known, frames=known.frames + lost, damaged=known.damaged + damaged,
            places=known.places + new,
        )  # fmt: skip

    def _near(self, at_s: float) -> bool:
        """Whether the last damage is in the same place."""
        return self._noted_s is not None and at_s - self._noted_s <= PLACE_S


class _Clock:
    """Stamps of pictures as seconds since the first, always growing."""

    def __init__(self, base: float, step_s: float, zero_s: float | None = None) -> None:
        self._base, self._step_s = base, step_s
        self._fixed, self.zero_s = zero_s is not None, zero_s or 0.0
        self._last: dict[str, int] = {}
        self._faults = {"pts": 0, "dts": 0}
        self.began = False
        self.at_s = -step_s

    def read(self, frame: av.VideoFrame) -> tuple[float, float, bool]:
        """Seconds of a picture, seconds since the one before, and whether the clock was set."""
        before, jumped = self.at_s, False
        stamp = self._stamp(frame)
        if stamp is None:
            now = before + self._step_s
        else:
            if not self.began and not self._fixed:
                self.zero_s = stamp
            now = stamp - self.zero_s
            if now <= before:
                jumped = is_pause(before - now, self._step_s)
                now = before + (self._step_s if jumped else NOTHING_S)
                if jumped:  # segments set one behind the other, each with a clock of its own
                    self.zero_s = stamp - now
        self.began, self.at_s = True, now
        return now, now - before, jumped

    def _stamp(self, frame: av.VideoFrame) -> float | None:
        """By presentation stamps, or by decoding stamps where these grow more steadily.

        Old avi files know only the order of packets; FFmpeg's own guess goes the same way.
        """
        found = {"pts": frame.pts, "dts": frame.dts}
        for kind, value in found.items():
            if value is not None:
                self._faults[kind] += kind in self._last and value <= self._last[kind]
                self._last[kind] = value
        kind = "pts" if self._faults["pts"] <= self._faults["dts"] else "dts"
        value = found[kind] if found[kind] is not None else found["pts"]
        value = value if value is not None else found["dts"]
        return None if value is None else value * self._base
