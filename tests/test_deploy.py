"""What lies in deploy/: a site with every key, the unit of systemd, the lines of the Dockerfile."""

from __future__ import annotations

import configparser
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from oddframe.cli import VERBS
from oddframe.errors import ConfigError
from oddframe.events.clip import ClipWriter
from oddframe.events.ring import ClipConfig
from oddframe.events.schedule import Schedule
from oddframe.events.zones import Mask, Zone
from oddframe.runtime.courier import STOP_S
from oddframe.runtime.watch.at_work import CLIPS_S
from oddframe.runtime.watch.settings import ReadConfig
from oddframe.runtime.watch.site import (
    CameraConfig,
    DetectConfig,
    SiteConfig,
    StoreConfig,
    WebConfig,
    load_site,
)
from oddframe.sinks import SINKS, sink_config

REPO = Path(__file__).resolve().parents[1]
DEPLOY = REPO / "deploy"
EXAMPLE = DEPLOY / "site.example.yaml"
NAMES = ("ODDFRAME_TOKEN", "MQTT_PASSWORD", "FRIGATE_TOKEN", "WEBHOOK_URL", "WEBHOOK_SECRET",
         "NTFY_TOKEN")  # fmt: skip
"""What the switched-off settings take from the environment."""
OURS_S = 2.0 + CLIPS_S + STOP_S + 3.0
"""What a stop waits for at most: readers, clips, sinks, answers under way."""


# ---- the site


@pytest.fixture
def everything(tmp_path, monkeypatch):
    """The example with all of its settings switched on."""
    for name in NAMES:
        monkeypatch.setenv(name, f"the-{name.lower()}")
    path = tmp_path / "site.yaml"
    path.write_text(re.sub(r"(?m)^( *)#(?=[a-z-])", r"\1", EXAMPLE.read_text()))
    return path


def test_the_example_is_a_site_as_it_is():
    site = load_site(EXAMPLE)
    assert set(site.cameras) == {"gate", "yard"}
    assert site.store.path == DEPLOY / "watched"
    assert site.cameras["yard"].detect.merge_gap_s == 30
    assert site.cameras["yard"].detect.keep_level == 0.8
    for values in site.sinks:
        sink_config(values)


def test_what_is_switched_off_in_it_can_be_switched_on(everything):
    for kind in ("paho", "apprise"):
        if importlib.util.find_spec(kind) is None:
            pytest.skip(f"{kind} is not installed: its sink cannot be read")
    site = load_site(everything)
    assert {sink_config(values).kind for values in site.sinks} == set(SINKS)
    assert site.web.token.get_secret_value() == "the-oddframe_token"
    assert len(site.cameras["gate"].detect.schedule.windows) == 2


