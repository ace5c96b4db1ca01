"""The table of sinks: what a configuration may say, and what is said where it is wrong."""

import importlib
import subprocess
import sys

import pytest
import yaml

from oddframe import sinks
from oddframe.errors import ConfigError
from oddframe.sinks import SINKS, make_sink, sink_config
from oddframe.sinks.base import Sink, SinkConfig

GIVEN = {
    "jsonl": {"path": "/tmp/never-made/events.jsonl"},
    "webhook": {"url": "http://127.0.0.1/hook"},
    "mqtt": {"host": "127.0.0.1"},
    "frigate": {"url": "http://127.0.0.1:5000"},
    "zoneminder": {"host": "127.0.0.1", "monitors": {"gate": 1}},
    "notify": {"urls": ["json://127.0.0.1/"]},
}


@pytest.mark.parametrize("kind", SINKS)
def test_every_kind_is_made_of_the_least_that_it_needs(kind):
    entry = SINKS[kind]
    module = importlib.import_module(entry.module)
    assert issubclass(getattr(module, entry.config), SinkConfig)
    sink = make_sink({"kind": kind, **GIVEN[kind]})
    assert isinstance(sink, getattr(module, entry.sink))
    assert isinstance(sink, Sink)
    assert sink.name == kind
    assert make_sink({"kind": kind, "name": "mine", **GIVEN[kind]}).name == "mine"
    sink.close()
    sink.close()


def test_the_table_loads_no_sink():
    code = "import sys, oddframe.sinks; print([m for m in sys.modules if 'oddframe.sinks.' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["no kind", "jsonl, webhook, mqtt"]),
        ({"kind": "webhok"}, ["'webhok'", "Did you mean webhook?"]),
        ({"kind": "homeassistant"}, ["mqtt with homeassistant: true"]),
        ({"kind": "apprise"}, ["Did you mean notify?"]),
        ({"kind": "webhook", "url": "http://h/", "timeout": 3}, ["Did you mean timeout_s?"]),
        ({"kind": "webhook", "name": "w2", "url": "http://h/", "timeout_s": 0}, ["Sink w2:"]),
        ({"kind": "zoneminder", "host": "h"}, ["monitors"]),
        ({"kind": "mqtt", "prefix": "a/#"}, ["prefix", "without + and #"]),
    ],
    ids=lambda v: str(v)[:40],
)
def test_what_is_wrong_is_named_with_the_nearest(values, words):
    with pytest.raises(ConfigError) as error:
        sink_config(values)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(("kind", "package"), [("mqtt", "paho"), ("notify", "apprise")])
def test_a_missing_package_is_named_by_its_extra(kind, package, monkeypatch):
    def find(name):
        if name.split(".")[0] == package:
            if "." in name:
                raise ModuleNotFoundError(name)
            return None
        return importlib.util.find_spec(name)

    monkeypatch.setattr(sinks, "find_spec", find)
    with pytest.raises(ConfigError, match=rf"pip install 'oddframe\[{kind}\]'"):
        make_sink({"kind": kind, **GIVEN[kind]})


# ---- secrets

SECRET = "s3cr3t-t0ken"


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "webhook", "url": f"http://me:{SECRET}@127.0.0.1:1/{SECRET}", "secret": SECRET,
         "headers": {"Authorization": SECRET}},
        {"kind": "mqtt", "user": "me", "password": SECRET},
        {"kind": "frigate", "url": "http://127.0.0.1:1", "token": SECRET},
        {"kind": "notify", "urls": [f"json://me:{SECRET}@127.0.0.1:1/{SECRET}"]},
    ],
    ids=lambda v: v["kind"],
)  # fmt: skip
def test_secrets_are_never_shown(values):
    config = sink_config(values)
    for text in (repr(config), str(config), config.model_dump_json()):
        assert SECRET not in text


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "webhook", "url": [SECRET]},
        {"kind": "webhook", "url": f"gopher://{SECRET}@h/"},
        {"kind": "webhook", "url": f"http://me:{SECRET}@:/"},
        {"kind": "webhook", "url": "http://h/", "headers": {"X": f"{SECRET}\r\nY: 1"}},
        {"kind": "notify", "urls": [f"nonsense://{SECRET}"]},
        {"kind": "notify", "urls": [{SECRET: 1}]},
        {"kind": "mqtt", "password": [SECRET]},
        {"kind": "mqtt", "password": SECRET, "password_file": "/nowhere"},
    ],
    ids=str,
)
def test_secrets_are_not_in_messages_about_them(values, caplog):
    with pytest.raises(ConfigError) as error:
        make_sink(values)
    assert SECRET not in str(error.value)
    assert SECRET not in caplog.text


@pytest.mark.parametrize("pin", ["0123", "12:30", "1_000", "1234"])
def test_a_pin_without_quotes_is_refused_and_not_shown(pin):
    """YAML makes other numbers of them: 83, 750, 1000."""
    read = yaml.safe_load(f"{{kind: mqtt, password: {pin}}}")
    with pytest.raises(ConfigError, match="password: text in quotes is expected") as found:
        sink_config(read)
    assert str(read["password"]) not in str(found.value)


def test_secrets_come_from_the_environment_or_a_file(tmp_path, monkeypatch):
    from oddframe.sinks.secrets import filled, opened

    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    config = sink_config({"kind": "mqtt", "password_file": file})
    assert opened(config.password, config.password_file, "password") == SECRET

    wrote = {"kind": "mqtt", "password": "a-${ODDFRAME_TEST_SECRET}-b"}
    monkeypatch.setenv("ODDFRAME_TEST_SECRET", "${x}")  # nothing is put into what was put in
    config = sink_config(filled(wrote, "site.yaml"))
    assert opened(config.password, None, "password") == "a-${x}-b"

    monkeypatch.delenv("ODDFRAME_TEST_SECRET")
    with pytest.raises(ConfigError, match=r"site.yaml names \$\{ODDFRAME_TEST_SECRET\}, which"):
        filled(wrote, "site.yaml")
    with pytest.raises(ConfigError, match=r"password_file .* cannot be read: No such file"):
        make_sink({"kind": "mqtt", "password_file": tmp_path / "none"})
