"""A site in Prometheus' terms, read off it at every scrape.

    registry = registry_of(work)
    body, kind = rendered(registry, request.headers.get("accept", ""))

Nothing is counted here: every number is the engine's, a reader's, a courier's or the store's, so
that none can be at odds with another. Names are `oddframe_…`, units are seconds, bytes and parts of
one, the label is `camera` everywhere; there are no ids in labels.

What is not known has no sample: the score of a camera that is down, or of an engine that hangs, is
not its last one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from oddframe import __version__
from oddframe.events.event import Severity
from oddframe.events.store import StoreError
from oddframe.runtime.courier import Courier, CourierStats
from oddframe.runtime.watch.feed import Dropped
from oddframe.runtime.watch.meters import BUCKETS_S, CameraMeters, Histogram
from oddframe.runtime.watch.status import State, Status
from oddframe.web.health import Pulse

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork
    from oddframe.runtime.watch.camera import Camera

SINK_HANGS_S = 30.0
"""A sink that has been saying one message for so long is not up."""
FAULTS = ("engine", "store", "snapshot", "keep")
"""Where something can go wrong that is gone on from; counted from the start, so that rates work."""

Row = tuple[Sequence[str], float]
"""Values of the labels, and the sample."""


def registry_of(work: AtWork) -> CollectorRegistry:
    """All that /metrics says: the site, and the process that it is (memory, CPU, open files)."""
    registry = CollectorRegistry()
    registry.register(SiteCollector(work))
    ProcessCollector(registry=registry)
    return registry


def rendered(registry: CollectorRegistry, accept: str = "") -> tuple[bytes, str]:
    """The text and its content type, in the form that a scraper's `Accept` asks for."""
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


class SiteCollector(Collector):
    """Reads a site at work."""

    def __init__(self, work: AtWork) -> None:
        self._work = work

    def collect(self) -> Iterator[Metric]:
        """Every metric, as it is now."""
        now, work = time.monotonic(), self._work
        meters = work.meters.cameras  # a camera may join or leave meanwhile
        turns, there = Pulse(work).turns, work.engine.cameras.items()
        seen = [_Seen(n, c, meters[n], turns) for n, c in there if n in meters]
        yield from self._cameras(seen, now)
        yield from _histograms(seen, work.meters.inference)
        yield from self._sinks()
        yield from self._site(now)

    def _cameras(self, seen: Sequence[_Seen], now: float) -> Iterator[Metric]:
        pace = self._work.engine.pace
        yield _counter(
            "frames",
            "Frames that came, scored or not.",
            ["camera"],
            [([s.name], s.status.frames) for s in seen],
        )
        yield _counter(
            "frames_scored",
            "Frames that were looked at.",
            ["camera"],
            [([s.name], s.meters.looked) for s in seen],
        )
        yield _counter(
            "frames_dropped",
            "Frames that came and were not scored.",
            ["camera", "reason"],
            [([s.name, r], s.status.dropped.get(r, 0)) for s in seen for r in get_args(Dropped)],
        )
        yield _counter(
            "reconnects",
            "Tries to connect after the first.",
            ["camera"],
            [([s.name], s.status.reconnects) for s in seen],
        )
        yield _counter(
            "events",
            "Events by the severity that they began with.",
            ["camera", "severity"],
            [([s.name, v], s.meters.events[v]) for s in seen for v in get_args(Severity)],
        )
        yield _gauge(
            "score",
            "The last score.",
            ["camera"],
            [([s.name], s.meters.score) for s in seen if s.sees],
        )
        yield _gauge(
            "level",
            "The last score in units of the alarm's threshold.",
            ["camera"],
            [([s.name], s.meters.level) for s in seen if s.sees],
        )
        yield _gauge(
            "anomaly",
            "1 while an event is open.",
            ["camera"],
            [([s.name], s.sees and s.meters.anomaly) for s in seen],
        )
        yield _gauge(
            "source_up",
            "1 where a camera gives living pictures.",
            ["camera"],
            [([s.name], s.status.state is State.RUNNING) for s in seen],
        )
        yield _gauge(
            "source_state",
            "1 for the state that a camera's source is in, and why.",
            ["camera", "state", "why"],
            [([s.name, s.status.state.value, why_of(s.status)], 1) for s in seen],
        )
        yield _gauge(
            "scored_fps",
            "Frames scored per second, over the last ten.",
            ["camera"],
            [([s.name], s.meters.rate.read(now)) for s in seen],
        )
        yield _gauge(
            "wanted_fps", "Frames that should be scored per second.", ["camera"],
            [([s.name], pace.wanted(s.name)) for s in seen],
        )  # fmt: skip

    def _sinks(self) -> Iterator[Metric]:
        stats = dict[str, tuple[bool, CourierStats]]()
        for courier in self._work.couriers:
            try:
                found = courier.stats
            except StoreError:  # what waits is not known: no sample is better than a wrong one
                continue
            stats[courier.name] = is_up(courier, found), found
        sink = ["sink"]
        yield _gauge(
            "outbox_messages",
            "Messages that a sink is still to be told.",
            sink,
            [([n], s.backlog) for n, (_, s) in stats.items()],
        )
        yield _gauge(
            "sink_up",
            "1 where a sink took what it was told last.",
            sink,
            [([n], up) for n, (up, _) in stats.items()],
        )
        yield _counter(
            "sink_sent",
            "Messages that a sink took.",
            sink,
            [([n], s.sent) for n, (_, s) in stats.items()],
        )
        yield _counter(
            "sink_failed",
            "Tries to tell a sink that are repeated.",
            sink,
            [([n], s.failed) for n, (_, s) in stats.items()],
        )
        yield _counter(
            "sink_refused", "Messages that a sink will never take.", sink,
            [([n], s.refused) for n, (_, s) in stats.items()],
        )  # fmt: skip

    def _site(self, now: float) -> Iterator[Metric]:
        work = self._work
        clips = work.clips
        yield _counter("clips", "Clips that were written.", [], [([], clips.done)])
        yield _counter("clips_dropped", "Clips that were given up.", [], [([], clips.dropped)])
        yield _counter("clips_failed", "Clips that failed.", [], [([], clips.failed)])
        faults = {**dict.fromkeys(FAULTS, 0), **dict(work.meters.faults)}
        yield _counter(
            "faults", "What went wrong and was gone on from.", ["where"],
            [([where], n) for where, n in faults.items()],
        )  # fmt: skip
        yield _gauge(
            "load_ratio", "Share of the time that all wanted looks take; above 1 rates fall.", [],
            [([], work.engine.pace.load)],
        )  # fmt: skip
        if work.kept is not None:
            yield _gauge("store_bytes", "Of all files of the store.", [], [([], work.kept.used)])
            yield _gauge("store_limit_bytes", "That it may take.", [], [([], work.kept.cap)])
        yield _gauge("uptime_seconds", "Since the start.", [], [([], now - work.meters.started)])
        build = InfoMetricFamily("oddframe_build", "Version, and the weights that score.")
        # As a set: cameras share RUNs, and two folders may hold the same weights.
        runs = {(c.detector.info.model, c.run) for c in work.engine.cameras.values() if c.fitted}
        for model, weights in sorted(runs):
            build.add_metric([], {"version": __version__, "model": model, "run": weights})
        yield build


