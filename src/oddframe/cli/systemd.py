"""What systemd wants to hear of a service with Type=notify: that it began, lives, and is ending.

    with supervised(lambda: the_loop_goes_round()):
        ...

Where nobody listens (a terminal, Docker) nothing happens.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def supervised(lives: Callable[[], bool]) -> Iterator[None]:
    """Say that the service is ready, then that it lives as long as `lives` says so.

    With `WatchdogSec=` systemd starts a service again that says nothing for so long: a model or a
    driver that hangs is not seen by anybody else.
    """
    over = threading.Event()
    tell("READY=1")
    every_s = watchdog_s()
    if every_s is not None:
        threading.Thread(
            target=_watch, args=(lives, every_s / 3, over), name="oddframe-watchdog", daemon=True
        ).start()
    try:
        yield
    finally:
        over.set()
        tell("STOPPING=1")


def tell(text: str) -> bool:
    """Send a line to systemd; whether there was one to send it to."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.settimeout(1.0)
        link.sendto(text.encode(), address)
        return True
    return False


def watchdog_s() -> float | None:
    """How often systemd wants to hear something, in seconds; None where it does not."""
    text, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    meant = process is None or process == str(os.getpid())
    return int(text) / 1e6 if meant and text.isdecimal() and int(text) else None


def _watch(lives: Callable[[], bool], every_s: float, over: threading.Event) -> None:
    while not over.is_set():
        if lives():
            tell("WATCHDOG=1")
        over.wait(every_s)
