"""HAProxy with a map that Gatepost keeps true, and waiting phones that it cuts there."""

import asyncio
import base64
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway.app.asker_cuts import following_of
from gateway.authz.cutter import CutFailed
from gateway.authz.following import Following
from gateway.authz.haproxy_client import HaproxyClient
from gateway.authz.haproxy_feeder import MapFeeder
from gateway.protocols.authz import haproxy_runtime
from gateway.settings import Settings
from tests.live.askers.servers import haproxy_map, haproxy_socket, missing, start_haproxy_map
from tests.live.askers.switch import Switch
from tests.live.children import Child, free_ports
from tests.support.asking import Asking, asking
from tests.support.phone_certificates import Certificates
from tests.support.raw_http import Client, HttpAnswer, eas, request
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer, mailbox_server

pytestmark = pytest.mark.asyncio(loop_scope="session")

BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
PATIENCE_SECONDS = 20.0


class Site:
    """HAProxy, Gatepost and a mail server."""

    def __init__(self, directory: Path, made: Certificates, gatepost: Asking, mailbox: MailboxServer) -> None:
        self.directory = directory
        self.made = made
        self.gatepost = gatepost
        self.mailbox = mailbox
        self.ports: dict[str, int] = {}
        self.spop: Switch
        self.child: Child | None = None
        self.client = HaproxyClient(f"unix://{haproxy_socket(directory)}")

    def start(self) -> None:
        """HAProxy, for the first time or again."""
        self.child = start_haproxy_map(self.directory, made=self.made, **self.ports)

    def stop(self) -> None:
        """End it."""
        if self.child is not None:
            self.child.stop()

    @property
    def url(self) -> str:
        """As phones reach it."""
        return f"https://localhost:{self.ports['listen']}"

    async def connected(self) -> Client:
        """A phone's connection."""
        return await Client.connected(self.url, tls=self.made.trust())

    async def ask(self, octets: bytes) -> HttpAnswer:
        """One request on a connection of its own."""
        client = await self.connected()
        try:
            return await client.ask(octets)
        finally:
            client.close()

    def asked(self) -> float:
        """How many questions of HAProxy have been answered with a verdict."""
        return self.gatepost.answered("haproxy", "allow") + self.gatepost.answered("haproxy", "deny")

    async def words(self) -> list[str]:
        """What the map says."""
        return sorted(
            haproxy_runtime.entries(await self.client.say(f"show map {haproxy_map(self.directory)}")).values()
        )

    async def until_words(self, *words: str) -> None:
        """Wait for it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.words() != sorted(words):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def until_alive(self) -> None:
        """Wait until the map may be believed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self._is_alive():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _is_alive(self) -> bool:
        try:
            return " at " in await self.client.say(f"show map {haproxy_map(self.directory)}.alive")
        except CutFailed:
            # It listens for phones first.
            return False


def synced(user: str) -> bytes:
    """A FolderSync of a user's phone."""
    return request(eas("FolderSync", user, f"{user}PHONE"), FOLDER_SYNC, user=user, Host="localhost")


def pinged(user: str) -> bytes:
    """A Ping."""
    return request(eas("Ping", user, f"{user}PHONE"), user=user, Host="localhost")


@pytest_asyncio.fixture(loop_scope="session")
async def site(ground: Path, made: Certificates, tmp_path: Path) -> AsyncIterator[Site]:
    """Anna's and Cora's phones are clean, Bert's is not."""
    if reason := missing("haproxy"):
        pytest.skip(reason)
    directory = ground / tmp_path.name
    directory.mkdir()
    settings = Settings.model_validate(
        {
            "haproxy": {
                "listen": ["tcp://127.0.0.1:1"],
                "runtime": [f"unix://{haproxy_socket(directory)}"],
                "map": haproxy_map(directory),
            }
        }
    )

    def following(part: str, made: Asking) -> Following | None:
        if part != "haproxy":
            return None
        return following_of(settings, part, made.decision, made.rules, made.metrics, made.now, adopts=True)

    async with asking(directory, following=following) as gatepost, mailbox_server() as mailbox:
        site = Site(directory, made, gatepost, mailbox)
        site.spop = Switch(free_ports(1)[0], gatepost.haproxy)
        await site.spop.on()
        site.ports = {
            "listen": free_ports(1)[0],
            "gatepost": int(gatepost.http.rpartition(":")[2]),
            "spop": site.spop.port,
            "mail": urlsplit(mailbox.url).port or 0,
        }
        for user in ("anna", "cora"):
            gatepost.clean(f"{user}@corp.example", f"{user}phone")
        gatepost.dirty("bert@corp.example", "bertphone")
        site.start()
        await site.until_alive()
        yield site
        site.stop()
        await site.spop.off()


