"""Backup beside a running gateway, and a restore: what is said, what is lost, and no phone cut or freed by surprise."""

import asyncio
import json
import sqlite3
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.raw_http import ask, eas, request
from tests.support.reporting import HARMLESS, TIKTOK, Agent
from tests.support.running import Running, running
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer, mailbox_server
from tests.system.arranging import agent_of, enforce_tiktok
from tests.system.desk import Ended, gatepost

pytestmark = pytest.mark.asyncio(loop_scope="module")

USERS = ("anna", "berta", "carla", "dora")


@dataclass(frozen=True, slots=True)
class Story:
    """What was done before the restore, and what it said."""

    directory: Path
    mailbox: MailboxServer
    secret: str
    events: dict[str, dict[str, object]]
    """Reports that were acknowledged: ``before`` the backup, ``since``, and the deltas."""
    beside: Ended
    """The restore that was tried beside the running gateway."""
    told: Ended
    """The restore without ``--yes``."""
    done: dict[str, Any]
    """The restore's answer for programs."""
    audit: list[dict[str, Any]]
    """The audit log before it."""
    verified: tuple[Ended, Ended]
    """The audit log beside the running gateway, and after the restore with a checkpoint from before it."""

    @property
    def database(self) -> Path:
        return self.directory / "var" / "gatepost.db"


async def served(gateway: Running, user: str) -> bool:
    """Whether a phone gets its mail."""
    asked = request(eas("FolderSync", user, f"ID{user.upper()}"), FOLDER_SYNC, user=user)
    return (await ask(gateway.http, asked)).body == f"mail for {user}".encode()


async def who_has_mail(gateway: Running) -> set[str]:
    return {user for user in USERS if await served(gateway, user)}


async def until_seen(gateway: Running, devices: int) -> None:
    """Wait until so many phones are noted."""
    async with gateway.api() as api, asyncio.timeout(20):
        while (await api.get("/status")).json()["stored"]["mail_devices"] < devices:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def full(agent: Agent, user: str, *apps: str) -> dict[str, object]:
    return agent.event(user, f"ID{user.upper()}", (*HARMLESS, *apps))


def delta(agent: Agent, user: str, base: int) -> dict[str, object]:
    """A report that only adds an app to the state of that sequence."""
    event = agent.event(user, f"ID{user.upper()}", [TIKTOK])
    data: Any = event["data"]
    data["kind"], data["base_sequence"] = "delta", base
    event["type"] = str(event["type"]).replace(".full.", ".delta.")
    return event


async def taken(agent: Agent, event: dict[str, object]) -> dict[str, object]:
    answer = await agent.send(event)
    assert answer.status_code in (200, 202), answer.text
    return event


async def restore(directory: Path, *words: str) -> Ended:
    backup = str(directory / "kept.backup")
    config = str(directory / "gatepost.toml")
    return await gatepost("restore", backup, "--config", config, *words, environment={}, directory=directory)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    directory = tmp_path_factory.mktemp("backup")
    async with mailbox_server() as mailbox:
        async with running(directory, mailbox.url) as gateway, agent_of(gateway) as agent:
            await enforce_tiktok(gateway)
            events = {
                "before": await taken(agent, full(agent, "anna", TIKTOK)),
                "clean": await taken(agent, full(agent, "berta")),
                "dirty": await taken(agent, full(agent, "carla", TIKTOK)),
            }
            assert await who_has_mail(gateway) == {"berta", "dora"}
            await until_seen(gateway, len(USERS))
            said = json.loads(await gateway.gatepost("backup", str(directory / "kept.backup"), "--json"))
            assert said["policy_version"] == 2
            # Since then: berta is cut, carla is freed, and a second ban was made and a token withdrawn.
            events["cut"] = await taken(agent, full(agent, "berta", TIKTOK))
            events["freed"] = await taken(agent, full(agent, "carla"))
            events["delta"] = delta(agent, "berta", agent.sequence - 1)
            await gateway.gatepost("ban", "add", "Other", "--id", "android:com.example.other", "--yes")
            await gateway.gatepost("source", "add", "later", "--kind", "push", "--devices", "*")
            await gateway.gatepost("token", "create", "olga", "--role", "viewer")
            assert await who_has_mail(gateway) == {"carla", "dora"}
            secret, beside = agent.secret, await restore(directory, "--yes")
            audit = await audited(gateway, directory / "outside")
            intact = await verify(directory)
        told = await restore(directory)
        done = await restore(directory, "--yes", "--json")
        assert done.code == 0, done.err
        verified = intact, await verify(directory)
        yield Story(directory, mailbox, secret, events, beside, told, json.loads(done.out), audit, verified)


