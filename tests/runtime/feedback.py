"""What "that was normal" does: `python tests/runtime/feedback.py RUN NORMAL --test ROOT --json F`.

NORMAL is footage of the scene in which nothing odd happens (a folder of videos, in order of their
names; with --training the training clips of a data set). It is watched by two who share every call
of the model: with one nobody ever says anything, with the other whoever looks says of every event,
as soon as it is over, that it was normal. After --judge videos (by default half of them) nobody
says anything to the second one either. Then both watch the test clips of ROOT, which have labels.

Printed: false events (and frames in alarm) of both, video by video with the verdicts so far, and
per day in the two parts of the footage; of the test clips how many abnormal stretches have an
event, how many events touch none, how many abnormal frames are in alarm, and the micro AUC of the
frames' scores. The threshold stays what it is (--threshold, or
--share of the RUN's), so that what is seen is what the exemplars do.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from oddframe import load
from oddframe.data import open_dataset
from oddframe.data.dataset import Video
from oddframe.data.labels import frame_labels
from oddframe.events.event import Event
from oddframe.events.rules import Rules
from oddframe.events.store import Store
from oddframe.events.tracker import Tracker
from oddframe.metrics import frame_auc
from oddframe.metrics.events import runs
from oddframe.runtime.detector import Detector
from oddframe.runtime.watch.album import Album, Glance
from oddframe.runtime.watch.desk import Look, moment
from oddframe.runtime.watch.feed import LiveFrame
from oddframe.runtime.watch.pardons import Pardons
from oddframe.scoring.seen import Observation, ScorerState
from oddframe.types import Frame

BEGIN, WEIGHTS = 1_800_000_000.0, "feedback"


class Watcher:
    """A camera's tracker, pardons and album, with a store of its own."""

    def __init__(
        self, name: str, detector: Detector, threshold: float, store: Store, rules: Rules
    ) -> None:
        self.name, self.detector, self.threshold, self.store = name, detector, threshold, store
        known = (name, WEIGHTS, store, rules.keep_level)
        self.pardons, self.album = Pardons(*known), Album(*known)
        self.tracker = Tracker(name, rules, run=WEIGHTS)
        self.judges, self.verdicts = False, 0
        self.smooth: float | None = None
        self.over: list[Event] = []
        self.scores: list[float] = []

    @property
    def alarmed(self) -> int:
        """Frames of this video at or above the threshold."""
        return sum(score >= self.threshold for score in self.scores)

    def begin(self) -> None:
        """Another video."""
        self.smooth, self.over, self.scores = None, [], []

    def frame(self, state: ScorerState, seen: Observation | None, frame: Frame, t: float) -> None:
        """One look at a frame, as the model saw it."""
        live = LiveFrame(frame.index, t, frame.picture, t_utc=t)  # stamps grow over all videos
        self.pardons.interest = self.album.interest
        self.pardons.expect(live, self.threshold)
        own = replace(state, pardon=self.pardons, smooth=self.smooth)
        scorer = self.detector.scorer
        after, score = scorer.score(own, seen, frame.pts_s)
        self.smooth = after.smooth
        self.scores.append(score.score)
        level = max(score.score, 0.0) / self.threshold if seen is not None else float("nan")
        score = replace(score, level=level)
        spots = self.pardons.taken()
        size = (frame.image.shape[1], frame.image.shape[0])
        told = self.tracker.take(moment(Look(frame.picture, t, t, score, self.threshold, *size)))
        self._tell(told)
        opened = self.tracker.open is not None
        self.album.take(Glance(t, level, frame.picture, spots), opened)

    def end(self) -> None:
        """The video is over."""
        self._tell(self.tracker.close("lost"))
        self.album.clear()
        self.pardons.tend()

    def _tell(self, told: list[Event]) -> None:
        for event in told:
            self.store.put(event)
            self.album.told(event)
            if event.state != "end":
                continue
            self.over.append(event)
            if self.judges:
                self.store.verdict(event.id, "false_alarm")
                self.pardons.tend()
                self.verdicts += 1


def watch(detector: Detector, video: Video, watchers: list[Watcher], at: float) -> float:
    """One video by all of them; its length in seconds."""
    for watcher in watchers:
        watcher.begin()
    state, first, last = detector.init_state(), None, 0.0
    with video.open() as source:
        for frame, looks in detector.looks(source):
            first = frame.pts_s if first is None else first
            last = frame.pts_s - first
            if frame.gap:
                state = detector.scorer.restart(state)
            for look in looks[-1:]:  # one score a frame
                for each in looks[:-1]:
                    state, _ = detector.scorer.observe(state, each)
                state, seen = detector.scorer.observe(state, look)
                for watcher in watchers:
                    watcher.frame(state, seen, frame, at + last)
    for watcher in watchers:
        watcher.end()
    return last


