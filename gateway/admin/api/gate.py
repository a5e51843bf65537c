"""In front of the API: who asks, and bounds on what is sent.

Plain ASGI and not a dependency of the routes, because those run after the whole body was read: a stranger's body is
never read at all. Whoever is known stands in ``request.state.operator``.
"""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.admin.api.problems import problem
from gateway.admin.auth import NotAuthenticated, Operator
from gateway.ports.store import StoreUnavailable

BODY_LONGEST = 8 * 1024 * 1024
BODY_WITHIN_SECONDS = 30.0
PREFIX = "/api/"
OPENAPI_URL = "/api/v1/openapi.json"

Authenticate = Callable[[str, str], Awaitable[Operator | NotAuthenticated]]


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        self._app = app
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer it here."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(PREFIX) or path == OPENAPI_URL:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client = scope.get("client")
        try:
            operator = await self._authenticate(headers.get("authorization", ""), client[0] if client else "")
        except StoreUnavailable:
            response = problem(503, "store_unavailable", "the store cannot answer now", headers={"Retry-After": "5"})
            await response(scope, receive, send)
            return
        if isinstance(operator, NotAuthenticated):
            await _turn_away(operator, scope, receive, send)
            return
        if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > BODY_LONGEST:
            await problem(413, "too_large", _TOO_LARGE)(scope, receive, send)
            return
        scope.setdefault("state", {})["operator"] = operator
        await self._app(scope, _bounded(receive), send)


_TOO_LARGE = f"a request to the API has at most {BODY_LONGEST // 1024 // 1024} MiB"


async def _turn_away(why: NotAuthenticated, scope: Scope, receive: Receive, send: Send) -> None:
    if why.retry_after_seconds:
        headers = {"Retry-After": str(why.retry_after_seconds)}
        response = problem(429, "too_many_failures", why.detail, headers=headers)
    else:
        response = problem(401, "not_authenticated", why.detail, headers={"WWW-Authenticate": "Bearer"})
    await response(scope, receive, send)


def _bounded(receive: Receive) -> Receive:
    """The same, but not more than ``BODY_LONGEST`` bytes and not longer than ``BODY_WITHIN_SECONDS``."""
    received, finished = 0, False
    deadline = asyncio.get_running_loop().time() + BODY_WITHIN_SECONDS

    async def bounded() -> Message:
        nonlocal received, finished
        if finished:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the request's body did not arrive in time") from None
        received += len(message.get("body", b""))
        if received > BODY_LONGEST:
            raise HTTPException(413, _TOO_LARGE)
        finished = not message.get("more_body", False)
        return message

    return bounded
