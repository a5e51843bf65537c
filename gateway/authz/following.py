"""What goes on after an answer: who was let in is cut when the verdict turns, and HAProxy's map follows it.

One for each front, as its settings say. Nothing here delays an answer, and what fails here changes none.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from gateway.authz.cutter import YOUNG_SECONDS, CutFailed, Cutter
from gateway.authz.doveadm_means import DoveadmMeans
from gateway.authz.haproxy_feeder import MapFeeder
from gateway.authz.haproxy_map import VerdictMirror
from gateway.authz.haproxy_means import HaproxyMeans
from gateway.authz.inquiry import Whereabouts
from gateway.authz.let_in import REMEMBERED_MOST, AskedSession, LetIn
from gateway.decision.decision_point import DecisionPoint
from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.identity import IdentityRules
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.mail_identity import Presented, identity_of

log = structlog.get_logger()

LOOK_SECONDS = 60.0
"""How often an asker's own list of sessions is read."""
ENDED_SECONDS = 3_600.0
"""Who is found in that list and may not be there is ended no more than once in so long."""
AGAIN_SECONDS = 5.0
"""After a list that could not be read."""
_BY_PROTOCOL = {"imap": Protocol.IMAP, "pop3": Protocol.POP3, "submission": Protocol.SMTP}


@dataclass(frozen=True, slots=True)
class Cut:
    """One way to cut, with whom it is for."""

    askers: frozenset[str]
    """Kinds, as in metrics: ``dovecot``, ``haproxy`` …"""
    cutter: Cutter
    let_in: LetIn
    _ended: dict[str, float] = field(default_factory=dict)
    """Places that were found in the asker's own list and ended, and when: whoever is there now has logged in since."""

    def note(self, asker: str, request: AccessRequest, where: Whereabouts) -> None:
        """Somebody was let in."""
        if isinstance(self.cutter.means, HaproxyMeans):
            place = target = where.connection
        else:
            target = where.user or request.login
            place = f"{request.protocol.value} {target}"
        if target:
            self.let_in.note(f"{place} {_device_of(request)}", target, asker, request, place=place)

    def given_up(self, target: str, session: AskedSession) -> None:
        """It was not ended after all: it is followed on, and the asker's list is to be believed again."""
        for protocol in _BY_PROTOCOL.values():
            self._ended.pop(f"{protocol.value} {target}", None)
        if not session.found:
            self.let_in.follow_on(session)

    def note_ended(self, place: str) -> None:
        """One of the asker's own list is being ended."""
        if len(self._ended) >= REMEMBERED_MOST:
            self._ended.clear()
        self._ended[place] = self.let_in.now()

    def was_ended(self, place: str) -> bool:
        """Whether whoever is there has logged in since, and is followed by a worker that was asked.

        Not for ever: that worker may have been restarted since, or have forgotten it among too many.
        """
        return self.let_in.now() - self._ended.get(place, -math.inf) < ENDED_SECONDS

    def forget_ended(self, place: str) -> None:
        """The next one who is found there is ended anew."""
        self._ended.pop(place, None)


