"""The dashboard: how its files are sent, and (where a browser is) what it does with them."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import PAGES, RUN_S, free_port, run_node, served
from fastapi import FastAPI
from fastapi.testclient import TestClient

from oddframe.web import pages


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.include_router(pages.router(None))  # type: ignore[arg-type]
    return TestClient(app)


def test_the_page_is_html_that_loads_modules_of_its_own(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert '<script type="module" src="/static/app.js">' in answer.text
    assert client.get("/static/app.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/static/style.css").headers["content-type"].startswith("text/css")
    assert client.get("/static/icon.svg").headers["content-type"] == "image/svg+xml"


def test_all_that_the_page_asks_for_is_there(client):
    named = set()
    for name, file in pages.read(pages.FOLDER).items():
        text = file.body.decode()
        assert "https://" not in text, name
        if name.endswith(".js"):
            named |= {part.split('"')[0] for part in text.split('"./')[1:]}
        if name.endswith(".html"):
            named |= {part.split('"')[0] for part in text.split('="/static/')[1:]}
    assert len(named) > 20
    for name in named:
        assert client.get(f"/static/{name}").status_code == 200, name


def test_a_file_that_is_known_is_not_sent_again(client):
    first = client.get("/static/app.js", headers={"accept-encoding": "identity"})
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = client.get(
            "/static/app.js", headers={"if-none-match": known, "accept-encoding": "identity"}
        )
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    other = client.get("/static/app.js", headers={"if-none-match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True), ("br, gzip;q=0.5", True), ("GZIP", True), ("gzip;q=0", False),
        ("gzip; q=0.0, br", False), ("identity", False), ("", False), ("x-gzipped", False),
    ],
)  # fmt: skip
def test_files_are_zipped_for_who_takes_that(client, accepted, zipped):
    answer = client.get("/static/app.js", headers={"accept-encoding": accepted})
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.content == (pages.FOLDER / "app.js").read_bytes()
    assert (answer.headers.get("content-encoding") == "gzip") == zipped
    assert answer.headers["etag"].endswith('-gz"') == zipped


@pytest.mark.parametrize(
    "name",
    ["none.js", "..%2Fpages.py", "%2e%2e%2fpages.py", "../pages.py", "%00", "a%00.js", "APP.JS",
     "sub/app.js", "%2Fetc%2Fpasswd", "%F0%9F%98%80.js", "x" * 3000],
)  # fmt: skip
def test_nothing_but_its_files_is_given(client, name):
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 404
    assert len(answer.text) < 200


def test_only_files_of_known_kinds_are_read(tmp_path):
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "notes.txt").write_text("no")
    (tmp_path / "b.js").mkdir()
    found = pages.read(tmp_path)
    assert list(found) == ["a.js"]
    assert gzip.decompress(found["a.js"].zipped) == b"1"


def test_all_of_it_is_small():
    files = pages.read(pages.FOLDER).values()
    assert sum(len(f.zipped) for f in files) < 100_000


def test_what_needs_no_page(node):
    run_node(node, "unit.test.mjs")


@pytest.fixture
def stand(driver: None) -> Iterator[str]:
    """Address of the stand-in, which runs in a process of its own."""
    port = free_port()
    command = [sys.executable, str(PAGES / "stand.py"), str(port)]
    with served(command, f"http://127.0.0.1:{port}", "/stand/now") as address:
        yield address


@pytest.mark.browser
@pytest.mark.timeout(RUN_S)
def test_in_a_browser(node, stand):
    run_node(node, "pages.test.mjs", ODDFRAME_STAND=stand)


@pytest.mark.browser
@pytest.mark.timeout(RUN_S)
def test_pictures_of_the_screens(node, stand):
    """Taken where ODDFRAME_SHOTS names a folder: to be looked at."""
    folder = os.environ.get("ODDFRAME_SHOTS")
    if not folder:
        pytest.skip("ODDFRAME_SHOTS names no folder")
    done = subprocess.run(
        [node, "shots.mjs"], cwd=PAGES, capture_output=True, text=True, timeout=RUN_S, check=False,
        env={**os.environ, "ODDFRAME_STAND": stand},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    assert len(list(Path(folder).glob("*.png"))) > 50
