"""One word for what is wrong with a source."""

import av
import pytest

from oddframe.errors import SourceError
from oddframe.sources.stamps import RECENT, Usual
from oddframe.sources.why import Trouble, as_trouble, said, why_of


def refused(address):
    with pytest.raises((av.error.FFmpegError, OSError)) as error:
        av.open(address, timeout=(2, 2))
    return error.value


def test_what_ffmpeg_and_the_system_say():
    assert why_of(refused("tcp://u:s3cr3t@127.0.0.1:9")) == "connection_failed"
    assert why_of(refused("/no/such/file.mp4")) == "not_found"
    assert why_of(TimeoutError()) == "timeout"
    assert why_of(av.error.HTTPUnauthorizedError(1, "x")) == "auth_failed"
    assert why_of(av.error.InvalidDataError(1, "x")) == "codec_unsupported"
    assert why_of(av.error.EOFError(1, "x")) == "ended"
    assert why_of(Trouble("frozen", "x")) == "frozen"
    assert why_of(ZeroDivisionError()) == "connection_failed"


def test_no_address_is_in_what_is_said():
    error = refused("tcp://u:s3cr3t@127.0.0.1:9")
    assert said(error, 2) == "Connection refused"
    assert said(TimeoutError("tcp://u:s3cr3t@h"), 2.5) == "nothing answered within 2.5 s"
    assert said(SourceError("it holds no video"), 2) == "it holds no video"
    assert "password" in said(av.error.HTTPUnauthorizedError(1, "http://u:s3cr3t@h"), 2)


def test_an_error_keeps_the_word_that_it_has():
    trouble = Trouble("silent", "gate gave no picture")
    assert as_trouble(trouble) is trouble
    assert as_trouble(SourceError("x")).why == "connection_failed"
    assert str(trouble) == "gate gave no picture"


def test_the_usual_step_follows_a_rate_that_changes_and_no_pause():
    usual = Usual(0.04)
    for _ in range(30):
        usual.take(0.1)
    usual.take(60.0)
    assert usual.step_s == 0.1
    for _ in range(RECENT // 2 + 1):
        usual.take(0.5)
    assert usual.step_s == 0.5