async def audited(gateway: Running, outside: Path) -> list[dict[str, Any]]:
    """The audit log, once the refusals stand in it and what was done since the backup is signed."""
    async with gateway.api() as api, asyncio.timeout(30):
        while True:
            found = (await api.get("/audit/entries", params={"limit": 1000, "after": 1})).json()["entries"]
            state = (await api.get("/audit")).json()
            made = max(each["seq"] for each in found if each["entry"]["kind"] == "token_created")
            effects = [each["entry"] for each in found if each["entry"]["kind"] == "effects"]
            # They come as they are noted, in one entry or more.
            refused = {subject["person"] for entry in effects for subject in entry["subjects"]}
            if state["signed_upto"] > made and len(refused) >= 3:
                await asyncio.to_thread(outside.write_text, state["checkpoint"], "utf-8")
                return [each["entry"] for each in found]
            await asyncio.sleep(0.2)


async def verify(directory: Path) -> Ended:
    words = (
        "audit",
        "verify",
        "--checkpoint",
        str(directory / "outside"),
        "--config",
        str(directory / "gatepost.toml"),
    )
    return await gatepost(*words, environment={}, directory=directory)


async def test_the_audit_log_tells_who_did_what_and_whom_it_hit(story: Story) -> None:
    kinds = [each["kind"] for each in story.audit]
    for kind in ("token_created", "started", "policy_edited", "source_added", "checkpoint", "effects"):
        assert kind in kinds, kind
    refused = [each for entry in story.audit if entry["kind"] == "effects" for each in entry["subjects"]]
    assert {(each["event"], each["ban"]) for each in refused} == {("refused", "TikTok")}
    assert len({each["person"] for each in refused}) == 3
    assert not any(user in str(refused) for user in USERS)


async def test_the_audit_log_is_intact_and_declares_what_the_restore_has_lost(story: Story) -> None:
    before, after = story.verified
    assert before.code == 0, before.out
    assert "it is what was signed outside of this machine" in before.out
    assert after.code == 0, after.out
    assert after.out.startswith("intact: entries 1 to ")
    assert "is of entries that a restore has lost: entry " in after.out


async def test_not_beside_a_gateway_that_runs(story: Story) -> None:
    assert story.beside.code == 1
    assert "another Gatepost (pid " in story.beside.err


async def test_everything_is_said_before_and_nothing_done_without_a_yes(story: Story) -> None:
    assert story.told.code == 1
    assert "Nobody is here to ask: add --yes to do it" in story.told.err
    said = story.told.out
    assert "policy version 2: 4 devices, 3 inventories" in said
    assert "2 reports; 2 devices fall back to older evidence, the newest of " in said
    assert "policy version 3 by admin, " in said
    assert "sources: later (add them again)" in said
    assert " of olga, made " in said
    assert "starts with enforcement off: everybody has mail" in said
    assert "4 devices were judged from both: 2 are refused now" in said
    assert "refused now, have mail after the restore: 2 (anna idanna, berta idberta)" in said
    assert "refused now, would have mail with enforcement on again: 1 (berta idberta)" in said
    assert "have mail now, would be refused with enforcement on again: 1 (carla idcarla)" in said


async def test_for_programs(story: Story) -> None:
    done = story.done
    assert (done["policy_version"], done["enforcement_on"], done["enforcement_was_on"]) == (4, False, True)
    assert done["lost"]["reports"] == 2
    assert [version["number"] for version in done["lost"]["policy_versions"]] == [3]
    assert done["fleet"]["let_through"]["count"] == 2
    assert done["fleet"]["cut"]["count"] == 0
    assert done["enforcement_on_again"] == "gatepost flag set --global on"


async def test_the_old_database_is_kept(story: Story) -> None:
    kept = Path(story.done["kept"])
    assert kept.parent == story.database.parent
    connection = sqlite3.connect(kept)
    assert connection.execute("SELECT max(number) FROM policies").fetchone() == (3,)
    connection.close()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (kept, story.database, story.directory / "kept.backup")}
    assert modes == {0o600}
    assert not list(story.database.parent.glob(".gatepost.db.restored*"))


