"""Every way in: each asker by its own wire, and each inline proxy before a mail server that accepts the password.

What the decision point was asked and has answered is written down; what the asker or the mail program was told is read
back into one of the three verdicts.
"""

import json
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.decision.decision_point import DecisionPoint
from gateway.domain.access import AccessRequest, IdentityStrength, Protocol
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.webmail.paths import Rule
from gateway.proxies.mail.imap import IMAP
from gateway.proxies.mail.pop3 import POP3
from gateway.proxies.mail.spoken import Spoken
from gateway.proxies.webmail.exposure import VERDICT, WebmailSettings
from tests.conformance.mailboxes import imap_mailbox, pop3_mailbox
from tests.conformance.people import CREDENTIAL, LOGIN, SECRET, Person
from tests.support import spop_frames
from tests.support.asking import Asking, asking, forwarded, mail_login, original, policy_request, question
from tests.support.envoy_asks import asked_by_envoy, effect_of, noted
from tests.support.envoy_asks import phone as asked_of_envoy
from tests.support.fronted import fronted
from tests.support.mail_fronted import mail_fronted
from tests.support.raw_http import HttpAnswer, ask, eas, request
from tests.support.spine import FOLDER_SYNC
from tests.support.submission_server import submission_server
from tests.support.submitted import submitted
from tests.support.upstream import mailbox_server

EAS = eas("FolderSync", LOGIN, "ANNAPHONE")
WITH_CREDENTIAL = f"%{CREDENTIAL}-{SECRET}"


@dataclass(frozen=True, slots=True)
class Answered:
    """How one question went."""

    told: Effect
    """As the asker or the client understands it."""
    reason: str
    """As the asker was told; empty: it is told none."""
    asked: AccessRequest
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Way:
    """One column."""

    name: str
    ask: Callable[[Person], Awaitable[Answered]]


@dataclass(frozen=True, slots=True)
class Group:
    """Ways by which one and the same request comes, with the same identity."""

    title: str
    strength: IdentityStrength
    protocol: Protocol
    ways: tuple[Way, ...]


Told = tuple[Effect, str]
AskerWay = Callable[[Asking], Awaitable[Told]]


@dataclass(slots=True)
class WrittenDown:
    """What a decision point was asked first, and has answered."""

    first: tuple[AccessRequest, Verdict] | None = None

    def listen(self, decision: DecisionPoint) -> None:
        """From now on."""
        judge, judge_loading = decision.judge, decision.judge_loading

        def at_once(asked: AccessRequest) -> Verdict | None:
            verdict = judge(asked)
            if verdict is not None and self.first is None:
                self.first = asked, verdict
            return verdict

        async def loading(asked: AccessRequest) -> Verdict:
            verdict = await judge_loading(asked)
            self.first = self.first or (asked, verdict)
            return verdict

        decision.judge = at_once  # type: ignore[assignment,method-assign]
        decision.judge_loading = loading  # type: ignore[assignment,method-assign]

    def answered(self, told: Effect, reason: str = "") -> Answered:
        """Together with what was told."""
        assert self.first is not None, "nobody was asked"
        return Answered(told, reason, *self.first)


# --- askers


def asker(name: str, way: AskerWay) -> Way:
    """One that asks us."""

    async def answered(person: Person) -> Answered:
        written = WrittenDown()
        with tempfile.TemporaryDirectory() as directory:
            async with asking(Path(directory)) as authz:
                person.arrange(authz.evidence)
                await authz.decision.use(person.policy())
                written.listen(authz.decision)
                return written.answered(*await way(authz))

    return Way(name, answered)


def _by_status(answer: HttpAnswer) -> Told:
    if answer.status == 200 and not answer.body:
        return Effect.ALLOW, answer.header("X-Gatepost-Reason")
    return (Effect.DEFER if answer.status == 503 else Effect.DENY), ""


def _by_header(answer: HttpAnswer) -> Told:
    assert (answer.status == 200) is (answer.header("X-Gatepost-Verdict") == "allow")
    return Effect[answer.header("X-Gatepost-Verdict").upper()], answer.header("X-Gatepost-Reason")


