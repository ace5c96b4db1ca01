"""A connection to an MQTT broker that comes back by itself, and what its answers mean (paho-mqtt).

The library's thread reconnects, and sends again what the broker hasn't acknowledged. So nothing is
published while there is no connection, and what is under way when one dies is waited for and not
published a second time: the order that messages were said in is the order that they arrive in.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oddframe.sinks.base import Later

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger("oddframe.sinks.broker")

CONNECT_S = 1.0
"""Waited for a connection before `Later`; it is made in the background all the while."""
RECONNECT_S = (1, 30)
"""First and longest pause between tries to connect."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is and how it is spoken to."""

    host: str
    port: int
    client_id: str
    user: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None
    keepalive_s: int = 30
    """The broker takes a silent client for dead after one and a half times that."""

    @property
    def where(self) -> str:
        """For messages."""
        return f"The broker {self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Say:
    """One message to publish."""

    topic: str
    payload: str | bytes
    retain: bool = False


class Broker:
    """Publishes and hears; made by one thread, `say` may be called by any."""

    def __init__(
        self,
        address: Address,
        will: Say,
        connected: Callable[[], None],
        heard: Callable[[str, bytes, bool], None],
    ) -> None:
        """Nothing is connected yet.

        Args:
            address: Where it is.
            will: Said by the broker when the connection dies without a goodbye.
            connected: Called by the library's thread after each connect.
            heard: Called by it with topic, payload, and whether that was a retained one.
        """
        self._address = address
        self._connected = connected
        self._heard = heard
        self._trouble = ""
        self._news = threading.Condition()
        self._linked = False  # the library's own state lags behind where a ping isn't answered
        self._acknowledged: set[int] | None = None  # collected while somebody waits for them
        self._client = self._made(will)
        self._running = False

    def _made(self, will: Say) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, client_id=self._address.client_id)
        if self._address.user:
            client.username_pw_set(self._address.user, self._address.password)
        if self._address.tls is not None:
            client.tls_set_context(self._address.tls)
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.reconnect_delay_set(*RECONNECT_S)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    @property
    def up(self) -> bool:
        """Connected, and let in."""
        return self._linked

    def start(self) -> None:
        """Connect, or see that it is.

        Raises:
            Later: not within `CONNECT_S`; it goes on trying.
        """
        if not self._running:
            a = self._address
            self._client.connect_async(a.host, a.port, keepalive=a.keepalive_s)
            self._client.loop_start()
            self._running = True
        with self._news:
            self._news.wait_for(lambda: self.up or self._trouble, CONNECT_S)
        if not self.up:
            why = self._trouble or "cannot be reached: check host and port, and that it runs"
            raise Later(f"{self._address.where} {why}.")

    def say(self, message: Say, qos: int = 1) -> int:
        """Hand one over to be sent, without waiting; gives the number to wait for."""
        return self._client.publish(message.topic, message.payload, qos, message.retain).mid

    def hear(self, topics: Sequence[str]) -> None:
        """Subscribe; forgotten by the broker with the connection."""
        for topic in topics:
            self._client.subscribe(topic, qos=1)

    def expect(self) -> None:
        """Collect acknowledgements from now on: those of before have the same numbers."""
        with self._news:
            self._acknowledged = set()

    def settled(self, numbers: set[int], timeout_s: float) -> None:
        """Wait until the broker has acknowledged all of them, since `expect`.

        Raises:
            Later: it hasn't within `timeout_s`, or the connection died.
        """
        until = time.monotonic() + timeout_s
        with self._news:
            while not numbers <= (self._acknowledged or set()):
                if not self.up:
                    raise Later(f"{self._address.where} was lost before it took the message.")
                left = until - time.monotonic()
                if left <= 0:
                    raise Later(
                        f"{self._address.where} didn't take the message within {timeout_s:g} s."
                    )
                self._news.wait(left)
            self._acknowledged = None

    def stop(self, last: Say, timeout_s: float = 1.0) -> None:
        """Say a last thing, if it can be heard, and disconnect with a goodbye."""
        if not self._running:
            return
        self._running = False
        if self.up:
            self.expect()
            with contextlib.suppress(Later):
                self.settled({self.say(last)}, timeout_s)
        self._client.disconnect()
        # The library's thread may be in a connect of seconds: it is not waited for.
        ending = threading.Thread(target=self._client.loop_stop, name="oddframe-mqtt", daemon=True)
        ending.start()
        ending.join(timeout_s / 2)

    def _on_connect(
        self, client: Client, userdata: Any, flags: Any, reason: ReasonCode, properties: Any
    ) -> None:
        refused = f"refused the connection ({reason}): check user and password"
        if not reason.is_failure:
            self._connected()
        with self._news:
            self._trouble = refused if reason.is_failure else ""
            self._linked = not reason.is_failure
            self._news.notify_all()

    def _on_disconnect(self, *_: Any) -> None:
        with self._news:
            self._linked = False
            self._news.notify_all()

    def _on_publish(self, client: Client, userdata: Any, mid: int, *_: Any) -> None:
        with self._news:
            if self._acknowledged is not None:
                self._acknowledged.add(mid)
                self._news.notify_all()

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        try:
            self._heard(message.topic, bytes(message.payload), message.retain)
        except Exception:  # it would end the library's thread, and with it the connection
            log.exception("what was heard on %s could not be followed", message.topic)
