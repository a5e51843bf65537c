"""The story: mail, a ban, a phone that is cut off and comes back, told step by step as it happens.

Every act does something by the ways everybody else uses (ActiveSync, the admin API, signed reports), checks what came
of it, and only then tells it. Whatever is not as it should be ends the story with ``DemoFailed``.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from gateway.app.parts import DATABASE_FILE
from gateway.demo.control import Administrator, Agent, InstalledApp
from gateway.demo.mailbox_server import SERVER_NAME
from gateway.demo.phone import BLOCKED, Answered, Phone, versions_of
from gateway.demo.stage import DEVICE_ID, WAIT_SECONDS, Stage
from gateway.demo.values import DemoFailed, Step, Tone, Who, length

T = TypeVar("T")

BAN = "TikTok"
BANNED = InstalledApp("com.zhiliaoapp.musically", "TikTok")
HARMLESS = (
    InstalledApp("com.google.android.gm", "Gmail"),
    InstalledApp("org.mozilla.firefox", "Firefox"),
    InstalledApp("org.thoughtcrime.securesms", "Signal"),
)
SOURCE = "demo-agent"
OLD_VERSION = "12.1"
HEARTBEAT_SECONDS = 600
RETRY_SECONDS = 0.025

FIRST_MAILS = (
    ("berta@demo.example", "Welcome", "Good to have you here."),
    ("carl@demo.example", "Minutes of Monday", "They are attached, in spirit."),
    ("desk@demo.example", "Your new phone", "Is this demo's simulated one."),
)


class Story:
    """One telling."""

    def __init__(self, stage: Stage, tell: Callable[[Step], None]) -> None:
        self._stage = stage
        self._tell_step = tell
        self._mailbox = stage.mailbox

    async def run(self) -> Phone:
        """From the beginning to mail that flows; the phone as it is then. Raises ``DemoFailed``."""
        try:
            return await self._told()
        except DemoFailed as failure:
            raise await self._stage.blamed(failure) from None

    async def _told(self) -> Phone:
        await self._open()
        phone = self._stage.phone()
        admin = self._stage.administrator()
        await self._first_sync(phone)
        agent = await self._first_report(admin)
        await self._mail_comes(phone)
        ping = await self._parked(phone)
        await self._ban(admin, ping)
        await self._cut(phone, admin, agent, ping)
        await self._report_only_and_back(phone, admin)
        await self._clean_again(phone, agent)
        return phone

    async def end(self) -> None:
        """The gateway is told to end, and does. Raises ``DemoFailed``."""
        self._stage.hang_up()
        seconds = await self._stage.gateway.stop()
        self._tell(Who.GATEWAY, "stopped", f"stopped in order within {length(seconds)}", seconds)

    async def _open(self) -> None:
        for mail in FIRST_MAILS:
            self._mailbox.deliver(*mail)
        straight = self._stage.phone(url=self._mailbox.url)
        answer = await self._do(straight.options(), "the demo's mailbox server")
        server = answer.fields.get("server", "")
        _expect(server == SERVER_NAME, f"the mailbox server calls itself {server!r}, not {SERVER_NAME!r}")
        user = self._stage.account.user
        self._tell(
            *(Who.MAILBOX, "mailbox"),
            f"at {self._mailbox.url}, calls itself {server!r}; {len(FIRST_MAILS)} mails for {user}",
        )
        await self._start_gateway()

    async def _start_gateway(self) -> None:
        gateway = self._stage.gateway
        self._tell(Who.GATEWAY, "starting", f"starting: gatepost run --config {gateway.config}")
        seconds = await gateway.start(self._mailbox.url)
        workers = await self._do(self._workers(), "waiting for the gateway to call itself ready")
        for made, what in ((DATABASE_FILE, "database"), ("valkey", "embedded cache")):
            _expect((gateway.data_dir / made).exists(), f"the gateway has made no {what} in {gateway.data_dir}")
        ready = f"process {gateway.pid}, ready after {length(seconds)}: {workers} worker, SQLite, embedded Valkey"
        self._tell(Who.GATEWAY, "ready", f"{ready}; phones come to {gateway.url('http')}", seconds)

    async def _workers(self) -> int:
        """How many live, once the control process has heard of all of them."""
        while True:
            status = await self._stage.administrator().status()
            if status["ready"]:
                return sum(1 for each in status["gateway"]["workers"] if each["alive"])
            await asyncio.sleep(RETRY_SECONDS)

    async def _first_sync(self, phone: Phone) -> None:
        answer = await self._do(phone.options(), "the phone's OPTIONS")
        versions = versions_of(answer)
        _expect(phone.version in versions, f"ActiveSync {phone.version} is not among those offered: {versions}")
        offered = f"OPTIONS: the mail server offers ActiveSync {', '.join(versions)}; this phone speaks {phone.version}"
        self._tell(Who.PHONE, "options", offered, answer.seconds)
        await self._folders(phone, "first_folder_sync", "FolderSync: the folders are there")
        await self._fetched(phone, len(FIRST_MAILS), "first_sync", "Sync of the Inbox:")

    async def _first_report(self, admin: Administrator) -> Agent:
        before = await self._why(admin)
        _expect(before["effect"] == "allow", f"a phone that nobody has reported on is not let through: {before}")
        unjudged = f"why did it get mail? {before['headline']} Nobody's mail is cut by installing a gateway."
        self._tell(Who.ADMIN, "why_unjudged", unjudged)
        secret = await self._do(admin.add_source(SOURCE), "adding a source of reports")
        agent = self._stage.agent(secret)
        await self._report(agent, HARMLESS, "first_report", "of a clean phone")
        now = await self._why(admin)
        _expect(now["reason"] == "clean", f"after a clean report the phone is not clean: {now['headline']}")
        self._tell(Who.ADMIN, "why_clean", f"and now? {now['headline']}")
        return agent

    async def _mail_comes(self, phone: Phone) -> None:
        ping = await self._parked(phone)
        delivered = time.monotonic()
        self._mailbox.deliver("berta@demo.example", "Lunch?", "At noon, downstairs.")
        answer = await self._do(ping, "the phone's Ping, with new mail")
        _expect(answer.status == "2", f"with new mail the Ping was answered {answer.words}, not Status 2")
        seconds = answer.at - delivered
        self._tell(Who.PHONE, "ping_mail", f"Ping answered {length(seconds)} after a mail came in (Status 2)", seconds)
        await self._fetched(phone, 1, "sync_new_mail", "Sync:")

    async def _parked(self, phone: Phone) -> "asyncio.Task[Answered]":
        ping = self._stage.beside(phone.ping(HEARTBEAT_SECONDS))
        await self._do(self._mailbox.until_parked(1), "the phone's Ping on its way to the mail server")
        self._tell(Who.PHONE, "ping_parked", f"Ping parked: waits for mail, up to {HEARTBEAT_SECONDS} s")
        return ping

    async def _ban(self, admin: Administrator, ping: "asyncio.Task[Answered]") -> None:
        text = "TikTok may not be on a phone with company mail. Remove it; mail comes back after the next report."
        applied = await self._do(admin.add_ban(BAN, BANNED.id, "enforce", text), "adding the ban")
        self._tell(Who.ADMIN, "ban_added", edit_in_words(applied), applied["seconds"])
        _expect(not ping.done(), "the Ping of a clean phone was ended by the ban")
        self._tell(Who.PHONE, "ping_untouched", "goes on waiting: its last report is clean", tone=Tone.GOOD)

    async def _cut(self, phone: Phone, admin: Administrator, agent: Agent, ping: "asyncio.Task[Answered]") -> None:
        reported = await self._report(agent, (*HARMLESS, BANNED), "dirty_report", f"with {BAN} on the phone")
        await self._is_cut(ping, reported, "report_cut", "the report was sent")
        served = self._mailbox.served.total()
        await self._refused(phone, "refused", "next FolderSync")
        old = self._stage.phone(OLD_VERSION)
        answer = await self._do(old.folder_sync(), "an older phone's FolderSync")
        _expect(answer.http_status == 403, f"an older phone was answered {answer.words}, not refused by HTTP 403")
        words = f"asking as an older phone does (ActiveSync {OLD_VERSION}): HTTP 403 {answer.body.decode()!r}"
        self._tell(Who.PHONE, "refused_old", words, answer.seconds, Tone.REFUSED)
        _expect(self._mailbox.served.total() == served, "a refused command reached the mailbox")
        self._tell(Who.MAILBOX, "not_reached", "neither of the two commands reached the mailbox")
        why = await self._why(admin)
        _expect(why["ban"] == BAN, f"the reason is not the ban: {why['headline']}")
        self._tell(Who.ADMIN, "why", f"why? {why['headline']}")

    async def _report_only_and_back(self, phone: Phone, admin: Administrator) -> None:
        self._arrives("Figures of the quarter", "mail_while_refused")
        applied = await self._do(admin.set_flag(BAN, "report-only"), "setting the flag to report-only")
        self._tell(Who.ADMIN, "report_only", edit_in_words(applied), applied["seconds"])
        await self._folders(phone, "flows_report_only", "FolderSync: let through, the app is only reported")
        await self._fetched(phone, 1, "sync_after_report_only", "Sync:")
        ping = await self._parked(phone)
        begun = time.monotonic()
        applied = await self._do(admin.set_flag(BAN, "enforce"), "setting the flag to enforce")
        self._tell(Who.ADMIN, "enforce", edit_in_words(applied), applied["seconds"])
        await self._is_cut(ping, begun, "flag_cut", "the flag was sent")
        await self._refused(phone, "refused_again", "FolderSync")

    async def _clean_again(self, phone: Phone, agent: Agent) -> None:
        self._arrives("The lift works again", "mail_while_refused_again")
        reported = await self._report(agent, HARMLESS, "clean_report", f"without {BAN}")
        answer = await self._do(phone.folder_sync(), "the phone's FolderSync")
        while answer.refused and time.monotonic() - reported < WAIT_SECONDS:
            await asyncio.sleep(RETRY_SECONDS)
            answer = await self._do(phone.folder_sync(), "the phone's FolderSync")
        _expect(answer.status == "1", f"after a clean report FolderSync is answered {answer.words}")
        seconds = answer.at - reported
        words = f"FolderSync: let through, {length(seconds)} after the report was sent"
        self._tell(Who.PHONE, "flows_clean", words, seconds, Tone.GOOD)
        await self._fetched(phone, 1, "sync_after_clean", "Sync:")

    async def _folders(self, phone: Phone, name: str, words: str) -> None:
        answer = await self._do(phone.folder_sync(), "the phone's FolderSync")
        _expect(answer.status == "1", f"the phone's FolderSync was answered {answer.words}, not with folders")
        self._tell(Who.PHONE, name, f"{words} ({length(answer.seconds)})", answer.seconds, Tone.GOOD)

    async def _fetched(self, phone: Phone, count: int, name: str, words: str) -> None:
        """A Sync that brings exactly so many mails, the newest of the mailbox."""
        held, seconds = len(phone.subjects), 0.0
        for _ in range(1 if phone.inbox_known else 2):
            # The very first Sync only agrees on a key ([MS-ASCMD] 2.2.3.181.1).
            answer = await self._do(phone.sync(), "the phone's Sync")
            _expect(answer.status == "1", f"the phone's Sync was answered {answer.words}, not with mail")
            seconds += answer.seconds
        fresh = phone.subjects[held:]
        there = [mail.subject for mail in self._mailbox.mailbox.mails[-count:]]
        _expect(fresh == there, f"the phone's Sync brought {fresh}, not {there}")
        subjects = ", ".join(f"“{subject}”" for subject in fresh)
        self._tell(Who.PHONE, name, f"{words} {subjects} ({length(seconds)})", seconds, Tone.GOOD)

    async def _is_cut(self, ping: "asyncio.Task[Answered]", since: float, name: str, what: str) -> None:
        answer = await self._do(ping, f"the phone's Ping, after {what}")
        _expect(answer.status == "7", f"the Ping was ended with {answer.words}, not with Status 7")
        await self._do(self._mailbox.until_parked(0), "the mail server's side of the Ping")
        seconds = answer.at - since
        words = f"Ping cut {length(seconds)} after {what} (Status 7: look at the folders again)"
        self._tell(Who.PHONE, name, words, seconds, Tone.REFUSED)

    async def _refused(self, phone: Phone, name: str, words: str) -> None:
        answer = await self._do(phone.folder_sync(), "the phone's FolderSync")
        told = answer.http_status == 200 and answer.status == BLOCKED
        _expect(told, f"the phone's FolderSync was answered {answer.words}, not refused by Status {BLOCKED}")
        refusal = f"{words} refused: Status {BLOCKED} in an HTTP 200 (this device is blocked)"
        self._tell(Who.PHONE, name, refusal, answer.seconds, Tone.REFUSED)

    async def _report(self, agent: Agent, apps: tuple[InstalledApp, ...], name: str, what: str) -> float:
        """Send a report; the moment before it was sent."""
        begun = time.monotonic()
        await self._do(agent.report(self._stage.account.user, DEVICE_ID, apps), "the signed report")
        seconds = time.monotonic() - begun
        names = ", ".join(app.name for app in apps)
        self._tell(Who.AGENT, name, f"signed report {what}: {names}; stored and accepted in {length(seconds)}", seconds)
        return begun

    def _arrives(self, subject: str, name: str) -> None:
        self._mailbox.deliver("carl@demo.example", subject, "See you.")
        self._tell(Who.MAILBOX, name, f"meanwhile a mail comes in: “{subject}”")

    async def _why(self, admin: Administrator) -> dict[str, Any]:
        return await self._do(admin.why(self._stage.account.user, DEVICE_ID), "asking why")

    async def _do(self, work: Awaitable[T], doing: str) -> T:
        return await self._stage.during(work, doing)

    def _tell(self, who: Who, name: str, text: str, seconds: float | None = None, tone: Tone = Tone.PLAIN) -> None:
        self._tell_step(Step(time.monotonic() - self._stage.begun, who, name, text, seconds, tone))


def _expect(truth: bool, otherwise: str) -> None:
    if not truth:
        raise DemoFailed(otherwise)


def edit_in_words(answer: dict[str, Any]) -> str:
    """What the admin API says of an edit. Raises ``DemoFailed`` unless every worker judges by it."""
    silent = ", ".join(answer["silent"])
    _expect(answer["in_force"] and answer["workers"] > 0, f"{answer['summary']}: not in force, silent: {silent}")
    return (
        f"{answer['summary']}: policy version {answer['policy_version']} in force on {answer['in_force_on']} of"
        f" {answer['workers']} workers after {length(answer['seconds'])}"
    )
