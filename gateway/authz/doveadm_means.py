"""Ends Dovecot's sessions by doveadm's HTTP API: ``kick``, many users in one request.

The API and not the program: the program must be root at Dovecot's own machine, the API wants a key only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.authz.cutter import CutFailed
from gateway.domain.errors import DomainError, InvalidValue
from gateway.network.fetch import fetch
from gateway.network.tls import client_context
from gateway.network.upstream import UpstreamPool, UpstreamUnavailable
from gateway.protocols.authz import doveadm
from gateway.protocols.authz.doveadm import Connected

AT_ONCE: Final = 32
"""Kicks in one request; each takes Dovecot some milliseconds."""
CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 10.0
ANSWER_LONGEST: Final = 32 << 20
"""Of ``who``: about a hundred octets for each user."""


class KeyMissing(DomainError):  # noqa: N818
    """The file with doveadm's key cannot be used; the text says which, why and what to do."""


class DoveadmMeans:
    """``Means`` for Dovecot. In no representation: it holds the key."""

    name = "doveadm"
    most = AT_ONCE

    def __init__(self, url: str, key: str, authorities: str = "") -> None:
        """``url``: http or https, host and port; ``authorities``: a PEM file for https. Raises ``TlsUnusable``."""
        tls = client_context(authorities, setting="[authz] cuts: ca") if url.startswith("https:") else None
        self._pool = UpstreamPool(url, tls, connections=2, connect_seconds=CONNECT_SECONDS, idle_seconds=IDLE_SECONDS)
        self._authorization = doveadm.authorization(key)

    def exact(self, target: str) -> str:
        """A user's name as Dovecot spells it."""
        return doveadm.exact(target)

    async def cut(self, targets: Sequence[str]) -> int:
        """Kick these users. One whom doveadm fails for is no failure of the others."""
        try:
            outcomes = doveadm.kicked(await self._said(doveadm.kicks(targets)), len(targets))
        except InvalidValue as error:
            raise CutFailed(str(error)) from None
        failures = {user: said for user, said in zip(targets, outcomes, strict=True) if isinstance(said, str)}
        ended = sum(said is True for said in outcomes)
        if failures:
            raise CutFailed(next(iter(failures.values())), failures.keys(), ended)
        return ended

    async def who(self) -> tuple[Connected, ...]:
        """Who is connected. Raises ``CutFailed``."""
        try:
            return doveadm.connected(await self._said(doveadm.who()))
        except InvalidValue as error:
            raise CutFailed(str(error)) from None

    async def _said(self, body: bytes) -> bytes:
        fields = ((b"Authorization", self._authorization), (b"Content-Type", b"application/json"))
        try:
            answer = await fetch(
                self._pool,
                b"POST",
                doveadm.TARGET,
                self._pool.host.encode(),
                fields,
                body,
                timeout_seconds=ANSWER_SECONDS,
                body_longest=ANSWER_LONGEST,
            )
        except UpstreamUnavailable as error:
            raise CutFailed(f"doveadm: {error}") from None
        if answer.status == 401:
            raise CutFailed("doveadm does not take the key: write Dovecot's doveadm_api_key into the key_file")
        if answer.status != 200:
            raise CutFailed(f"doveadm answers {answer.status}: is it its HTTP listener?")
        return answer.body

    async def close(self) -> None:
        """Let go of connections."""
        self._pool.close()


def read_key(path: str) -> str:
    """The key in a file. Raises ``KeyMissing``."""
    try:
        key = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise KeyMissing(
            f"[authz] cuts: key_file {path} cannot be read ({reason}): name a file with Dovecot's doveadm_api_key"
        ) from None
    if not key or not key.isprintable():
        raise KeyMissing(f"[authz] cuts: key_file {path} holds no key in one line: write doveadm_api_key into it")
    return key
