"""What is said on a client's connection (RFC 5321, RFC 6409, RFC 4954); login and transaction are parts of it.

aiosmtpd's own EHLO, MAIL, RCPT and DATA are not used: it offers what it can itself and not what the mail server can,
repairs addresses, upper-cases parameters, refuses those of DSN, and holds the whole message in several copies. Nothing
reaches the mail server before it has accepted the client's credentials on a connection of the client's own.

A session is registered before it is judged, judged again at each MAIL and DATA and before the client is told to send a
message, and told of every turn between them.
"""

import asyncio
from typing import TYPE_CHECKING

from aiosmtpd.smtp import AuthResult, syntax

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import FOREVER, Effect, Verdict
from gateway.network.tls import ServerTls
from gateway.protocols import sasl
from gateway.protocols.proxy_protocol import Header
from gateway.protocols.sasl import Mechanism
from gateway.protocols.smtp import extensions, refusals
from gateway.protocols.smtp.extensions import Extensions
from gateway.protocols.smtp.replies import Reply
from gateway.protocols.wording import app_named
from gateway.proxies.smtp.connection import Connection
from gateway.proxies.smtp.login import Login
from gateway.proxies.smtp.logins import Proved
from gateway.proxies.smtp.transaction import Transaction
from gateway.proxies.smtp.upstream import Leg, settled
from gateway.proxies.token_owner import TokenOwner, strictest
from gateway.proxies.verdict_watch import VerdictWatch

if TYPE_CHECKING:
    from gateway.proxies.smtp.front import SmtpFront


