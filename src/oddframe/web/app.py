"""The application: health, metrics, API and its description, behind the guard.

    app = make_app(work, access_of(config.web))

Pages of their own are to come; `more` takes their routers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from oddframe import __version__
from oddframe.errors import OddframeError
from oddframe.web import api, docs
from oddframe.web.auth import Access, Guard
from oddframe.web.health import Health, Pulse
from oddframe.web.metrics import registry_of, rendered

if TYPE_CHECKING:
    from oddframe.runtime.watch.at_work import AtWork

log = logging.getLogger("oddframe.web")

ABOUT = "Cameras that are watched for what is not normal. Times are ISO 8601 in UTC."
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def make_app(work: AtWork, access: Access, more: Sequence[APIRouter] = ()) -> ASGIApp:
    """The application of a site.

    Args:
        work: the site; it need not run yet.
        access: who may ask.
        more: routers of other parts, behind the same guard.
    """
    app = FastAPI(
        title="oddframe", version=__version__, description=ABOUT, docs_url=None, redoc_url=None,
        redirect_slashes=False,
    )  # fmt: skip
    app.add_exception_handler(OddframeError, _trouble)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.include_router(_own(work, app))
    app.include_router(api.router(work))
    for router in more:
        app.include_router(router)
    return Guard(app, access)


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
        return Response(body, media_type=None, headers={**HEADERS, "Content-Type": kind})

    def described() -> HTMLResponse:
        """This page."""
        return HTMLResponse(docs.page(app.openapi()), headers={**HEADERS, **docs.HEADERS})

    def front() -> RedirectResponse:
        """The description of the API, until there are pages."""
        return RedirectResponse("/docs")

    ill: dict[int | str, dict[str, Any]] = {503: {"model": Health}}
    for path, answer in (("/healthz", healthz), ("/readyz", readyz)):
        found.add_api_route(path, answer, responses=ill)
        # Who only looks whether it is 200 (wget --spider) asks for the head.
        found.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
    found.add_api_route("/metrics", metrics, response_class=Response)
    found.add_api_route("/docs", described, include_in_schema=False)
    found.add_api_route("/", front, include_in_schema=False)
    return found


def _said(health: Health, response: Response) -> Health:
    response.status_code = 200 if health.ok else 503
    response.headers["Cache-Control"] = "no-store"
    return health


def _trouble(request: Request, error: Exception) -> JSONResponse:
    """A store that cannot be read now: full, broken, or closed because this is the end."""
    log.warning("%s: %s", request.url.path, error)
    return JSONResponse({"detail": str(error)}, 503)


def _misunderstood(request: Request, error: Exception) -> JSONResponse:
    """A value that is not what it should be, named; what was sent is not said again."""
    del request
    found = error.errors() if isinstance(error, RequestValidationError) else []
    told = "; ".join(f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in found)
    return JSONResponse({"detail": told or "The request was not understood."}, 422)