def normal_part(detector: Detector, videos: list[Video], watchers: list[Watcher], judge: int):
    """Watch normal footage; rows of what each video brought."""
    rows, at = [], BEGIN
    for number, video in enumerate(videos):
        watchers[1].judges = number < judge
        seconds = watch(detector, video, watchers, at)
        at += seconds + 60
        rows.append({
            "video": video.name, "seconds": seconds, "judged": number < judge,
            "nobody": len(watchers[0].over), "somebody": len(watchers[1].over),
            "nobody_frames": watchers[0].alarmed, "somebody_frames": watchers[1].alarmed,
            "verdicts": watchers[1].verdicts, "exemplars": len(watchers[1].pardons),
        })  # fmt: skip
        print("  {video}: {seconds:.0f} s, false events {nobody} and {somebody}, frames in alarm "
              "{nobody_frames} and {somebody_frames}, {verdicts} verdicts".format(**rows[-1]),
              flush=True)  # fmt: skip
    watchers[1].judges = False
    return rows


def per_day(rows: list[dict], key: str) -> float | None:
    """Events in 24 hours."""
    seconds = sum(row["seconds"] for row in rows)
    return None if not seconds else 86400 * sum(row[key] for row in rows) / seconds


def test_part(detector: Detector, root: Path, watchers: list[Watcher]) -> dict:
    """Watch labelled clips."""
    dataset, at = open_dataset(root), BEGIN + 1e8
    truth = frame_labels(dataset)
    keys = ("found", "of", "false", "hit_frames", "abnormal_frames")
    out = {w.name: {**dict.fromkeys(keys, 0), "scores": [], "labels": []} for w in watchers}
    for video in dataset.test:
        labels = truth[video.name]
        length = watch(detector, video, watchers, at)
        step = length / max(1, len(labels) - 1)
        for watcher in watchers:
            own = out[watcher.name]
            spans = [((e.start_utc - at) / step, (e.end_utc - at) / step) for e in watcher.over]
            own["of"] += len(runs(labels))
            for first, stop in runs(labels):
                own["found"] += any(a < stop and b >= first for a, b in spans)
            for a, b in spans:
                inside = labels[max(0, int(a)) : int(b) + 2]
                own["false"] += not inside.any()
            scores = np.array(watcher.scores)
            kept = np.isfinite(scores)
            own["hit_frames"] += int(((scores >= watcher.threshold) & labels[: len(scores)]).sum())
            own["abnormal_frames"] += int(labels.sum())
            own["scores"].append(scores[kept])
            own["labels"].append(labels[: len(scores)][kept])
        at += length + 60
        print(f"  {video.name}: events {[len(w.over) for w in watchers]}", flush=True)
    for own in out.values():
        own["auc"] = frame_auc(own.pop("scores"), own.pop("labels"))
    return out


def main() -> None:
    """See the head of this file."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("run")
    parse.add_argument("normal")
    parse.add_argument("--training", action="store_true", help="NORMAL is a data set")
    parse.add_argument("--test", type=Path)
    parse.add_argument("--threshold", type=float)
    parse.add_argument("--share", type=float, default=1.0)
    parse.add_argument("--judge", type=int)
    parse.add_argument("--videos", type=int, help="no more than so many, evenly spread")
    parse.add_argument("--merge-gap", type=float, default=10.0, help="of events, in seconds")
    parse.add_argument("--json", type=Path)
    given = parse.parse_args()
    detector = load(given.run)
    threshold = given.threshold or given.share * detector.info.threshold
    videos = list(open_dataset(given.normal).train)
    if given.videos:
        videos = [videos[i] for i in np.linspace(0, len(videos) - 1, given.videos).astype(int)]
    judge = len(videos) // 2 if given.judge is None else given.judge
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        rules = Rules(merge_gap_s=given.merge_gap)
        names = ("nobody", "somebody")
        watchers = [Watcher(name, detector, threshold, store, rules) for name in names]
        print(f"threshold {threshold:.3g}; {len(videos)} videos, of {judge} events are judged")
        rows = normal_part(detector, videos, watchers, judge)
        out = {"threshold": threshold, "rows": rows, "false_per_day": {
            part: {key: per_day([r for r in rows if r["judged"] == judged], key)
                   for key in ("nobody", "somebody", "nobody_frames", "somebody_frames")}
            for part, judged in (("judged", True), ("after", False))
        }}  # fmt: skip
        exemplars = store.exemplars("somebody")
        out["exemplars"] = {"kept": len(exemplars), "silenced": sum(e.silenced for e in exemplars)}
        if given.test:
            out["test"] = test_part(detector, given.test, watchers)
    print(json.dumps({k: v for k, v in out.items() if k != "rows"}, indent=1))
    if given.json:
        given.json.write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
