"""A site to ask, and who asks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from browsing import driver, node
from fastapi.testclient import TestClient
from stub_site import StubSite

from oddframe.web.app import make_app
from oddframe.web.guard.auth import Access

__all__ = ["driver", "node"]

BASE = "http://127.0.0.1:8088"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[StubSite]:
    made = StubSite(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def ask(site: StubSite) -> TestClient:
    """A program of this machine, where no token is needed."""
    return TestClient(make_app(site, Access(True, "127.0.0.1")), BASE)


@pytest.fixture
def asking(site: StubSite) -> Callable[..., TestClient]:
    """Whoever asks a server of another kind; `limits=`: how often one may."""
    return lambda access, **more: TestClient(
        make_app(site, access, limits=more.pop("limits", None)), BASE, **more
    )
