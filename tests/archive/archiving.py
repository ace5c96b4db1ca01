"""Archives without the command line: an engine in this process, and what lies in the folder."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from stub_run import street

from oddframe.archive import parquet
from oddframe.archive.drive import drive
from oddframe.archive.files import listed
from oddframe.archive.ledger import folder_of
from oddframe.archive.manifest import enter, manifest_of
from oddframe.archive.tasks import Job
from oddframe.archive.work import Worker
from oddframe.models import build, default_config
from oddframe.runs import load_run, save_run
from oddframe.scoring.scene import SceneFit
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig

THRESHOLD = 3.0


def write_light(folder, threshold=THRESHOLD):
    """An untrained RUN that is as quick as they come: mnad at 32 px, no optical flow."""
    torch.manual_seed(1)
    base = default_config("mnad")
    chosen = type(base).read({**base.model_dump(), "size": 32, "width": 8, "items": 4})
    net, score = build("mnad", chosen).eval(), ScoreConfig(flow=False)
    scorer, fitting = Scorer(net, score), SceneFit()
    state = scorer.init_state()
    for index in range(30):
        state, seen = scorer.observe(state, street(index, 160, 96))
        if seen is not None:
            fitting.add(seen.local)
    configs = {
        "model": chosen.model_dump(mode="json"), "score": score.model_dump(mode="json"),
        "train": {"average": 0},
    }  # fmt: skip
    calibration = None if threshold is None else {"threshold": threshold, "alarms_per_day": 1.0}
    save_run(folder, "mnad", net, configs, fitting.fit(), calibration, {})
    return folder


class Here:
    """An engine that is no engine: one worker, in this process."""

    def __init__(self, job, before=lambda task: None):
        """before: called with every task before it is done."""
        self.worker, self.before, self.done = Worker(job), before, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, tasks):
        for task in tasks:
            self.before(task)
            self.done.append(task)
            yield self.worker(task)


@dataclass
class Archived:
    """Archives in one folder."""

    out: object
    known: tuple = ()

    def job(self, run, files=(), **options):
        settings = options.pop("settings", ())
        loaded = load_run(run).with_settings(settings)
        job = Job(str(run), str(self.out), tuple(settings), **{"segment_s": 0.8, **options})
        asked = manifest_of(loaded, job, files)
        self.out.mkdir(parents=True, exist_ok=True)
        known = enter(self.out, asked)
        self.known = known.files
        return replace(job, key=known.key)

    def __call__(self, run, sources, engine=Here, before=lambda task: None, **options):
        """Score sources; the tasks that were done are in `tasks`, what was shown in `shown`."""
        files = listed([str(s) for s in sources])
        job = self.job(run, files, **options)
        self.shown = []
        with engine(job, before) as running:
            try:
                self.outcome = drive(job, files, running, self.shown.append, self.known)
            finally:
                self.tasks = running.done
        return self.outcome

    def files(self, path):
        """The Parquet files of a source, in order."""
        [file] = listed([str(path)])
        return sorted(folder_of(self.out, file).glob("*.parquet"))

    def table(self, path):
        """All rows of a source as numpy arrays by column; null is NaN."""
        import pyarrow as pa

        parts = [parquet.read(p) for p in self.files(path)]
        whole = pa.concat_tables(parts, promote_options="default")
        return {
            name: np.array(whole[name].to_pylist(), None if name == "file" else np.float64)
            for name in whole.column_names
        }  # fmt: skip

    def content(self):
        """What results there are: name of every Parquet file -> its bytes."""
        return {str(p.relative_to(self.out)): p.read_bytes() for p in self.out.rglob("*.parquet")}


def same_as_one_pass(found, result):
    """All columns of a table are those of `Detector.score`, bit for bit."""
    assert found["frame"].tolist() == list(range(len(result)))
    for name in ("time_s", "score", "level", "alarm"):
        np.testing.assert_array_equal(found[name], np.asarray(getattr(result, name), np.float64))
    assert set(result.terms) <= set(found)
    for name, values in result.terms.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def children_of(pid):
    """Ids of the processes that a process has started."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, tasks.read_text().split())
    return found


def alive(pid):
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
