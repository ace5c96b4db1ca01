"""What the API answers about the system: models, times as in `answers`, sizes in bytes."""

from __future__ import annotations

from datetime import datetime

from oddframe.web.api.answers import Answer, SourceState


class ProcessAnswer(Answer):
    """The process that watches."""

    cpu: float
    """Cores that it keeps busy: 1.5 is one and a half."""
    memory_bytes: int | None
    threads: int | None
    open_files: int | None


class MachineAnswer(Answer):
    """The machine that it runs on; null: not known."""

    cores: int
    """That the process may use."""
    cpu: float | None
    """Share of all cores that is busy, 0 to 1."""
    waiting: float | None
    """Processes that ran or wanted to, over the last minute."""
    memory_bytes: int | None
    free_bytes: int | None
    """Of it, what could be had without swapping."""


class DiskAnswer(Answer):
    """The disk of the store."""

    total_bytes: int | None
    """Null: it cannot be asked."""
    free_bytes: int | None
    store_bytes: int | None
    """All files of the store, as they were last counted; null before the first time."""
    limit_bytes: int | None
    """That these may take."""
    words: str
    """What somebody should know of it, "" where all is as it should be."""


class PaceAnswer(Answer):
    """Whether there is time for all looks."""

    load: float
    """Share of the time that all wanted looks take; above 1 there is not enough."""
    share: float
    """Of the wanted looks, the share that there is time for; 1: all."""
    look_s: float
    """Seconds that one look takes; 0 before the first."""


class Bucket(Answer):
    """Measurements that took no longer."""

    le_s: float | None
    """In seconds; null: all of them."""
    count: int


class TimesAnswer(Answer):
    """How long something took: count, mean and buckets since the start."""

    count: int
    mean_s: float | None
    p50_s: float | None
    """Half of the last five to ten minutes' took no longer; null: there was none, or over 10 s."""
    p95_s: float | None
    p99_s: float | None
    buckets: list[Bucket]


class CameraLoad(Answer):
    """One camera in numbers."""

    camera: str
    state: SourceState
    fps: float
    """Frames per second that it gives."""
    scored_fps: float
    """That are scored, over the last ten seconds."""
    wanted_fps: float | None
    """That should be; null: none, it has no RUN."""
    frames: int
    scored: int
    dropped: dict[str, int]
    """Frames that were not scored, by reason."""
    reconnects: int
    latency_p50_s: float | None
    """From the arrival of a frame to its score, over the last five to ten minutes; null: there was
    none, or over 10 s."""
    latency_p95_s: float | None
    latency_p99_s: float | None


class SinkAnswer(Answer):
    """One of those who are told."""

    sink: str
    up: bool
    """It took what it was told last."""
    waiting: int | None
    """Messages that it is still to be told; null: the store cannot be read."""
    sent: int
    failed: int
    """Tries that are repeated."""
    refused: int
    """Messages that it will never take."""
    words: str
    """The last trouble, "" while there is none."""
    failing_s: float | None
    """For how long it has been in trouble."""
    busy_s: float | None
    """How long the message under way has been so."""


class ClipsAnswer(Answer):
    """Videos of events."""

    done: int
    dropped: int
    """Given up."""
    failed: int


class SystemAnswer(Answer):
    """How all of it is."""

    version: str
    started: datetime
    uptime_s: float
    process: ProcessAnswer
    machine: MachineAnswer
    disk: DiskAnswer
    pace: PaceAnswer
    inference: TimesAnswer
    """Of one call of the model, for all cameras that it took."""
    cameras: list[CameraLoad]
    sinks: list[SinkAnswer]
    clips: ClipsAnswer
    events_waiting: int
    """Events that wait in memory for the disk."""
    faults: dict[str, int]
    """What went wrong and was gone on from, by where."""


class LineAnswer(Answer):
    """A line of the log."""

    time: datetime
    level: str
    logger: str
    message: str


class LogAnswer(Answer):
    """The last lines, the newest last."""

    lines: list[LineAnswer]


class AuditAnswer(Answer):
    """A request that was to change something."""

    id: int
    """Greater of later ones."""
    time: datetime
    who: str
    """Name of the token, "here" where none is needed, "" where a wrong one was sent."""
    address: str
    method: str
    path: str
    body: str
    """What was sent, cut, without secrets."""
    status: int
    """Of the answer; 0: the caller was gone."""
