"""The machine, its settings, its log, and who changed what.

GET /api/system           rates, drops, latencies, queues, disk, processor
GET /api/config           the site's settings without any secret
GET /api/log?limit=       the last lines of the log
GET /api/audit?limit=     who changed what

The last three are for tokens with the role admin.
"""

from __future__ import annotations

import math
import shutil
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query

from oddframe import __version__
from oddframe.errors import OddframeError
from oddframe.events.store import StoreError
from oddframe.runtime.watch.meters import BUCKETS_S, Histogram
from oddframe.sinks import sink_config
from oddframe.web.api.answers import utc
from oddframe.web.api.machine import Machine
from oddframe.web.api.ring import LINES, attached
from oddframe.web.api.system_answers import (
    AuditAnswer,
    Bucket,
    CameraLoad,
    ClipsAnswer,
    DiskAnswer,
    LineAnswer,
    LogAnswer,
    MachineAnswer,
    PaceAnswer,
    ProcessAnswer,
    SinkAnswer,
    SystemAnswer,
    TimesAnswer,
)
from oddframe.web.guard.auth import only_admin
from oddframe.web.guard.hidden import HIDDEN, hidden, within
from oddframe.web.metrics import is_up

if TYPE_CHECKING:
    from oddframe.runtime.courier import Courier
    from oddframe.runtime.watch.at_work import AtWork
    from oddframe.runtime.watch.site import SiteConfig

GREATEST = 2**63 - 1
"""The greatest id that a store can have."""


def router(work: AtWork) -> APIRouter:
    """Its part of the API of a site."""
    system, found = System(work), APIRouter(prefix="/api")
    found.add_api_route("/system", system.system)
    own = [Depends(only_admin)]
    found.add_api_route("/config", system.config, dependencies=own)
    found.add_api_route("/log", system.log, dependencies=own)
    found.add_api_route("/audit", system.audit, dependencies=own)
    return found


class System:
    """The answers, by their routes."""

    def __init__(self, work: AtWork) -> None:
        self._work, self._machine, self._ring = work, Machine(), attached()

    def system(self) -> SystemAnswer:
        """How busy it is, what comes of it, and what waits."""
        work, now, load = self._work, time.monotonic(), self._machine.now()
        uptime_s, pace = now - work.meters.started, work.engine.pace
        cameras = work.engine.cameras.values()
        return SystemAnswer(
            version=__version__, started=utc(time.time() - uptime_s), uptime_s=uptime_s,
            process=ProcessAnswer(
                cpu=load.process_cpu, memory_bytes=load.process_bytes, threads=load.threads,
                open_files=load.open_files,
            ),
            machine=MachineAnswer(
                cores=load.cores, cpu=load.cpu, waiting=load.waiting,
                memory_bytes=load.memory_bytes, free_bytes=load.free_bytes,
            ),
            disk=self._disk(),
            pace=PaceAnswer(load=pace.load, share=pace.share, look_s=pace.cost_s),
            inference=_times(work.meters.inference),
            cameras=[one for name in work.engine.cameras if (one := self._camera(name, now))],
            sinks=[_sink(courier) for courier in work.couriers],
            clips=ClipsAnswer(
                done=work.clips.done, dropped=work.clips.dropped, failed=work.clips.failed
            ),
            events_waiting=sum(camera.desk.waiting for camera in cameras),
            faults=dict(work.meters.faults),
        )  # fmt: skip

    def config(self) -> dict[str, Any]:
        """The settings that the site runs with; secrets are not among them."""
        return shown(self._work.config)

    def log(
        self, limit: Annotated[int, Query(ge=1, le=LINES, description="Lines.")] = 200
    ) -> LogAnswer:
        """The last lines of the log, the newest last; of this process alone."""
        return LogAnswer(
            lines=[
                LineAnswer(time=utc(x.t_utc), level=x.level, logger=x.logger, message=x.message)
                for x in self._ring.lines(limit)
            ]
        )

    def audit(
        self,
        limit: Annotated[int, Query(ge=1, le=1000, description="Of one page.")] = 100,
        before: Annotated[
            int | None, Query(ge=0, le=GREATEST, description="Id of the last one of a page.")
        ] = None,
    ) -> list[AuditAnswer]:
        """What was to be changed over HTTP, by whom, and what came of it; the newest first."""
        return [
            AuditAnswer(
                id=r.id, time=utc(r.t_utc), who=r.who, address=r.address, method=r.method,
                path=r.path, body=r.body, status=r.status,
            )
            for r in self._work.store.audits(limit, before)
        ]  # fmt: skip

    def _camera(self, name: str, now: float) -> CameraLoad | None:
        """One camera; None where it has left meanwhile."""
        camera = self._work.engine.cameras.get(name)
        meters = self._work.meters.cameras.get(name)
        if camera is None or meters is None:
            return None
        status, age = camera.reader.status(), meters.age
        wanted = self._work.engine.pace.wanted(name)
        return CameraLoad(
            camera=name, state=status.state.value, fps=status.fps,
            scored_fps=meters.rate.read(now), wanted_fps=wanted or None, frames=status.frames,
            scored=meters.looked, dropped={str(k): n for k, n in status.dropped.items()},
            reconnects=status.reconnects, latency_p50_s=_quantile(age, 0.5),
            latency_p95_s=_quantile(age, 0.95), latency_p99_s=_quantile(age, 0.99),
        )  # fmt: skip

    def _disk(self) -> DiskAnswer:
        kept = self._work.kept
        try:
            usage = shutil.disk_usage(self._work.store.folder)
        except OSError:
            usage = None
        return DiskAnswer(
            total_bytes=None if usage is None else usage.total,
            free_bytes=None if usage is None else usage.free,
            store_bytes=None if kept is None else kept.used,
            limit_bytes=None if kept is None else kept.cap,
            words="" if kept is None else kept.words(),
        )


