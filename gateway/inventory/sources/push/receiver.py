"""``POST /inventory/v1/reports``: the receiver of pushed reports, as a FastAPI application of its own.

In this order: form of the request, freshness, the body within its bounds, the signature over the body as it travelled,
and only then anything that reads what is in it. A success leaves only after the commit; what is refused stores nothing.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import InventoryReport
from gateway.inventory.answers import Ack, AckStatus, Refusal, RefusalKind
from gateway.inventory.ingest import Ingest
from gateway.inventory.sources.problems import Refused, add_handlers
from gateway.inventory.sources.push import openapi
from gateway.inventory.sources.push.bodies import TooLarge, announced, parsed, unpacked
from gateway.inventory.sources.push.intake import Intake, ReceiverLimits, busy
from gateway.inventory.sources.push.payload import PayloadInvalid, read_report
from gateway.inventory.sources.push.room import Room
from gateway.inventory.sources.push.senders import Senders
from gateway.inventory.sources.push.signatures import TOLERANCE_SECONDS, Signed, read_headers
from gateway.ports.store import Conflict, Source, Store, StoreUnavailable

log = structlog.get_logger()

MEDIA_TYPE = "application/cloudevents+json"
SOURCE_HEADER = "gatepost-source"
"""Names the source, so that only its secrets are tried; a hint, never a proof."""
OWN_THREAD_FROM_BYTES = 65536
"""Larger bodies are read beside the event loop, so that others don't wait for them."""
CHECKED_AT_ONCE_OCTETS = 262_144
"""What takes longer than to hash so many is checked beside the event loop."""

HELD_AGAIN_SECONDS = 600
"""When a report that the fleet brake holds is to be sent again."""

_STATUS_OF = {
    RefusalKind.GAP: 409,
    RefusalKind.REUSED_ID: 409,
    RefusalKind.FUTURE: 422,
    RefusalKind.DEVICE_NOT_ALLOWED: 403,
    RefusalKind.USER_NOT_ALLOWED: 403,
    RefusalKind.TOO_MANY_CLAIMS: 403,
    RefusalKind.SOURCE_REMOVED: 410,
    RefusalKind.HELD: 503,
}


def create_receiver(
    ingest: Ingest,
    store: Store,
    now: Callable[[], float],
    limits: ReceiverLimits | None = None,
    count: Callable[[str], None] = lambda outcome: None,
) -> FastAPI:
    """The application; ``now`` in epoch seconds. ``count`` is told how each report ended, by one of few words."""
    receiver = _Receiver(ingest, store, now, limits or ReceiverLimits(), count)
    app = FastAPI(
        title=openapi.TITLE,
        version=openapi.VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # A sender that follows redirects would send its report to whatever the Host header said.
        redirect_slashes=False,
    )
    app.add_api_route("/inventory/v1/reports", receiver.submit, methods=["POST"], name="submitReport")
    app.add_api_route("/inventory/v1/openapi.json", _openapi, methods=["GET"], name="openapi")
    add_handlers(app)
    return app


async def _openapi() -> JSONResponse:
    return JSONResponse(openapi.document())