async def test_a_phone_is_asked_about_once(site: Site) -> None:
    for user, body, word in (("anna", b"mail for anna", "allow"), ("bert", BLOCKED, "deny")):
        before, words = site.asked(), await site.words()
        assert (await site.ask(synced(user))).body == body
        await site.until_words(*words, word)
        assert site.asked() == before + 1
        for _ in range(5):
            assert (await site.ask(synced(user))).body == body
        assert site.asked() == before + 1


async def test_a_report_refuses_at_once_and_nobody_is_asked(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """And a clean one lets in again. The time is from the news to the first request that is refused."""
    assert (await site.ask(synced("anna"))).body == b"mail for anna"
    await site.until_words("allow")
    before, took = site.asked(), []
    for _ in range(20):
        client = await site.connected()
        assert (await client.ask(synced("anna"))).body == b"mail for anna"
        site.gatepost.dirty("anna@corp.example", "annaphone")
        begun = time.monotonic()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (answer := await client.ask(synced("anna"))).body == b"mail for anna":
                pass
        took.append(time.monotonic() - begun)
        assert answer.body == BLOCKED
        client.close()
        site.gatepost.clean("anna@corp.example", "annaphone")
        await site.until_words("allow")
    assert site.asked() == before
    with capsys.disabled():
        print(
            f"\nHAProxy's map: news to the first refusal, 20 times: median {1000 * statistics.median(took):.1f} ms, "
            f"longest {1000 * max(took):.1f} ms"
        )


async def test_haproxy_restarted_has_the_whole_map_again(site: Site) -> None:
    for user in ("anna", "bert", "cora"):
        await site.ask(synced(user))
    await site.until_words("allow", "allow", "deny")
    site.stop()
    site.start()
    await site.until_words("allow", "allow", "deny")
    await site.until_alive()
    before = site.asked()
    for user, body in (("anna", b"mail for anna"), ("bert", BLOCKED), ("cora", b"mail for cora")):
        assert (await site.ask(synced(user))).body == body
    assert site.asked() == before


async def test_a_phone_that_waits_is_cut(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """By shutting its session down; another one goes on waiting."""
    took = []
    stays = await site.connected()
    stays.write(pinged("cora"))
    await site.mailbox.until_parked(1)
    for _ in range(10):
        client = await site.connected()
        client.write(pinged("anna"))
        await site.mailbox.until_parked(2)
        begun = time.monotonic()
        site.gatepost.dirty("anna@corp.example", "annaphone")
        answer = await client.answer(within_seconds=PATIENCE_SECONDS)
        took.append(time.monotonic() - begun)
        assert answer.status in (0, 502)
        client.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while site.mailbox.parked != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await site.until_words("allow", "deny")
        assert (await site.ask(synced("anna"))).body == BLOCKED
        site.gatepost.clean("anna@corp.example", "annaphone")
        await site.until_words("allow", "allow")
    assert site.mailbox.parked == 1
    stays.close()
    with capsys.disabled():
        print(
            f"\nHAProxy: news to the end of a waiting Ping, 10 times: median {1000 * statistics.median(took):.1f} ms, "
            f"longest {1000 * max(took):.1f} ms"
        )


async def test_while_the_agent_is_away_known_phones_go_on_and_others_come_later(site: Site) -> None:
    await site.ask(synced("anna"))
    await site.until_words("allow")
    await site.spop.off()
    assert (await site.ask(synced("anna"))).body == b"mail for anna"
    assert (await site.ask(synced("cora"))).status == 503
    await site.spop.on()


async def test_a_map_that_nobody_keeps_is_not_believed(site: Site) -> None:
    """Gatepost is gone: within seconds each request is asked about again, and nobody is let in without an answer."""
    await site.ask(synced("anna"))
    await site.until_words("allow")
    await site.spop.off()
    followed = site.gatepost.followed["haproxy"]
    assert followed is not None
    await followed.stop()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await site.ask(synced("anna"))).status == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert await site.words() == ["allow"]
    assert (await site.ask(synced("anna"))).status == 503


@pytest.mark.parametrize(
    "changed",
    [
        {"target": "/Microsoft-Server-ActiveSync?jAkJBAoUqNVBUqtKs9k8a7kAB0FuZHJvaWQ="},
        {"target": eas("FolderSync", "bert", "annaPHONE&DeviceId=bertPHONE")},
        {"Content_Encoding": "gzip"},
        {"target": eas("FolderSync", "anna", "annaPHONE").replace("Cmd=", "cmd=")},
    ],
    ids=["base64", "two devices", "coded", "another spelling"],
)
async def test_an_unusual_request_is_asked_about_each_time(site: Site, changed: dict[str, str]) -> None:
    said = {"target": eas("FolderSync", "anna", "annaPHONE"), **changed}
    target = said.pop("target")
    octets = request(target, FOLDER_SYNC, user="anna", Host="localhost", **said)
    for _ in range(2):
        await site.ask(octets)
    assert await site.words() == []


async def test_another_user_with_the_same_device_is_another_key(site: Site) -> None:
    """The map must not let Bert in because Anna's phone is clean."""
    site.gatepost.dirty("bert@corp.example", "annaphone")
    assert (await site.ask(synced("anna"))).body == b"mail for anna"
    await site.until_words("allow")
    octets = request(eas("FolderSync", "bert", "annaPHONE"), FOLDER_SYNC, user="bert", Host="localhost")
    assert (await site.ask(octets)).body == BLOCKED
    await site.until_words("allow", "deny")


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("behind", [f" {_b64('lie:secret')}", "!", ",", "=", f"\t{_b64(':secret')}"])
async def test_a_login_that_not_everybody_reads_alike_is_asked_about(site: Site, behind: str) -> None:
    """PHP leaves out what is no base64 and reads on: so Coralie would be let in by what is known of Cora."""
    assert (await site.ask(synced("cora"))).body == b"mail for cora"
    await site.until_words("allow")
    before, asked = len(site.mailbox.received), site.gatepost.answered("haproxy", "bad_question")
    said = {"Authorization": f"Basic {_b64('cora')}{behind}", "Host": "localhost"}
    answer = await site.ask(request(eas("FolderSync", "cora", "coraPHONE"), FOLDER_SYNC, **said))
    assert answer.status == 401
    assert len(site.mailbox.received) == before
    assert site.gatepost.answered("haproxy", "bad_question") == asked + 1


async def test_a_hundred_thousand_entries(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """How long HAProxy takes for all of them, and for one that turns among them."""
    words = {f"{number:064X}": "allow" for number in range(100_000)}
    feeder = MapFeeder(site.client, haproxy_map(site.directory), words, site.gatepost.metrics)
    followed = site.gatepost.followed["haproxy"]
    assert followed is not None
    await followed.stop()
    begun = time.monotonic()
    task = asyncio.create_task(feeder.run())
    async with asyncio.timeout(120):
        while not feeder.filled:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    filled, took = time.monotonic() - begun, []
    assert len(await site.words()) == 100_000
    for number in range(20):
        key = f"{5_000 * number:064X}"
        words[key] = "deny"
        begun = time.monotonic()
        feeder.turned(key)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while 'value="deny"' not in await site.client.say(f"get map {haproxy_map(site.directory)} {key}"):
                pass
        took.append(time.monotonic() - begun)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await site.words()).count("deny") == 20
    with capsys.disabled():
        print(
            f"\nHAProxy's map of 100,000: filled in {filled:.2f} s; one that turns, 20 times: "
            f"median {1000 * statistics.median(took):.1f} ms, longest {1000 * max(took):.1f} ms"
        )
