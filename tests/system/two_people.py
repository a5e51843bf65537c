"""A gateway with operators who have tokens of their own, a fleet to turn, and a look at everything that may be done.

The commands run in this process: thirty interpreters would take as long as all the rest.
"""

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.domain.audit import AuditKind
from gateway.domain.identity import identity_rules
from gateway.domain.inventory import App, DeviceKey, Inventory, Naming, Platform, Scope
from gateway.inventory.records import with_canonical_keys
from gateway.ports.store import MailDevice, Person, Source, Store, Writing
from gateway.storage.sql import open_store
from tests.support.reporting import Agent
from tests.support.running import Running, running

PAGE = Path(__file__).parents[2] / "docs" / "changes.md"
SECRET = "whsec_" + base64.b64encode(b"never alone, never alone, never!").decode()
RULES = identity_rules("corp.example", {})
MAIL = App(Platform.ANDROID, "org.example.mail", "Mail")
SETTINGS = {
    "GATEPOST_CHANGES__SECOND_PERSON": "true",
    # In a fleet of some hundreds one percent is a handful; here the number of devices counts.
    "GATEPOST_CHANGES__MOST_PERCENT": "100",
    "GATEPOST_IDENTITY__DEFAULT_DOMAIN": "corp.example",
}
WATCHED = ("dora@corp.example", "emil@corp.example")
"""Whose bindings may be turned."""
_DONE = (
    *(AuditKind.POLICY_EDITED, AuditKind.CHANGE_APPLIED, AuditKind.CHANGE_STAGE, AuditKind.CHANGE_SCHEDULED),
    *(AuditKind.CHANGE_WITHDRAWN, AuditKind.OPERATOR, AuditKind.TOKEN_CREATED, AuditKind.TOKEN_REVOKED),
    *(AuditKind.SOURCE_ADDED, AuditKind.DEVICE_PINNED, AuditKind.DEVICE_UNPINNED, AuditKind.DEVICE_FORGOTTEN),
    AuditKind.NOTICE,
)
"""What tells of something done; proposals, previews and approvals do nothing yet."""


def banned(name: str) -> App:
    """An app of the fleet that a ban of that name recognises."""
    return App(Platform.ANDROID, f"com.example.{name.lower()}", name)


def holder(app_name: str, number: int) -> str:
    """The login of somebody who has that app."""
    return f"{app_name.lower()}{number}@corp.example"


def inventory(login: str, device_id: str, *apps: App, source_device: str = "", at: float = 0.0) -> Inventory:
    """A list that the source ``mdm`` has reported."""
    keys = (DeviceKey("user", login), *((DeviceKey("eas_device_id", device_id),) if device_id else ()))
    at = at or time.time()
    key = source_device or f"mdm-{device_id}"
    scope, naming = Scope.DEVICE, Naming.IDENTIFIER
    stated = Inventory(
        *("mdm", key, scope, naming, at, at, 1, (MAIL, *apps)),
        full_at=at,
        device_keys=keys,
        platform=Platform.ANDROID,
    )
    return with_canonical_keys(stated, RULES)


async def fill(database: Path | str, holders: Mapping[str, int], more: Sequence[Inventory] = ()) -> None:
    """People with a phone each, so many of them with each app, before the gateway's first start.

    ``database``: a file, or a URL.
    """
    url = f"sqlite:///{database}" if isinstance(database, Path) else database
    store = await open_store(url, writable=True)
    of_apps = [
        inventory(holder(name, each), f"{name}{each}".lower(), banned(name))
        for name, number in holders.items()
        for each in range(number)
    ]

    async def work(writing: Writing) -> None:
        for source, secrets in (("mdm", ()), ("agents", (SECRET,))):
            await writing.put_source(Source(source, "push", "*", Scope.DEVICE, 30 * 86_400.0, secrets))
        for each in (*of_apps, *more):
            keys = {key.type: key.value for key in each.device_keys}
            if await writing.person_by_login(keys["login"]) is None:
                await writing.put_person(Person(keys["login"], origin="mdm"))
            if "eas" in keys:
                await writing.put_mail_device(MailDevice(keys["login"], keys["eas"], 1.0, time.time()))
            await writing.put_inventory(each)

    await store.write(work)
    await store.close()


