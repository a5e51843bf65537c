"""Operators and their bearer tokens.

A token has 256 random bits, so a plain SHA-256 of it is kept and looked up (no guessing finds it; a slow password hash
would only slow the operator). A token belongs to an operator and reaches as far as the operator's roles do
(``domain.operator``), or is a viewer's. Failures are limited per client address; a token that was good a moment ago is
not held up by the failures of its neighbours behind one address. The first start writes a token to a file that only
the owner may read.
"""

import asyncio
import hmac
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import structlog

from gateway.admin.operators import operator_behind, operator_named, who_can
from gateway.domain.audit import AuditEntry, AuditKind
from gateway.domain.audit.entry import GATEPOST, moment_text
from gateway.domain.errors import InvalidValue
from gateway.domain.operator import ALL_ROLES, VIEWERS_OF_OLD, Action, NamedOperator, Role, may, name_of
from gateway.network.addresses import counted_as
from gateway.ports.store import OperatorToken, Store, Writing

log = structlog.get_logger()

TOKEN_PREFIX = "gpt_"  # noqa: S105  (a mark by which leaked tokens can be searched for, no secret)
TOKEN_FILE = "admin-token"  # noqa: S105  (a file name)
FIRST_OPERATOR = "admin"
FAILURES_ALLOWED = 10
FAILURES_WITHIN_SECONDS = 60.0
ADDRESSES_REMEMBERED = 10_000
GOOD_TOKENS_REMEMBERED = 1_000


REACH_ALL = "all"
REACH_VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Operator:
    """Who asks."""

    name: str
    roles: frozenset[Role]
    """Those that the token reaches."""
    token_id: str
    first_start: bool = False

    def may(self, action: Action) -> bool:
        """Whether a role of the operator allows it."""
        return may(self.roles, action)


@dataclass(frozen=True, slots=True)
class NotAuthenticated:
    """Nobody we know; ``detail`` is one sentence with the remedy."""

    detail: str
    retry_after_seconds: int = 0
    """Above 0: too many failures from there; come back then."""


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return sha256(token.encode()).hexdigest()


def new_token(
    operator: str, role: Role, now: float, expires_at: float | None = None, created_by: str = ""
) -> tuple[str, OperatorToken]:
    """A fresh token, shown once, and what is stored of it.

    ``role`` viewer: it only looks, whatever the operator may; any other: it reaches as far as the operator's roles.
    Raises ``InvalidValue`` for a bad operator name.
    """
    name = name_of(operator)
    if expires_at is not None and expires_at <= now:
        raise InvalidValue("the token would have expired already: give a moment in the future")
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    # The version before this one knows these two only, and lets an editor do everything.
    old = Role.EDITOR if role is Role.EDITOR else Role.VIEWER
    reach = REACH_VIEWER if role is Role.VIEWER else REACH_ALL
    stored = OperatorToken(
        secrets.token_hex(4), name, digest_of(token), now, expires_at, None, old.value, reach, created_by
    )
    return token, stored


def roles_reached(token: OperatorToken, operator: NamedOperator) -> frozenset[Role]:
    """What a token of the operator may do."""
    if not operator.present:
        return frozenset()
    narrowed = token.reach == REACH_VIEWER or (not token.reach and token.role == Role.VIEWER)
    return operator.roles & VIEWERS_OF_OLD or VIEWERS_OF_OLD if narrowed else operator.roles


def usable(token: OperatorToken, now: float) -> bool:
    """Whether a token is neither revoked nor expired."""
    return token.revoked_at is None and (token.expires_at is None or now < token.expires_at)


