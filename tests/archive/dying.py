"""Workers that do nothing, or die: what a pool's process runs instead of a RUN."""

import os
import signal
import time
from pathlib import Path

from oddframe import process
from oddframe.archive.pool import READY
from oddframe.archive.tasks import Done


def serve(job, pipe, parent):
    """By the name of the file: `kills` dies each time, `frail` the first time, `slow` takes long.

    job.run: `stillborn` dies before it is ready, `refused` cannot be loaded. job.out: folder in
    which every task leaves a file for each time that it was begun.
    """
    process.end_with(parent)
    if job.run == "stillborn":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.run == "refused":
        pipe.send("no such RUN.")
        return
    pipe.send(READY)
    while True:
        task = pipe.recv()
        name = task.file.stem
        begun = len(list(Path(job.out).glob(f"{name}.*")))
        (Path(job.out) / f"{name}.{begun}").touch()
        if "kills" in name or ("frail" in name and not begun):
            os.kill(os.getpid(), signal.SIGKILL)
        if "slow" in name:
            time.sleep(60)
        pipe.send(Done(task, facts={"pid": os.getpid()}))
