"""The same request with the same identity strength: the same question, verdict and reason by every way.

Each way is asked over its own wire about one and the same evidence and policy. What its decision point was asked and
has answered is written down; what the asker was told is read back into one of the three verdicts.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.decision.decision_point import DecisionPoint
from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.bans import Flag
from gateway.domain.matching import compiled
from gateway.domain.policy import Exemption, Policy, PolicyVersion, Setting, Unavailable, UnknownSetting
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.webmail.paths import Rule
from gateway.proxies.mail.imap import IMAP
from gateway.proxies.webmail.exposure import VERDICT, WebmailSettings
from tests.proxies.mail import conversations
from tests.support.asking import Asking, asking, forwarded, mail_login, original, policy_request, question
from tests.support.fronted import BAN, TIKTOK, Evidence, fronted, policy
from tests.support.mail_fronted import mail_fronted, scripted_server
from tests.support.raw_http import HttpAnswer, ask, eas, request
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import mailbox_server

LOGIN, DEVICE = "anna@corp.example", "annaphone"
EAS = eas("FolderSync", "anna@corp.example", "ANNAPHONE")
Arrange = Callable[[Evidence], None]


@dataclass(frozen=True, slots=True)
class Case:
    """What is known and decided."""

    name: str
    effect: Effect
    arrange: Arrange
    version: Callable[[PolicyVersion], PolicyVersion] = lambda version: version


def clean(evidence: Evidence) -> None:
    evidence.put(LOGIN, DEVICE)


def dirty(evidence: Evidence) -> None:
    evidence.put(LOGIN, DEVICE, TIKTOK)


def nobody(evidence: Evidence) -> None:
    """No source has said anything."""


def away(evidence: Evidence) -> None:
    evidence.unavailable = True


def unmatched_denied(version: PolicyVersion) -> PolicyVersion:
    return replace(version, unknowns=replace(version.unknowns, unmatched=UnknownSetting(Setting.DENY)))


def exempt(version: PolicyVersion) -> PolicyVersion:
    return replace(version, exemptions=(Exemption("1", "op", "travels", 0.0, 4e9, login=LOGIN),))


CASES = [
    Case("clean", Effect.ALLOW, clean),
    Case("dirty", Effect.DENY, dirty),
    Case(
        "dirty, only reported",
        Effect.ALLOW,
        dirty,
        lambda version: replace(version, bans=(replace(BAN, flag=Flag.REPORT_ONLY),)),
    ),
    Case("dirty, switched off", Effect.ALLOW, dirty, lambda version: replace(version, enforcement_on=False)),
    Case("dirty, exempt", Effect.ALLOW, dirty, exempt),
    Case("nobody, only reported", Effect.ALLOW, nobody),
    Case("nobody, denied", Effect.DENY, nobody, unmatched_denied),
    Case("away", Effect.DEFER, away),
    Case("away, denied", Effect.DENY, away, lambda version: replace(version, unavailable=Unavailable.DENY)),
    Case("away, allowed", Effect.ALLOW, away, lambda version: replace(version, unavailable=Unavailable.ALLOW)),
]

Judged = tuple[AccessRequest, Verdict]


def written_down(decision: DecisionPoint) -> list[Judged]:
    """What the decision point is asked from now on, and answers."""
    found: list[Judged] = []
    original_judge, original_loading = decision.judge, decision.judge_loading

    def judge(request: AccessRequest) -> Verdict | None:
        verdict = original_judge(request)
        if verdict is not None:
            found.append((request, verdict))
        return verdict

    async def judge_loading(request: AccessRequest) -> Verdict:
        verdict = await original_loading(request)
        found.append((request, verdict))
        return verdict

    decision.judge = judge  # type: ignore[method-assign]
    decision.judge_loading = judge_loading  # type: ignore[method-assign]
    return found


def policy_for(case: Case) -> Policy:
    version = case.version(policy(BAN, number=2).version)
    return Policy(version, compiled(version.bans))


@asynccontextmanager
async def arranged(case: Case, directory: Path) -> AsyncIterator[tuple[Asking, list[Judged]]]:
    async with asking(directory) as authz:
        case.arrange(authz.evidence)
        await authz.decision.use(policy_for(case))
        yield authz, written_down(authz.decision)


def by_status(answer: HttpAnswer) -> Effect:
    if answer.status == 200 and not answer.body:
        return Effect.ALLOW
    return Effect.DEFER if answer.status == 503 else Effect.DENY


def by_header(answer: HttpAnswer) -> Effect:
    assert (answer.status == 200) is (answer.header("X-Gatepost-Verdict") == "allow")
    return Effect[answer.header("X-Gatepost-Verdict").upper()]


async def by_nginx(authz: Asking) -> Effect:
    return by_header(await authz.ask(question("nginx", *original(EAS), user="anna")))


async def by_nginx_refusal(authz: Asking) -> Effect:
    answer = await authz.ask(question("refusal", *original(EAS), user="anna"))
    if answer.status == 503 and answer.header("Retry-After") == "1":
        return Effect.ALLOW
    return Effect.DEFER if answer.status == 503 else Effect.DENY


async def by_forward(authz: Asking) -> Effect:
    return by_status(await authz.ask(question("forward", *forwarded(EAS), user="anna")))


async def by_envoy(authz: Asking) -> Effect:
    lines = ("MS-ASProtocolVersion: 14.1", "X-Forwarded-For: 192.0.2.7")
    return by_status(await authz.ask(question(f"envoy{EAS}", *lines, user="anna", method="POST"), "POST"))


async def by_haproxy(authz: Asking) -> Effect:
    said = (await authz.variables(EAS, "anna"))["verdict"]
    return {"allow": Effect.ALLOW, "refuse": Effect.DENY, "defer": Effect.DEFER}[said]


async def inline(case: Case) -> tuple[Effect, list[Judged]]:
    """The ActiveSync proxy before a mail server that knows the password."""
    async with mailbox_server() as mailbox, fronted(mailbox.url) as gateway:
        case.arrange(gateway.evidence)
        await gateway.decision.use(policy_for(case))
        found = written_down(gateway.decision)
        gateway.proved(LOGIN)
        answer = await ask(gateway.url, request(EAS, FOLDER_SYNC, user=LOGIN))
        if answer.status == 503:
            return Effect.DEFER, found
        return (Effect.DENY if b"129" in answer.body else Effect.ALLOW), found


def asked_and_answered(found: list[Judged]) -> Judged:
    """The first question: which request it was, whatever its client's address, and the verdict."""
    asked, verdict = found[0]
    return asked._replace(client_address=""), verdict


