"""Errors of the receivers as RFC 9457 problem details: one clear sentence for whoever runs the sender."""

from collections.abc import Iterable
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"


class Refused(Exception):  # noqa: N818  (an answer, not a mistake)
    """The request ends with this problem."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        errors: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}
        self.errors = tuple(errors)

    def response(self) -> JSONResponse:
        """The problem as it leaves."""
        content: dict[str, object] = {
            "type": f"urn:gatepost:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            content["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in self.errors]
        return JSONResponse(content, self.status, self.headers, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Every error of a receiver leaves as a problem."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return error.response()

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        kinds = {404: "not_found", 405: "method_not_allowed"}
        detail = "there is nothing at this address" if error.status_code == 404 else str(error.detail)
        headers = dict(error.headers or {})
        return Refused(error.status_code, kinds.get(error.status_code, "refused"), detail, headers=headers).response()

    async def failed(request: Request, error: Exception) -> JSONResponse:
        log.error("receiver_failed", path=request.url.path, exc_info=error)
        return Refused(500, "internal", "the gateway failed to answer; its log has the reason").response()

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, failed)