@dataclass(slots=True)
class Shop:
    """The gateway, and who works there."""

    gateway: Running
    agent: Agent
    tokens: dict[str, str]
    rows: list[str]
    """Of the table of what is refused, as they were seen."""

    async def gatepost(self, who: str, *words: str, expect: int = 0) -> Result:
        """Run a command as one of the operators."""
        environment = {"GATEPOST_CONFIG": str(self.gateway.config), "GATEPOST_TOKEN": self.tokens[who], **SETTINGS}
        result = await asyncio.to_thread(CliRunner().invoke, app, list(words), env=environment)
        assert result.exit_code == expect, (words, result.exit_code, result.stdout, result.stderr, result.exception)
        return result

    async def token(self, who: str, *words: str, expect: int = 0) -> str:
        """Make a token; what is printed."""
        return (await self.gatepost(who, "token", "create", *words, expect=expect)).stdout.strip()

    async def approved(self, number: int, by: str = "bob") -> None:
        """A second person's yes."""
        await self.gatepost(by, "approve", str(number), "--yes")

    async def newest(self) -> int:
        """The number of the newest change."""
        async with self.api("ann") as api:
            return int((await api.get("/changes", params={"limit": 1})).json()["changes"][0]["number"])

    def api(self, who: str) -> httpx.AsyncClient:
        """The admin API as one of the operators."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return httpx.AsyncClient(base_url=f"{self.gateway.admin}/api/v1", headers=headers, timeout=30)

    async def refused(self, what: str, who: str, *words: str, waits: bool = False) -> int:
        """Try something: it is refused in words, nothing of it is done; the number of the newest change then.

        ``waits``: for a second person, which its exit status says.
        """
        before = await self.everything()
        result = await self.gatepost(who, *words, expect=3 if waits else 1)
        said = [line for line in result.stderr.splitlines() if line.startswith("gatepost: ")]
        self.row(what, f"`gatepost {' '.join(words)}`", said[-1].removeprefix("gatepost: "))
        assert await self.everything() == before, what
        return await self.newest()

    async def refused_by_api(self, what: str, who: str, path: str, body: dict[str, object]) -> None:
        """The same where no command can say it."""
        before = await self.everything()
        async with self.api(who) as api:
            answer = await api.post(path, json=body)
        assert not answer.is_success, answer.text
        self.row(what, f"`POST {path}`", answer.json()["detail"])
        assert await self.everything() == before, what

    def row(self, what: str, tried: str, said: str) -> None:
        """Note a line of the table."""
        self.rows.append(f"| {what} | {plain(tried)} | {plain(said)} |")

    async def everything(self) -> object:
        """All that somebody might have done: policy, operators, tokens, sources, bindings, notices, audited acts."""
        store = await open_store(f"sqlite:///{self.gateway.data_dir}/gatepost.db", writable=False)
        try:
            return await _everything(store)
        finally:
            await store.close()


async def _everything(store: Store) -> object:
    async with store.read() as reading:
        policy = await reading.policy()
        pins = [pin for login in WATCHED for pin in await reading.pins_of_person(login)]
        devices = [(each.person_id, each.device_id) for each in await reading.all_mail_devices(limit=5_000)]
        changes = [(each.number, each.state) for each in await reading.policy_changes(1_000) if each.done]
        entries = [each.entry for each in await reading.audit_entries(0, 10_000)]
        usable = sorted(each.id for each in await reading.tokens() if each.revoked_at is None)
        acts = sum(any(f'"kind":"{kind.value}"'.encode() in each for kind in _DONE) for each in entries)
        return (
            policy,
            list(await reading.operators()),
            usable,
            [each.name for each in await reading.sources()],
            *(pins, devices, changes, acts, list(await reading.mailings())),
        )


def plain(text: str) -> str:
    """A sentence as the page has it: numbers of changes and versions, ids and tokens are letters there."""
    for pattern, instead in (
        (r"\b(change|approve|apply|show|preview|withdraw|changes)([ /]?)\d+", r"\1\2N"),
        (r"policy version \d+, now \d+", "policy version V, now W"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "T"),
        (r"until [A-Z][a-z]{2} \d\d [A-Z][a-z]{2} \d\d:\d\d", "until T"),
        (r"\|", "/"),
    ):
        text = re.sub(pattern, instead, text)
    return text


def table() -> list[str]:
    """The lines of the page's table of what is refused."""
    part = PAGE.read_text("utf-8").partition("\n## What is refused\n")[2].partition("\n## ")[0]
    return [line for line in part.splitlines() if line.startswith("| ")][1:]


@asynccontextmanager
async def shop(directory: Path, holders: Mapping[str, int], more: Sequence[Inventory] = ()) -> AsyncIterator[Shop]:
    """Olga runs the gateway, bob edits and approves, ann edits and may approve what others propose."""
    data_dir = directory / "var"
    data_dir.mkdir()
    await fill(data_dir / "gatepost.db", holders, more)
    async with running(directory, "http://127.0.0.1:9", environment=SETTINGS) as gateway:
        agent = Agent(gateway.inventory, SECRET)
        made = Shop(gateway, agent, {"admin": gateway.token}, [])
        made.tokens["olga"] = await made.token("admin", "olga", "--role", "operator")
        made.tokens["bob"] = await made.token("admin", "bob")
        try:
            await _hire_ann(made)
            yield made
        finally:
            await agent.client.aclose()


async def _hire_ann(made: Shop) -> None:
    """By two people, since bob may approve."""
    words = ("--role", "editor", "--role", "approver", "--login", "ann@corp.example")
    await made.gatepost("admin", "operator", "add", "ann", *words, expect=3)
    made.tokens["ann"] = made.tokens["bob"]
    await _agreed(made)
    token = await made.token("admin", "ann", expect=3)
    await _agreed(made)
    made.tokens["ann"] = token


async def _agreed(made: Shop) -> None:
    number = await made.newest()
    await made.approved(number)
    await made.gatepost("bob", "apply", str(number), "--yes")