async def test_the_gateway_starts_in_report_only_and_takes_reports_again(story: Story) -> None:
    """Sent again as they were, what was acknowledged after the backup counts, and what came before counts once."""
    async with running(story.directory, story.mailbox.url) as gateway:
        agent = Agent(gateway.inventory, story.secret, sequence=100)
        assert await who_has_mail(gateway) == set(USERS)
        shown = json.loads(await gateway.gatepost("why", "anna", "IDANNA", "--json"))
        (anna,) = shown["answers"]
        assert (anna["effect"], anna["reason"]) == ("allow", "enforcement_off")
        status = json.loads(await gateway.gatepost("status", "--json"))
        assert (status["policy"]["number"], status["policy"]["author"]) == (4, "restore")
        assert "enforcement is switched off globally: everybody has mail" in status["warnings"]

        # Acknowledged before the backup: known, and not applied twice.
        assert (await agent.send(story.events["before"])).json()["status"] == "duplicate"
        # It rests on what was lost.
        answer = await agent.send(story.events["delta"])
        assert (answer.status_code, "send a full report" in answer.text) == (409, True)
        # Acknowledged after it: applied, with the same id.
        for name in ("cut", "freed"):
            assert (await agent.send(story.events[name])).json()["status"] == "applied"
            assert (await agent.send(story.events[name])).json()["status"] == "duplicate"
        await gateway.gatepost("flag", "set", "--global", "on", "--yes")
        assert await who_has_mail(gateway) == {"carla", "dora"}
        await agent.client.aclose()
    await _and_enforcing_at_once_where_it_is_wanted(story)


async def _and_enforcing_at_once_where_it_is_wanted(story: Story) -> None:
    done = await restore(story.directory, "--keep-enforcing", "--yes")
    assert done.code == 0, done.err
    assert "starts enforcing, on the evidence of then (--keep-enforcing)" in done.out
    assert "have mail now, refused after the restore: 1 (carla idcarla)" in done.out
    assert "refused now, have mail after the restore: 1 (berta idberta)" in done.out
    async with running(story.directory, story.mailbox.url) as gateway:
        assert await who_has_mail(gateway) == {"berta", "dora"}
        status = json.loads(await gateway.gatepost("status", "--json"))
        assert (status["policy"]["number"], status["policy"]["enforcement_on"]) == (6, True)


async def test_a_token_that_was_revoked_since_stays_so(tmp_path: Path, story: Story) -> None:
    async with running(tmp_path, story.mailbox.url) as gateway:
        await gateway.gatepost("token", "create", "olga", "--role", "viewer")
        tokens = json.loads(await gateway.gatepost("token", "list", "--json"))["tokens"]
        (olga,) = [token["id"] for token in tokens if token["operator"] == "olga"]
        await gateway.gatepost("backup", str(tmp_path / "kept.backup"))
        await gateway.gatepost("token", "revoke", olga, "--yes")
    done = await restore(tmp_path, "--yes")
    assert "1 tokens revoked since are not given back" in done.out
    async with running(tmp_path, story.mailbox.url) as gateway:
        tokens = json.loads(await gateway.gatepost("token", "list", "--json"))["tokens"]
        assert [token["revoked_at"] is None for token in tokens if token["id"] == olga] == [False]


async def test_on_another_machine(tmp_path: Path, story: Story) -> None:
    """No database, no token file: the next start makes what an operator needs."""
    (tmp_path / "gatepost.toml").write_text(f'[gateway]\ndata_dir = "{tmp_path / "var"}"\n')
    (tmp_path / "kept.backup").write_bytes((story.directory / "kept.backup").read_bytes())
    done = await restore(tmp_path, "--yes")
    assert "there is no database now: nothing is lost" in done.out
    assert done.code == 0, done.err
    async with running(tmp_path, story.mailbox.url) as gateway:
        assert await who_has_mail(gateway) == set(USERS)


async def test_a_file_that_is_no_good_changes_nothing(tmp_path: Path, story: Story) -> None:
    data_dir = tmp_path / "var"
    data_dir.mkdir()
    (tmp_path / "gatepost.toml").write_text(f'[gateway]\ndata_dir = "{data_dir}"\n')
    whole = (story.directory / "kept.backup").read_bytes()
    for content, words in ((whole[:-40], "was cut off or altered"), (b"x" * 100, "is no backup of Gatepost")):
        (tmp_path / "kept.backup").write_bytes(content)
        done = await restore(tmp_path, "--yes")
        assert done.code == 1
        assert words in done.err
    assert [path.name for path in data_dir.iterdir()] in ([], ["gatepost.lock"])
