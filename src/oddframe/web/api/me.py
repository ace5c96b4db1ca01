"""Who somebody is, and the session of a browser.

GET /api/me               who asks, and what he may do
POST /api/session         {"token": TOKEN}, as JSON or of a form: a cookie
DELETE /api/session       the end of it

The cookie is out of every script's reach (HttpOnly) and is sent by our own pages alone (SameSite);
where a proxy says that it was asked by HTTPS it goes nowhere else (Secure).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from oddframe.web.api.answers import Answer, Problem
from oddframe.web.guard.auth import Caller, visit_of
from oddframe.web.guard.door import SESSION, Door, Refusal, cookie_of
from oddframe.web.guard.login import form_page, inside
from oddframe.web.guard.sessions import cookie_name
from oddframe.web.guard.tokens import Holder, Role

FORM = "application/x-www-form-urlencoded"


class Login(BaseModel):
    """A token, to be changed for a session."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    token: SecretStr = Field(min_length=1, max_length=512)
    next: str = "/"
    """Where a form leads to afterwards: an address of this server, beginning with /."""


class Me(Answer):
    """Who asks."""

    who: str
    """Name of the token; "here" where none is needed."""
    role: Role
    """read: looks; admin: changes things as well."""
    loopback: bool
    """The server is for its own machine alone."""
    session: bool
    """By a browser's session, which can be ended."""


def router(door: Door) -> APIRouter:
    """The routes of sessions."""
    found, own = APIRouter(), _Own(door)
    schema = Login.model_json_schema()
    bodies = {kind: {"schema": schema} for kind in ("application/json", FORM)}
    login: dict[int | str, dict[str, Any]] = {
        200: {"model": Me},
        303: {"description": "Of a form: to its `next`."},
        401: {"model": Problem, "content": {"text/html": {}}},
        429: {"model": Problem, "content": {"text/html": {}}},
    }
    found.add_api_route("/api/me", own.me)
    found.add_api_route(
        SESSION, own.begin, methods=["POST"], responses=login, response_model=None,
        openapi_extra={"requestBody": {"required": True, "content": bodies}},
    )  # fmt: skip
    found.add_api_route(
        SESSION, own.end, methods=["DELETE"], status_code=204, response_class=Response
    )
    return found


class _Own:
    """The answers, by their routes; in the server's loop, as sessions are."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def me(self, request: Request) -> Me:
        """Who asks, and what he may do."""
        visit = visit_of(request)
        caller = visit.caller or Caller("", "read")
        return self._me(caller, bool(visit.session))

    async def begin(self, request: Request) -> Response:
        """Change a token for a session: a cookie that a browser sends by itself."""
        visit, form = visit_of(request), _is_form(request)
        sent = _login(await request.body(), form)
        if sent is None:
            return _refused(Refusal(401, "A token is expected."), form, "/")
        token = sent.token.get_secret_value()
        found = self._door.holder(token, visit.address)
        if isinstance(found, Refusal):
            visit.wrong = found.wrong
            return _refused(found, form, sent.next)
        self._door.sessions.end(cookie_of(request.headers))
        visit.caller = Caller(found.name, found.role)
        return self._begun(request, found, sent.next if form else None)

    async def end(self, request: Request) -> Response:
        """End the session of this browser."""
        self._door.sessions.end(cookie_of(request.headers))
        answer = Response(status_code=204)
        answer.delete_cookie(
            _cookie(request), secure=_secure(request), httponly=True, samesite="strict"
        )
        return answer

    def _begun(self, request: Request, holder: Holder, leads_to: str | None) -> Response:
        me = self._me(Caller(holder.name, holder.role), True)
        answer = (
            JSONResponse(me.model_dump())
            if leads_to is None
            else RedirectResponse(inside(leads_to), 303)
        )
        # Without an age: the browser forgets it when it is closed, the server after a while.
        answer.set_cookie(
            _cookie(request), self._door.sessions.begin(holder), secure=_secure(request),
            httponly=True, samesite="strict",
        )  # fmt: skip
        return answer

    def _me(self, caller: Caller, session: bool) -> Me:
        loopback = self._door.access.loopback
        return Me(who=caller.who, role=caller.role, loopback=loopback, session=session)


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == FORM


def _login(body: bytes, form: bool) -> Login | None:
    """What was sent; None where it is no token, whatever else it is."""
    try:
        if form:
            return Login.model_validate(dict(parse_qsl(body.decode("utf-8"))))
        return Login.model_validate_json(body)
    except (ValidationError, ValueError):
        return None


def _cookie(request: Request) -> str:
    return cookie_name(request.headers.get("host", ""))


def _secure(request: Request) -> bool:
    """Whether a browser came by HTTPS, as a proxy says; to believe it can only lose the cookie."""
    said = request.headers.get("x-forwarded-proto", request.url.scheme)
    return said.partition(",")[0].strip().lower() == "https"


def _refused(refusal: Refusal, form: bool, leads_to: str) -> Response:
    headers = dict[str, str]()
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.wait_s:
        headers["Retry-After"] = str(int(refusal.wait_s) + 1)
    if form:
        return form_page(refusal.status, leads_to, refusal.detail, headers)
    return JSONResponse({"detail": refusal.detail}, refusal.status, headers)
