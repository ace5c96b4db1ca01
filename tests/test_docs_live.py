"""docs/live.md: what it tells people to type and to copy is what there is."""

from __future__ import annotations

import importlib.util
import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import typer
import yaml

from oddframe.cli import build_app
from oddframe.events.event import Event
from oddframe.events.zones import Zone
from oddframe.runtime.watch.feed import Dropped
from oddframe.runtime.watch.site import DetectConfig, StoreConfig, load_site
from oddframe.sinks import SINKS, sink_config
from oddframe.sinks.frigate import LABEL
from oddframe.sinks.homeassistant import discovery
from oddframe.sinks.shape import shape
from oddframe.sinks.topics import Topics
from oddframe.sinks.webhook import payload

REPO = Path(__file__).resolve().parents[1]
TEXT = (REPO / "docs" / "live.md").read_text("utf-8")
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", TEXT)
YAML = [body for kind, body in BLOCKS if kind == "yaml"]
SITES = [body for body in YAML if body.startswith("# site.yaml\n")]


def titled(start):
    """The one YAML block that begins with a comment."""
    [found] = [body for body in YAML if body.startswith(f"# {start}")]
    return found


# ---- sites


def test_every_yaml_block_says_whose_it_is():
    heads = {body.splitlines()[0] for body in YAML}
    assert heads == {
        "# site.yaml", "# Home Assistant: automations.yaml", "# Frigate: config.yml",
        "# prometheus.yml",
    }  # fmt: skip
    assert len(SITES) >= 8


@pytest.mark.parametrize(
    "switched_on", [False, True], ids=["as it is", "with what is switched off"]
)
@pytest.mark.parametrize("body", SITES, ids=range(len(SITES)))
def test_every_site_loads(body, switched_on, tmp_path, monkeypatch):
    """What a block leaves out of a whole site is the page's first one."""
    for name in re.findall(r"\$\{(\w+)\}", body + SITES[0]):
        monkeypatch.setenv(name, "placeholder-of-24-letters")
    if switched_on:
        body = re.sub(r"(?m)^( *)#(?=[a-z])", r"\1", body)
    whole = {**yaml.safe_load(SITES[0]), **yaml.safe_load(body)}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(whole))
    site = load_site(tmp_path / "site.yaml")
    for values in site.sinks:
        needs = SINKS[values["kind"]].needs
        if needs and importlib.util.find_spec(needs.split(".")[0]) is None:
            pytest.skip(f"{needs} is not installed: its sink cannot be read")
        config = sink_config(values)
        if config.kind == "jsonl":  # "all paths are relative to this file"
            assert config.path == tmp_path / "events.jsonl"


def test_all_kinds_of_sinks_are_shown():
    shown = {sink["kind"] for body in SITES for sink in yaml.safe_load(body).get("sinks", ())}
    assert shown == set(SINKS)


@pytest.mark.parametrize(
    ("config", "text"), [(DetectConfig, "key of `detect`"), (StoreConfig, "key of `store`")],
    ids=["detect", "store"],
)  # fmt: skip
def test_the_tables_of_settings_have_every_key_and_its_default(config, text):
    [table] = re.findall(rf"(?m)^\| {text} .*\n(?:\|.*\n)+", TEXT)
    for name, field in config.model_fields.items():
        [row] = [line for line in table.splitlines() if f"`{name}`" in line.split("|")[1]]
        if isinstance(field.default, bool):
            assert str(field.default).lower() in row
        elif isinstance(field.default, float):
            assert re.search(rf"\b{field.default:g}\b", row), row
    named = set(re.findall(r"`(\w+)`", "".join(r.split("|")[1] for r in table.splitlines()[2:])))
    assert named == set(config.model_fields)


def test_the_settings_of_clips_are_named():
    [row] = [line for line in TEXT.splitlines() if line.startswith("| `clip` |")]
    clip = StoreConfig().clip
    assert all(f"`{name}`" in row for name in type(clip).model_fields)
    says = (
        f"{clip.before_s:g} s before and after, {clip.longest_s:g} s at most, {clip.fps:g} frames"
    )
    assert says in row
    assert clip.before_s == clip.after_s


