"""Control process and gateway started apart, with one database and one shared cache, which comes and goes."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.support.raw_http import Client, ask, eas, request
from tests.support.reporting import HARMLESS, TIKTOK, Agent
from tests.support.running import configuration
from tests.support.spine import FOLDER_SYNC, PING, PING_CUT
from tests.support.upstream import MailboxServer, mailbox_server
from tests.system.processes import CacheServer, Role, cache_server, children_of, kill, role, until_gone

pytestmark = pytest.mark.asyncio(loop_scope="module")

CUT_WITHIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Site:
    """Both roles, the cache between them and the mailbox server."""

    config: Path
    control: Role
    gateway: Role
    cache: CacheServer
    mailbox: MailboxServer
    agent: Agent

    async def asked(self, user: str) -> bytes:
        """What a phone gets when it asks for its folders."""
        question = request(eas("FolderSync", user, f"ID{user.upper()}"), FOLDER_SYNC, user=user)
        return (await ask(self.gateway.url("http"), question)).body

    async def until_served(self, user: str, within_seconds: float = CUT_WITHIN_SECONDS) -> None:
        """Wait until a phone gets its mail."""
        async with asyncio.timeout(within_seconds):
            while await self.asked(user) != served(user):  # noqa: ASYNC110  (what another process knows)
                await asyncio.sleep(0.02)

    async def until_refused(self, user: str, within_seconds: float = CUT_WITHIN_SECONDS) -> None:
        """Wait until a phone gets no mail."""
        async with asyncio.timeout(within_seconds):
            while await self.asked(user) == served(user):  # noqa: ASYNC110  (what another process knows)
                await asyncio.sleep(0.02)

    async def parked(self, user: str) -> Client:
        """A phone that waits for mail."""
        phone = await Client.connected(self.gateway.url("http"))
        before = self.mailbox.parked
        phone.write(request(eas("Ping", user, f"ID{user.upper()}"), PING, user=user))
        await self.mailbox.until_parked(before + 1)
        return phone

    async def is_up(self, of: Role) -> bool:
        """Whether the fast feed works, as that role's metrics say."""
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"{of.url('admin' if of is self.control else 'health')}/metrics")).text
        return "\ngatepost_feed_up 1.0\n" in text


def served(user: str) -> bytes:
    return f"mail for {user}".encode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    directory = tmp_path_factory.mktemp("roles")
    data_dir, config = directory / "var", directory / "gatepost.toml"
    data_dir.mkdir()
    async with mailbox_server() as mailbox, cache_server(directory) as cache:
        text = configuration(data_dir, mailbox.url, 2, f'[redis]\nurl = "{cache.url}"\n')
        config.write_text(text.replace("[health]\nlisten = []", '[health]\nlisten = ["http://127.0.0.1:0"]'))
        # The gateway comes first, and waits for the control process to make the database.
        async with role("gateway", config) as gateway, role("control", config) as control:
            await control.until("ready")
            await gateway.until("ready")
            agent = Agent(control.url("inventory"), await _prepared(control, data_dir))
            yield Site(config, control, gateway, cache, mailbox, agent)
            await agent.client.aclose()