def _by_http(uri: str, method: str) -> tuple[Way, ...]:
    """Those who ask about a request by HTTP."""

    async def nginx(authz: Asking) -> Told:
        return _by_header(await authz.ask(question("nginx", *original(uri, method), user="anna")))

    async def refusal(authz: Asking) -> Told:
        answer = await authz.ask(question("refusal", *original(uri, method), user="anna"))
        if answer.status == 503 and answer.header("Retry-After") == "1":
            return Effect.ALLOW, ""
        return (Effect.DEFER if answer.status == 503 else Effect.DENY), ""

    async def forward(authz: Asking) -> Told:
        return _by_status(await authz.ask(question("forward", *forwarded(uri, method), user="anna")))

    async def traefik(authz: Asking) -> Told:
        return _by_status(await authz.ask(question("traefik", *forwarded(uri, method), user="anna")))

    async def envoy(authz: Asking) -> Told:
        lines = ("MS-ASProtocolVersion: 14.1", "X-Forwarded-For: 192.0.2.7")
        octets = question(f"envoy{uri}", *lines, user="anna", method=method)
        return _by_status(await authz.ask(octets, method))

    async def envoy_grpc(authz: Asking) -> Told:
        response = await asked_by_envoy(authz, asked_of_envoy(uri, "anna", method=method))
        return effect_of(response), noted(response)["reason"]

    async def haproxy(authz: Asking) -> Told:
        said = await authz.variables(uri, "anna", method=spop_frames.string(method.encode()))
        effect = {"allow": Effect.ALLOW, "refuse": Effect.DENY, "defer": Effect.DEFER}[said["verdict"]]
        return effect, said["reason"]

    return (
        asker("nginx", nginx),
        asker("nginx's and HAProxy's refusal", refusal),
        asker("Caddy", forward),
        asker("Traefik", traefik),
        asker("Envoy, HTTP", envoy),
        asker("Envoy, gRPC", envoy_grpc),
        asker("HAProxy", haproxy),
    )


def _by_line(text: str, *, allowed: bool) -> Told:
    if allowed:
        return Effect.ALLOW, ""
    return (Effect.DEFER if "cannot answer now" in text else Effect.DENY), ""


def _by_nginx_mail(protocol: Protocol, user: str = "anna") -> Way:
    async def way(authz: Asking) -> Told:
        status = (await authz.ask(question("mail", *mail_login(protocol.value, user)))).header("Auth-Status")
        return _by_line(status, allowed=status == "OK")

    return asker("nginx mail", way)


def _by_dovecot(protocol: Protocol) -> Way:
    async def way(authz: Asking) -> Told:
        service = "submission" if protocol is Protocol.SMTP else protocol.value
        body = json.dumps({"login": "anna", "user": "anna", "protocol": service}).encode()
        answer = await authz.ask(question("dovecot?command=allow", method="POST", body=body), "POST")
        decided = json.loads(answer.body)
        return _by_line(decided["msg"], allowed=decided["status"] == 0)

    return asker("Dovecot", way)


async def _postfix(authz: Asking) -> Told:
    action = await authz.action(policy_request("anna"))
    return _by_line(action, allowed=action == "action=DUNNO")


# --- inline


async def _activesync(person: Person) -> Answered:
    written = WrittenDown()
    async with mailbox_server() as mailbox, fronted(mailbox.url) as gateway:
        person.arrange(gateway.evidence)
        await gateway.decision.use(person.policy())
        written.listen(gateway.decision)
        gateway.proved(LOGIN)
        answer = await ask(gateway.url, request(EAS, FOLDER_SYNC, user=LOGIN))
    if answer.status == 503:
        return written.answered(Effect.DEFER)
    return written.answered(Effect.DENY if b"129" in answer.body else Effect.ALLOW)


def _webmail(rule: Rule, method: str, path: str) -> Way:
    """The proxy for other mail by HTTP, open under the verdict."""

    async def answered(person: Person) -> Answered:
        written = WrittenDown()
        opened = WebmailSettings(openings={rule: (VERDICT,)})
        async with mailbox_server() as mailbox, fronted(mailbox.url, webmail=opened) as gateway:
            person.arrange(gateway.evidence)
            await gateway.decision.use(person.policy())
            written.listen(gateway.decision)
            gateway.proved(LOGIN)
            answer = await ask(gateway.url, request(path, b"<x/>", user=LOGIN, method=method))
        return written.answered({200: Effect.ALLOW, 403: Effect.DENY, 503: Effect.DEFER}[answer.status])

    return Way(f"Gatepost, {rule.name}", answered)


