"""The decision point (NIST SP 800-207): answers access requests from memory, and re-judges who is connected.

Verdicts are computed lazily from (record, policy version, now) and remembered until the record, the policy or the
moment changes. Where the state cannot be read beyond its bound, the policy's setting for that answers, and a denial
known before stays one.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from functools import partial

import structlog

from gateway.decision.afterwards import Afterwards
from gateway.decision.device_cache import DeviceCache, Entry, VerdictKey
from gateway.decision.effects import EffectLog
from gateway.decision.in_turn import InTurn
from gateway.decision.live_sessions import Follower, LiveSession, LiveSessions
from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.ageing import Ageing
from gateway.domain.decide import decide
from gateway.domain.evidence import holds_any
from gateway.domain.policy import Policy, caught_anew
from gateway.domain.shown import Demands, certificate_ended, refused_by_demand
from gateway.domain.verdict import Effect, Posture, Verdict
from gateway.observability.logging import happened

log = structlog.get_logger()

REJUDGED_AT_ONCE = 64
"""Sessions re-judged before other work gets its turn."""
CAUGHT_MOST = 10_000
"""Newly banned apps that are looked for in evidence; beyond that everybody is judged."""
RETRY_LOAD_SECONDS = 0.5
TRUSTED_WITHIN_SECONDS = 6.0
"""How long a question waits after a standstill until it is known what was missed."""
ATTEMPTS = 8
"""How often a record that changes as it arrives is asked for again."""


class DecisionPoint:
    """One per process."""

    def __init__(
        self, cache: DeviceCache, policy: Policy, now: Callable[[], float] = time.time, demands: Demands | None = None
    ) -> None:
        """``demands``: what logins must bring beside the password, by protocol."""
        self._demands = demands or {}
        self._revoked: frozenset[str] = frozenset()
        self.cache = cache
        self.policy = policy
        self.given = policy
        """The version that was put in force; ``policy`` is the same while the glass is whole."""
        self.glass_broken = False
        self.sessions = LiveSessions()
        self._clean_since = policy.version.number
        self._caught_since: frozenset[str] = frozenset()
        """Since that version policies differ in bans only, and recognise these apps (ids) otherwise …"""
        self._caught_at = policy.version.number
        """… the last of them since this one."""
        self.afterwards = Afterwards(now)
        """What is written down of an edit that turns many."""
        self.in_turn = InTurn()
        """Where sessions wait that are to be judged again at one moment."""
        self.effects: EffectLog | None = None
        """Where refusals and cuts are noted for the audit log."""
        self.state_lost = False
        """Set by the feed when nothing has been heard of the state for longer than its bound."""
        self.trusted_until = float("inf")
        """Until when what is in memory counts (``standstill``); a moment of ``now``."""
        self._trusted_again = asyncio.Event()
        self._entries = cache.entries
        self._now = now
        self._retries: set[asyncio.Task[None]] = set()

    def judge(self, request: AccessRequest) -> Verdict | None:
        """The verdict from memory; None when the record is not at hand, or may be outdated (``judge_loading`` then)."""
        refused = self._turned_away(request)
        if refused is not None:
            return refused
        entry, now = self._entries.get(request.login), self._now()
        if entry is None or entry.record is None or now > self.trusted_until:
            return None
        entry.used = True
        if entry.policy_version != self.policy.version.number:
            entry.forget_verdicts()
            entry.policy_version = self.policy.version.number
        key = _key_of(request)
        verdict = entry.verdict(key)
        if verdict is None or now >= verdict.valid_until:
            verdict = self._decide(request, entry, key)
        return self._without_state(request, verdict) if self.state_lost else verdict

    def basis(self, login: str) -> tuple[object, ...]:
        """What a verdict of this moment follows from: after any change that was heard of, something in it is another.

        By identity. Verdicts by setting follow from it as well, where the record cannot be read.
        """
        entry, newest = self._entries.get(login), self.cache.newest_change(login)
        if entry is None:
            return None, None, newest, self.policy, self.state_lost
        return entry.record, entry.verdicts, newest, self.policy, self.state_lost

    def _turned_away(self, request: AccessRequest) -> Verdict | None:
        """The refusal of what comes by a revoked certificate, or without what is demanded; before any state counts."""
        certificate, version = request.certificate, self.policy.version.number
        if certificate is not None and certificate.id in self._revoked:
            return certificate_ended(version)
        return refused_by_demand(request, self._demands, version) if self._demands else None

    def revoke(self, certificates: frozenset[str]) -> None:
        """Take these client certificates, and no others, for revoked, and end the sessions that came by them.

        What is remembered of phones rests on the policy object, so another one makes all of it be looked at anew.
        """
        if certificates == self._revoked:
            return
        self._revoked = certificates
        self.policy = replace(self.policy)
        for session in self.sessions:
            refused = self._turned_away(session.request)
            if refused is not None:
                _tell(session, refused)

    def _decide(self, request: AccessRequest, entry: Entry, key: VerdictKey) -> Verdict:
        verdict = decide(request, entry.record, self.policy, self._now())
        previous = entry.keep_verdict(key, verdict)
        if previous is not None and previous.effect is not verdict.effect:
            self.afterwards.write(partial(log_turn, request, verdict))
        return verdict

    def _without_state(self, request: AccessRequest, known: Verdict) -> Verdict:
        verdict = decide(request, None, self.policy, self._now())
        return known if known.effect >= verdict.effect else verdict

    async def judge_loading(self, request: AccessRequest) -> Verdict:
        """The verdict, loading the record if necessary. Never raises for want of state: it answers by setting."""
        for _ in range(ATTEMPTS):
            verdict = self.judge(request)
            if verdict is not None:
                return verdict
            if not await self._trusted():
                break
            record = await self.cache.load(request.login)
            if record is None:
                break
            if request.login not in self._entries and self.cache.is_current(request.login, record):
                # Evicted at this very moment.
                verdict = decide(request, record, self.policy, self._now())
                return self._without_state(request, verdict) if self.state_lost else verdict
        return self._without_record(request)

    def _without_record(self, request: AccessRequest) -> Verdict:
        """By setting; but what is known to be dirty is let through by no setting for what cannot be known."""
        verdict = decide(request, None, self.policy, self._now())
        entry = self._entries.get(request.login)
        record = (entry.record or entry.overtaken) if entry is not None else None
        if verdict.effect is Effect.ALLOW and record is not None:
            known = decide(request, record, self.policy, self._now())
            return known if known.effect is Effect.DENY else verdict
        return verdict

    @property
    def untrusted_for(self) -> float:
        """Seconds since what is in memory ceased to count; 0 or less: it counts."""
        return self._now() - self.trusted_until

    def trust(self, seconds: float) -> None:
        """What is in memory counts for so long from now on."""
        self.trusted_until = self._now() + seconds
        self._trusted_again.set()

    async def _trusted(self) -> bool:
        """Wait until what is in memory counts; whether it does in time."""
        try:
            async with asyncio.timeout(TRUSTED_WITHIN_SECONDS):
                while self.untrusted_for > 0.0:
                    self._trusted_again.clear()
                    await self._trusted_again.wait()
        except TimeoutError:
            return False
        return True

    def changed(self, login: str, sequence: int) -> None:
        """The record of ``login`` changed: forget it, and judge its live sessions anew."""
        self.cache.invalidate(login, sequence)
        if self.sessions.of(login):
            self._later(self._rejudge_login(login))

    async def everybody_changed(self, sequence: int) -> None:
        """All records may have changed."""
        self.cache.invalidate_all(sequence)
        await self._rejudge(self.sessions.logins())

    def suspect(self, login: str) -> None:
        """The record of ``login`` has changed, by a change whose turn has not come yet: judge by what is there now."""
        self.cache.forget(login)
        if self.sessions.of(login):
            self._later(self._rejudge_login(login))

    def suspect_everybody(self) -> None:
        """The same of all records."""
        self.cache.forget_all()
        self._later(self._rejudge(self.sessions.logins()))

    async def use(self, policy: Policy) -> None:
        """Put a policy version in force; returns when every live session has been judged by it.

        First those of people of whom something is known that speaks against them, or who have an app that is newly
        banned: an edit turns their verdicts, if any.
        """
        before, self.given = self.policy, policy
        self.policy = _without_enforcement(policy) if self.glass_broken else policy
        caught = caught_anew(before, self.policy)
        if caught is None or policy.version.number < before.version.number or len(self._caught_since) > CAUGHT_MOST:
            self._clean_since, self._caught_since = policy.version.number, frozenset()
        elif caught:
            self._caught_since, self._caught_at = self._caught_since | caught, policy.version.number
        await self._rejudge(self.sessions.logins(), self._is_above_suspicion, self._is_untouched)

    async def break_glass(self, broken: bool) -> None:
        """Enforce nothing, whatever the policy says, or judge by the policy again.

        Returns when every live session has been judged so.
        """
        if broken is self.glass_broken:
            return
        self.glass_broken = broken
        self._forget_verdicts()
        await self.use(self.given)

    async def let_age(self, ageing: Ageing) -> None:
        """Let evidence age so far; returns when every live session has been judged by that, where it turns any."""
        before = self.given.ageing
        if ageing == before:
            return
        if ageing.held == before.held and ageing.until >= before.until:
            # Only on: what waited for it is judged again soon (``valid_until``).
            self.given = self.given.ageing_on(ageing)
            self.policy = self.policy.ageing_on(ageing)
            return
        self._forget_verdicts()
        await self.use(replace(self.given, ageing=ageing))

    def _forget_verdicts(self) -> None:
        """What is remembered was judged under the same number."""
        for entry in self._entries.values():
            entry.policy_version = 0

    def _is_above_suspicion(self, login: str) -> bool:
        entry = self._entries.get(login)
        if entry is None or any(each.posture is not Posture.CLEAN for each in entry.known_verdicts):
            return False
        caught = self.policy.index.newly_caught
        return not caught or entry.record is None or not holds_any(entry.record, caught)

    def _is_untouched(self, login: str) -> bool:
        """Whether all sessions of a login are let through by verdicts that are the same by the present policy.

        No evidence of theirs has an app of a ban, and what differs since those verdicts are bans that it has none of.
        """
        entry, now = self._entries.get(login), self._now()
        if entry is None or entry.record is None or entry.policy_version < self._clean_since:
            return False
        if self.state_lost or now > self.trusted_until:
            return False
        if entry.policy_version < self._caught_at and holds_any(entry.record, self._caught_since):
            return False
        return all(_is_clean(session, entry, now) for session in self.sessions.of(login))

    async def rejudge_all(self) -> None:
        """Judge every live session anew."""
        await self._rejudge(self.sessions.logins())

    async def _rejudge(
        self,
        logins: Iterable[str],
        put_off: Callable[[str], bool] = lambda login: False,
        left_out: Callable[[str], bool] = lambda login: False,
    ) -> None:
        """``put_off``: who is judged when all others have been; ``left_out``: who of them need not be."""
        loading: list[asyncio.Task[None]] = []
        with self.afterwards.turn():
            later = await self._rejudge_in_rounds(logins, loading, put_off)
            await self._rejudge_in_rounds(later, loading, left_out)
        if loading:
            await asyncio.wait(loading, timeout=RETRY_LOAD_SECONDS)
        for task in loading:
            if not task.done():
                self._retries.add(task)
                task.add_done_callback(self._retries.discard)

    async def _rejudge_in_rounds(
        self,
        logins: Iterable[str],
        loading: list[asyncio.Task[None]],
        put_off: Callable[[str], bool] = lambda login: False,
    ) -> list[str]:
        """Judge their sessions, or begin to load their records; who was put off."""
        later = []
        for number, login in enumerate(logins):
            if put_off(login):
                later.append(login)
            elif not self._rejudge_from_memory(login):
                loading.append(asyncio.create_task(self._rejudge_login(login)))
            if number % REJUDGED_AT_ONCE == REJUDGED_AT_ONCE - 1:
                await asyncio.sleep(0)
        return later

    def _rejudge_from_memory(self, login: str) -> bool:
        """Judge the sessions of a login if its record is at hand."""
        for session in self.sessions.of(login):
            verdict = self.judge(session.request)
            if verdict is None:
                return False
            _tell(session, verdict)
        return True

    async def _rejudge_login(self, login: str) -> None:
        while self.sessions.of(login):
            await self._trusted()
            await self.cache.load(login)
            if self._rejudge_from_memory(login):
                return
            if self.state_lost:
                for session in self.sessions.of(login):
                    _tell(session, self._without_record(session.request))
                return
            await asyncio.sleep(RETRY_LOAD_SECONDS)

    def _later(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._retries.add(task)
        task.add_done_callback(self._retries.discard)

    async def close(self) -> None:
        """End what is under way."""
        for task in tuple(self._retries):
            task.cancel()
        await asyncio.gather(*self._retries, return_exceptions=True)
        await self.afterwards.close()


def _key_of(request: AccessRequest) -> VerdictKey:
    """By what a verdict is remembered with the person's record."""
    if request.certificate is not None:
        return (request.device_id, request.protocol, request.device_type, *_shown_in(request))
    if request.protocol is Protocol.ACTIVESYNC and request.device_type != "Outlook":
        return request.device_id
    key = (request.device_id, request.protocol, request.device_type)
    return key if request.credential is None else (*key, request.credential.id, request.credential.digest)


