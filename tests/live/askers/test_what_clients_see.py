"""Each real server that asks, and what its clients see: of every verdict, and while Gatepost is away, silent or slow.

Every column is one state of Gatepost, in which all servers that are installed are asked at the same time. The table in
``docs/external-authorization.md`` has what was seen, word by word; ``WRITE_SEEN=1`` writes it there.
"""

import asyncio
import os
import poplib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.live.askers.conftest import USERS
from tests.live.askers.from_wheels import until_served
from tests.live.askers.servers import MAIL_MODULE, PASSWORD, missing, start_dovecot, start_nginx_mail, start_postfix
from tests.live.askers.switch import Switch
from tests.live.askers.test_mail import imap_login
from tests.live.askers.test_postfix import whole
from tests.live.askers.test_web import BLOCKED, request
from tests.live.askers.web_servers import NAMES, Asked, missing_web, start_web
from tests.live.children import Child, free_ports
from tests.support.asking import Asking
from tests.support.phone_certificates import Certificates
from tests.support.raw_http import Client, eas
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = Path(__file__).resolve().parents[3] / "docs" / "external-authorization.md"
BEGIN, END = "<!-- what clients see begins -->\n", "<!-- what clients see ends -->\n"
MAIL = "mail"
PATIENCE_SECONDS = 45.0
WITHIN = {"haproxy": 0.1, "envoy": 0.1, "envoy-http": 0.2, "http": 1.0, "traefik": 1.0, "postfix": 1.5}
BEYOND = {"haproxy": 1.0, "envoy": 1.0, "envoy-http": 1.0, "http": 4.0, "traefik": 31.0, "postfix": 4.5}
"""Delays by where is asked: a good part of the examples' patience, and more than it."""
OWN_HTTP = ("traefik", "envoy-http")
COLUMNS = ("allowed", "refused", "cannot know now", "away", "silent", "slow, in time", "slow, too late")
SEEN: dict[tuple[str, str], str] = {}
Ask = Callable[[str], Awaitable[str]]


def web(port: int, made: Certificates) -> Ask:
    """FolderSync of a phone."""

    async def ask(user: str) -> str:
        client = await Client.connected(f"https://localhost:{port}", tls=made.trust())
        try:
            target = eas("FolderSync", user, f"{user.upper()}PHONE")
            client.write(request(target, FOLDER_SYNC, user=user))
            answer = await client.answer(within_seconds=PATIENCE_SECONDS)
        finally:
            client.close()
        if (answer.status, answer.body) == (200, f"mail for {user}".encode()):
            return MAIL
        if answer.body == BLOCKED:
            return f"{answer.status} with Status 129"
        later = answer.header("Retry-After")
        return f"{answer.status}, `Retry-After: {later}`" if later else str(answer.status)

    return ask


def imap(port: int, made: Certificates | None = None) -> Ask:
    """A login and SELECT."""

    async def ask(user: str) -> str:
        trusted = made.trust() if made else None
        try:
            told = await asyncio.to_thread(imap_login, port, user, PASSWORD, trusted)
        except OSError:
            return "connection closed"
        if "EOF" in told:
            return "connection closed"
        return MAIL if told == "selected OK" else f"`{told}`"

    return ask


def pop3(port: int, made: Certificates) -> Ask:
    """A login and STAT."""

    def told(user: str) -> str:
        session = poplib.POP3_SSL("localhost", port, context=made.trust(), timeout=PATIENCE_SECONDS)
        try:
            session.user(user)
            session.pass_(PASSWORD)
            session.stat()
        except poplib.error_proto as error:
            return "`" + str(error).removeprefix("b'").removesuffix("'") + "`"
        finally:
            session.close()
        return MAIL

    return lambda user: asyncio.to_thread(told, user)