@pytest.mark.parametrize(
    ("section", "config"),
    [
        ("store", StoreConfig), ("store", ClipConfig), ("web", WebConfig),
        ("detect", DetectConfig), ("detect", Schedule), ("cameras", CameraConfig),
        ("cameras", Zone), ("cameras", Mask), ("cameras", ReadConfig),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)  # fmt: skip
def test_the_example_has_every_key(section, config):
    text = section_of(section)
    for name in config.model_fields:
        assert re.search(rf"\b{name}:", text), f"{section} lacks {name}"


@pytest.mark.parametrize("kind", SINKS)
def test_the_example_has_every_key_of_every_sink(kind):
    config = getattr(import_module(SINKS[kind].module), SINKS[kind].config)
    sinks = section_of("sinks")
    [own] = [part for part in re.split(r"\n *#?- ", sinks) if part.startswith(f"kind: {kind} ")]
    for name in set(config.model_fields) - {"kind", "name", "severity"}:
        assert re.search(rf"\b{name}\b", own), f"{kind} lacks {name}"


def test_every_key_of_the_example_has_a_comment():
    keys = 0
    for line in EXAMPLE.read_text().splitlines():
        if key := re.match(r" *#?-? ?[a-z_]+:(?= |$)", line):
            keys += 1
            assert re.search(r"  ?# \S", line[key.end() :]), line
        assert len(line) <= 100
    assert keys > 80


def test_the_example_says_the_defaults():
    """A key that is taken out changes nothing, but where the example has to say something."""
    site = load_site(EXAMPLE)
    assert site.store.clip == ClipConfig()
    assert site.store.model_copy(update={"path": Path("watched")}) == StoreConfig()
    assert site.web == WebConfig()
    assert site.cameras["gate"].reading == ReadConfig()
    assert site.detect.model_copy(update={"model": None}) == DetectConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('cameras: {gate: "rtsp://viewer:hunter2@cam/1"}', "cameras.gate: .*found an address"),
        ('cameras: {gate: {sorce: "rtsp://viewer:hunter2@cam/1"}}', "source: Field required\\."),
        ('cameras: {"rtsp://viewer:hunter2@cam/1": {source: 0}}', "letters, .*'rtsp://cam/…"),
        ('cameras: {"rtsp://viewer:hunter2@cam/1": {sorce: 0}}', "cameras.an address.sorce"),
        ('sinks: {kind: mqtt, password: "${MQTT_PASSWORD}"}\ncameras: {}', "sinks: .*found keys"),
        ('sinks: [["${MQTT_PASSWORD}"]]\ncameras: {}', "sinks.0: .*found a list"),
        ('web: {token: "hunter2, port: 1}', "is no YAML: line 1, column"),
        ("web: {token: *hunter2}", "line 1, column 14: found undefined alias\\."),
        ("web: {token: !hunter2 }", "line 1, column 14: could not determine a .* tag\\."),
        ("detect: {merge_gap_s: 9}\ncameras: {gate: {source: 0, detect: RUN}}", "found 'RUN'"),
        ("detect: RUN\ncameras: {gate: {source: 0, detect: RUN}}", "Setting detect: .*found 'RUN'"),
    ],
)
def test_what_is_wrong_in_a_site_is_said_without_a_password(tmp_path, monkeypatch, text, said):
    monkeypatch.setenv("MQTT_PASSWORD", "hunter2")
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as found:
        load_site(path)
    assert "hunter2" not in str(found.value)


def section_of(name):
    """The text below a top-level key."""
    text = EXAMPLE.read_text()
    assert name in SiteConfig.model_fields
    return re.search(rf"(?ms)^{name}:.*?(?=^[a-z]+:|\Z)", text)[0]


# ---- systemd


@pytest.fixture
def unit():
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str
    parser.read(DEPLOY / "oddframe.service")
    return parser


def test_the_service_runs_a_verb_that_there_is(unit):
    program, verb, site = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "oddframe"
    assert verb in VERBS
    assert Path(site).is_absolute()


def test_the_service_comes_back_whatever_happens(unit):
    service = unit["Service"]
    assert service["Restart"] == "always"
    assert int(service["RestartSec"]) >= 1
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


def test_the_service_is_given_time_to_stop_and_to_start(unit):
    service = unit["Service"]
    assert float(service["TimeoutStopSec"]) > OURS_S + 5
    assert service["KillSignal"] == "SIGTERM"
    assert service["Type"] == "notify"
    assert float(service["WatchdogSec"]) >= 60
    default = ClipWriter.close.__defaults__
    assert default is not None
    assert default[0] <= CLIPS_S


def test_the_service_has_no_more_rights_than_it_needs(unit):
    service = unit["Service"]
    assert service["User"] == "oddframe"
    assert service["CapabilityBoundingSet"] == ""
    for key in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "ProtectKernelModules",
                "LockPersonality", "RestrictSUIDSGID"):  # fmt: skip
        assert service[key] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["StateDirectory"] == "oddframe"
    # torch and oneDNN make machine code at run time, and cannot start with this one.
    assert "MemoryDenyWriteExecute" not in service


