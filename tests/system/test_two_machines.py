"""Two machines' worth of processes on one PostgreSQL and one cache server, each supervisor with its own data_dir.

``both`` runs everything, ``control`` a second control process, ``gateway`` workers only. Whatever is told to one of the
control processes holds on the workers of all, and neither one that is killed nor the restart of the database takes an
acknowledged report away.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from tests.support.postgres_server import PASSWORD, QUICK, PostgresServer, missing, postgres_server
from tests.support.raw_http import Client, ask, eas, request
from tests.support.reporting import HARMLESS, TIKTOK, Agent
from tests.support.running import clean_environment, configuration
from tests.support.spine import FOLDER_SYNC, PING, PING_CUT
from tests.support.upstream import MailboxServer, mailbox_server
from tests.system.processes import CacheServer, Role, cache_server, children_of, kill, role, until_gone

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

CUT_WITHIN_SECONDS = 2.0
WORKERS = 2
TELEGRAM = "org.telegram.messenger"


@dataclass(slots=True)
class Site:
    """All processes."""

    both: Role
    control: Role
    gateway: Role
    configs: dict[str, Path]
    cache: CacheServer
    database: PostgresServer
    mailbox: MailboxServer
    token: str
    secret: str = ""
    agents: dict[str, Agent] = field(default_factory=dict)

    @property
    def controls(self) -> dict[str, Role]:
        """Who takes reports and edits."""
        return {"both": self.both, "control": self.control}

    @property
    def gateways(self) -> dict[str, Role]:
        """Who serves phones."""
        return {"both": self.both, "gateway": self.gateway}

    def api(self, of: str) -> httpx.AsyncClient:
        """The admin API of one control process."""
        url, headers = self.controls[of].url("admin"), {"Authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=30)

    async def edit(self, of: str, method: str, path: str, **content: object) -> dict[str, Any]:
        """Edit at one control process; its answer."""
        async with self.api(of) as api:
            answer = await api.request(method, path, json=content)
            assert answer.is_success, answer.text
            found: dict[str, Any] = answer.json()
            return found

    async def status(self, of: str) -> dict[str, Any]:
        """What one control process says of all."""
        async with self.api(of) as api:
            found: dict[str, Any] = (await api.get("/status")).json()["gateway"]
            return found

    def agent(self, of: str) -> Agent:
        """One that reports to one control process."""
        if of not in self.agents:
            self.agents[of] = Agent(self.controls[of].url("inventory"), self.secret)
        return self.agents[of]

    async def serves(self, of: str, user: str) -> bool:
        """Whether a phone gets its mail at one machine."""
        question = request(eas("FolderSync", user, f"ID{user.upper()}"), FOLDER_SYNC, user=user)
        return (await ask(self.gateways[of].url("http"), question)).body == f"mail for {user}".encode()

    async def until(self, user: str, *, served: bool, within_seconds: float = CUT_WITHIN_SECONDS) -> None:
        """Wait until every machine serves a phone, or none does."""
        async with asyncio.timeout(within_seconds):
            for of in self.gateways:
                while await self.serves(of, user) is not served:  # noqa: ASYNC110  (what another process knows)
                    await asyncio.sleep(0.02)

    async def parked(self, of: str, user: str) -> Client:
        """A phone that waits for mail at one machine."""
        phone = await Client.connected(self.gateways[of].url("http"))
        before = self.mailbox.parked
        phone.write(request(eas("Ping", user, f"ID{user.upper()}"), PING, user=user))
        await self.mailbox.until_parked(before + 1)
        return phone

    async def holder_of(self, lease: str) -> list[str]:
        """Which control processes hold a lease."""
        return [of for of in self.controls if lease in (await self.status(of))["leases"]]


async def prepared(site: Site) -> None:
    """Ban an app and add a source."""
    matchers = [{"kind": "id", "value": f"android:{TIKTOK}"}]
    await site.edit("both", "POST", "/bans", name="TikTok", matchers=matchers, flag="enforce")
    site.secret = (await site.edit("control", "POST", "/sources", name="agents", kind="push", devices="*"))["secret"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    if reason := missing():
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("machines")
    async with AsyncExitStack() as stack:
        database = stack.enter_context(postgres_server(QUICK, network=True))
        database.database("gatepost")
        mailbox = await stack.enter_async_context(mailbox_server())
        cache = await stack.enter_async_context(cache_server(directory))
        tables = f'[redis]\nurl = "{cache.url}"\n[storage]\nurl = "{database.network_url("gatepost")}"\n'
        configs = {}
        for name in ("both", "control", "gateway"):
            data_dir = directory / name
            data_dir.mkdir()
            configs[name] = directory / f"{name}.toml"
            text = configuration(data_dir, mailbox.url, WORKERS, tables)
            health = '[health]\nlisten = ["http://127.0.0.1:0"]'
            configs[name].write_text(text if name == "both" else text.replace("[health]\nlisten = []", health))
        # All at once, on an empty database.
        roles = {
            name: await stack.enter_async_context(role("all" if name == "both" else name, config))
            for name, config in configs.items()
        }
        for each in roles.values():
            await each.until("ready")
        tokens = [path for name in configs if (path := directory / name / "admin-token").exists()]
        # Either may have made it; the other finds that there is one.
        token = tokens[-1].read_text().strip()
        both, control, gateway = (roles[name] for name in ("both", "control", "gateway"))
        site = Site(both, control, gateway, configs, cache, database, mailbox, token)
        await prepared(site)
        yield site
        for agent in site.agents.values():
            await agent.client.aclose()


async def test_an_edit_is_in_force_on_the_workers_of_all_machines(site: Site) -> None:
    for number, of in enumerate(("both", "control", "both", "control")):
        edit = await site.edit(of, "PUT", "/flags/grace", seconds=1000 + number)
        found = (edit["workers"], edit["in_force_on"], edit["silent"], edit["in_force"])
        assert found == (2 * WORKERS, 2 * WORKERS, [], True)
        assert edit["seconds"] < CUT_WITHIN_SECONDS
    for of in site.controls:
        # The control process that was not asked hears of the other machine's workers within a second or two.
        async with asyncio.timeout(20):
            rows = (await site.status(of))["workers"]
            while {row["policy_version"] for row in rows} != {edit["policy_version"]}:
                rows = (await site.status(of))["workers"]
        assert len(rows) == 2 * WORKERS
        assert sum(bool(row.get("elsewhere")) for row in rows) == (WORKERS if of == "both" else 2 * WORKERS)


async def test_a_report_to_either_control_process_cuts_phones_on_both_machines(site: Site) -> None:
    for of in site.controls:
        for at in site.gateways:
            user = f"anna{of}{at}"
            await site.agent(of).clean(user, f"ID{user.upper()}")
            await site.until(user, served=True)
            phone = await site.parked(at, user)
            await site.agent(of).dirty(user, f"ID{user.upper()}")
            reported_at = time.monotonic()
            assert (await phone.answer()).body == PING_CUT
            assert time.monotonic() - reported_at < CUT_WITHIN_SECONDS
            phone.close()
            await site.until(user, served=False)


async def test_reports_to_both_at_once_come_out_in_one_order(site: Site) -> None:
    """Each goes on at once, whatever the other control process has committed in between."""
    users = {of: [f"berta{number}{of}" for number in range(8)] for of in site.controls}

    async def report(of: str, user: str) -> float:
        began = time.monotonic()
        await site.agent(of).dirty(user, f"ID{user.upper()}")
        return time.monotonic() - began

    for of, names in users.items():
        for user in names:
            await site.agent(of).clean(user, f"ID{user.upper()}")
    everybody = [(of, user) for of, names in users.items() for user in names]
    for _, user in everybody:
        await site.until(user, served=True)
    await asyncio.gather(*(report(of, user) for of, user in everybody))
    for _, user in everybody:
        await site.until(user, served=False)
    sequences = [(await site.status(of))["publication"]["sent"] for of in site.controls]
    assert max(sequences) > 0
    for at in site.gateways:
        rows = [row for row in (await site.status("both"))["workers"] if row["feed_up"]]
        assert len(rows) == 2 * WORKERS, at


async def test_a_ban_made_at_one_counts_at_once_for_a_report_to_the_other(site: Site) -> None:
    """A hit of it outlives the binding, which the other control process can only know by the ban."""
    matchers = [{"kind": "id", "value": f"android:{TELEGRAM}"}]
    await site.edit("both", "POST", "/bans", name="Telegram", matchers=matchers, flag="enforce")
    agent = site.agent("control")
    await agent.report("carla", "IDCARLA", (*HARMLESS, TELEGRAM))
    unbound = {"source": "agents", "source_device": "android/IDCARLA", "bound": False}
    device = await site.edit("control", "PUT", "/devices/carla/IDCARLA/pins", **unbound)
    assert device["tombstones"] == 1
    await site.until("carla", served=False)


async def test_what_must_happen_once_is_done_by_one(site: Site) -> None:
    async with asyncio.timeout(20):
        for lease in ("sightings", "tidy"):
            while len(await site.holder_of(lease)) != 1:  # noqa: ASYNC110  (what another process knows)
                await asyncio.sleep(0.1)
    await site.serves("gateway", "dora")
    await site.agent("both").clean("dora", "IDDORA")
    await site.until("dora", served=True)
    async with asyncio.timeout(20), site.api("control") as api:
        while "iddora" not in (await api.get("/devices/dora")).text:  # noqa: ASYNC110  (what another process knows)
            await asyncio.sleep(0.1)


async def test_a_worker_that_stands_still_is_named_from_every_machine(site: Site) -> None:
    pid = children_of(site.gateway.process.pid)["worker"][0]
    os.kill(pid, signal.SIGSTOP)
    try:
        edit = await site.edit("control", "PUT", "/flags/grace", seconds=100)
        assert (edit["workers"], edit["in_force_on"], len(edit["silent"])) == (2 * WORKERS, 2 * WORKERS - 1, 1)
        assert "/worker-" in edit["silent"][0]
        assert not edit["in_force"]
    finally:
        os.kill(pid, signal.SIGCONT)
    edit = await site.edit("both", "PUT", "/flags/grace", seconds=200)
    assert (edit["in_force_on"], edit["silent"]) == (2 * WORKERS, [])


class Reporters:
    """Agents that turn phones dirty, each at the control process that answers; what was acknowledged."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name
        self.acknowledged: list[str] = []
        self.more = asyncio.Event()
        self._agents = {of: Agent(each.url("inventory"), site.secret) for of, each in site.controls.items()}

    async def run(self, first: str) -> None:
        """Report one phone after the other until cancelled, by turns at whoever answers."""
        ways = [first, *(of for of in self.site.controls if of != first)]
        for number in range(100_000):
            user = f"{self.name}{first}{number}"
            event = self._agents[first].event(user, f"ID{user.upper()}", (*HARMLESS, TIKTOK))
            for attempt in range(10_000):
                with suppress(httpx.HTTPError):
                    answer = await self._agents[ways[attempt % 2]].send(event)
                    if answer.status_code in (200, 202):
                        self.acknowledged.append(user)
                        self.more.set()
                        break
                    assert answer.status_code in (503, 429), answer.text
                await asyncio.sleep(0.05)

    async def until(self, count: int) -> None:
        """Wait for so many acknowledged reports."""
        async with asyncio.timeout(60):
            while len(self.acknowledged) < count:
                self.more.clear()
                await self.more.wait()

    async def close(self) -> None:
        for agent in self._agents.values():
            await agent.client.aclose()


