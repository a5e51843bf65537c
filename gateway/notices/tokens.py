"""Tokens for a client that logs in as itself (RFC 6749 4.4): asked for when needed, kept until shortly before the end.

The issuer's answer is bounded in time and size, redirects are not followed, and the secret stands in no error.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

import httpx

ISSUER_SECONDS = 15.0
ANSWER_LONGEST = 64 << 10
"""Octets; tokens of some issuers have 8 KiB."""
BEFORE_ITS_END_SECONDS = 60.0
LIFE_SECONDS = 300.0
"""Of a token whose issuer does not say (RFC 6749 5.1: expires_in is only recommended)."""


class NoToken(Exception):  # noqa: N818  (a state of affairs)
    """There is none; the text says why. ``final``: the issuer said no, and will again."""

    def __init__(self, words: str, *, final: bool) -> None:
        super().__init__(words)
        self.final = final


@dataclass(frozen=True, slots=True)
class TokenClient:
    """Who asks whom for what."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str


class Tokens:
    """The present token of one client."""

    def __init__(
        self, client: TokenClient, tls: ssl.SSLContext | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        """``tls``: whom to trust; None: the usual authorities."""
        self._client = client
        self._tls = tls
        self._clock = clock
        self._asking = asyncio.Lock()
        self._token = ""
        self._ends = 0.0

    async def token(self) -> str:
        """One that is good for a while. Raises ``NoToken``."""
        async with self._asking:
            if not self._token or self._clock() >= self._ends:
                self._token, seconds = await self._asked()
                self._ends = self._clock() + max(seconds - BEFORE_ITS_END_SECONDS, seconds / 2)
            return self._token

    def forget(self, token: str) -> None:
        """It was not accepted: the next one is a new one."""
        if token == self._token:
            self._token = ""

    async def _asked(self) -> tuple[str, float]:
        client = self._client
        asked = {"grant_type": "client_credentials", "scope": client.scope}
        asked |= {"client_id": client.client_id, "client_secret": client.client_secret}
        try:
            async with (
                asyncio.timeout(ISSUER_SECONDS),
                # The machine's proxy settings are for other things.
                httpx.AsyncClient(
                    verify=self._tls or ssl.create_default_context(), timeout=ISSUER_SECONDS, trust_env=False
                ) as http,
                http.stream("POST", client.token_url, data=asked, headers={"accept": "application/json"}) as answer,
            ):
                body = await _whole(answer)
        except (httpx.HTTPError, OSError, ssl.SSLError) as error:
            # Its text may hold a URL, never what was sent.
            words = str(error) or type(error).__name__
            raise NoToken(f"the issuer of tokens {client.token_url} cannot be reached: {words}", final=False) from None
        return self._read(answer.status_code, body)

    def _read(self, status: int, body: bytes) -> tuple[str, float]:
        where = f"the issuer of tokens {self._client.token_url}"
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        told = told if isinstance(told, dict) else {}
        if status != 200:
            # RFC 6749 5.2: one word of a known set; anything else is not repeated.
            word = told.get("error")
            shown = f" ({word})" if isinstance(word, str) and word.replace("_", "").isalpha() and len(word) < 40 else ""
            raise NoToken(f"{where} gives none: HTTP {status}{shown}", final=status in (400, 401, 403))
        token, seconds = told.get("access_token"), told.get("expires_in", LIFE_SECONDS)
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise NoToken(f"{where} gives none: its answer holds no access_token", final=False)
        known = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 1e9
        return token, float(seconds) if known else LIFE_SECONDS


async def _whole(answer: httpx.Response) -> bytes:
    pieces = b""
    async for piece in answer.aiter_bytes():
        pieces += piece
        if len(pieces) > ANSWER_LONGEST:
            raise httpx.DecodingError("an answer without end")
    return pieces