async def _prepared(control: Role, data_dir: Path) -> str:
    """Ban an app and add a source; its secret."""
    token = (data_dir / "admin-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"{control.url('admin')}/api/v1", headers=headers, timeout=30) as api:
        ban = {"name": "TikTok", "matchers": [{"kind": "id", "value": f"android:{TIKTOK}"}], "flag": "enforce"}
        assert (await api.post("/bans", json=ban)).is_success
        added = await api.post("/sources", json={"name": "agents", "kind": "push", "devices": "*"})
        return str(added.json()["secret"])


async def test_each_role_tells_how_it_is(site: Site) -> None:
    async with httpx.AsyncClient() as client:
        for url in (site.control.url("admin"), site.gateway.url("health")):
            assert (await client.get(f"{url}/healthz")).json() == {"status": "ok"}
            ready = await client.get(f"{url}/readyz")
            assert (ready.status_code, ready.json()["ready"]) == (200, True), ready.text
        metrics = (await client.get(f"{site.gateway.url('health')}/metrics")).text
        assert "\ngatepost_workers_up 2.0\n" in metrics
    assert children_of(site.gateway.process.pid).keys() == {"worker", "health"}
    assert children_of(site.control.process.pid).keys() == {"control"}


async def test_where_the_admin_api_is_turned_off_the_health_listener_has_none(tmp_path: Path) -> None:
    """Health is opened to monitoring systems, often without TLS."""
    data_dir, config = tmp_path / "var", tmp_path / "gatepost.toml"
    data_dir.mkdir()
    text = configuration(data_dir, "http://127.0.0.1:9").replace('[inventory]\nlisten = ["http://127.0.0.1:0"]', "")
    text += "[inventory]\nlisten = []\n"
    text = text.replace("[health]\nlisten = []", '[health]\nlisten = ["http://127.0.0.1:0"]')
    config.write_text(text.replace('[admin]\nlisten = ["http://127.0.0.1:0"]', "[admin]\nlisten = []"))
    async with role("control", config) as control, httpx.AsyncClient() as client:
        await control.until("ready")
        url = control.url("health")
        headers = {"Authorization": f"Bearer {(data_dir / 'admin-token').read_text().strip()}"}
        assert (await client.get(f"{url}/healthz")).json() == {"status": "ok"}
        assert "gatepost_feed_up" in (await client.get(f"{url}/metrics")).text
        for path in ("/api/v1/status", "/api/v1/tokens", "/api/v1/openapi.json"):
            assert (await client.get(f"{url}{path}", headers=headers)).status_code == 404, path
        assert not control.events("child_ended")


async def test_a_report_at_one_cuts_a_phone_at_the_other(site: Site) -> None:
    await site.agent.clean("anna", "IDANNA")
    await site.until_served("anna")
    phone = await site.parked("anna")
    await site.agent.dirty("anna", "IDANNA")
    reported_at = time.monotonic()
    assert (await phone.answer()).body == PING_CUT
    assert time.monotonic() - reported_at < CUT_WITHIN_SECONDS
    phone.close()
    assert await site.asked("anna") != served("anna")
    # And back, with nothing restarted.
    await site.agent.clean("anna", "IDANNA")
    await site.until_served("anna")


async def test_the_control_process_is_killed(site: Site) -> None:
    """Phones are judged as before; no report is taken, until it is back by itself."""
    await site.agent.clean("berta", "IDBERTA")
    await site.agent.dirty("carla", "IDCARLA")
    await site.until_served("berta")
    await site.until_refused("carla")
    (pid,) = children_of(site.control.process.pid)["control"]
    kill(pid)
    await until_gone(pid)
    # Its connections have ended with it.
    await site.agent.client.aclose()
    site.agent.client = httpx.AsyncClient(timeout=30)
    taken = asyncio.create_task(site.agent.send(site.agent.event("berta", "IDBERTA", (*HARMLESS, TIKTOK))))
    while not taken.done():
        # Nobody but the control process takes reports; what waits in its socket is taken by the next one.
        body = await site.asked("berta")
        assert await site.asked("carla") != served("carla")
        if not children_of(site.control.process.pid).get("control"):
            assert body == served("berta")
    assert taken.result().status_code in (200, 202)
    await site.until_refused("berta")
    await site.control.until("child_ready")


async def test_the_cache_is_away(site: Site) -> None:
    """A report cuts within two seconds all the same, and nobody who was refused gets in."""
    await site.agent.clean("dora", "IDDORA")
    await site.agent.dirty("emil", "IDEMIL")
    await site.until_served("dora")
    await site.until_refused("emil")
    phone = await site.parked("dora")
    await site.cache.kill()
    assert await site.asked("emil") != served("emil")
    await site.agent.dirty("dora", "IDDORA")
    # From its acknowledgement on, as promised.
    reported_at = time.monotonic()
    assert (await phone.answer()).body == PING_CUT
    assert time.monotonic() - reported_at < CUT_WITHIN_SECONDS
    phone.close()
    # Each worker looks by itself: the other one may come to it a moment later.
    await site.until_refused("dora")
    for user in ("dora", "emil"):
        assert await site.asked(user) != served(user)
    # It comes back with nothing in it, and after that is emptied once more.
    await site.cache.start()
    for user in ("dora", "emil"):
        assert await site.asked(user) != served(user)
    async with asyncio.timeout(10):
        while not await site.is_up(site.control):  # noqa: ASYNC110  (what another process knows)
            await asyncio.sleep(0.05)
    assert await site.cache.ask("FLUSHALL") == b"+OK"
    for _ in range(8):
        for user in ("dora", "emil"):
            assert await site.asked(user) != served(user)
    await site.agent.clean("dora", "IDDORA")
    await site.until_served("dora")
    assert await site.asked("emil") != served("emil")
    # Told once as it went, by each process, and not once a second.
    for each, processes in ((site.control, 1), (site.gateway, 2)):
        assert 1 <= len(each.events("feed_unavailable")) <= processes
    assert site.control.events("feed_back")


async def test_a_gateway_without_its_control_process(site: Site) -> None:
    """The whole control role ends: phones are judged as before, and a gateway that starts now serves as well."""
    await site.agent.clean("fred", "IDFRED")
    await site.agent.dirty("gina", "IDGINA")
    await site.until_served("fred")
    await site.until_refused("gina")
    site.control.process.terminate()
    await site.control.process.wait()
    with pytest.raises(httpx.ConnectError):
        await site.agent.send(site.agent.event("fred", "IDFRED", HARMLESS))
    assert await site.asked("fred") == served("fred")
    assert await site.asked("gina") != served("gina")
    async with role("gateway", site.config) as late:
        await late.until("ready")
        for user, mail in (("fred", True), ("gina", False)):
            question = request(eas("FolderSync", user, f"ID{user.upper()}"), FOLDER_SYNC, user=user)
            answer = await ask(late.url("http"), question)
            assert (answer.body == served(user)) is mail
    async with role("control", site.config) as control:
        await control.until("ready")
        site.agent.url = control.url("inventory")
        await site.agent.clean("gina", "IDGINA")
        await site.until_served("gina")
