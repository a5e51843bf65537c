"""What is said on a client's connection: login, sender, recipients, message (RFC 5321, RFC 6409, RFC 4954).

aiosmtpd's own EHLO, MAIL, RCPT and DATA are not used: it offers what it can itself and not what the mail server can,
repairs addresses, upper-cases parameters, refuses those of DSN, and holds the whole message in several copies. Nothing
reaches the mail server before it has accepted the client's credentials on a connection of the client's own.

A session is registered before it is judged, judged again at each MAIL and DATA, and told of every turn between them.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog
from aiosmtpd.smtp import AuthResult, syntax

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import FOREVER, Effect, Verdict
from gateway.network.tls import ServerTls
from gateway.protocols import sasl
from gateway.protocols.lines import Unframeable
from gateway.protocols.proxy_protocol import Header
from gateway.protocols.sasl import Credentials, Mechanism
from gateway.protocols.smtp import extensions, refusals
from gateway.protocols.smtp.envelope import BadCommand, read_mail, read_rcpt
from gateway.protocols.smtp.extensions import Extensions
from gateway.protocols.smtp.forwarded_client import Client
from gateway.protocols.smtp.replies import Reply
from gateway.protocols.wording import app_named
from gateway.proxies.smtp.connection import Connection
from gateway.proxies.smtp.logins import NotProved, Proved
from gateway.proxies.smtp.relay import Outcome, Relay, Relayed, judged
from gateway.proxies.smtp.upstream import Leg
from gateway.proxies.verdict_watch import VerdictWatch

if TYPE_CHECKING:
    from gateway.proxies.smtp.front import SmtpFront

log = structlog.get_logger()

REPLY_MARGIN_SECONDS = 30.0
_OUTCOMES = {Effect.ALLOW: "accepted", Effect.DENY: "refused", Effect.DEFER: "deferred"}


class Session(Connection):
    """One client's session (``LiveSession`` once it has logged in)."""

    request: AccessRequest
    """What is judged; there is none before the login."""

    def __init__(
        self, front: "SmtpFront", tls: ServerTls | None, *, secure: bool, header: Header | None = None
    ) -> None:
        self._leg: Leg | None = None
        """The connection to the mail server; None: not logged in, or refused."""
        self._registered = False
        self._open = False
        """It began, and not with a DENY: from then on one that comes ends it."""
        self._watch: VerdictWatch | None = None
        self._offered: Extensions = extensions.UNKNOWN
        self._in_transaction = False
        """The mail server knows a sender."""
        self._utf8 = False
        self._asked = 0
        """Recipients that the mail server was asked about in this transaction."""
        self._recipients = 0
        self._failures = 0
        self._finishing = False
        """The mail server has a whole message and is to answer: nobody ends that."""
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
        self._offered = await self.front.extensions()
        settings = self.front.settings
        await self.push(
            extensions.ehlo(
                settings.name.encode(),
                self._offered,
                most=settings.max_message_bytes,
                starttls=self._tls is not None and not self.secure,
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
        elif self._in_transaction:
            await self.push(refusals.IN_TRANSACTION)
        elif name and mechanism not in extensions.offered(self._offered):
            await self.push(refusals.NO_MECHANISM)
        else:
            await super().smtp_AUTH(f"{name.upper()} {initial}".rstrip())
            if self._failures >= self.front.settings.failed_logins:
                self.end_next(refusals.TOO_MANY_FAILURES, "too_many_failed_logins")

    async def auth_PLAIN(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        """Called by aiosmtpd's AUTH, as the next three."""
        return await self._log_in(Mechanism.PLAIN, args)

    async def auth_LOGIN(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        return await self._log_in(Mechanism.LOGIN, args)

    async def auth_XOAUTH2(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        return await self._log_in(Mechanism.XOAUTH2, args)

    async def auth_OAUTHBEARER(self, _: object, args: list[str]) -> AuthResult:  # noqa: N802
        return await self._log_in(Mechanism.OAUTHBEARER, args)

    async def _log_in(self, mechanism: Mechanism, args: list[str]) -> AuthResult:
        """Authenticate at the mail server, identify, decide."""
        try:
            credentials = await self._credentials(mechanism, args)
        except sasl.BadResponse as error:
            self._failures += 1
            self.front.logged_in.inc("smtp", "malformed")
            return _answered(refusals.bad_response(error.fault))
        except Unframeable as error:
            self.over(refusals.unframeable(error.reason), error.reason)
        proved = await self.front.logins.prove(credentials, self._client(), self.certificate)
        if isinstance(proved, NotProved):
            self._failures += proved.outcome in ("unauthenticated", "wrong_credential", "too_many_attempts")
            self.front.logged_in.inc("smtp", proved.outcome)
            if proved.challenge:
                # The client answers with nothing, or with ^A; it decides nothing.
                await self._challenge(proved.challenge)
            return _answered(proved.answer)
        self._leg = proved.leg
        return await self._identified(proved)

    async def _credentials(self, mechanism: Mechanism, args: list[str]) -> Credentials:
        exchange = sasl.Exchange(mechanism)
        response = args[1].encode("utf-8", "surrogateescape") if len(args) > 1 else None
        said = exchange.respond(response)
        while not isinstance(said, Credentials):
            said = exchange.respond(await self._challenge(said))
        return said

    async def _challenge(self, challenge: bytes) -> bytes:
        await self.push(b"334 " + challenge)
        return await self.awaited_line(max(0.001, self._login_until - self.front.clock()))

    def _client(self) -> Client:
        assert self.session is not None
        return Client(self.source, self.destination, _octets(self.session.host_name))

    async def _identified(self, proved: Proved) -> AuthResult:
        # Registered first, judged after, with no await between.
        self.request = proved.request
        self._registered = True
        self.front.credentials.used(self.request)
        self.front.decision.sessions.add(self)
        if self.front.one_more_of(self.request.login) > self.front.settings.sessions_per_user:
            self.front.logged_in.inc("smtp", "too_many_sessions")
            self._let_go()
            self.end_next(refusals.TOO_MANY_SESSIONS, "too_many_sessions")
            return _answered(refusals.TOO_MANY_SESSIONS_LOGIN)
        verdict = await self._verdict()
        self.front.logged_in.inc("smtp", _OUTCOMES[verdict.effect])
        if verdict.effect is Effect.DENY:
            # The mail server hears nothing more of somebody who may not have mail.
            self._let_go()
        else:
            self._open = True
            self._watch_until(verdict.valid_until)
        return AuthResult(success=True, message=proved.answer.decode("utf-8", "surrogateescape"))

    # --- verdicts

    async def _verdict(self) -> Verdict:
        verdict = self.front.decision.judge(self.request)
        return verdict if verdict is not None else await self.front.decision.judge_loading(self.request)

    def _watch_until(self, valid_until: float) -> None:
        if valid_until != FOREVER:
            self._watch = VerdictWatch(self, self.front.decision, self.front.now)
            self._watch.until(valid_until)

    def verdict_turned(self, verdict: Verdict) -> None:
        """Called the moment the verdict is ALLOW no longer (``LiveSession``).

        A message that the client was told to send is passed on to its end; everything else ends here. Where nobody can
        know now, MAIL and DATA say so.
        """
        if verdict.effect is Effect.DENY and self._open and not self.last_word:
            self.front.refusals.write_down("cut", self.request, verdict)
            self.end_with(refusals.cut(app_named(verdict), verdict.note), "cut")

    async def _is_refused(self) -> bool:
        """Whether the verdict of this moment is not ALLOW; then the client was told so."""
        verdict = await self._verdict()
        if verdict.effect is Effect.DENY:
            self.front.refusals.write_down("refused", self.request, verdict)
            if delay := self.front.pace.delay(self.request.login, self.request.protocol.value):
                # Who hammers is told later and later.
                await asyncio.sleep(delay)
            await self.push(refusals.denied(app_named(verdict), verdict.note))
        elif verdict.effect is Effect.DEFER:
            await self.push(refusals.deferred())
        elif self._leg is None:
            # It was refused when it logged in, and may have mail now.
            self.over(refusals.AGAIN, "allowed_again")
        return verdict.effect is not Effect.ALLOW

    # --- a transaction

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        """Whose message it is; judged."""
        if await self._is_not_ready():
            return
        if self._in_transaction:
            await self.push(refusals.NESTED)
            return
        if await self._is_refused():
            return
        try:
            mail = read_mail(_octets(arg), self._usable)
        except BadCommand as error:
            await self.push(error.reply)
            return
        if mail.size > self._most:
            self.front.messages.inc(Outcome.TOO_LARGE.value)
            await self.push(refusals.TOO_LARGE)
            return
        reply = await self._ask(mail.octets)
        if reply.positive:
            self._in_transaction, self._utf8 = True, mail.utf8
            self._asked = self._recipients = 0
        await self._pass_on(reply)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        """For whom; each has the mail server's own answer."""
        if await self._is_not_ready():
            return
        if not self._in_transaction:
            await self.push(refusals.NO_SENDER)
            return
        try:
            recipient = read_rcpt(_octets(arg), self._usable, utf8=self._utf8)
        except BadCommand as error:
            await self.push(error.reply)
            return
        if self._asked >= self.front.settings.max_recipients:
            await self.push(refusals.TOO_MANY_RECIPIENTS)
            return
        self._asked += 1
        reply = await self._ask(recipient.octets)
        self._recipients += reply.positive
        await self._pass_on(reply)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """The message; judged once more before the client is told to send it."""
        if await self._is_not_ready():
            return
        if not self._recipients:
            await self.push(refusals.NO_RECIPIENT if self._in_transaction else refusals.NO_SENDER)
        elif arg:
            await self.push(refusals.NO_ARGUMENT)
        elif not self.inbox.empty:
            self._end_as_pipelined()
        elif await self._is_refused():
            return
        elif not self.front.memory.take():
            await self.push(refusals.NO_ROOM)
        else:
            try:
                await self._message()
            finally:
                self.front.memory.give_back()

    async def _message(self) -> None:
        leg = self._leg
        assert leg is not None
        reply = await leg.begin_message()
        if reply.code != 354:
            await self._pass_on(_settled(reply))
            return
        if self.last_word:
            # The verdict turned, and nothing was promised yet.
            self.over(self.last_word, self.how)
        if not self.inbox.empty:
            self._end_as_pipelined()
        self.receiving = True
        try:
            self._reset_timeout(self.front.settings.message_seconds)
            await self.push(refusals.SEND)
            relayed = await self._relayed(leg)
        finally:
            self.receiving = False
            self._reset_timeout()
        self._in_transaction, self._recipients = False, 0
        await self.push(relayed.answer)
        if not leg.alive:
            self.end_next(refusals.UPSTREAM_LOST, "upstream_lost")

    async def _relayed(self, leg: Leg) -> Relayed:
        relay = Relay(self.inbox, leg, self._most, self.front.settings.data_seconds)
        try:
            relayed = await relay.run()
        except asyncio.CancelledError:
            self.front.messages.inc(Outcome.CLIENT_GONE.value)
            raise
        except TimeoutError:
            self.front.messages.inc(Outcome.TIMED_OUT.value)
            self.over(refusals.TIMED_OUT, "timed_out")
        if relayed is None:
            self._finishing, self.receiving = True, False
            self._reset_timeout(self.front.settings.upstream_reply_seconds + REPLY_MARGIN_SECONDS)
            return await asyncio.shield(self.front.keep(self._finish(leg, relay.size)))
        self.front.messages.inc(relayed.outcome.value)
        return relayed

    async def _finish(self, leg: Leg, size: int) -> Relayed:
        """Hear what the mail server says to a message that it has, whatever becomes of the client meanwhile."""
        try:
            reply = await leg.end_message()
            relayed = judged(reply, whole=True)
            self.front.messages.inc(relayed.outcome.value)
            if self.gone or relayed.outcome is Outcome.UNKNOWN:
                log.warning(
                    "smtp_answer_lost",
                    login=self.request.login,
                    client=self.address,
                    size=size,
                    outcome=relayed.outcome.value,
                    client_gone=self.gone,
                )
            return relayed
        finally:
            self._finishing = False
            if self.gone:
                self._let_go()

    def _end_as_pipelined(self) -> None:
        """What came behind DATA before its answer would be commands to one and a message to another (RFC 2920 §3.1)."""
        self.over(refusals.PIPELINED, "pipelined")

    # --- the smaller commands

    async def smtp_RSET(self, arg: str) -> None:  # noqa: N802
        """Forget the transaction, here and there."""
        if arg:
            await self.push(refusals.NO_ARGUMENT)
        elif self._in_transaction:
            self._in_transaction, self._recipients = False, 0
            await self._pass_on(await self._ask(b"RSET"))
        else:
            await self.push(refusals.DONE)

    async def smtp_NOOP(self, arg: str) -> None:  # noqa: N802
        """The mail server is told too: it has a time after which it hangs up."""
        if self._leg is None:
            await self.push(refusals.DONE)
        else:
            await self._pass_on(await self._ask(b"NOOP"))

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802
        """The end, for the mail server too."""
        if arg:
            await self.push(refusals.NO_ARGUMENT)
            return
        self._let_go()
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

    # --- what they share

    @property
    def _usable(self) -> Extensions:
        """What was offered, or nothing to a client that said HELO."""
        # aiosmtpd looks at every attribute before there is a session.
        extended = self.session is not None and self.session.extended_smtp
        return self._offered if extended else Extensions()

    @property
    def _most(self) -> int:
        return extensions.size_limit(self._offered, self.front.settings.max_message_bytes)

    async def _is_not_ready(self) -> bool:
        """Whether the client has not logged in; then it was told so."""
        assert self.session is not None
        if self.session.authenticated:
            return False
        await self.push(refusals.NO_LOGIN)
        return True

    async def _ask(self, command: bytes) -> Reply:
        assert self._leg is not None
        return _settled(await self._leg.command(command))

    async def _pass_on(self, reply: Reply) -> None:
        """The mail server's answer; its 421 ends both connections."""
        if reply.code == 421:
            self.over(reply.octets, "upstream_lost")
        await self.push(reply.octets)

    async def _forget_transaction(self) -> None:
        if self._in_transaction:
            self._in_transaction, self._recipients = False, 0
            reply = await self._ask(b"RSET")
            if reply.code == 421:
                await self._pass_on(reply)

    def _let_go(self) -> None:
        """Take leave of the mail server."""
        leg, self._leg = self._leg, None
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
            self.front.one_less_of(self.request.login)
        if self._leg is not None and not self._finishing:
            self._leg.abort()
            self._leg = None


def _answered(answer: bytes) -> AuthResult:
    return AuthResult(success=False, handled=False, message=answer.decode("utf-8", "surrogateescape"))


def _octets(arg: str | None) -> bytes:
    """As they came: aiosmtpd has made text of them, in a way that can be undone."""
    return (arg or "").encode("utf-8", "surrogateescape")


def _settled(reply: Reply) -> Reply:
    """A reply that asks for more where nothing more can be said is a mail server's mistake."""
    return reply if reply.final else Reply(421, refusals.UPSTREAM_LOST[4:].decode())