def test_zones_take_what_the_page_says_of_them():
    assert {"alert_level", "unit", "severity"} <= set(Zone.model_fields)


# ---- commands


def commands():
    """(verb, options) of every line of a shell block, and of every `oddframe …` in the text."""
    shell = "\n".join(body for kind, body in BLOCKS if kind == "sh").replace("\\\n", " ")
    lines = re.findall(r"(?m)^oddframe [^#\n]*", shell) + re.findall(r"`(oddframe [^`]+)`", TEXT)
    for line in lines:
        words = line.split()
        if re.fullmatch(r"[a-z-]+", words[1] if len(words) > 1 else ""):
            yield words[1:], re.findall(r"--[a-z-]+", line)


def test_every_command_and_option_exists():
    app = typer.main.get_command(build_app())
    found = list(commands())
    assert {words[0] for words, _ in found} >= {"fit", "calibrate", "watch", "serve", "data"}
    for words, options in found:
        command = app.commands.get(words[0])
        assert command is not None, words
        if hasattr(command, "commands"):  # typer's own click, or the package
            command = command.commands[words[1]]
        known = {name for option in command.params for name in option.opts}
        assert set(options) <= known, (words, set(options) - known)


def test_options_in_the_text_are_of_some_verb():
    app = typer.main.get_command(build_app())
    verbs = [app.commands[name] for name in ("watch", "serve", "fit", "calibrate")]
    known = {name for verb in verbs for option in verb.params for name in option.opts}
    prose = re.sub(r"(?ms)^```.*?^```$", "", TEXT)
    named = set(re.findall(r"`(--[a-z-]+)", prose))
    assert "--realtime" in named
    assert named <= known


def test_the_extras_are_the_projects():
    [extras] = re.findall(r"'\.\[([a-z,]+)\]'", TEXT)
    import tomllib

    known = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)


def test_files_that_are_named_are_there():
    for target in re.findall(r"\]\((\.\.?/[^)#]+|[a-z-]+\.md)", TEXT):
        assert (REPO / "docs" / target).exists(), target
    heads = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-")
             for h in re.findall(r"(?m)^#+ (.*)$", TEXT)}  # fmt: skip
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= heads


# ---- what others are told


def test_every_metric_is_named_and_no_other():
    source = (REPO / "src/oddframe/web/metrics.py").read_text()
    counters = set(re.findall(r'_counter\(\s*"(\w+)"', source))
    gauges = set(re.findall(r'_gauge\(\s*"(\w+)"', source))
    own = set(re.findall(r'MetricFamily\("oddframe_(\w+)"', source))
    assert len(counters) > 8
    assert len(gauges) > 8
    assert own == {"build", "inference_seconds", "end_to_end_latency_seconds"}
    known = {f"oddframe_{n}_total" for n in counters} | {f"oddframe_{n}" for n in gauges | own}
    known = known - {"oddframe_build"} | {"oddframe_build_info"}
    [table] = re.findall(r"(?m)^\| metric .*\n(?:\|.*\n)+", TEXT)
    rows = set(re.findall(r"`(oddframe_\w+)`", table))
    assert rows == known
    lower = set(re.findall(r"\boddframe_[a-z_]+\b", TEXT)) - rows
    ids = {"oddframe_gate", *(n for n in lower if n.startswith("oddframe_gate_"))}
    assert lower <= ids, "a metric in the text that there is not"
    for reason in Dropped.__args__:
        assert f"`{reason}`" in table


def test_every_topic_is_named_and_no_other():
    topics = Topics("oddframe")
    known = {topics.available, topics.events}
    for name in ("anomaly", "attributes", "alarm", "snapshot", "status", "score", "armed", "arm"):
        known.add(getattr(topics, name)("CAMERA"))
    [table] = re.findall(r"(?m)^\| topic .*\n(?:\|.*\n)+", TEXT)
    assert set(re.findall(r"(?m)^\| `([^`]+)`", table)) == known