class Session(Connection):
    """One client's session (``LiveSession`` once it has logged in)."""

    request: AccessRequest
    """What is judged; there is none before the login."""

    def __init__(
        self, front: "SmtpFront", tls: ServerTls | None, *, secure: bool, header: Header | None = None
    ) -> None:
        self.leg: Leg | None = None
        """The connection to the mail server; None: not logged in, or refused."""
        self.offered: Extensions = extensions.UNKNOWN
        self._registered = False
        self._open = False
        """It began, and not with a DENY: from then on one that comes ends it."""
        self._watch: VerdictWatch | None = None
        self._owner: TokenOwner | None = None
        self._login = Login(self, front)
        self._transaction = Transaction(self, front)
        super().__init__(front, tls, secure=secure, header=header)

    # --- greeting

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802  (aiosmtpd's name, as all below)
        """Offer what the mail server has."""
        if not hostname:
            await self.push(refusals.NO_NAME)
            return
        await self._forget_transaction()
        assert self.session is not None
        self.session.extended_smtp = True
        self.session.host_name = hostname
        self.offered = await self.front.extensions()
        settings = self.front.settings
        await self.push(
            extensions.ehlo(
                settings.name.encode(),
                self.offered,
                most=settings.max_message_bytes,
                starttls=self._tls is not None and not (self.secure or self.session.authenticated),
                login=self._may_log_in,
            )
        )

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802
        """Without extensions there is no login, and without a login no mail."""
        if not hostname:
            await self.push(refusals.NO_NAME)
            return
        await self._forget_transaction()
        assert self.session is not None
        self.session.extended_smtp = False
        self.session.host_name = hostname
        await self.push(b"250 " + self.front.settings.name.encode())

    @property
    def _may_log_in(self) -> bool:
        return self.secure or self.front.settings.cleartext_login

    # --- login

    @syntax("AUTH <mechanism>")
    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        """aiosmtpd's, behind what it does not look at: TLS of ours, a transaction, the mechanism's case."""
        assert self.session is not None
        name, _, initial = (arg or "").partition(" ")
        mechanism = sasl.mechanism(name.encode("utf-8", "surrogateescape"))
        if not self._may_log_in:
            await self.push(refusals.NO_TLS)
        elif self.session.authenticated:
            await self.push(refusals.LOGGED_IN)
        elif self._transaction.begun:
            await self.push(refusals.IN_TRANSACTION)
        elif name and mechanism not in extensions.offered(self.offered):
            await self.push(refusals.NO_MECHANISM)
        else:
            await super().smtp_AUTH(f"{name.upper()} {initial}".rstrip())
            if self._login.failures >= self.front.settings.failed_logins:
                self.end_next(refusals.TOO_MANY_FAILURES, "too_many_failed_logins")

    async def auth_PLAIN(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        """Called by aiosmtpd's AUTH, as the next three."""
        return await self._login.run(Mechanism.PLAIN, args)

    async def auth_LOGIN(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        return await self._login.run(Mechanism.LOGIN, args)

    async def auth_XOAUTH2(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        return await self._login.run(Mechanism.XOAUTH2, args)

    async def auth_OAUTHBEARER(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        return await self._login.run(Mechanism.OAUTHBEARER, args)

    def register(self, proved: Proved) -> int:
        """The mail server has accepted somebody: turns of the verdict are heard of; how many sessions the user has."""
        self.leg, self.request = proved.leg, proved.request
        self._registered = True
        self.front.decision.sessions.add(self)
        if proved.owner is not None:
            self._owner = TokenOwner(self, proved.owner, self.front.decision)
        return self.front.sessions.begin(self.request.login)

    def begin(self, verdict: Verdict) -> None:
        """Go on with a verdict that is no DENY."""
        self._open = True
        if verdict.valid_until != FOREVER:
            self._watch = VerdictWatch(self, self.front.decision, self.front.now)
            self._watch.until(verdict.valid_until)
        if self._owner is not None:
            self._owner.follow(self.front.now, every=0.0)

    # --- verdicts

    async def judged(self) -> tuple[AccessRequest, Verdict]:
        """The verdict of this moment that counts, with the question that it answers; nothing is awaited behind it."""
        return await strictest(self.front.decision, self.request, self._owner)

    def verdict_turned(self, verdict: Verdict) -> None:
        """Called the moment the verdict is ALLOW no longer (``LiveSession``).

        A message that the client was told to send is passed on to its end; everything else ends here. Where nobody can
        know now, MAIL and DATA say so.
        """
        self.turned(verdict, self.request)

    def turned(self, verdict: Verdict, request: AccessRequest) -> None:
        """The same of one of its questions."""
        if verdict.effect is Effect.DENY and self._open and not self.last_word:
            self.front.refusals.write_down("cut", request, verdict)
            self.end_with(refusals.cut(app_named(verdict), verdict.note), "cut")

    async def is_refused(self) -> bool:
        """Whether the verdict of this moment is not ALLOW; then the client was told so."""
        about, verdict = await self.judged()
        if verdict.effect is Effect.DENY:
            self.front.refusals.write_down("refused", about, verdict)
            if delay := self.front.pace.delay(self.request.login, self.request.protocol.value):
                # Who hammers is told later and later.
                await asyncio.sleep(delay)
            await self.push(refusals.denied(app_named(verdict), verdict.note))
        elif verdict.effect is Effect.DEFER:
            await self.push(refusals.deferred())
        elif self.leg is None:
            # It was refused when it logged in, and may have mail now.
            self.over(refusals.AGAIN, "allowed_again")
        return verdict.effect is not Effect.ALLOW

    async def end_if_turned(self) -> None:
        """End it here unless the verdict of this moment is ALLOW; nothing is awaited behind that verdict.

        A change that was heard of may not be read yet, and whoever reads it for live sessions has told nothing so far.
        """
        about, verdict = await self.judged()
        if verdict.effect is Effect.DEFER:
            self.end_next(refusals.cut_for_now(), "cut_for_now")
        else:
            self.turned(verdict, about)
        if self.last_word:
            self.over(self.last_word, self.how)

    # --- a transaction

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        """Whose message it is."""
        if not await self._is_not_ready():
            await self._transaction.mail(_octets(arg))

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        """For whom."""
        if not await self._is_not_ready():
            await self._transaction.rcpt(_octets(arg))

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """The message."""
        if not await self._is_not_ready():
            await self._transaction.data(arg)

    # --- the smaller commands

    async def smtp_RSET(self, arg: str) -> None:  # noqa: N802
        """Forget the transaction, here and there."""
        if arg:
            await self.push(refusals.NO_ARGUMENT)
        elif self._transaction.begun:
            self._transaction.forget()
            await self.pass_on(await self.ask(b"RSET"))
        else:
            await self.push(refusals.DONE)

    async def smtp_NOOP(self, arg: str) -> None:  # noqa: N802
        """The mail server is told too: it has a time after which it hangs up."""
        if self.leg is None:
            await self.push(refusals.DONE)
        else:
            await self.pass_on(await self.ask(b"NOOP"))

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802
        """The end, for the mail server too."""
        if arg:
            await self.push(refusals.NO_ARGUMENT)
            return
        self.let_go()
        self.over(refusals.BYE, "quit")

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: N802
        """Who is there is told to nobody (RFC 5321 §7.3)."""
        if not await self._is_not_ready():
            await self.push(refusals.NOT_VERIFIED)

    async def smtp_HELP(self, arg: str) -> None:  # noqa: N802
        """Nothing to tell."""
        await self.push(refusals.HELP)

    async def smtp_XCLIENT(self, arg: str) -> None:  # noqa: N802
        """Where a client comes from we see; what it says of that is not believed."""
        self.over(refusals.FROM_OUTSIDE, "xclient")

    smtp_XFORWARD = smtp_XCLIENT  # noqa: N815

    async def smtp_BDAT(self, arg: str) -> None:  # noqa: N802
        """Its octets would be taken for commands."""
        self.over(refusals.NO_CHUNKS, "bdat")

    # --- what login and transaction share

    @property
    def usable(self) -> Extensions:
        """What was offered, or nothing to a client that said HELO."""
        # aiosmtpd looks at every attribute before there is a session.
        extended = self.session is not None and self.session.extended_smtp
        return self.offered if extended else Extensions()

    async def _is_not_ready(self) -> bool:
        """Whether the client has not logged in; then it was told so."""
        assert self.session is not None
        if self.session.authenticated:
            return False
        await self.push(refusals.NO_LOGIN)
        return True

    async def ask(self, command: bytes) -> Reply:
        """A command for the mail server, which there must be."""
        assert self.leg is not None
        return settled(await self.leg.command(command))

    async def pass_on(self, reply: Reply) -> None:
        """The mail server's answer; its 421 ends both connections."""
        if reply.code == 421:
            self.over(reply.octets, "upstream_lost")
        await self.push(reply.octets)

    async def _forget_transaction(self) -> None:
        if self._transaction.begun:
            self._transaction.forget()
            reply = await self.ask(b"RSET")
            if reply.code == 421:
                await self.pass_on(reply)

    def let_go(self) -> None:
        """Take leave of the mail server."""
        leg, self.leg = self.leg, None
        if leg is not None:
            self.front.keep(leg.quit())

    def connection_lost(self, error: Exception | None) -> None:
        """The end; a message that is not whole was none."""
        super().connection_lost(error)
        if self._watch is not None:
            self._watch.end()
        if self._registered:
            self._registered = False
            self.front.decision.sessions.discard(self)
            self.front.sessions.end(self.request.login)
            if self._owner is not None:
                self._owner.end()
        if self.leg is not None and not self._transaction.finishing:
            self.leg.abort()
            self.leg = None
        self.over_at_last()

    def fall_apart(self) -> None:
        """Its parts know it."""
        super().fall_apart()
        self._watch = self._owner = None
        for part in ("_login", "_transaction"):
            self.__dict__.pop(part, None)


def _octets(arg: str | None) -> bytes:
    """As they came: aiosmtpd has made text of them, in a way that can be undone."""
    return (arg or "").encode("utf-8", "surrogateescape")
