"""Errors as RFC 9457 problem details: ``application/problem+json``, one clear sentence in ``detail``."""

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from gateway.admin.api.moments import surely_shown
from gateway.admin.api.second_person import refusal_told
from gateway.changes.desk import NotAllowed
from gateway.changes.previews import NotReadyYet
from gateway.changes.short_form import ComesByItself, NeedsApproval, NotInForce
from gateway.domain.errors import InvalidValue
from gateway.ports.store import Conflict, StoreUnavailable, Unstorable

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong (RFC 9457 §3.1)."""

    type: str = Field(description="urn:gatepost:problem:… ; stable, for programs")
    title: str = Field(description="The kind of problem, in words")
    status: int
    detail: str = Field(description="One sentence: what was wrong here, and the remedy")
    errors: list[dict[str, str]] = Field(default=[], description="Field by field, where the request's form was wrong")
    change: int | None = Field(None, description="Of needs_approval and not_yet: the change that waits")
    guards: list[dict[str, str]] = Field(default=[], description="Of needs_approval: what stopped it")


class Refused(Exception):  # noqa: N818  (an answer, not a mistake)
    """The request ends with this problem."""

    def __init__(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}


def not_found(detail: str) -> Refused:
    """What was named is not there."""
    return Refused(404, "not_found", detail)


def problem(
    status: int,
    kind: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
    more: dict[str, object] | None = None,
) -> JSONResponse:
    """The response for a problem; ``more``: members of its own kind."""
    content: dict[str, Any] = {
        "type": f"urn:gatepost:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **(more or {}),
    }
    if errors:
        content["errors"] = errors
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Every error of the API leaves as a problem."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return problem(error.status, error.kind, error.detail, headers=error.headers)

    async def comes_by_itself(request: Request, error: Exception) -> JSONResponse:
        # No problem: it has been taken.
        assert isinstance(error, ComesByItself)
        change, at = error.refused.change, surely_shown(error.refused.comes_at or 0.0)
        told = {"change": change.number, "state": change.state.value, "comes_at": at.isoformat()}
        return JSONResponse({**told, "detail": _sentence(str(error))}, 202)

    async def not_in_force(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, NotInForce)
        hits = [{"guard": hit.guard, "detail": hit.sentence} for hit in error.refused.hits]
        more: dict[str, object] = {"change": error.refused.change.number, "guards": hits}
        if not isinstance(error, NeedsApproval):
            return problem(409, "not_yet", _sentence(str(error)), more=more)
        async with request.app.state.deps.store.read() as reading:
            detail = await refusal_told(reading, error.refused)
        return problem(409, "needs_approval", _sentence(detail), more=more)

    async def not_allowed(request: Request, error: Exception) -> JSONResponse:
        return problem(403, "not_allowed", _sentence(str(error)))

    async def invalid_value(request: Request, error: Exception) -> JSONResponse:
        return problem(422, "invalid_value", _sentence(str(error)))

    async def not_ready_yet(request: Request, error: Exception) -> JSONResponse:
        return problem(503, "not_ready_yet", _sentence(str(error)), headers={"Retry-After": "5"})

    async def invalid_request(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [
            {"field": ".".join(str(part) for part in each["loc"] if part != "body"), "detail": str(each["msg"])}
            for each in error.errors()[:20]
        ]
        words = "; ".join(f"{each['field'] or 'body'}: {each['detail']}" for each in errors[:5])
        return problem(422, "invalid_request", f"the request has not the form it must have: {words}", errors=errors)

    async def conflict(request: Request, error: Exception) -> JSONResponse:
        return problem(409, "conflict", _sentence(str(error) or "somebody else changed the same thing: try again"))

    async def unstorable(request: Request, error: Exception) -> JSONResponse:
        log.warning("api_value_not_storable", path=request.url.path, error=str(error))
        return problem(
            422, "invalid_value", "a value cannot be stored: a character that is none, or a number too large"
        )

    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        # Only who was let in comes here (``gate``), so the reason may be told: it names the database and the remedy.
        log.warning("api_store_unavailable", path=request.url.path, error=str(error))
        detail = _sentence(f"the store cannot do that now: {error}")
        return problem(503, "store_unavailable", detail, headers={"Retry-After": "5"})

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        kinds = {404: "not_found", 405: "method_not_allowed", 408: "too_slow", 413: "too_large"}
        kinds |= {401: "not_authenticated", 503: "store_unavailable"}
        detail = "there is nothing at this address" if error.status_code == 404 else error.detail
        headers = dict(error.headers or {})
        return problem(error.status_code, kinds.get(error.status_code, "refused"), detail, headers=headers)

    async def failed(request: Request, error: Exception) -> JSONResponse:
        log.error("api_failed", path=request.url.path, exc_info=error)
        return problem(500, "internal", "the gateway failed to answer; its log has the reason")

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(ComesByItself, comes_by_itself)
    app.add_exception_handler(NotInForce, not_in_force)
    app.add_exception_handler(NotAllowed, not_allowed)
    app.add_exception_handler(InvalidValue, invalid_value)
    app.add_exception_handler(NotReadyYet, not_ready_yet)
    app.add_exception_handler(RequestValidationError, invalid_request)
    app.add_exception_handler(Conflict, conflict)
    app.add_exception_handler(StoreUnavailable, unavailable)
    app.add_exception_handler(Unstorable, unstorable)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, failed)


def _sentence(text: str) -> str:
    return text[:1_000]