class Following:
    """All ways of one front."""

    def __init__(
        self,
        decision: DecisionPoint,
        rules: IdentityRules,
        cuts: Sequence[Cut],
        mirror: VerdictMirror | None = None,
        feeders: Sequence[MapFeeder] = (),
        *,
        adopts: bool = True,
    ) -> None:
        """``adopts``: whether those are remembered too that were let in by somebody before us; one worker does it."""
        self._decision = decision
        self._rules = rules
        self._cuts = tuple(cuts)
        self._mirror = mirror
        self._feeders = tuple(feeders)
        self._adopts = adopts
        self._tasks: list[asyncio.Task[None]] = []
        for each in self._cuts:
            each.cutter.given_up = each.given_up
        if mirror is not None:
            mirror.turned = self._word_turned
            mirror.begun_anew = self._map_begins_anew

    def answered(self, asker: str, request: AccessRequest, where: Whereabouts, verdict: Verdict) -> None:
        """A verdict is about to be told to an asker. Called before anything else can happen."""
        if self._mirror is not None and where.key:
            self._mirror.learn(where.key, request, verdict)
        if verdict.effect is Effect.ALLOW:
            for each in self._cuts:
                if asker in each.askers:
                    each.note(asker, request, where)

    def _word_turned(self, key: str) -> None:
        for feeder in self._feeders:
            feeder.turned(key)

    def _map_begins_anew(self) -> None:
        for feeder in self._feeders:
            feeder.begin_anew()

    async def start(self) -> None:
        """Begin to cut, to feed and to look."""
        works: list[Callable[[], Awaitable[None]]] = [each.cutter.run for each in self._cuts]
        works += [partial(self._look, each) for each in self._cuts]
        works += [feeder.run for feeder in self._feeders]
        self._tasks = [asyncio.ensure_future(_kept_up(work)) for work in works]

    def sweep(self) -> None:
        """About once a second."""
        for each in self._cuts:
            each.let_in.sweep()
        if self._mirror is not None:
            self._mirror.sweep()

    def status(self) -> dict[str, object]:
        """For the operator."""
        told: dict[str, object] = {}
        if self._cuts:
            told["let_in"] = sum(len(each.let_in) for each in self._cuts)
            told["cuts_waiting"] = sum(each.cutter.waiting for each in self._cuts)
        if self._mirror is not None:
            told["map_entries"] = len(self._mirror.words)
            told["maps_filled"] = sum(feeder.filled for feeder in self._feeders)
        return told

    # --- the asker's own lists

    async def _look(self, cut: Cut) -> None:
        while True:
            pause = LOOK_SECONDS
            try:
                await self._look_once(cut)
            except CutFailed as error:
                log.warning("asker_sessions_not_listed", means=cut.cutter.means.name, reason=str(error))
                pause = AGAIN_SECONDS if not cut.let_in else LOOK_SECONDS
            await asyncio.sleep(pause)

    async def _look_once(self, cut: Cut) -> None:
        means, asked_at = cut.cutter.means, cut.let_in.now()
        if isinstance(means, HaproxyMeans):
            cut.let_in.keep_only(await means.sources(), asked_at)
        elif isinstance(means, DoveadmMeans):
            there = await means.who()
            known = {f"{_BY_PROTOCOL.get(each.protocol, Protocol.IMAP).value} {each.user}": each for each in there}
            cut.let_in.keep_only(known.keys(), asked_at)
            if self._adopts:
                for key, each in known.items():
                    if not cut.let_in.is_followed_by_user(key):
                        await self._adopt(cut, key, each.user, each.protocol)

    async def _adopt(self, cut: Cut, key: str, user: str, protocol: str) -> None:
        """Somebody is connected whom we have not let in: another worker did, or it was before our time.

        All devices of the user are judged, as nobody knows by which one it came. So it is ended once, and then not for
        an hour: who comes back has been asked about, and may come by a device that is in order; whoever has let it in
        follows it. Beside a session that has a device of its own, only the turn of the user's devices is followed.
        """
        presented = Presented(_BY_PROTOCOL.get(protocol, Protocol.IMAP), user.encode("utf-8", "replace"), "")
        identified = identity_of(presented, self._rules)
        if identified is None:
            return
        request = identified.request
        if cut.was_ended(key):
            if (await self._decision.judge_loading(request)).effect is Effect.DENY:
                return
            cut.forget_ended(key)
        if cut.let_in.is_there(key):
            # By a device of its own, which may have mail; whether another one is connected as well is not told. So only
            # one that may have mail is followed, and by what is known: not by a setting for what cannot be.
            await self._decision.judge_loading(request)
            known = self._decision.judge(request)
            if known is None or known.effect is not Effect.ALLOW:
                return
        # It is connected: nobody who may still be on the way there, who would be cut once more.
        cut.let_in.note(key, user, min(cut.askers), request, seconds_ago=2 * YOUNG_SECONDS)
        verdict = await self._decision.judge_loading(request)
        if verdict.effect is Effect.DENY:
            cut.note_ended(key)
            cut.let_in.deny(key, verdict)

    # --- the end

    async def stop(self) -> None:
        """Cut, feed and look no more: another worker does, or nobody is to."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def close(self) -> None:
        """Stop, and let go of everything."""
        fed = bool(self._tasks)
        await self.stop()
        if fed:
            await asyncio.gather(*(feeder.close() for feeder in self._feeders))
        for each in self._cuts:
            each.let_in.close()
            await each.cutter.means.close()
        if self._mirror is not None:
            self._mirror.clear()


def _device_of(request: AccessRequest) -> str:
    """Whom and what a question is about."""
    # The next one from the same place may be about another device of the user: it must not be followed in its place.
    credential, certificate = request.credential, request.certificate
    shown = ("" if credential is None else credential.id, "" if certificate is None else certificate.id)
    return " ".join((request.login, request.device_id, *shown))


async def _kept_up(work: Callable[[], Awaitable[None]]) -> None:
    """Do it for ever; a mistake of ours is written down, and it goes on."""
    while True:
        try:
            await work()
        except Exception:  # one odd answer of an asker must not end all cuts
            log.exception("following_failed")
            await asyncio.sleep(AGAIN_SECONDS)
