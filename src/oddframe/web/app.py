"""The application: pages, API, health, metrics and their description, behind the guard.

    app = make_app(work, access_of(config.web))

Each part of the API is a router of its own file; what is not of them is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from oddframe import __version__
from oddframe.web import docs, pages
from oddframe.web.api import cameras, change, live, me, setup, system, verdicts
from oddframe.web.errors import PROBLEMS, explain_errors
from oddframe.web.guard.auth import Access
from oddframe.web.guard.door import Door
from oddframe.web.guard.guard import Guard
from oddframe.web.guard.limits import Limits, Tries
from oddframe.web.guard.sessions import Sessions
from oddframe.web.health import Health, Pulse
from oddframe.web.metrics import registry_of, rendered

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

ABOUT = "Cameras that are watched for what is not normal. Times are ISO 8601 in UTC."
PARTS = (cameras, live, change, verdicts, setup, system, pages)
"""Each has `router(work)`; where two have a route for one address, the first answers."""


def make_app(
    work: AtWork, access: Access, more: Sequence[APIRouter] = (), limits: Limits | None = None
) -> ASGIApp:
    """The application of a site.

    Args:
        work: the site; it need not run yet.
        access: who may ask.
        more: routers of other parts, behind the same guard.
        limits: how often one may ask.
    """
    limits = limits or Limits()
    door = Door(access, Sessions(limits.clock), Tries(limits))
    app = FastAPI(
        title="oddframe", version=__version__, description=ABOUT, docs_url=None, redoc_url=None,
        redirect_slashes=False, responses=PROBLEMS,
    )  # fmt: skip
    explain_errors(app)
    app.include_router(_own(work, app))
    app.include_router(me.router(door))
    for part in PARTS:
        app.include_router(part.router(work))
    for router in more:
        app.include_router(router)
    return Guard(app, door, limits, work.store.audit)


def _own(work: AtWork, app: FastAPI) -> APIRouter:
    """What is not of the API."""
    pulse, registry, found = Pulse(work), registry_of(work), APIRouter()

    def healthz(response: Response) -> Health:
        """Whether the engine goes round and the store can be written; 503 where not."""
        return _said(pulse.health(), response)

    def readyz(response: Response) -> Health:
        """Whether every camera has a picture or is known to be down; 503 where not."""
        return _said(pulse.ready(), response)

    def metrics(request: Request) -> Response:
        """For Prometheus."""
        body, kind = rendered(registry, request.headers.get("accept", ""))
        return Response(body, media_type=None, headers={"Content-Type": kind})

    def described() -> HTMLResponse:
        """This page."""
        return HTMLResponse(docs.page(app.openapi()), headers=docs.HEADERS)

    ill: dict[int | str, dict[str, Any]] = {503: {"model": Health}}
    for path, answer in (("/healthz", healthz), ("/readyz", readyz)):
        found.add_api_route(path, answer, responses=ill)
        # Who only looks whether it is 200 (wget --spider) asks for the head.
        found.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
    found.add_api_route("/metrics", metrics, response_class=Response)
    found.add_api_route("/docs", described, include_in_schema=False)
    return found


def _said(health: Health, response: Response) -> Health:
    response.status_code = 200 if health.ok else 503
    response.headers["Cache-Control"] = "no-store"
    return health
