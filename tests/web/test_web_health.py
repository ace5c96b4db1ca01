"""/healthz and /readyz: what is ill is said, what is only a camera is not."""

from __future__ import annotations

import errno
import shutil
import tempfile
import time

import pytest
from stub_site import status

from oddframe.runtime.watch.status import State
from oddframe.web import health


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(health, "PROBE_S", 0.0)


def test_a_site_that_works_is_well(ask):
    for path in ("/healthz", "/readyz"):
        found = ask.get(path)
        assert (found.status_code, found.json()) == (200, {"ok": True, "why": []})
        assert found.headers["cache-control"] == "no-store"


def test_an_engine_that_hangs_is_said(ask, site):
    site.engine.turned_s = time.monotonic() - 9
    assert ask.get("/healthz").status_code == 200
    site.engine.turned_s = time.monotonic() - 42
    found = ask.get("/healthz")
    assert found.status_code == 503
    assert found.json()["ok"] is False
    assert "not gone round for 42 s" in found.json()["why"][0]


def test_an_engine_that_only_fails_is_said(ask, site):
    site.engine.failing = 9
    assert ask.get("/healthz").status_code == 200
    site.engine.failing = 10
    found = ask.get("/healthz")
    assert found.status_code == 503
    assert "last 10 errors had no score between them" in found.json()["why"][0]


def test_a_disk_that_is_full_is_said(ask, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    found = ask.get("/healthz")
    assert found.status_code == 503
    assert "No space left on device" in found.json()["why"][0]


def test_a_folder_that_is_gone_is_said(ask, site):
    shutil.rmtree(site.store.folder)
    found = ask.get("/healthz")
    assert found.status_code == 503
    assert str(site.store.folder) in found.json()["why"][0]


def test_a_store_that_is_closed_is_said(ask, site):
    site.store.close()
    found = ask.get("/healthz")
    assert found.status_code == 503
    assert "is closed" in found.json()["why"][0]


def test_events_that_wait_for_the_disk_are_said(ask, site):
    site.engine.cameras["gate"].desk.waiting = 3
    found = ask.get("/healthz")
    assert found.status_code == 503
    assert found.json()["why"] == ["3 events wait in memory for the disk"]


def test_the_probe_leaves_nothing_behind(ask, site):
    before = sorted(p.name for p in site.store.folder.iterdir())
    assert ask.get("/healthz").status_code == 200
    assert sorted(p.name for p in site.store.folder.iterdir()) == before


def test_the_store_is_not_probed_for_everybody_who_asks(ask, monkeypatch):
    monkeypatch.setattr(health, "PROBE_S", 60.0)
    count, real = [], tempfile.TemporaryFile

    def counted(*args, **kwargs):
        count.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(tempfile, "TemporaryFile", counted)
    for _ in range(5):
        assert ask.get("/healthz").status_code == 200
    assert len(count) == 1


def test_a_site_is_ready_once_every_camera_is_known(ask, site):
    site.statuses["yard"] = status("yard", State.OPENING)
    found = ask.get("/readyz")
    assert (found.status_code, found.json()["why"]) == (503, ["yard is being opened"])
    site.statuses["yard"] = status("yard", State.DOWN)
    assert ask.get("/readyz").status_code == 200


def test_a_camera_that_is_down_makes_no_site_ill(ask, site):
    site.statuses["yard"] = status("yard", State.DOWN)
    assert ask.get("/healthz").status_code == 200


def test_health_answers_to_who_only_wants_the_head(ask):
    found = ask.head("/healthz")
    assert (found.status_code, found.content) == (200, b"")
