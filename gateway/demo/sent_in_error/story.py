"""The story "sent in error": a company is told that an app is forbidden, and soon after that it was a mistake.

Every act does something by the ways that operators, agents and phones use; what came of it is counted where it shows,
in the readers' mailboxes and at the phones. What goes on is told as it happens; what is found out stands in
``findings``, and one that does not hold makes the whole story fail, but does not end it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from gateway.demo.sent_in_error.crowd import Crowd
from gateway.demo.sent_in_error.findings import Finding, corrected
from gateway.demo.sent_in_error.fleet import APPS, BANNED, BANNED_NAME
from gateway.demo.sent_in_error.operators import NEEDS_APPROVAL, Operator, Refusal
from gateway.demo.sent_in_error.post_office import Letter
from gateway.demo.sent_in_error.scene import SECOND_PERSON, Scene
from gateway.demo.values import DemoFailed, Step, Tone, Who, length

T = TypeVar("T")

REASON = "sent in error"
TEXT = "TikTok may not be on a phone with company mail. Remove it; mail comes back after the next report."
BATCH_SECONDS = 900.0
TOLD_SECONDS = 3.0
BEING_BUILT = "is being built"
WAITING_STATES = ("planned", "held", "due", "claimed", "deferred")


class SentInError:
    """One telling."""

    def __init__(self, scene: Scene, tell: Callable[[Step], None]) -> None:
        self._scene = scene
        self._tell_step = tell
        self.findings: list[Finding] = []

    async def run(self) -> None:
        """From the empty disk to the last correction. Raises ``DemoFailed`` where it cannot go on."""
        try:
            await self._told()
        except DemoFailed as failure:
            raise await self._scene.stage.blamed(failure) from None

    async def _told(self) -> None:
        await self._company()
        crowd, parked_at = await self._phones(), time.monotonic()
        author = await self._scene.operator()
        second = await self._second_person(author)
        await self._index(author)
        # Workers tell once a second who is connected.
        await asyncio.sleep(max(0.0, parked_at + TOLD_SECONDS - time.monotonic()))
        number, seen = await self._preview(author)
        await self._nobody_alone(author, number, seen)
        await self._cut(author, second, number, seen, crowd)
        people = int(seen["preview"]["people_cut"])
        await self._notices(author, number, people)
        before = await self._first_batch(author, number, people)
        await self._back(author, number, crowd)
        await self._nothing_waits(author, number)
        await self._corrections(author, number, before)
        self._memory()

    # --- what is there

    async def _company(self) -> None:
        scene, fleet = self._scene, self._scene.fleet
        words = f"{fleet.people:,} people with {fleet.devices:,} devices, {APPS} apps on each"
        self._tell(
            Who.FLEET, "writing", f"writing {words}, straight into the database: this takes minutes if it is large"
        )
        begun = time.monotonic()
        octets = await scene.during(scene.write_fleet(), "writing the fleet")
        seconds = time.monotonic() - begun
        self._tell(Who.FLEET, "written", f"{words}: {octets / 1e9:.2f} GB in {length(seconds)}", seconds)
        seconds = await scene.during(scene.start_gateway(), "starting the gateway")
        what = f"process {scene.stage.gateway.pid}, ready after {length(seconds)}, {scene.scale.workers} workers"
        self._tell(Who.GATEWAY, "ready", f"{what}: SQLite, embedded Valkey; notices go out by SMTP", seconds)
        self._tell(Who.POST, "post", f"a mail server with a mailbox for each reader: {scene.mailboxes.directory}")

    async def _phones(self) -> Crowd:
        scene = self._scene
        count, seconds = await scene.during(scene.reports(), "signed reports")
        pace = count / seconds
        hours = scene.fleet.devices / pace / 3600
        words = f"{count} phones report what is on them, signed, as agents do: {pace:.0f} a second, each committed"
        self._tell(Who.AGENT, "reports", f"{words} (all devices at that pace: {hours:.1f} hours)", seconds)
        crowd = await scene.during(scene.gather_crowd(), "phones that wait for mail", 300.0)
        words = f"{len(crowd.phones)} phones wait for mail (Ping), {len(crowd.turning)} of them with {BANNED_NAME}"
        self._tell(Who.PHONE, "parked", words)
        return crowd

    async def _second_person(self, author: Operator) -> Operator:
        token = await self._scene.during(author.second_token(SECOND_PERSON), "making an operator who approves")
        self._tell(Who.ADMIN, "second_made", f"{SECOND_PERSON} is an approver now, with a token of that person's own")
        return await self._scene.operator(token)

    async def _index(self, author: Operator) -> None:
        """Until previews can be made; then the index of the fleet is held against the decision."""
        begun = time.monotonic()

        async def ready() -> bool:
            try:
                await author.verified(1)
            except DemoFailed as failure:
                if BEING_BUILT not in str(failure):
                    raise
                return False
            return True

        await self._scene.until(ready, "the index of the fleet")
        seconds = time.monotonic() - begun
        found = await self._scene.during(author.verified(self._scene.scale.sample), "verifying the index")
        words = (
            f"{found['different']} of {found['decisions']:,} decisions about {found['people']:,} random people differ"
        )
        self._tell(
            Who.ADMIN, "verified", f"the index that previews use is there, held against the decision: {words}", seconds
        )
        self._find(
            "the index of the fleet says what the decision says", words, "the decision itself", not found["different"]
        )

    # --- the change

    async def _preview(self, author: Operator) -> tuple[int, dict[str, Any]]:
        matchers = [{"kind": "id", "value": BANNED, "platform": each} for each in ("android", "ios")]
        body = {"name": BANNED_NAME, "matchers": matchers, "flag": "enforce", "text": TEXT}
        begun = time.monotonic()
        refusal = await self._scene.during(author.refused("POST", "/bans", body), "banning the app")
        seconds = time.monotonic() - begun
        if refusal.kind != NEEDS_APPROVAL:
            raise DemoFailed(f"the ban was refused for another reason: {refusal.sentence}")
        seen = await self._do(author.change(refusal.change), "looking at the change")
        self._tell_preview(refusal, seen["preview"], seconds)
        return refusal.change, seen

    def _tell_preview(self, refusal: Refusal, seen: Mapping[str, Any], seconds: float) -> None:
        fleet = self._scene.fleet
        cut, people = seen["newly_cut"], seen["people_cut"]
        share = f"{cut * 100 / seen['devices']:.1f} %"
        numbers = f"{cut:,} devices of {people:,} people would be cut, {share} of all"
        off = f"{seen['people_cut_off']:,} people lose their last device"
        unjudged = f"{seen['unjudged']:,} devices pass unjudged"
        self._tell(
            *(Who.ADMIN, "preview"),
            f"ban {BANNED_NAME}, enforce: {numbers}; {off}; {unjudged}; looked at within {length(seconds)}",
            seconds,
        )
        self._tell_sessions(seen.get("sessions") or {})
        groups = ", ".join(f"{each['name']} {each['cut']:,}" for each in seen["groups"][:3])
        self._tell(Who.ADMIN, "groups", f"most of them in {groups}")
        self._tell(Who.ADMIN, "guarded", f"refused: {'; '.join(refusal.guards)}", tone=Tone.REFUSED)
        right = (cut, people) == (fleet.holding, fleet.people_holding)
        self._find("whom the change would cut", f"{cut:,} devices of {people:,} people", "who wrote the fleet", right)
        self._find("time to that answer, guards included", length(seconds), "the operator")

    def _tell_sessions(self, sessions: Mapping[str, Any]) -> None:
        ended, connected = sessions.get("ended", 0), sessions.get("connected", 0)
        words = f"{ended} of {connected} sessions would end now"
        self._tell(Who.ADMIN, "sessions", words)
        self._find(
            "whose connections it would end at this moment", words, "the phones", ended == self._scene.scale.phones
        )

    async def _nobody_alone(self, author: Operator, number: int, seen: Mapping[str, Any]) -> None:
        approval = {"digest": seen["digest"]}
        apply = await self._do(author.refused("POST", f"/changes/{number}/apply", {}), "applying it alone")
        own = await self._do(author.refused("POST", f"/changes/{number}/approve", approval), "approving it alone")
        self._tell(Who.ADMIN, "own_approval", f"the author's own approval: {own.sentence}", tone=Tone.REFUSED)
        held = apply.kind == NEEDS_APPROVAL and own.status in (403, 409, 422)
        self._find(
            "its author alone brings it into force",
            "refused, and so is the author's own approval",
            "the operator",
            held,
        )

    async def _cut(
        self, author: Operator, second: Operator, number: int, seen: Mapping[str, Any], crowd: Crowd
    ) -> None:
        scene = self._scene
        await scene.during(second.approve(number, seen["digest"]), "the second person's approval")
        self._tell(Who.SECOND, "approved", f"change {number} approved, for exactly this preview")
        begun = time.monotonic()
        work = asyncio.gather(author.apply(number), crowd.cut(begun))
        applied, cut = await scene.during(work, "applying the change", 300.0)
        _expect_in_force(applied)
        words = (
            f"in force on {applied['in_force_on']} of {applied['workers']} workers after {length(applied['seconds'])}"
        )
        self._tell(Who.ADMIN, "applied", f"policy version {applied['policy_version']} {words}", applied["seconds"])
        times = f"half of them after {length(cut.at_share(0.5))}, the last after {length(cut.last)}"
        self._tell(
            *(Who.PHONE, "cut"),
            f"{len(cut.seconds)} waiting phones cut (Status 7): {times}, the preview that apply makes anew included",
            *(cut.last, Tone.REFUSED),
        )
        refused = await scene.during(crowd.refused(), "cut phones that ask again")
        self._find(
            "waiting phones with the app are cut", f"{len(cut.seconds)} of {len(crowd.turning)}, {times}", "the phones"
        )
        self._find("they are refused when they ask again", f"{refused}", "the phones", refused == len(crowd.turning))

    # --- the notices

    async def _notices(self, author: Operator, number: int, people: int) -> None:
        """Everybody is written down who is told; then the hold."""
        scene, begun = self._scene, time.monotonic()
        self._tell(
            Who.ADMIN,
            "planning",
            f"writing down {people:,} people who are told: a page at a time, beside everything else",
        )
        planning = scene.stage.beside(author.plan_notices(number, "cut"))

        async def planned() -> bool:
            mailing = await author.mailing(number, "cut")
            scene.tick("notices written down", sum(mailing["notices"].values()), people)
            if planning.done():
                planning.result()
            return planning.done() and mailing["state"] not in ("", "planning")

        await scene.until(planned, "planning the notices")
        seconds = time.monotonic() - begun
        mailing = await self._do(author.mailing(number, "cut"), "looking at the notices")
        held = sum(mailing["notices"].values())
        words = f"{held:,} notices written down in {length(seconds)}; nothing leaves for {scene.scale.hold_seconds:g} s"
        self._tell(Who.ADMIN, "held", f"{words}, and whoever sees a mistake now can stop them", seconds)
        self._find(
            "one notice for each person who is cut",
            f"{held:,}, written down in {length(seconds)}",
            "gatepost notice list",
            held == people,
        )

    async def _first_batch(self, author: Operator, number: int, people: int) -> Mapping[str, Sequence[Letter]]:
        scene, size = self._scene, self._scene.scale.first_batch
        early = 0

        async def begun() -> bool:
            nonlocal early
            found = scene.mailboxes.count()
            mailing = await author.mailing(number, "cut")
            if not mailing["batches"]:
                early = found
            return bool(mailing["batches"])

        await scene.until(begun, "the end of the hold", scene.scale.hold_seconds + BATCH_SECONDS)
        started = time.monotonic()

        async def arrived() -> bool:
            found = scene.mailboxes.count()
            scene.tick("notices in mailboxes", found, size)
            return found >= size

        await scene.until(arrived, "the first batch of notices", BATCH_SECONDS)
        seconds = time.monotonic() - started
        await asyncio.sleep(scene.scale.still_seconds)
        before = scene.mailboxes.read()
        counted = sum(map(len, before.values()))
        subject = next(iter(before.values()))[0].subject
        words = f"{counted} notices in {len(before)} mailboxes within {length(seconds)}: “{subject}”"
        self._tell(Who.POST, "first_batch", f"the first batch: {words}; {people - size:,} wait", seconds)
        self._find("mails during the hold", f"{early}", "the mailboxes", early == 0)
        right = counted == len(before) == size
        self._find(
            "the first batch, and nothing behind it", f"{counted} in {len(before)} mailboxes", "the mailboxes", right
        )
        return before

    # --- and back

    async def _back(self, author: Operator, number: int, crowd: Crowd) -> None:
        scene, begun = self._scene, time.monotonic()
        self._tell(Who.ADMIN, "withdrawing", f"gatepost withdraw {number} --reason “{REASON}”: one person, one step")
        work = asyncio.gather(author.withdraw(number, REASON), crowd.let_in(begun))
        withdrawn, let_in = await scene.during(work, "withdrawing the change", 300.0)
        _expect_in_force(withdrawn)
        words = f"in force on {withdrawn['in_force_on']} of {withdrawn['workers']} workers"
        self._tell(
            *(Who.ADMIN, "withdrawn"),
            f"policy version {withdrawn['policy_version']} {words} after {length(withdrawn['seconds'])}",
            *(withdrawn["seconds"], Tone.GOOD),
        )
        crowd.park(crowd.turning)
        await scene.during(
            scene.stage.mailbox.until_parked(len(crowd.phones)), "phones that wait for mail again", 300.0
        )
        times = f"half of them after {length(let_in.at_share(0.5))}, the last after {length(let_in.last)}"
        self._tell(
            *(Who.PHONE, "let_in"), f"{len(let_in.seconds)} phones have mail again: {times}", *(let_in.last, Tone.GOOD)
        )
        self._find("the withdrawal is in force on every worker", length(withdrawn["seconds"]), "the gateway")
        self._find("cut phones have mail again", f"{len(let_in.seconds)}, {times}", "the phones")
        untouched = crowd.untouched()
        self._find(
            *("phones without the app waited on all the time", f"{untouched} of {len(crowd.staying)}", "the phones"),
            untouched == len(crowd.staying),
        )

    async def _nothing_waits(self, author: Operator, number: int) -> None:
        scene, begun = self._scene, time.monotonic()
        mailing = await self._do(author.mailing(number, "cut"), "looking at the notices")
        at_once = mailing["state"] == "cancelled"

        async def settled() -> bool:
            counts: dict[str, int] = (await author.mailing(number, "cut"))["notices"]
            left = sum(counts.get(state, 0) for state in WAITING_STATES)
            scene.tick("notices cancelled", counts.get("cancelled", 0), left + counts.get("cancelled", 0))
            return left == 0

        await scene.until(settled, "cancelling what waits")
        seconds = time.monotonic() - begun
        mailing = await self._do(author.mailing(number, "cut"), "looking at the notices")
        cancelled = mailing["notices"].get("cancelled", 0)
        words = f"none of them may leave from the withdrawal on; the last one is marked so {length(seconds)} later"
        self._tell(Who.ADMIN, "cancelled", f"{cancelled:,} waiting notices cancelled: {words}", seconds)
        found = f"{cancelled:,}, with the withdrawal itself; the last one marked {length(seconds)} later"
        self._find("waiting notices are cancelled", found, "gatepost notice list", at_once)

    async def _corrections(self, author: Operator, number: int, before: Mapping[str, Sequence[Letter]]) -> None:
        scene, begun = self._scene, time.monotonic()
        wanted = sum(map(len, before.values())) + len(before)

        async def arrived() -> bool:
            found = scene.mailboxes.count()
            scene.tick("corrections in mailboxes", found - len(before), len(before))
            mailing = await author.mailing(number, "correction")
            return found >= wanted and mailing["state"] == "finished"

        await scene.until(arrived, "the corrections", BATCH_SECONDS)
        seconds = time.monotonic() - begun
        await asyncio.sleep(scene.scale.still_seconds)
        told = corrected(before, scene.mailboxes.read())
        words = f"{told.in_thread} of the {told.told} readers have one message more, which answers the first"
        self._tell(Who.POST, "corrected", f"corrections: {words}; {told.others} others", seconds, Tone.GOOD)
        found = (
            f"{told.in_thread} of {told.told}, each in the thread of the first; {told.others} others were written to"
        )
        self._find("exactly those who were told are told that it was a mistake", found, "the mailboxes", told.exact)
        self._find(
            "all mail that was ever sent",
            f"{scene.mailboxes.count()}",
            "the mailboxes",
            scene.mailboxes.count() == wanted,
        )

    def _memory(self) -> None:
        found = self._scene.memory_mb()
        if found:
            words = ", ".join(f"{name} {megabytes:,}" for name, megabytes in sorted(found.items()) if name)
            self._find("memory at the end, MB", words, "the kernel", sum(found.values()) < 4_096)

    # --- telling

    async def _do(self, work: Awaitable[T], doing: str) -> T:
        return await self._scene.during(work, doing)

    def _find(self, what: str, found: str, counted_by: str, holds: bool = True) -> None:
        self.findings.append(Finding(what, found, counted_by, holds))

    def _tell(self, who: Who, name: str, text: str, seconds: float | None = None, tone: Tone = Tone.PLAIN) -> None:
        self._tell_step(Step(time.monotonic() - self._scene.stage.begun, who, name, text, seconds, tone))


def _expect_in_force(answer: Mapping[str, Any]) -> None:
    if not answer["in_force"]:
        raise DemoFailed(f"{answer['summary']}: not in force on {', '.join(answer['silent'])}")
