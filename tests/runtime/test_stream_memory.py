"""The memory of a stream is flat, however long it runs.

For a model of full size and more frames, which takes minutes:

    ODDFRAME_MEMORY_FRAMES=20000 pytest -m slow -s tests/runtime/test_stream_memory.py -k edge

Every stream runs in a process of its own: in this one, what other tests have freed would hide what
a stream keeps.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

STATM = Path("/proc/self/statm")
WARM = 0.5
"""The part of a stream in which buffers, pools and caches may still grow."""
GROWTH_KB = 512
"""What may come on top of that, pages touched by chance: 0.2 MB were seen. The 1,500 frames after
the warm-up, kept, are 14 MB, their scores without the heat maps 1.4."""
LARGE_KB = 4096
"""The same at full size, where one feature map is 1 MB: over 20,000 frames of m2s2l-edge there was
one step of 2.4 MB after 6,000, then not a page in 14,000. Still 0.3 kB a frame at most."""
LONG = os.environ.get("ODDFRAME_MEMORY_FRAMES")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not STATM.exists(), reason="the resident memory is read from Linux's /proc"),
]


def resident_kb() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def samples(run: Path, frames: int, *streams: str) -> list[int]:
    """Resident kB in 21 places of a stream of so many frames, or of as many short streams."""
    done = subprocess.run(
        [sys.executable, __file__, str(run), str(frames), *streams],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [int(line) for line in done.stdout.split()]
    assert len(found) == 21
    print(f"\nresident MB of {frames} frames: {[round(kb / 1024, 1) for kb in found]}")
    return found


def growth_kb(found: list[int]) -> int:
    warm = found[round(WARM * (len(found) - 1))]
    return found[-1] - warm


def test_a_long_stream_takes_no_more_memory(shared_run):
    assert growth_kb(samples(shared_run, 3000)) <= GROWTH_KB


def test_many_short_streams_take_no_more_memory(shared_run):
    assert growth_kb(samples(shared_run, 3000, "short")) <= GROWTH_KB


@pytest.mark.skipif(LONG is None, reason="takes minutes: set ODDFRAME_MEMORY_FRAMES=20000")
@pytest.mark.timeout(3600)
def test_m2s2l_edge_at_its_own_size_takes_no_more_memory(tmp_path):
    from oddframe.bench.video import fresh_run

    run = fresh_run(tmp_path / "RUN", "m2s2l-edge", None)
    assert growth_kb(samples(run, int(LONG or 0))) <= LARGE_KB


def main(run: str, frames: str, short: str = "") -> None:
    """Score made frames with a RUN, as the command line would; print resident kB as it goes."""
    from oddframe.process import tune

    tune()
    from stub_run import street

    import oddframe
    from oddframe.sources import Source

    pictures = [street(i) for i in range(32)]

    class Made(Source):
        def __init__(self, frames: int) -> None:
            super().__init__(oddframe.types.SourceInfo("made", 64, 48, 25.0, None))
            self.frames = frames

        def _frames(self) -> Iterator[oddframe.Frame]:
            for i in range(self.frames):
                # New memory every time, as a decoder's pictures are.
                yield oddframe.Frame(i, i / 25, np.array(pictures[i % len(pictures)]))

    detector, total = oddframe.load(run), int(frames)
    length = 20 if short else total
    every = total // 20
    print(resident_kb())
    done = 0
    while done < total:
        for _ in detector.stream(Made(length)):
            done += 1
            if done % every == 0:
                print(resident_kb(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
