"""The native scan beside other work: `python tests/ops/busy.py`, for docs/speed.md.

One scan of 32 x 32 places, four directions, 96 channels, 16 states, by one thread and by two, alone
and beside six processes that never rest, in turn: blocks of --runs, --blocks of each.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

from oddframe import process

process.tune()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from oddframe.bench.scan import Inputs, Shape, scans_here  # noqa: E402

OTHERS = 6


def main() -> None:
    """See the head of this file."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--runs", type=int, default=200)
    parse.add_argument("--blocks", type=int, default=5)
    args = parse.parse_args()
    x, scan = Inputs.made(Shape(32, 32, 96, 16)), scans_here([])["native"]
    spin = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(spin) for _ in range(OTHERS)]
    took: dict[tuple[int, bool], list[float]] = {}
    try:
        for _ in range(args.blocks):
            for busy in (False, True):
                for other in others:
                    os.kill(other.pid, signal.SIGCONT if busy else signal.SIGSTOP)
                time.sleep(0.5)
                for threads in (1, 2):
                    torch.set_num_threads(threads)
                    for _ in range(args.runs):
                        began = time.perf_counter()
                        with torch.no_grad():
                            scan(x)
                        took.setdefault((threads, busy), []).append(time.perf_counter() - began)
    finally:
        for other in others:
            other.kill()
    for threads in (1, 2):
        quiet, busy = (1e3 * np.array(took[threads, b]) for b in (False, True))
        print(f"{threads} thread{'s' * (threads > 1)}: mean {quiet.mean():.2f} ms alone, "
              f"{busy.mean():.2f} beside {OTHERS} ({busy.mean() / quiet.mean():.1f} times), median "
              f"{np.median(quiet):.2f} and {np.median(busy):.2f} "
              f"({np.median(busy) / np.median(quiet):.1f} times)")  # fmt: skip


if __name__ == "__main__":
    main()
