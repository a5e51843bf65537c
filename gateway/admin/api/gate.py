"""In front of the API: who asks, and bounds on what is sent.

Plain ASGI and not a dependency of the routes, because those run after the whole body was read: a stranger's body is
never read at all. Whoever is known stands in ``request.state.operator``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.admin.api.problems import problem
from gateway.admin.auth import NotAuthenticated, Operator
from gateway.ports.store import StoreUnavailable

log = structlog.get_logger()

PREFIX = "/api/"
OPENAPI_URL = "/api/v1/openapi.json"
STORE_AWAY = "the store cannot answer now: the gateway's log has the reason"

Authenticate = Callable[[str, str], Awaitable[Operator | NotAuthenticated]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """Bounds of a request's body."""

    longest_bytes: int = 8 << 20
    within_seconds: float = 30.0
    believed_seconds: float = 1.0
    """A token is looked at again when the body took longer: it may have been revoked meanwhile, or a role taken."""

    def too_large(self) -> str:
        """The sentence."""
        return f"a request to the API has at most {self.longest_bytes} octets: send it in pieces"


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        authenticate: Authenticate,
        limits: BodyLimits,
        count: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """``count`` is told why somebody is not let in, by one of few words."""
        self._app = app
        self._authenticate = authenticate
        self._limits = limits
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer it here."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(PREFIX) or path == OPENAPI_URL:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client = scope.get("client")
        authorization, address = headers.get("authorization", ""), client[0] if client else ""
        try:
            operator = await self._authenticate(authorization, address)
        except StoreUnavailable as error:
            # The reason is for the log: who asks here may be anybody.
            log.warning("api_store_unavailable", path=path, error=str(error))
            response = problem(503, "store_unavailable", STORE_AWAY, headers={"Retry-After": "5"})
            await response(scope, receive, send)
            return
        if isinstance(operator, NotAuthenticated):
            self._count("too_many_failures" if operator.retry_after_seconds else "not_authenticated")
            await _turn_away(operator, scope, receive, send)
            return
        length = headers.get("content-length", "0")
        # Whatever is no number of a sane length the server has refused already, or the reading below counts.
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > self._limits.longest_bytes):
            self._count("too_large")
            await problem(413, "too_large", self._limits.too_large())(scope, receive, send)
            return
        scope.setdefault("state", {})["operator"] = operator

        async def again() -> None:
            scope["state"]["operator"] = await self._still(path, authorization, address)

        await self._app(scope, self._bounded(receive, again), send)

    async def _still(self, path: str, authorization: str, address: str) -> Operator:
        """Who asks, when the body is there. Raises ``HTTPException`` where that is nobody any more."""
        try:
            operator = await self._authenticate(authorization, address)
        except StoreUnavailable as error:
            log.warning("api_store_unavailable", path=path, error=str(error))
            raise HTTPException(503, STORE_AWAY, {"Retry-After": "5"}) from None
        if isinstance(operator, NotAuthenticated):
            self._count("not_authenticated")
            raise HTTPException(401, operator.detail, {"WWW-Authenticate": "Bearer"})
        return operator

    def _bounded(self, receive: Receive, again: Callable[[], Awaitable[None]]) -> Receive:
        """The same, within the limits of a body; ``again`` looks who asks when it took long."""
        limits, received, finished = self._limits, 0, False
        began = asyncio.get_running_loop().time()
        deadline = began + limits.within_seconds

        async def bounded() -> Message:
            nonlocal received, finished
            if finished:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                self._count("too_slow")
                raise HTTPException(408, "the request's body did not arrive in time") from None
            received += len(message.get("body", b""))
            if received > limits.longest_bytes:
                self._count("too_large")
                raise HTTPException(413, limits.too_large())
            finished = not message.get("more_body", False)
            if finished and asyncio.get_running_loop().time() - began >= limits.believed_seconds:
                await again()
            return message

        return bounded


async def _turn_away(why: NotAuthenticated, scope: Scope, receive: Receive, send: Send) -> None:
    if why.retry_after_seconds:
        headers = {"Retry-After": str(why.retry_after_seconds)}
        response = problem(429, "too_many_failures", why.detail, headers=headers)
    else:
        response = problem(401, "not_authenticated", why.detail, headers={"WWW-Authenticate": "Bearer"})
    await response(scope, receive, send)