class _Seen:
    """One camera at the time of a scrape."""

    def __init__(self, name: str, camera: Camera, meters: CameraMeters, turns: bool) -> None:
        self.name, self.meters = name, meters
        self.status = camera.reader.status()
        self.sees = turns and sees(camera, self.status)


def sees(camera: Camera, status: Status) -> bool:
    """Whether a camera's last score is of now, as long as the engine goes round (`Pulse.turns`)."""
    return status.state is State.RUNNING and status.unsettled is None and not camera.fault


def is_up(courier: Courier, stats: CourierStats) -> bool:
    """Whether a sink takes what it is told."""
    hangs = stats.busy_s is not None and stats.busy_s > SINK_HANGS_S
    return courier.sink is not None and not stats.error and not hangs


def why_of(status: Status) -> str:
    """In one word why there are no scores, "" where nothing keeps them."""
    return status.why or status.unsettled or ""


def _histograms(seen: Iterable[_Seen], inference: Histogram) -> Iterator[Metric]:
    text = "Of one call of the model, for all cameras that it took."
    whole = HistogramMetricFamily("oddframe_inference_seconds", text, labels=[])
    _measured(whole, [], inference)
    yield whole
    text = "From the arrival of a frame to its score."
    each = HistogramMetricFamily("oddframe_end_to_end_latency_seconds", text, labels=["camera"])
    for one in seen:
        _measured(each, [one.name], one.meters.age)
    yield each


def _measured(family: HistogramMetricFamily, labels: Sequence[str], of: Histogram) -> None:
    counts, total = of.read()
    ends = [*map(floatToGoString, BUCKETS_S), "+Inf"]
    family.add_metric(labels, list(zip(ends, counts, strict=True)), total)


def _counter(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    return _filled(CounterMetricFamily(f"oddframe_{name}", text, labels=labels), rows)


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    return _filled(GaugeMetricFamily(f"oddframe_{name}", text, labels=labels), rows)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, rows: Iterable[Row]) -> Metric:
    for labels, value in rows:
        if not math.isnan(value):
            family.add_metric(labels, float(value))
    return family