def _mail(spoken: Spoken, user: str = LOGIN) -> Way:
    async def answered(person: Person) -> Answered:
        written = WrittenDown()
        mailbox, scheme = (imap_mailbox, "imap") if spoken is IMAP else (pop3_mailbox, "pop3")
        async with mailbox() as port, mail_fronted(spoken, f"{scheme}://127.0.0.1:{port}") as gateway:
            person.arrange(gateway.evidence)
            await gateway.decision.use(person.policy())
            written.listen(gateway.decision)
            client = await gateway.client()
            await client.line()
            if spoken is IMAP:
                line = await client.ask(f'a LOGIN "{user}" "secret"\r\n'.encode())
                return written.answered(_by_imap(line))
            await client.ask(f"USER {user}\r\n".encode())
            line = await client.ask(b"PASS secret\r\n")
            return written.answered(_by_pop3(line))

    return Way("Gatepost", answered)


def _by_imap(line: bytes) -> Effect:
    if line.startswith(b"a OK "):
        return Effect.ALLOW
    assert line.startswith((b"* NO [ALERT] ", b"a NO [AUTHENTICATIONFAILED] ", b"a NO [UNAVAILABLE] ")), line
    return Effect.DEFER if b"[UNAVAILABLE]" in line else Effect.DENY


def _by_pop3(line: bytes) -> Effect:
    if line.startswith(b"+OK"):
        return Effect.ALLOW
    assert line.startswith((b"-ERR [SYS/PERM] ", b"-ERR [AUTH] ", b"-ERR [SYS/TEMP] ")), line
    return Effect.DEFER if b"[SYS/TEMP]" in line else Effect.DENY


def _smtp(user: str = LOGIN) -> Way:
    async def answered(person: Person) -> Answered:
        written = WrittenDown()
        async with submission_server() as server, submitted(server.url) as gateway:
            person.arrange(gateway.evidence)
            await gateway.decision.use(person.policy())
            written.listen(gateway.decision)
            client = await gateway.client()
            reply = await client.logged_in(user)
            if reply[:1] == b"2":
                reply = await client.ask(b"MAIL FROM:<anna@corp.example>")
            return written.answered({b"2": Effect.ALLOW, b"4": Effect.DEFER, b"5": Effect.DENY}[reply[:1]])

    return Way("Gatepost", answered)


CALENDAR = "/dav/anna/"

GROUPS = (
    Group(
        "ActiveSync, by its DeviceId",
        IdentityStrength.DEVICE_ID,
        Protocol.ACTIVESYNC,
        (Way("Gatepost", _activesync), *_by_http(EAS, "POST")),
    ),
    Group(
        "Other mail by HTTP, by all devices of the user",
        IdentityStrength.USER_WIDE,
        Protocol.WEBMAIL,
        (
            _webmail(Rule.DAV, "PROPFIND", CALENDAR),
            _webmail(Rule.EWS, "POST", "/EWS/Exchange.asmx"),
            _webmail(Rule.MAPI, "POST", "/mapi/emsmdb"),
            _webmail(Rule.JMAP, "POST", "/jmap/"),
            *_by_http(CALENDAR, "PROPFIND"),
        ),
    ),
    Group(
        "IMAP, by all devices of the user",
        IdentityStrength.USER_WIDE,
        Protocol.IMAP,
        (_mail(IMAP), _by_nginx_mail(Protocol.IMAP), _by_dovecot(Protocol.IMAP)),
    ),
    Group(
        "POP3, by all devices of the user",
        IdentityStrength.USER_WIDE,
        Protocol.POP3,
        (_mail(POP3), _by_nginx_mail(Protocol.POP3), _by_dovecot(Protocol.POP3)),
    ),
    Group(
        "Submission, by all devices of the user",
        IdentityStrength.USER_WIDE,
        Protocol.SMTP,
        (_smtp(), _by_nginx_mail(Protocol.SMTP), _by_dovecot(Protocol.SMTP), asker("Postfix", _postfix)),
    ),
    Group(
        "IMAP, by a device credential",
        IdentityStrength.DEVICE_CREDENTIAL,
        Protocol.IMAP,
        (_mail(IMAP, LOGIN + WITH_CREDENTIAL), _by_nginx_mail(Protocol.IMAP, "anna" + WITH_CREDENTIAL)),
    ),
    Group(
        "POP3, by a device credential",
        IdentityStrength.DEVICE_CREDENTIAL,
        Protocol.POP3,
        (_mail(POP3, LOGIN + WITH_CREDENTIAL), _by_nginx_mail(Protocol.POP3, "anna" + WITH_CREDENTIAL)),
    ),
    Group(
        "Submission, by a device credential",
        IdentityStrength.DEVICE_CREDENTIAL,
        Protocol.SMTP,
        (_smtp(LOGIN + WITH_CREDENTIAL), _by_nginx_mail(Protocol.SMTP, "anna" + WITH_CREDENTIAL)),
    ),
)