class FailureLimit:
    """Counts failures per client address in a fixed window; bounded."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def retry_after(self, address: str) -> int:
        """Seconds until the address may try again; 0 when it may now."""
        began, count = self._failures.get(counted_as(address), (0.0, 0))
        left = began + FAILURES_WITHIN_SECONDS - self._monotonic()
        return int(left) + 1 if count >= FAILURES_ALLOWED and left > 0 else 0

    def failed(self, address: str) -> None:
        """One more failure of the address."""
        now, address = self._monotonic(), counted_as(address)
        began, count = self._failures.pop(address, (now, 0))
        if now - began >= FAILURES_WITHIN_SECONDS:
            began, count = now, 0
        self._failures[address] = (began, count + 1)
        if len(self._failures) > ADDRESSES_REMEMBERED:
            self._failures.popitem(last=False)


class Authenticator:
    """Tells who stands behind an ``Authorization`` header."""

    def __init__(
        self, store: Store, now: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._now = now
        self._limit = FailureLimit(monotonic)
        self._good: OrderedDict[str, None] = OrderedDict()

    async def authenticate(self, authorization: str, address: str) -> Operator | NotAuthenticated:
        """The operator of the bearer token, or why there is none. Raises ``StoreUnavailable``."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if not authorization:
            return NotAuthenticated("send the header Authorization: Bearer TOKEN with an operator's token")
        if scheme.lower() != "bearer" or not token or len(token) > 512 or not token.isascii():
            return NotAuthenticated("the Authorization header must be: Bearer TOKEN")
        digest = digest_of(token)
        wait = self._limit.retry_after(address)
        if wait and digest not in self._good:
            return NotAuthenticated(f"too many wrong tokens from your address: try again in {wait} s", wait)
        return await self._look_up(digest, address)

    async def _look_up(self, digest: str, address: str) -> Operator | NotAuthenticated:
        async with self._store.read() as reading:
            known = await reading.token_by_digest(digest)
            operator = await operator_behind(reading, known) if known is not None else None
        fits = known is not None and hmac.compare_digest(known.digest, digest) and usable(known, self._now())
        if known is None or operator is None or not operator.present or not fits:
            self._limit.failed(address)
            self._good.pop(digest, None)
            log.warning("operator_refused", address=address, token_id=known.id if known else "")
            return NotAuthenticated("this token is not known, is revoked or has expired: create another one")
        self._good[digest] = None
        if len(self._good) > GOOD_TOKENS_REMEMBERED:
            self._good.popitem(last=False)
        return Operator(operator.name, roles_reached(known, operator), known.id, operator.first_start)


async def first_token(store: Store, data_dir: Path, now: float | None = None) -> Path | None:
    """Write a token to ``data_dir/admin-token`` (mode 0600) where no usable one exists; the file's path then.

    None where an operator has a token already. Whoever can write to ``data_dir`` may thus get in again after the
    last token was revoked, by a restart. Raises ``StoreUnavailable``, ``OSError``.
    """
    moment = time.time() if now is None else now
    async with store.read() as reading:
        if await who_can(reading, Action.SET_OPERATORS, moment):
            return None
        operator = await operator_named(reading, FIRST_OPERATOR)
    text, token = new_token(FIRST_OPERATOR, Role.EDITOR, moment)
    first = operator
    if first is None or not first.present:
        first = NamedOperator(first.name if first else FIRST_OPERATOR, ALL_ROLES, (), True, moment)
    path = data_dir / TOKEN_FILE
    # The file first: a token that is stored but was never written down would lock everybody out.
    await asyncio.to_thread(_write_private, path, text + "\n")

    async def work(writing: Writing) -> None:
        await writing.put_operator(replace(first, roles=ALL_ROLES, first_start=True))
        await writing.put_token(token)
        await writing.log_audit(token_created(token, GATEPOST, "first start"))

    await store.write(work)
    log.info("first_token_written", path=str(path), operator=FIRST_OPERATOR, token_id=token.id)
    return path


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def revoked(token: OperatorToken, now: float) -> OperatorToken:
    """The token, of no more use from now on."""
    return token if token.revoked_at is not None else replace(token, revoked_at=now)


def token_created(token: OperatorToken, author: str, how: str = "") -> AuditEntry:
    """What the audit log is told of a new token; ``how``: where it was not made by the API."""
    details = {
        "token": token.id,
        "operator": token.operator,
        "role": token.role,
        "expires_at": None if token.expires_at is None else moment_text(token.expires_at),
    }
    return AuditEntry(AuditKind.TOKEN_CREATED, author, details={**details, **({"how": how} if how else {})})


def token_revoked(token: OperatorToken, author: str) -> AuditEntry:
    """What the audit log is told of the end of a token."""
    return AuditEntry(AuditKind.TOKEN_REVOKED, author, details={"token": token.id, "operator": token.operator})