async def test_nothing_is_lost_when_a_control_process_is_killed(site: Site) -> None:
    reporters = Reporters(site, "emil")
    tasks = [asyncio.create_task(reporters.run(of)) for of in site.controls]
    try:
        await reporters.until(20)
        (holder,) = await site.holder_of("sightings")
        other = next(of for of in site.controls if of != holder)
        (pid,) = children_of(site.controls[holder].process.pid)["control"]
        kill(pid)
        await until_gone(pid)
        # The other one goes on alone, with edits and reports.
        count = len(reporters.acknowledged)
        edit = await site.edit(other, "PUT", "/flags/grace", seconds=300)
        assert edit["workers"] == 2 * WORKERS
        await reporters.until(count + 20)
        await site.controls[holder].until("child_ready")
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    for user in reporters.acknowledged:
        await site.until(user, served=False)
    # What must happen once is done by one again.
    async with asyncio.timeout(30):
        while len(await site.holder_of("sightings")) != 1:  # noqa: ASYNC110  (what another process knows)
            await asyncio.sleep(0.2)
    await reporters.close()


async def test_the_database_is_restarted(site: Site) -> None:
    """Reports wait for it; phones are judged as before; no process ends over it."""
    controls = {of: children_of(each.process.pid)["control"] for of, each in site.controls.items()}
    workers = {of: children_of(each.process.pid)["worker"] for of, each in site.gateways.items()}
    await site.agent("both").clean("fred", "IDFRED")
    await site.agent("both").dirty("gina", "IDGINA")
    await site.until("fred", served=True)
    await site.until("gina", served=False)
    # That they were seen is a change of their records. A worker that has heard of it and not read it, as the database
    # goes, cannot know what it was: so all of them have.
    noted = "SELECT count(*) FROM mail_devices WHERE device_id IN ('idfred', 'idgina')"
    await site.database.until(noted, "2", "gatepost")
    for _ in range(25):
        await site.until("fred", served=True)
        await site.until("gina", served=False)
    reporters = Reporters(site, "hugo")
    tasks = [asyncio.create_task(reporters.run(of)) for of in site.controls]
    try:
        await reporters.until(10)
        await asyncio.to_thread(site.database.stop)
        for of in site.gateways:
            assert await site.serves(of, "fred")
            assert not await site.serves(of, "gina")
        count = len(reporters.acknowledged)
        site.database.start()
        await reporters.until(count + 20)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    for user in reporters.acknowledged:
        await site.until(user, served=False)
    edit = await site.edit("control", "PUT", "/flags/grace", seconds=400)
    assert (edit["in_force_on"], edit["silent"]) == (2 * WORKERS, [])
    assert {of: children_of(each.process.pid)["control"] for of, each in site.controls.items()} == controls
    assert {of: children_of(each.process.pid)["worker"] for of, each in site.gateways.items()} == workers
    await reporters.close()


async def test_the_databases_password_is_told_nobody(site: Site) -> None:
    """Neither by ``gatepost check``, with the database there and away, nor in a log line of this file's tests."""
    words = (sys.executable, "-m", "gateway.cli.main", "check", "--config", str(site.configs["both"]))
    said = await _output_of(*words)
    assert f"127.0.0.1:{site.database.port}/gatepost: changes" in said.replace("\n", " ")
    await asyncio.to_thread(site.database.stop)
    away = await _output_of(*words)
    site.database.start()
    assert "does not answer: connection refused" in " ".join(away.split())
    logs = json.dumps([each.log for each in (site.both, site.control, site.gateway)])
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in said + away + logs


async def _output_of(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=clean_environment({"COLUMNS": "400"}),
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return out.decode()