class _Receiver:
    def __init__(
        self,
        ingest: Ingest,
        store: Store,
        now: Callable[[], float],
        limits: ReceiverLimits,
        count: Callable[[str], None],
    ) -> None:
        self._ingest = ingest
        self._count = count
        self._senders = Senders(store, limits.store_seconds)
        self._now = now
        self._limits = limits
        self._intake = Intake(limits)
        self._room = Room(limits)
        self._large = asyncio.Semaphore(limits.large_at_once)
        self._checks = asyncio.Semaphore(limits.large_at_once)

    async def submit(self, request: Request) -> JSONResponse:
        """Take one report."""
        try:
            ack = await self._taken(request)
        except Refused as refused:
            self._count(refused.kind)
            raise
        self._count(ack.status.value)
        return JSONResponse(_shown(ack), 200 if ack.status is AckStatus.DUPLICATE else 202)

    async def _taken(self, request: Request) -> Ack:
        coded = _check_form(request)
        signed = self._signed(request)
        async with self._intake.body(request) as body:
            source = await self._sender(request, signed, body)
            size = announced(body, self._limits.unpacked_bytes) if coded else len(body)
            async with self._room.of(source.name, size):
                report = await self._report(source, body, coded, max(size, len(body)))
                digest = hashlib.sha256(body).hexdigest()
                answer = await self._ingested(source, signed.message_id, digest, report)
        if isinstance(answer, Refusal):
            headers = {"Retry-After": str(HELD_AGAIN_SECONDS)} if answer.kind is RefusalKind.HELD else None
            raise Refused(_STATUS_OF[answer.kind], answer.kind.value, answer.sentence, headers=headers)
        return answer

    def _signed(self, request: Request) -> Signed:
        try:
            signed = read_headers(request.headers)
        except InvalidValue as error:
            raise _not_authentic(request, str(error)) from None
        if not signed.is_fresh(self._now()):
            raise _not_authentic(
                request,
                f"webhook-timestamp is more than {TOLERANCE_SECONDS} s from this machine's clock: sign again at each "
                "attempt, and set the clock",
            )
        return signed

    async def _sender(self, request: Request, signed: Signed, body: bytes) -> Source:
        """The source whose secret signed the message."""
        named = request.headers.get(SOURCE_HEADER, "")
        try:
            sources = await self._senders.now()
        except (StoreUnavailable, TimeoutError) as error:
            raise self._store_away(error) from None
        asked = [source for source in sources if source.kind == "push" and named in ("", source.name)]
        sender = await self._checked(asked, signed, body)
        if sender is not None:
            return sender
        raise _not_authentic(
            request,
            "no source's secret fits the signature: sign the octets that are sent, with the secret that adding the "
            "source showed",
        )

    async def _checked(self, sources: Sequence[Source], signed: Signed, body: bytes) -> Source | None:
        """Whose secret fits. What takes long is done beside the loop, little of it at once: anybody can ask for it."""
        if signed.cost(body, [secret for source in sources for secret in source.secrets]) <= CHECKED_AT_ONCE_OCTETS:
            return _signer(sources, signed, body)
        try:
            async with asyncio.timeout(self._limits.store_seconds), self._checks:
                return await asyncio.to_thread(_signer, sources, signed, body)
        except TimeoutError:
            raise busy(503, "too many reports are being checked", self._limits.retry_after_seconds) from None

    async def _report(self, source: Source, body: bytes, coded: bool, size: int) -> InventoryReport:
        def read() -> InventoryReport:
            content = unpacked(body, self._limits.unpacked_bytes) if coded else body
            return read_report(parsed(content), source.name, self._now(), self._limits.apps)

        try:
            if size <= OWN_THREAD_FROM_BYTES:
                return read()
            async with self._in_turn():
                return await asyncio.to_thread(read)
        except TooLarge as error:
            raise _unreadable(source, Refused(413, "too_large", f"{error}: send fewer apps")) from None
        except PayloadInvalid as error:
            raise _unreadable(source, Refused(422, "invalid_payload", str(error), errors=error.errors)) from None
        except InvalidValue as error:
            raise _unreadable(source, Refused(400, "unreadable", str(error))) from None

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.store_seconds):
                await self._large.acquire()
        except TimeoutError:
            raise busy(503, "too many large reports are being read", self._limits.retry_after_seconds) from None
        try:
            yield
        finally:
            self._large.release()

    async def _ingested(self, source: Source, message_id: str, digest: str, report: InventoryReport) -> Ack | Refusal:
        try:
            async with asyncio.timeout(self._limits.store_seconds):
                return await self._ingest.receive(source, message_id, digest, report)
        except (StoreUnavailable, Conflict, TimeoutError) as error:
            raise self._store_away(error) from None

    def _store_away(self, error: Exception) -> Refused:
        log.warning("report_not_stored", error=f"{type(error).__name__}: {error}")
        return busy(503, "the report cannot be stored now", self._limits.retry_after_seconds)


def _check_form(request: Request) -> bool:
    """Whether the body is gzip; raises ``Refused`` for a form that is not read."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != MEDIA_TYPE:
        raise Refused(415, "media_type", f"the media type is {MEDIA_TYPE}, not {media_type[:80] or 'missing'}")
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip"):
        # RFC 9110 §15.5.16: Accept-Encoding tells which codings would have been read.
        headers = {"Accept-Encoding": "gzip, identity"}
        raise Refused(415, "content_coding", "the only content coding read here is gzip", headers=headers)
    return coding == "gzip"


def _not_authentic(request: Request, sentence: str) -> Refused:
    claimed = request.headers.get(SOURCE_HEADER, "")[:64]
    client = request.client.host if request.client else ""
    log.warning("report_not_authentic", claimed=claimed, client=client, reason=sentence)
    # RFC 9110 §11.6.1 wants a challenge with every 401; no registered scheme names this one.
    return Refused(401, "not_authentic", sentence, headers={"WWW-Authenticate": "StandardWebhooks"})


def _unreadable(source: Source, refused: Refused) -> Refused:
    log.warning("report_unreadable", source=source.name, reason=refused.detail[:300])
    return refused


def _signer(sources: Sequence[Source], signed: Signed, body: bytes) -> Source | None:
    return next((source for source in sources if _fits(source, signed, body)), None)


def _fits(source: Source, signed: Signed, body: bytes) -> bool:
    try:
        return signed.fits(body, source.secrets)
    except InvalidValue as error:
        log.error("source_secret_unusable", source=source.name, error=str(error))
        return False


def _shown(ack: Ack) -> dict[str, object]:
    """The acknowledgement without what it has nothing to say about."""
    kept = {name: value for name, value in asdict(ack).items() if value not in (None, False, ())}
    return {"status": ack.status.value, "sequence": ack.sequence, **kept}