def same(verdict: Verdict) -> tuple[object, ...]:
    """A verdict without the moments that follow from when the evidence was written."""
    return (
        *(verdict.effect, verdict.reason, verdict.posture, verdict.ban, verdict.app, verdict.would),
        *(verdict.would_reason, verdict.causes, verdict.device_id),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("way", [by_nginx, by_nginx_refusal, by_forward, by_envoy, by_haproxy])
async def test_activesync(case: Case, way: Callable[[Asking], Awaitable[Effect]], tmp_path: Path) -> None:
    effect, found = await inline(case)
    request_inline, verdict_inline = asked_and_answered(found)
    async with arranged(case, tmp_path) as (authz, judged):
        told = await way(authz)
    asked, verdict = asked_and_answered(judged)
    assert asked == request_inline
    assert same(verdict) == same(verdict_inline)
    assert told is verdict.effect is effect is case.effect


CALENDAR = "/dav/anna/"


async def webmail_inline(case: Case) -> tuple[Effect, list[Judged]]:
    """The proxy for other mail by HTTP, with calendars open under the verdict."""
    opened = WebmailSettings(openings={Rule.DAV: (VERDICT,)})
    async with mailbox_server() as mailbox, fronted(mailbox.url, webmail=opened) as gateway:
        case.arrange(gateway.evidence)
        await gateway.decision.use(policy_for(case))
        found = written_down(gateway.decision)
        gateway.proved(LOGIN)
        answer = await ask(gateway.url, request(CALENDAR, b"<x/>", user=LOGIN, method="PROPFIND"))
        return {200: Effect.ALLOW, 403: Effect.DENY, 503: Effect.DEFER}[answer.status], found


async def calendar_by_nginx(authz: Asking) -> Effect:
    return by_header(await authz.ask(question("nginx", *original(CALENDAR, "PROPFIND"), user="anna")))


async def calendar_by_forward(authz: Asking) -> Effect:
    return by_status(await authz.ask(question("forward", *forwarded(CALENDAR, "PROPFIND"), user="anna")))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("way", [calendar_by_nginx, calendar_by_forward])
async def test_other_mail_by_http(case: Case, way: Callable[[Asking], Awaitable[Effect]], tmp_path: Path) -> None:
    effect, found = await webmail_inline(case)
    request_inline, verdict_inline = asked_and_answered(found)
    async with arranged(case, tmp_path) as (authz, judged):
        told = await way(authz)
    asked, verdict = asked_and_answered(judged)
    # Inline the rule stands in the action; an asker knows of none.
    assert asked == request_inline._replace(action="PROPFIND")
    assert same(verdict) == same(verdict_inline)
    assert told is verdict.effect is effect is case.effect


async def imap_inline(case: Case) -> tuple[Effect, list[Judged]]:
    """The IMAP proxy before a mail server that accepts the login."""
    async with scripted_server() as server, mail_fronted(IMAP, f"imap://127.0.0.1:{server.port}") as gateway:
        case.arrange(gateway.evidence)
        await gateway.decision.use(policy_for(case))
        found = written_down(gateway.decision)
        client = await conversations.greeted(gateway)
        client.send(conversations.LOGIN)
        peer = await conversations.asked(server)
        peer.send(conversations.LOGGED_IN)
        line = await client.line()
        denied, deferred = line.startswith(b"* NO [ALERT] "), line.startswith(b"a NO [UNAVAILABLE] ")
        assert denied or deferred or line.startswith(b"a OK "), line
        return (Effect.DENY if denied else Effect.DEFER if deferred else Effect.ALLOW), found


def by_line(text: str, allowed: bool) -> Effect:
    if allowed:
        return Effect.ALLOW
    return Effect.DEFER if "cannot answer now" in text else Effect.DENY


async def by_nginx_mail(authz: Asking, protocol: str) -> Effect:
    status = (await authz.ask(question("mail", *mail_login(protocol, "anna")))).header("Auth-Status")
    return by_line(status, status == "OK")


async def by_dovecot(authz: Asking, protocol: str) -> Effect:
    said = {"login": "anna", "user": "anna", "protocol": {"smtp": "submission"}.get(protocol, protocol)}
    answer = await authz.ask(question("dovecot?command=allow", method="POST", body=json.dumps(said).encode()), "POST")
    decided = json.loads(answer.body)
    return by_line(decided["msg"], decided["status"] == 0)


async def by_postfix(authz: Asking, protocol: str) -> Effect:
    action = await authz.action(policy_request("anna"))
    return by_line(action, action == "action=DUNNO")


WAYS = [
    *((way, protocol) for way in (by_nginx_mail, by_dovecot) for protocol in ("imap", "pop3", "smtp")),
    (by_postfix, "smtp"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize(("way", "protocol"), WAYS)
async def test_logins_that_name_no_device(
    case: Case, way: Callable[[Asking, str], Awaitable[Effect]], protocol: str, tmp_path: Path
) -> None:
    """As any enforcement point asks about all devices of a person."""
    async with arranged(case, tmp_path) as (authz, judged):
        told = await way(authz, protocol)
        wanted = AccessRequest(LOGIN, "", Protocol(protocol))
        expected = await authz.decision.judge_loading(wanted)
    asked, verdict = asked_and_answered(judged)
    assert (asked.login, asked.device_id, asked.protocol) == (LOGIN, "", Protocol(protocol))
    assert verdict == expected
    if protocol == "imap":
        effect, found = await imap_inline(case)
        request_inline, verdict_inline = asked_and_answered(found)
        assert (asked, same(verdict), case.effect) == (request_inline, same(verdict_inline), effect)
    assert told is verdict.effect is case.effect


def test_the_cases_are_all_three_verdicts() -> None:
    """Else the table would show nothing."""
    assert {case.effect for case in CASES} == set(Effect)