def shown(config: SiteConfig) -> dict[str, Any]:
    """A site's settings as values of JSON, without any secret."""
    values = config.model_dump()
    values["sinks"] = [_settings(sink) for sink in config.sinks]
    tokens = values["web"].pop("tokens")
    found: dict[str, Any] = hidden(values)
    found["web"]["tokens"] = [
        {"name": token["name"], "role": token["role"], "hash": HIDDEN} for token in tokens
    ]
    return found


def _settings(sink: dict[str, Any]) -> dict[str, Any]:
    """Of a sink: its own model knows which are secrets, whatever they are called."""
    try:
        return sink_config(sink).model_dump()
    except OddframeError:
        return {key: sink[key] for key in ("kind", "name") if key in sink}


def _sink(courier: Courier) -> SinkAnswer:
    try:
        found = courier.stats
    except StoreError as error:
        return SinkAnswer(
            sink=courier.name, up=False, waiting=None, sent=0, failed=0, refused=0,
            words=str(error), failing_s=None, busy_s=None,
        )  # fmt: skip
    return SinkAnswer(
        sink=courier.name, up=is_up(courier, found),
        waiting=found.backlog, sent=found.sent, failed=found.failed, refused=found.refused,
        words=within(found.error), failing_s=found.failing_s, busy_s=found.busy_s,
    )  # fmt: skip


def _times(of: Histogram) -> TimesAnswer:
    counts, total_s = of.read()
    ends = [*BUCKETS_S, None]
    return TimesAnswer(
        count=counts[-1], mean_s=total_s / counts[-1] if counts[-1] else None,
        p50_s=_quantile(of, 0.5), p95_s=_quantile(of, 0.95), p99_s=_quantile(of, 0.99),
        buckets=[Bucket(le_s=end, count=n) for end, n in zip(ends, counts, strict=True)],
    )  # fmt: skip


def _quantile(of: Histogram, share: float) -> float | None:
    found = of.quantile(share)
    return found if found is not None and math.isfinite(found) else None
