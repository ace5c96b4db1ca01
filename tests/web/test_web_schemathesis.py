"""Whatever is asked of the API: no 5xx, and nothing is answered that its description does not say.

Requests are made of the description itself, right ones and wrong ones, for a site that has worked
off two short films. Few by default; 10,000 with `pytest -m slow`.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import schemathesis
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
from known import ADMIN, OUTSIDE, UNLIMITED, bearer
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from stub_run import street, write_stub
from stub_site import status
from test_web_setup import StubJobs
from walk import VALUES

from oddframe.errors import SourceError
from oddframe.runtime.watch.at_work import AtWork
from oddframe.runtime.watch.site import SiteConfig
from oddframe.setup import probe
from oddframe.setup.job import RecordSettings
from oddframe.web.api.answers import Problem
from oddframe.web.app import make_app
from oddframe.web.guard.door import HEALTH

FEW, MANY = 60, 10_000
CHECKS = [
    status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
EVERYBODY = replace(UNLIMITED, tries=1e9, tries_of_all=1e9)


def looked(source: str | int) -> Any:
    """No source is opened: some have pictures, and some have none."""
    if len(str(source)) % 2:
        raise SourceError("It has no pictures.")
    return status("new")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stub(tmp_path_factory.mktemp("stub") / "RUN")


def film(path: Path, odd_from: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(60):
        writer.write(street(index, odd_from=odd_from))
    writer.release()
    return path


@pytest.fixture
def operations(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, list[Any]]]:
    """The application of a site that has worked off two films, and what can be asked of it."""
    monkeypatch.setattr(probe, "look", looked)
    cameras = {
        "gate": {"source": str(film(tmp_path / "gate.avi", 20)), "realtime": False},
        "yard": {"source": str(film(tmp_path / "yard.avi", 10**6)), "realtime": False},
    }
    config = {
        "store": {"path": str(tmp_path / "store")}, "cameras": cameras,
        "detect": {"model": str(run), "merge_gap_s": 1},
    }  # fmt: skip
    with AtWork(SiteConfig.read(config)) as work:
        work.run(threading.Event())
        work.store.flush()
        shutil.copytree(run, tmp_path / "store" / "runs" / "RUN")
        work.jobs = StubJobs()
        [found] = work.store.events(limit=1)
        job = work.jobs.start("record", "gate", RecordSettings(minutes=1))
        for name, value in (("event_id", found.id), ("run", "RUN"), ("job", job.id)):
            monkeypatch.setitem(VALUES, name, value)
        yield described(make_app(work, OUTSIDE, limits=EVERYBODY))


def described(app: Any) -> tuple[Any, list[Any]]:
    """An application, and what its description says that can be asked."""
    with asgi.get_client(app) as client:
        said = client.get("/openapi.json", headers=bearer(ADMIN)).json()
    schema = schemathesis.openapi.from_dict(plain(said))
    schema.app = app
    return app, [result.ok() for result in schema.get_all_operations()]


def plain(schema: Any) -> Any:
    """The same with `prefixItems` as what each may be: schemathesis makes a list of it, and then
    refuses that."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: plain(value) for key, value in schema.items()}
    parts = found.pop("prefixItems", None)
    return found if parts is None else {**found, "items": {"anyOf": parts}}


def asked(operations: tuple[Any, list[Any]], cases: int) -> dict[int, int]:
    """Ask so many times; gives how often each status came."""
    app, known = operations
    seen: dict[int, int] = {}
    with asgi.get_client(app) as client:

        @settings(
            max_examples=cases, deadline=None, database=None, derandomize=cases == FEW,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
        )  # fmt: skip
        @given(data=st.data())
        def check(data: st.DataObject) -> None:
            case = data.draw(one_of(known, data.draw))
            answer = case.call(session=client, headers=bearer(ADMIN))
            seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
            # Nobody turns its loop any more, which health is right to say.
            bad = answer.status_code >= 500 and case.operation.path not in HEALTH
            assert not bad, f"{case.method} {case.formatted_path}: {answer.text}"
            case.validate_response(answer, checks=CHECKS, headers=bearer(ADMIN))

        check()
    return seen


def one_of(known: list[Any], draw: Callable[[Any], Any]) -> Any:
    """A request to one of the addresses: of what there is, or of something made up."""
    operation = draw(st.sampled_from(known))
    mode = draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    names = [p.name for p in operation.path_parameters]
    there = {name: VALUES[name] for name in names if name in VALUES}
    fixed = there if there and draw(st.booleans()) else None
    return operation.as_strategy(generation_mode=mode, path_parameters=fixed)


@pytest.mark.filterwarnings("ignore")
def test_the_api_answers_as_it_says(operations):
    seen = asked(operations, FEW)
    assert {200, 422} <= set(seen), seen


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("status", "body"), [(200, {"detail": 3}), (418, {"detail": "a"}), (500, {"detail": "a"})],
    ids=["another form", "a status that is not said", "an error"],
)  # fmt: skip
def test_an_answer_that_is_not_as_it_says_is_found(site, status, body):
    lying = APIRouter()
    lying.add_api_route("/lie", lambda: JSONResponse(body, status), response_model=Problem)
    app, known = described(make_app(site, OUTSIDE, [lying], EVERYBODY))
    with pytest.raises((AssertionError, FailureGroup)):
        asked((app, [one for one in known if one.path == "/lie"]), 2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
def test_the_api_answers_ten_thousand_times_as_it_says(operations):
    seen = asked(operations, MANY)
    assert sum(seen.values()) >= MANY
    assert {200, 404, 422} <= set(seen), seen
