"""The docs as a site: every page has its place, every name of the API is there, links are held."""

import importlib
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "site"))

import assemble  # noqa: E402


def named(nav):
    for entry in nav.values():
        yield from named(entry) if isinstance(entry, dict) else [entry]


def test_every_page_of_the_docs_is_in_the_navigation_and_every_entry_is_a_page(tmp_path):
    assemble.assemble(tmp_path / "out")
    pages = tmp_path / "out" / "pages"
    entries = list(named(assemble.NAV))
    assert len(entries) == len(set(entries))
    for entry in entries:
        assert (pages / entry).is_file(), entry
    docs = {p.relative_to(pages).as_posix() for p in (pages / "docs").glob("*.md")}
    assert docs <= set(entries), "a page that nobody finds"


def test_a_second_time_leaves_nothing_of_the_first(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.md").touch()
    assemble.assemble(out)
    assert not (out / "old.md").exists()


@pytest.mark.parametrize("name", [n for names in assemble.API.values() for n in names])
def test_names_of_the_api_are_there_and_say_what_they_are(name):
    module, _, attribute = name.rpartition(".")
    if not module:
        assert importlib.import_module(f"oddframe.{name}").__doc__
        return
    assert getattr(importlib.import_module(f"oddframe.{module}"), attribute).__doc__


def test_a_readme_is_the_index_of_its_folder():
    text = "[a](../results/x/README.md#y) [b](README.md) README.md ![c](README.jpg)"
    assert assemble.page(text) == (
        "[a](../results/x/index.md#y) [b](index.md) README.md ![c](README.jpg)"
    )


def test_the_check_finds_what_is_wrong(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top"></h1><a href="b.html#there"></a><a href="b.html#gone"></a>'
        '<a href="c.html"></a><a href="https://example.org/"></a><a href="#top"></a>'
        '<img src="//cdn.example.org/x.png"><script src="https://example.org/x.js"></script>'
        '<img src="gone.jpg">'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p><a href="a.html"></a>')
    assert assemble.check(tmp_path) == [
        "a.html: loads //cdn.example.org/x.png from another machine",
        "a.html: loads https://example.org/x.js from another machine",
        "a.html: b.html#gone has no such place",
        "a.html: c.html leads nowhere",
        "a.html: gone.jpg leads nowhere",
    ]
    assert assemble.check(tmp_path / "none") == [f"{tmp_path / 'none'} holds no page"]


@pytest.mark.slow
def test_the_site_is_built_and_held(tmp_path):
    if find_spec("zensical") is None:
        pytest.skip("needs `pip install 'oddframe[docs]'`, as `make docs` does")
    assemble.assemble(tmp_path / "out")
    build = [sys.executable, "-m", "zensical", "build"]
    done = subprocess.run(build, cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"warn|error", done.stdout.lower()), done.stdout
    assert assemble.check(tmp_path / "out" / "site") == []
    shown = (tmp_path / "out" / "site" / "docs" / "api.html").read_text("utf8")
    assert "selective_scan" in shown
