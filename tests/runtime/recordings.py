"""Recordings made of others, as they were encoded: nothing is decoded."""

from collections.abc import Sequence
from pathlib import Path

import av


def joined(files: Sequence[Path], to: Path) -> Path:
    """One recording of all files, each behind the one before; made once."""
    if to.exists():
        return to
    part = to.with_name(f"part{to.suffix}")
    with av.open(str(part), "w") as whole:
        stream, begin = None, 0
        for file in files:
            with av.open(str(file)) as one:
                own = one.streams.video[0]
                if stream is None:
                    stream = whole.add_stream_from_template(own)
                for packet in one.demux(own):
                    if packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + begin, packet.dts + begin
                        packet.stream = stream
                        whole.mux(packet)
                begin += own.duration
    part.rename(to)
    return to
