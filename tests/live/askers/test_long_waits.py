"""A Ping that waits for longer than Traefik and Envoy would let it by themselves, and more of them than Envoy would.

A minute and more for all of them together, by HTTP/1.1 and HTTP/2, by the examples as they are; beside them servers
whose example has their own limit put back, to show that it is the example's line that helps.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.live.askers.by_curl import CurlAnswer, curl
from tests.live.askers.from_wheels import until_served
from tests.live.askers.switch import Switch
from tests.live.askers.test_web import request
from tests.live.askers.web_servers import NAMES, Asked, missing_web, start_web
from tests.live.children import Child, free_ports
from tests.support.phone_certificates import Certificates
from tests.support.raw_http import Client, eas
from tests.support.upstream import PING_CHANGES, MailboxServer, mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

PING = eas("Ping", "anna", "ANNAPHONE")
WAIT_SECONDS = 66.0
MANY, BATCH = 1_200, 100
OWN_LIMITS = {
    "envoy": {"route: { cluster: mail_server, timeout: 3660s }": "route: { cluster: mail_server }"},
    "traefik": {"readTimeout: 900s": "readTimeout: 2s"},
}


@dataclass(frozen=True, slots=True)
class Started:
    """Servers by name; those with their own limits by ``name-own``."""

    ports: dict[str, int]
    mailbox: MailboxServer
    made: Certificates

    async def ping(self, name: str, by: str) -> CurlAnswer | None:
        """A Ping until it is answered; None: the connection was closed instead."""
        try:
            return await curl(self.ports[name], PING, self.made, user="anna", by=by, seconds=WAIT_SECONDS + 40)
        except AssertionError:
            return None


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def started(
    ground: Path, http_switch: Switch, haproxy_switch: Switch, envoy_switch: Switch, made: Certificates
) -> AsyncIterator[Started]:
    home = ground / "long-waits"
    home.mkdir()
    home.chmod(0o755)
    asked = Asked(http_switch.port, haproxy_switch.port, envoy_switch.port)
    children: list[Child] = []
    async with mailbox_server() as mailbox:
        found = Started({}, mailbox, made)
        for name in NAMES:
            if not missing_web(name):
                for title, changes in ((name, {}), (f"{name}-own", OWN_LIMITS.get(name))):
                    if changes is not None:
                        (port,) = free_ports(1)
                        mail, place = urlsplit(mailbox.url).port or 0, home / title
                        child = start_web(name, place, asked, listen=port, mail=mail, made=made, changes=changes)
                        children.append(child)
                        found.ports[title] = port
                        if name == "traefik":
                            await until_served(port, made)
        if not found.ports:
            pytest.skip(missing_web("nginx"))
        yield found
        for child in children:
            child.stop()


@pytest.mark.timeout(240)
async def test_a_ping_outlives_the_servers_own_limits(started: Started) -> None:
    """Envoy's 15 seconds of a route; Traefik's time for reading a request is none for waiting for its answer."""
    versions = ("--http1.1", "--http2")
    pings = {(name, by): asyncio.create_task(started.ping(name, by)) for name in started.ports for by in versions}
    await started.mailbox.until_parked(len(pings))
    # That time passes is what is looked at.
    await asyncio.sleep(WAIT_SECONDS)
    early = {key for key, task in pings.items() if task.done()}
    started.mailbox.released.set()
    answers = dict(zip(pings, await asyncio.gather(*pings.values()), strict=True))
    started.mailbox.released.clear()
    for (name, by), answer in answers.items():
        assert answer is not None, (name, by)
        expected = (504, b"upstream request timeout") if name == "envoy-own" else (200, PING_CHANGES)
        assert (answer.status, answer.body) == expected, (name, by)
    assert early == {(name, by) for name, by in pings if name == "envoy-own"}


@pytest.mark.skipif(bool(missing_web("traefik")), reason=missing_web("traefik"))
async def test_a_slow_upload_outlives_traefiks_own_limit(started: Started) -> None:
    """Of 60 seconds, shortened to two here, for the whole of a request."""
    seen = {}
    for name in ("traefik", "traefik-own"):
        url = f"https://localhost:{started.ports[name]}"
        client = await Client.connected(url, tls=started.made.trust())
        head = request(eas("SendMail", "anna", "ANNAPHONE"), user="anna", Content_Length="20")
        client.write(head + b"x" * 10)
        # The line is as slow as this.
        await asyncio.sleep(4)
        client.write(b"x" * 10)
        seen[name] = (await client.answer()).status
        client.close()
    assert seen["traefik"] == 200
    assert seen["traefik-own"] != 200


@pytest.mark.timeout(240)
@pytest.mark.skipif(bool(missing_web("envoy")), reason=missing_web("envoy"))
async def test_more_than_a_thousand_wait_at_envoy(started: Started) -> None:
    """Its own limit is 1,024 connections and as many requests."""
    tls, url = started.made.trust(), f"https://localhost:{started.ports['envoy']}"
    clients: list[Client] = []
    while len(clients) < MANY:
        for _ in range(BATCH):
            clients.append(await Client.connected(url, tls=tls))
            clients[-1].write(request(PING, user="anna"))
        await started.mailbox.until_parked(len(clients))
    started.mailbox.released.set()
    for client in clients:
        assert (await client.answer()).body == PING_CHANGES
        client.close()
    started.mailbox.released.clear()


@pytest.mark.skipif(bool(missing_web("traefik")), reason=missing_web("traefik"))
async def test_gatepost_goes_away_between_the_two_questions_of_traefik(
    ground: Path, http_switch: Switch, made: Certificates
) -> None:
    """The refusal is a 200 all the same, and must not be an empty one: that would be a mail sent."""
    gone, listen = free_ports(2)
    told, nowhere = '- url: "http://127.0.0.1:8070"', f'- url: "http://127.0.0.1:{gone}"'
    async with mailbox_server() as mailbox:
        mail = urlsplit(mailbox.url).port or 0
        asked, changes = Asked(http_switch.port), {told: nowhere}
        child = start_web("traefik", ground / "gone", asked, listen=listen, mail=mail, made=made, changes=changes)
        try:
            await until_served(listen, made)
            answer = await curl(listen, eas("SendMail", "bert", "BERTPHONE"), made, user="bert", body=b"x" * 20)
        finally:
            child.stop()
        assert (answer.status, answer.body) == (200, b"Bad Gateway")
        assert not [each for each in mailbox.received if each.command == "SendMail"]