def _is_clean(session: LiveSession, entry: Entry, now: float) -> bool:
    """Whether a session is let through since nothing speaks against it; who is told of every verdict is not meant."""
    if isinstance(session, Follower):
        return False
    verdict = entry.verdict(_key_of(session.request))
    if verdict is None or now >= verdict.valid_until:
        return False
    return verdict.posture is Posture.CLEAN and verdict.effect is Effect.ALLOW


def _without_enforcement(policy: Policy) -> Policy:
    """As with the global switch off; the number stays, since nobody made another version."""
    return replace(policy, version=replace(policy.version, enforcement_on=False))


def _shown_in(request: AccessRequest) -> tuple[str, ...]:
    """What tells apart two questions by the same certificate, or by the same words and another certificate."""
    assert request.certificate is not None
    certificate, credential = request.certificate, request.credential
    shown = () if credential is None else (credential.id, credential.digest)
    # More than the number: an authority may be careless with numbers.
    return (certificate.id, certificate.device_key or "", "\n".join(certificate.logins or ()), *shown)


def _tell(session: LiveSession, verdict: Verdict) -> None:
    if verdict.effect is not Effect.ALLOW or isinstance(session, Follower):
        try:
            session.verdict_turned(verdict)
        except Exception:  # a mistake about one session must not leave all others uncut
            log.exception("session_not_told", login=session.request.login, effect=verdict.effect.name.lower())


def log_turn(request: AccessRequest, verdict: Verdict, at: float | None = None) -> None:
    """One line per verdict that turned; ``at``: when, if that was before now."""
    log.info(
        "verdict_changed",
        login=request.login,
        device=request.device_id or verdict.device_id,
        identity=request.strength.word,
        protocol=request.protocol.value,
        effect=verdict.effect.name.lower(),
        reason=verdict.reason.value,
        ban=verdict.ban,
        app=verdict.app.id if verdict.app else "",
        source=verdict.source_id,
        policy_version=verdict.policy_version,
        **happened(at),
    )
