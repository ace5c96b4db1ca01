"""What a worker does, whoever runs it: look at a file, or score a segment and write it down.

    worker = Worker(job)                  # loads the RUN, once
    done = worker(Task(file))             # a plan
    done = worker(Task(file, segment))    # a Parquet file

Who runs workers is an engine (`tasks.Engine`): processes here, actors of a cluster.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

from oddframe.archive.plan import plan_of
from oddframe.archive.remote import at_hand, sweep
from oddframe.archive.tasks import Done, Job, Task
from oddframe.errors import OddframeError, OddframeWarning, RunError


class Worker:
    """A loaded RUN, in one process of one thread."""

    def __init__(self, job: Job) -> None:
        """Raises RunError where the RUN is not there, or not that of the archive."""
        os.environ["OMP_NUM_THREADS"] = "1"  # decoders ask for it
        import cv2
        import torch

        from oddframe.archive.manifest import manifest_of
        from oddframe.runs import load_run
        from oddframe.runtime.detector import load

        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self.job = job
        warnings.simplefilter("ignore", OddframeWarning)  # of each file anew, of nothing new
        run = load_run(job.run).with_settings(job.settings)
        seen = manifest_of(run, job, ())
        if job.key not in (seen.key, replace(seen, begun_short=True).key):
            raise RunError(
                f"{job.run} is not the RUN that the archive was begun with, as this worker sees "
                "it. Every machine must see the same RUN at that path."
            )
        self.detector = load(run, job.device, precision=job.precision)
        if self.detector.info.carried:
            raise RunError(
                f"{job.run} takes its optical flow from files, which an archive has none of. Score "
                "single files with it: oddframe score RUN VIDEO --flow FOLDER."
            )
        self.reading = replace(
            self.detector.reading, fps=job.fps, allow_short=job.allow_short
        )  # fmt: skip
        self._cache = None if job.cache is None else Path(job.cache)
        sweep(self._cache)

    def __call__(self, task: Task) -> Done:
        """Do it; what goes wrong is said and not raised."""
        try:
            with at_hand(task.file.path, self._cache) as path:
                return self._look(task, path) if task.segment is None else self._score(task, path)
        except RunError as error:
            return Done(task, fatal=str(error))
        except OddframeError as error:
            return Done(task, failed=str(error))
        except Exception as error:  # a file that nobody thought of must not cost all others
            return Done(task, failed=f"something unexpected: {type(error).__name__}: {error}")

    def _look(self, task: Task, path: Path) -> Done:
        from oddframe.sources import open_as

        with open_as(path, self.reading) as source:
            return Done(task, plan=plan_of(self.detector, source, self.job.segment_s))

    def _score(self, task: Task, path: Path) -> Done:
        from oddframe.archive import parquet
        from oddframe.archive.ledger import folder_of
        from oddframe.archive.score import score_segment
        from oddframe.sources import open_as

        assert task.segment is not None
        with open_as(path, self.reading) as source:
            rows, info = score_segment(self.detector, source, task.segment), source.info
        frames, times = len(rows.result), rows.result.time_s
        facts = {
            "key": self.job.key, "file": task.file.path, "mark": task.file.mark,
            "segment": task.segment.plain(), "frames": frames,
            "time_s": [float(times[0]), float(times[-1])] if frames else None,
            "size": [info.width, info.height], "fps": info.fps, "top": rows.top,
            "seams": list(rows.seams), "exact": rows.exact,
            "lost": str(rows.lost) if rows.lost.places else None,
        }  # fmt: skip
        target = folder_of(Path(self.job.out), task.file) / f"{task.segment.name}.parquet"
        parquet.write(target, rows, task.file.path, facts)
        return Done(task, facts=facts)
