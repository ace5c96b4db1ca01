"""Servers that stand for the other side, closed when a test is over."""

import subprocess

import pytest
from overthere import Frigate, Gate, Http, Listener, Mosquitto, mosquitto


@pytest.fixture
def opened():
    """`opened(Http, …)` makes one of `overthere`; all are closed at the end."""
    made = []

    def make(kind, *args, **kwargs):
        made.append(kind(*args, **kwargs))
        return made[-1]

    yield make
    for one in reversed(made):
        one.close() if not isinstance(one, Mosquitto) else one.kill()


@pytest.fixture
def http_server(opened):
    """`http_server(answer)`: an HTTP server; `answer(request)` gives status, body, headers."""
    return lambda answer=None, context=None: opened(Http, answer, context)


@pytest.fixture
def frigate(opened):
    """`frigate(…)`: the stand-in for Frigate's API."""
    return lambda **settings: opened(Frigate, **settings)


@pytest.fixture
def broker(opened, tmp_path):
    """`broker(settings="")`: a real mosquitto; the test is skipped where there is none."""
    if mosquitto() is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    return lambda settings="": opened(Mosquitto, tmp_path, settings)


@pytest.fixture
def listen(opened):
    """`listen(port, topics=("#",))`: a client of a broker that writes down what it hears."""
    return lambda *args, **kwargs: opened(Listener, *args, **kwargs)


@pytest.fixture
def gate(opened):
    """`gate(port)`: a wire to a server that can be cut."""
    return lambda port: opened(Gate, port)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """PEM of a certificate for 127.0.0.1 and its key, made by openssl."""
    pem = tmp_path_factory.mktemp("tls") / "both.pem"
    key = pem.with_name("key.pem")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", pem, "-days", "2", "-subj", "/CN=test",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl is not installed or too old")
    pem.write_bytes(pem.read_bytes() + key.read_bytes())
    return pem
