"""ZoneMinder's trigger: its lines, and that a line counts once it was read."""

import socket
import threading
import time

import pytest
from overthere import told

from oddframe.sinks import make_sink
from oddframe.sinks.base import Later, Refused
from oddframe.sinks.zoneminder import line


class Trigger:
    """zmtrigger.pl: reads lines, says nothing, closes a connection after it was closed."""

    def __init__(self, reads=True):
        self.lines = []
        self.reads = reads
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            if not self.reads:
                time.sleep(1)
                peer.close()
                continue
            with peer:
                text = b""
                peer.sendall(b"7|on|1789000000|12\n")  # it tells everybody of its own alarms
                while data := peer.recv(4096):
                    text += data
                self.lines += [tuple(x.split("|")) for x in text.decode().split("\n") if x]

    def close(self):
        self._server.close()


@pytest.fixture
def trigger(opened):
    return opened(Trigger)


def zoneminder(port, **settings):
    return make_sink(
        {"kind": "zoneminder", "host": "127.0.0.1", "port": port, "monitors": {"gate": 3}}
        | {"timeout_s": 0.5, **settings}
    )


def test_an_event_switches_its_monitor_on_and_off(trigger):
    sink = zoneminder(trigger.port, most_s=120)
    now = time.time()
    receipts = sink.send(told(at=now))
    sink.send(told("update", now, receipts=receipts, severity="alert", peak_level=4.0))
    sink.send(told("end", now, receipts=receipts))
    assert trigger.lines == [
        ("3", "on+120", "200", "oddframe", "moves 3 times as fast as anything here",
         "detection 2.0"),
        ("3", "on+120", "255", "oddframe", "moves 3 times as fast as anything here", "alert 4.0"),
        ("3", "cancel", "0", "", "", ""),
    ]  # fmt: skip


def test_an_end_without_a_start_says_nothing(trigger):
    zoneminder(trigger.port).send(told("end", time.time()))
    assert not trigger.lines


def test_what_would_part_fields_or_lines_is_taken_out():
    event = told(reasons=('a|b\nc\r\x00"d"', "ü" * 300), peak_level=1e9).event
    text = line(3, event, 60)
    assert text.count("|") == 5
    assert not set(text) & set('\r\n\x00"')
    fields = text.split("|")
    assert len(fields[4].encode()) <= 256
    assert fields[4].startswith("a b c d ; ü")
    assert fields[2] == "255"


def test_a_start_that_is_too_late_is_refused_and_an_end_is_not(trigger):
    sink = zoneminder(trigger.port)
    with pytest.raises(Refused, match="began 90 s ago"):
        sink.send(told(at=time.time() - 90))
    sink.send(told("end", time.time() - 90, receipts={"on": True}))
    assert [x[1] for x in trigger.lines] == ["cancel"]


def test_a_camera_without_a_monitor_is_refused(trigger):
    with pytest.raises(Refused, match="camera yard: monitors has gate"):
        zoneminder(trigger.port).send(told(at=time.time(), camera="yard"))


def test_a_line_that_nobody_read_isnt_taken_for_said(opened):
    deaf = opened(Trigger, reads=False)
    with pytest.raises(Later, match=r"didn't read the message within 0\.5 s"):
        zoneminder(deaf.port).send(told(at=time.time()))
    deaf.close()
    with pytest.raises(Later, match="OPT_TRIGGERS"):
        zoneminder(deaf.port).send(told(at=time.time()))
