"""Who leads and who follows where several processes train together.

Rank 0 looks at the footage, plans, decodes; then all train; then rank 0 looks at what was kept
aside, and writes the RUN. The others know nothing but the job that it hands them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rich.console import Console

from oddframe.device import pick_device
from oddframe.errors import RunError
from oddframe.models import build
from oddframe.models.base import VADModel
from oddframe.train.budget import Clocks
from oddframe.train.crew import LEAVE_S, Crew
from oddframe.train.devices import Place
from oddframe.train.drive import Job, drive
from oddframe.train.ranks import ASK_EVERY_S, FAILED, OVER, READY, START, Ranks


@contextlib.contextmanager
def led(ranks: Ranks) -> Iterator[None]:
    """Around all that rank 0 does: those that wait for it elsewhere are told how it ended."""
    if ranks.place.launched or ranks.place.nodes > 1:
        ranks.meet()  # they are there already
    try:
        yield
    except BaseException:
        ranks.end(FAILED)
        raise
    ranks.end(READY)


def lead(job: Job, net: VADModel, ranks: Ranks, began: Clocks, console: Console) -> dict[str, Any]:
    """Train as `drive`, together with the others where there are any; errors as there."""
    if ranks.alone:
        return drive(job, net, ranks, began, console)
    device, crew = pick_device(job.device).type, Crew()
    try:
        place = replace(ranks.place, port=ranks.meet())
        crew = Crew.start(place)
        ranks.why_lost = crew.lost
        ranks.say(START, device.encode())
        _all_there(ranks)
        ranks.form(device)
        ranks.share((job, net.state_dict()))
        facts = drive(job, net, ranks, began, console)
        ranks.part()
        crew.end(LEAVE_S)
        return facts
    except BaseException as error:
        other = ranks.failed(error)
        if other is error:
            raise
        raise other from error
    finally:
        ranks.part()  # of a group that is broken too: what comes next is alone
        crew.end()


def follow(place: Place, until_over: bool = True) -> None:
    """Train with rank 0; returns when the training is over.

    until_over: when the RUN is written.

    Raises:
        SystemExit: rank 0 has ended otherwise, or this process has failed and told it.
    """
    ranks, crew = Ranks(place), Crew()
    try:
        ranks.meet()
        told = ranks.hear(START)
        if told == FAILED:
            raise SystemExit(1)
        if told == READY:
            return  # nothing was left to train
        if place.local == 0:  # of another machine: it starts its own
            crew = Crew.start(place)
        ranks.say(f"here/{place.rank}", READY)
        ranks.form(told.decode())
        job, net = _handed_over(ranks)
        drive(job, net, ranks, Clocks(0.0, 0.0), Console(quiet=True))
        ranks.part()
        crew.end(LEAVE_S)
        if until_over and ranks.hear(OVER) == FAILED:
            raise SystemExit(1)
    except BaseException as error:
        raise ranks.failed(error) from error
    finally:
        crew.end()


def _all_there(ranks: Ranks) -> None:
    """Wait until every process has come, or one of this machine's was lost."""
    waiting = [f"here/{rank}" for rank in range(1, ranks.place.ranks)]
    while not ranks.has(waiting):
        why = ranks.why_lost()
        if why is not None:
            raise RunError(f"A process of this training did not start: {why}.")
        time.sleep(ASK_EVERY_S)


def _handed_over(ranks: Ranks) -> tuple[Job, VADModel]:
    """The job and the weights to start from; the frames are read from rank 0's store."""
    try:
        job, weights = ranks.share(None)
    except RunError as error:
        if ranks.place.nodes == 1:
            raise
        raise RunError(
            f"Machine {ranks.place.node} of {ranks.place.nodes} does not see what rank 0 has "
            f"decoded: --out must lie on a disk that all machines share. ({error})"
        ) from None
    net = build(job.name, job.model)
    net.load_state_dict(weights)
    return job, net
