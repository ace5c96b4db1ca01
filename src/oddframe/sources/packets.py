"""A container, its video stream, and the packets of it (PyAV, that is FFmpeg).

What is broken between packets a demuxer often jumps over without a word. Two things betray it:
bytes that belong to no packet, and an index that knows of packets that never came.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import av
import av.error

from oddframe.errors import SourceError
from oddframe.sources.stamps import valid_fps

DEAD_ENDS = 64
"""Errors of the demuxer in a row, without a packet between, after which the rest is given up."""
LOST_STEPS = 1.5
"""Beside damage a step as long as this many is a hole."""
AVI_HEAD = 8
"""Bytes between the place that an avi's index gives and its packet's."""


def open_stream(
    address: str, timeout_s: float | None, options: dict[str, str], threads: bool = False,
    read_s: float | None = None,
) -> Opened:  # fmt: skip
    """Open a file or an address of FFmpeg's, and choose its video stream.

    timeout_s: limit for opening it; None: it is a file. read_s: limit for every read, by default
    the same.

    threads: decode several frames at once. Where something is broken that loses frames which one
    thread can show, how many depends on the machine; and it runs behind the stream.

    Raises:
        av.error.FFmpegError, OSError: it cannot be opened.
        SourceError: it holds no video.
    """
    limit = None if timeout_s is None else (timeout_s, read_s or timeout_s)
    container = av.open(address, metadata_errors="replace", timeout=limit, options=options)
    stream = container.streams.best("video")
    if stream is None:
        container.close()
        raise SourceError("it holds no video")
    video = cast(av.VideoStream, stream)
    if cast(Any, video.codec_context) is None:
        container.close()
        raise SourceError("its pictures are in a codec that is not known here")
    video.thread_type = "FRAME" if threads else "NONE"  # slice threads give up broken VP8 too early
    video.codec_context.thread_count = decoding_threads() if threads else 1
    return Opened(container, video, live=timeout_s is not None)


def decoding_threads() -> int:
    """Threads that a decoder may have: OMP_NUM_THREADS, or 0, which is one for every core."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Opened:
    """A container and its video stream."""

    container: av.container.InputContainer
    stream: av.VideoStream
    live: bool = False

    def packets(self) -> Iterator[av.Packet[Any] | None]:
        """Packets with something in them; None where the demuxer found damage."""
        for packet in self._all():
            if packet is None or (packet.size and packet.stream_index == self.stream.index):
                yield packet  # empty ones are pictures that repeat, or the end

    def watched(self, step_s: float) -> Iterator[av.Packet[Any] | None]:
        """`packets`, with None also where a file's bytes betray damage that the demuxer is silent
        about. step_s: the typical step between stamps.

        Stamps of avi files, which only count the packets that came, are those of its index.
        """
        kind = self.container.format.name.partition(",")[0]
        watch = None if self.live else WATCHES.get(kind)
        if watch is None:
            yield from self.packets()
            return
        end = -1
        seen = watch(self, step_s)
        for packet in self._all():
            if packet is None:
                yield None
                continue
            at = -1 if packet.pos is None else packet.pos
            spare = at - end if 0 <= end < at else 0
            if at >= 0:
                end = max(end, at + packet.size)
            if not packet.size or packet.stream_index != self.stream.index:
                continue
            if seen.broken(packet, spare):
                yield None
            yield packet

    def _all(self) -> Iterator[av.Packet[Any] | None]:
        """Packets of all streams; None where the demuxer found damage."""
        errors = 0
        while errors < DEAD_ENDS:
            try:
                for packet in self.container.demux():
                    errors = 0 if packet.size else errors
                    yield packet
                return
            except IndexError:  # PyAV knows no streams that turn up later, as in a broken table
                yield None
            except (av.error.FFmpegError, ValueError) as error:
                if self.live and not isinstance(error, av.error.InvalidDataError):
                    raise  # the connection, and not what came over it
                errors += 1
                yield None

    def rate(self) -> float:
        """Frames per second by a header, where stamps do not say it; 25 where it is silent too."""
        return valid_fps(self.said_rate())

    def said_rate(self) -> float:
        """Frames per second by a header, 0 where it does not say."""
        return float(self.stream.average_rate or self.stream.guessed_rate or 0)


class _Stamped:
    """Bytes that are nobody's, where packets are missing too."""

    def __init__(self, opened: Opened, step_s: float, spare: int, wrapped: float = 0.0) -> None:
        """spare: bytes between two packets that are neither one's where nothing is broken: heads,
        tables, stuffing. wrapped: more of them for every byte of a packet."""
        base = opened.stream.time_base
        self._spare, self._wrapped = spare, wrapped
        self._hole = LOST_STEPS * step_s / float(base) if base else float("inf")
        self._before: int | None = None
        self._size = 0

    def broken(self, packet: av.Packet[Any], spare: int) -> bool:
        """Whether there is damage between a packet and the one before."""
        before, allowed = self._before, self._spare + self._wrapped * self._size
        self._before, self._size = packet.dts, packet.size
        if spare <= allowed or before is None or packet.dts is None:
            return False
        return packet.dts - before > self._hole


class _Counted:
    """Its index says which packet it is that lies where this one does."""

    def __init__(self, opened: Opened, _: float) -> None:
        self._index = opened.stream.index_entries
        self._ahead: int | None = None
        """How far the index is ahead of the packets that came."""

    def broken(self, packet: av.Packet[Any], spare: int) -> bool:
        """Whether packets are missing before this one, whose stamps are mended."""
        known = self._ahead
        if (spare > AVI_HEAD + 1 or known is None) and packet.dts is not None:
            said = self._said(packet)
            if said is not None and said - packet.dts >= (known or 0):
                self._ahead = said - packet.dts
        ahead = self._ahead or 0
        if ahead and packet.dts is not None:
            packet.dts += ahead
            packet.pts = None if packet.pts is None else packet.pts + ahead
        return known is not None and ahead > known

    def _said(self, packet: av.Packet[Any]) -> int | None:
        """The stamp that the index has for the place of a packet."""
        place = (packet.pos or 0) - AVI_HEAD
        i = bisect_left(self._index, place, key=lambda entry: entry.pos)
        found = self._index[i] if i < len(self._index) else None
        return None if found is None or found.pos != place else found.timestamp


WATCHES: dict[str, Callable[[Opened, float], _Stamped | _Counted]] = {
    "matroska": partial(_Stamped, spare=256),
    "mpegts": partial(_Stamped, spare=2048, wrapped=0.03),
    "avi": _Counted,
}
"""Container -> what betrays damage in it."""
