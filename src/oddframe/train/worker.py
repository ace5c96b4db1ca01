"""A process that follows `fit --devices N`: `python -m oddframe.train.worker PLACE`."""

from __future__ import annotations

import json
import os
import sys
import threading

from oddframe import process


def main() -> None:
    """Train as told, until it is over or the process that started this one is gone."""
    process.tune()
    threading.Thread(target=_end_with_the_leader, daemon=True).start()
    from oddframe.train.devices import Place
    from oddframe.train.follow import follow

    follow(Place(**json.loads(sys.argv[1])), until_over=False)


def _end_with_the_leader() -> None:
    sys.stdin.buffer.read()  # nothing comes; it ends when the other side closes it, or dies
    os._exit(1)


if __name__ == "__main__":
    main()
