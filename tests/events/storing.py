"""Events for tests of the store, and clocks that go when they are told to."""

from dataclasses import replace

from oddframe.events.event import Box, Event

T0 = 1_789_000_000.0


def an_event(index=0, *, camera="gate", severity="alert", at=None, **more):
    """The start of an event; `index` makes it another one, ten seconds later."""
    start = T0 + 10 * index if at is None else at
    values = {
        "id": f"{start:.6f}-{index:06x}", "camera": camera, "state": "start", "severity": severity,
        "start_utc": start, "end_utc": None, "peak_utc": start + 0.5, "peak_level": 1.25,
        "peak_score": 5.0, "threshold": 4.0, "width": 1280, "height": 720,
        "zones": ("door", "yard"), "boxes": (Box(10, 20, 300, 200), Box(5, 6, 7, 8)),
        "reasons": ("moves 3 times as fast as anything here",),
        "streams": {"motion": 6.5, "model": 1.0}, "run": "a1b2c3",
    }  # fmt: skip
    return Event(**{**values, **more})


def update(event, level):
    return replace(event, state="update", peak_level=level, peak_score=level * event.threshold)


def end(event, seconds=3.0, why="calm"):
    return replace(event, state="end", end_utc=event.start_utc + seconds, ended=why)


class Clock:
    """Seconds that pass only when they are added."""

    def __init__(self, now=0.0):
        self.now = now

    def __call__(self):
        return self.now

    def __iadd__(self, seconds):
        self.now += seconds
        return self


def told(store, sink):
    """Deliver all that is due for a sink; the keys in their order."""
    keys = []
    while waiting := store.due(sink):
        keys.append(waiting.key.split("/", 1)[1])
        store.done(waiting)
    return keys