def test_home_assistant_knows_the_entities():
    _, made = discovery("gate", Topics("oddframe"), "homeassistant")
    ids = {part["default_entity_id"] for part in made["components"].values()}
    named = set(re.findall(r"\b(?:binary_sensor|sensor|event|image|switch)\.oddframe_\w+", TEXT))
    assert named == ids


def test_the_automation_reads_what_is_published():
    [automation] = yaml.safe_load(titled("Home Assistant"))
    assert automation["triggers"][0]["topic"] == Topics("oddframe").events
    event = Event("1-a", "gate", "start", "alert", 1.0, None, 1.0, 2.0, 0.4, 0.2, 64, 48)
    after = shape(event)
    text = json.dumps(automation)
    for name in set(re.findall(r"\b(?:after|before)\.(\w+)", text)):
        assert name in after
    assert set(re.findall(r"told\.(\w+)", text)) <= {"type", "before", "after"}


def test_frigates_label_is_ours():
    labels = yaml.safe_load(titled("Frigate"))["review"]["detections"]["labels"]
    assert LABEL in labels


def test_prometheus_looks_at_our_port(tmp_path):
    [job] = yaml.safe_load(titled("prometheus"))["scrape_configs"]
    (tmp_path / "site.yaml").write_text("cameras: {gate: {source: 0, detect: {model: RUN}}}")
    port = load_site(tmp_path / "site.yaml").web.port
    assert job["static_configs"][0]["targets"] == [f"oddframe:{port}"]
    assert f"127.0.0.1:{port}" in TEXT


def test_the_addresses_are_those_of_the_api():
    for path in import_module("oddframe.web.api.cameras").__doc__.split():
        if path.startswith("/api/"):
            bare = path.rstrip(",").replace("{camera}", "CAMERA").replace("{id}", "ID")
            assert bare.removesuffix("/snapshot.jpg") in TEXT, path
    for path in ("/healthz", "/readyz", "/metrics", "/docs"):
        assert f"`GET {path}`" in TEXT


def test_the_payload_of_a_webhook_has_the_keys_that_are_shown():
    from oddframe.sinks.base import Message

    [shown] = [json.loads(body) for kind, body in BLOCKS if kind == "json"]
    event = Event("1-a", "gate", "start", "alert", 1.0, None, 1.0, 2.0, 0.4, 0.2, 64, 48)
    sent = payload(Message("1-a/start", event, Path()), picture=False)
    assert list(shown) == list(sent)
    assert shown["topic"] == sent["topic"]


def test_the_check_of_a_signature_is_right():
    from oddframe.sinks.webhook import signature

    [snippet] = [body for kind, body in BLOCKS if kind == "python" and "hmac" in body]
    names: dict = {}
    exec(snippet, names)
    import time

    now = int(time.time())
    header = signature("secret", now, b"{}")
    assert names["ours"]("secret", header, b"{}")
    assert not names["ours"]("another", header, b"{}")
    assert not names["ours"]("secret", header, b"{} ")
    assert not names["ours"]("secret", signature("secret", now - 3600, b"{}"), b"{}")


def test_a_verdict_is_given_as_the_page_says(tmp_path, monkeypatch):
    from oddframe.events.store import Store

    [snippet] = [body for kind, body in BLOCKS if kind == "python" and "verdict" in body]
    event = Event("1-a", "gate", "start", "alert", 1.0, None, 1.0, 2.0, 0.4, 0.2, 64, 48)
    monkeypatch.chdir(tmp_path)
    with Store(Path("watched")) as watching:
        watching.put(event)
        exec(snippet, {})
        assert watching.record("1-a").verdict == "false_alarm"


def test_the_page_names_no_place_of_its_making():
    assert not re.search(r"/work\b|/tmp/|shared/", TEXT)