def test_systemd_takes_the_unit(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here (Debian: systemd)")
    path = tmp_path / "oddframe.service"
    text = (DEPLOY / "oddframe.service").read_text()
    path.write_text(text.replace("/opt/oddframe/bin/oddframe", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "oddframe" in line]
    assert (done.returncode, ours) == (0, [])


# ---- Docker


@pytest.fixture(scope="module")
def dockerfile():
    """(instruction, the rest) of every instruction, lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (DEPLOY / "Dockerfile").read_text())
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def of(dockerfile, kind):
    return [rest for instruction, rest in dockerfile if instruction == kind]


def copied(dockerfile):
    """What is taken from the repository."""
    found = [shlex.split(rest) for rest in of(dockerfile, "COPY")]
    return [source for words in found if not words[0].startswith("--") for source in words[:-1]]


def test_what_is_copied_is_there_and_reaches_docker(dockerfile):
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert copied(dockerfile)
    for source in copied(dockerfile):
        assert (REPO / source).exists(), source
        assert f"!{source}" in ignore, f"{source} is ignored"
    done = subprocess.run(
        ["git", "ls-files", "--", *copied(dockerfile)], cwd=REPO, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode == 0:
        tracked = {line.split("/")[0] for line in done.stdout.splitlines()}
        assert tracked == set(copied(dockerfile)), "a clone would lack it"


def test_what_is_copied_is_enough_to_build(dockerfile, tmp_path):
    """The wheel, of these files alone; without the C parts, which need minutes."""
    for source in copied(dockerfile):
        if (REPO / source).is_dir():
            left_out = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
            shutil.copytree(REPO / source, tmp_path / source, ignore=left_out)
        else:
            shutil.copy(REPO / source, tmp_path / source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "-w", "out", "."],
        cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "CC": "false"},
    )  # fmt: skip
    [wheel] = (tmp_path / "out").glob("oddframe-*.whl")
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "oddframe/web/app.py",
        "oddframe/cli/serve.py",
        "oddframe/events/store/schema.sql",
    ):
        assert needed in names


def test_torch_comes_first_and_everything_is_pinned(dockerfile):
    installs = [run for run in of(dockerfile, "RUN") if "pip install" in run]
    assert len(installs) == 2
    assert all("-c constraints.txt" in run for run in installs)
    assert re.search(r"\btorch --index-url https://download.pytorch.org/whl/cpu", installs[0])
    extras = re.search(r"'\.\[([a-z,]+)\]'", installs[1])[1].split(",")
    known = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert {"serve", "mqtt", "notify"} <= set(extras) <= set(known["optional-dependencies"])
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in
              (REPO / "constraints.txt").read_text().splitlines() if "==" in line}  # fmt: skip
    for extra in extras:
        for wanted in known["optional-dependencies"][extra]:
            assert re.match(r"[a-z0-9-]+", wanted)[0] in pinned, wanted
    base = re.match(r"python:(3\.\d+)-slim", of(dockerfile, "FROM")[-1])[1]
    assert tuple(map(int, base.split("."))) >= (3, 11)


def test_the_image_is_run_by_nobody_special(dockerfile):
    last = max(i for i, (kind, _) in enumerate(dockerfile) if kind == "FROM")
    final = dockerfile[last:]
    [user] = of(final, "USER")
    assert user not in ("root", "0")
    after = [kind for kind, _ in final[[k for k, _ in final].index("USER") :]]
    assert "RUN" not in after
    [volume] = of(final, "VOLUME")
    assert f"install -d -m 750 -o {user} -g {user} {volume}" in of(final, "RUN")[0]


def test_the_image_serves_where_it_says(dockerfile):
    assert of(dockerfile, "EXPOSE") == [str(WebConfig().port)]
    assert json.loads(of(dockerfile, "ENTRYPOINT")[0]) == ["oddframe"]
    verb, site, *options = json.loads(of(dockerfile, "CMD")[0])
    assert verb in VERBS
    assert site == "/etc/oddframe/site.yaml"
    assert options == ["--log", "json"]


@pytest.mark.parametrize(("status", "well"), [(200, True), (503, False)])
def test_the_health_check_asks_for_health(dockerfile, status, well):
    [line] = of(dockerfile, "HEALTHCHECK")
    program, *words = json.loads(line.partition("CMD ")[2])
    assert program == "python"
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = [w.replace(f":{WebConfig().port}/", f":{server.server_port}/") for w in words]
        assert here != words
        done = subprocess.run([sys.executable, *here], capture_output=True, check=False)
        server.shutdown()
    assert asked == ["/healthz"]
    assert (done.returncode == 0) is well


def test_the_times_of_the_health_check_are_longer_than_what_it_waits_for(dockerfile):
    [line] = of(dockerfile, "HEALTHCHECK")
    inner = float(re.search(r"timeout=(\d+)\)", line)[1])
    assert float(re.search(r"--timeout=(\d+)s", line)[1]) > inner
    head = (DEPLOY / "Dockerfile").read_text()
    assert float(re.search(r"--stop-timeout (\d+)", head)[1]) > OURS_S + 5


def test_the_example_is_plain_yaml_too():
    assert set(yaml.safe_load(EXAMPLE.read_text())) == set(SiteConfig.model_fields)