def submission(port: int, made: Certificates) -> Ask:
    """One message."""

    async def ask(user: str) -> str:
        code, text = await asyncio.to_thread(whole, port, made, user)
        return "sent" if code == 250 else f"`{code} {text}`"

    return ask


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_switches(
    gatepost: Asking,
    switches: list[Switch],
    http_switch: Switch,
    haproxy_switch: Switch,
    postfix_switch: Switch,
    envoy_switch: Switch,
) -> AsyncIterator[dict[str, Switch]]:
    """Where each of them asks; Traefik and Envoy over HTTP at ports of their own, as their patience is another one."""
    made = {name: Switch(port, gatepost.http) for name, port in zip(OWN_HTTP, free_ports(2), strict=True)}
    for each in made.values():
        switches.append(each)
        await each.on()
    all_of_them = {"http": http_switch, "haproxy": haproxy_switch, "postfix": postfix_switch, "envoy": envoy_switch}
    yield {**all_of_them, **made}
    for each in made.values():
        switches.remove(each)
        await each.off()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def askers(
    ground: Path, own_switches: dict[str, Switch], mailboxes: dict[str, int], made: Certificates
) -> AsyncIterator[dict[str, Ask]]:
    """Those that are installed, by their names in the table."""
    found: dict[str, Ask] = {}
    children: list[Child] = []
    home = ground / "seen"
    home.mkdir()
    home.chmod(0o755)
    asked = own_switches["http"].port
    async with mailbox_server() as mailbox:
        mail = urlsplit(mailbox.url).port or 0
        ports = iter(free_ports(18))
        for name, title in NAMES.items():
            if not missing_web(name):
                port = next(ports)
                http = own_switches[name if name in OWN_HTTP else "http"].port
                at = Asked(http, own_switches["haproxy"].port, own_switches["envoy"].port)
                children.append(start_web(name, home / name, at, listen=port, mail=mail, made=made, patient=False))
                found[title] = web(port, made)
                if name == "traefik":
                    await until_served(port, made)
        if not missing("nginx") and MAIL_MODULE.exists():
            ways = {"imap": next(ports), "pop3": next(ports), "smtp": next(ports)}
            children.append(start_nginx_mail(home / "nginx-mail", gatepost=asked, made=made, **ways))
            found["nginx mail, IMAP"] = imap(ways["imap"], made)
            found["nginx mail, POP3"] = pop3(ways["pop3"], made)
        if not missing("dovecot"):
            port = next(ports)
            pop, auth = next(ports), next(ports)
            child = start_dovecot(home / "dovecot", USERS, imap=port, pop3=pop, auth=auth, gatepost=asked)
            children.append(child)
            found["Dovecot, IMAP"] = imap(port)
        if not missing("postfix", "dovecot"):
            tcp, unix = next(ports), next(ports)
            directory, auth, policy = home / "postfix", mailboxes["auth"], own_switches["postfix"].port
            children.append(start_postfix(directory, tcp=tcp, unix=unix, auth=auth, gatepost=policy, made=made))
            found["Postfix"] = submission(tcp, made)
        if not found:
            pytest.skip(missing("nginx"))
        yield found
        for child in children:
            child.stop()
    if os.environ.get("WRITE_SEEN"):
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], "utf-8")


def table() -> str:
    """What was seen, in Markdown."""
    names = list(dict.fromkeys(name for name, _ in SEEN))
    lines = [f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(SEEN[name, column] for column in COLUMNS)} |" for name in names]
    return "\n".join(lines) + "\n"


def on_the_page() -> dict[tuple[str, str], str]:
    """What the documentation says, by server and column."""
    text = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines()[2:]]
    return {(name, column): cell for name, *cells in rows for column, cell in zip(COLUMNS, cells, strict=True)}


async def until_all_are_served(askers: dict[str, Ask]) -> None:
    """HAProxy looks every two seconds whether whom it asks is there again; all others have connections to us then."""

    async def served(ask: Ask) -> None:
        while await ask("anna") not in (MAIL, "sent"):  # noqa: ASYNC110  (it is the server that changes)
            await asyncio.sleep(0.1)

    async with asyncio.timeout(60):
        await asyncio.gather(*map(served, askers.values()))


async def seen(askers: dict[str, Ask], column: str, user: str) -> dict[str, str]:
    """What all of them tell that user now; written down."""
    told = dict(zip(askers, await asyncio.gather(*(ask(user) for ask in askers.values())), strict=True))
    SEEN.update({(name, column): text for name, text in told.items()})
    if not os.environ.get("WRITE_SEEN"):
        documented = on_the_page()
        assert told == {name: documented.get((name, column)) for name in told}
    return told


def nobody(told: dict[str, str]) -> None:
    """No mail for anybody."""
    assert {name: text for name, text in told.items() if text in (MAIL, "sent")} == {}


def everybody(told: dict[str, str]) -> None:
    """Mail for all."""
    assert {name: text for name, text in told.items() if text not in (MAIL, "sent")} == {}


async def test_the_three_verdicts(askers: dict[str, Ask], gatepost: Asking) -> None:
    await until_all_are_served(askers)
    everybody(await seen(askers, "allowed", "anna"))
    nobody(await seen(askers, "refused", "bert"))
    gatepost.evidence.unavailable = True
    nobody(await seen(askers, "cannot know now", "dora"))


@pytest.mark.parametrize(("column", "how"), [("away", "off"), ("silent", "silent")])
async def test_nobody_is_let_in_without_an_answer(
    askers: dict[str, Ask], own_switches: dict[str, Switch], column: str, how: str
) -> None:
    await until_all_are_served(askers)
    for switch in own_switches.values():
        await getattr(switch, how)()
    nobody(await seen(askers, column, "anna"))


@pytest.mark.parametrize("column", ["slow, in time", "slow, too late"])
async def test_slow_answers(askers: dict[str, Ask], own_switches: dict[str, Switch], column: str) -> None:
    """In time they count. Too late they count neither for their own question nor for the next one."""
    await until_all_are_served(askers)
    delays = WITHIN if column == "slow, in time" else BEYOND
    for name, switch in own_switches.items():
        switch.delay_seconds = delays[name]
    told = await seen(askers, column, "anna")
    if column == "slow, in time":
        everybody(told)
    else:
        nobody(told)
    # Bert asks while Anna's answers may still be under way.
    for switch in own_switches.values():
        switch.delay_seconds = 0.0
    nobody(dict(zip(askers, await asyncio.gather(*(ask("bert") for ask in askers.values())), strict=True)))
