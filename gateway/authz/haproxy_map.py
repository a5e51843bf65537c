"""What HAProxy may know by itself: the verdicts that it was given, by keys of its own, kept true.

HAProxy makes a key of what a request says of its user and device, and asks about a key that its map does not hold.
From then on this mirror follows the verdict like a live session does: when it turns, the map is told at once, and
no question is asked meanwhile. What a key is made of is HAProxy's matter; here it is a word that stands for a question.

Only ALLOW and DENY are told. A verdict that cannot be known now is taken out of the map, and asked for.
"""

import heapq
from collections.abc import Callable
from typing import Final

from gateway.decision.decision_point import DecisionPoint
from gateway.decision.live_sessions import Follower
from gateway.domain.access import AccessRequest
from gateway.domain.verdict import FOREVER, Effect, Verdict
from gateway.protocols.authz.haproxy_runtime import KEY

MOST: Final = 100_000
"""Keys; beyond that nothing is learned any more until the mirror has begun anew."""
BEGIN_ANEW_SECONDS: Final = 60.0
"""A full mirror is emptied at most so often: anybody can fill it with names that he made up."""
ENDS_BEYOND: Final = 1_000
"""Moments that are kept beyond two for each key; of those that were set anew the old ones are forgotten then."""
JUDGED_AT_ONCE: Final = 200
"""Where more verdicts end at one moment, as when a ban begins, the others leave the map and are asked about."""
_WORDS: Final = {Effect.ALLOW: "allow", Effect.DENY: "deny"}


class MapEntry(Follower):
    """One key with its verdict. Compared by identity."""

    __slots__ = ("_mirror", "key", "request", "valid_until", "word")

    def __init__(self, mirror: "VerdictMirror", key: str, request: AccessRequest, word: str) -> None:
        self._mirror = mirror
        self.key = key
        self.request = request
        self.word = word
        self.valid_until = FOREVER

    def verdict_turned(self, verdict: Verdict) -> None:
        """The verdict of now."""
        self._mirror.judged(self, verdict)


class VerdictMirror:
    """The keys and their words: ``words`` is what every HAProxy should hold."""

    def __init__(self, decision: DecisionPoint, now: Callable[[], float], *, most: int = MOST) -> None:
        """``now``: wall clock in epoch seconds."""
        self.words: dict[str, str] = {}
        self.turned: Callable[[str], None] = lambda key: None
        """Told of each key whose word has changed."""
        self.begun_anew: Callable[[], None] = lambda: None
        """Told that all keys are gone."""
        self._decision = decision
        self._now = now
        self._most = most
        self._entries: dict[str, MapEntry] = {}
        self._ends: list[tuple[float, str]] = []
        """Moments at which a verdict may change by itself."""
        self._emptied_at = now()

    def learn(self, key: str, request: AccessRequest, verdict: Verdict) -> None:
        """HAProxy has been given a verdict for a key. Registered before anything else may happen."""
        if key in self._entries or verdict.effect not in _WORDS or not KEY.match(key):
            return
        if len(self._entries) >= self._most and not self._emptied():
            return
        entry = self._entries[key] = MapEntry(self, key, request, "")
        self._decision.sessions.add(entry)
        self.judged(entry, verdict)

    def judged(self, entry: MapEntry, verdict: Verdict) -> None:
        """An entry's verdict of now."""
        if self._entries.get(entry.key) is not entry:
            return
        word = _WORDS.get(verdict.effect)
        if word is None:
            self._drop(entry)
            return
        if verdict.valid_until != entry.valid_until:
            entry.valid_until = verdict.valid_until
            if verdict.valid_until != FOREVER:
                heapq.heappush(self._ends, (verdict.valid_until, entry.key))
                self._forget_old_ends()
        if word != entry.word:
            entry.word = self.words[entry.key] = word
            self.turned(entry.key)

    def _forget_old_ends(self) -> None:
        """Each report sets the moment anew, days ahead, so those that count no more would be many."""
        if len(self._ends) > ENDS_BEYOND + 2 * len(self._entries):
            self._ends = [(each.valid_until, key) for key, each in self._entries.items() if each.valid_until != FOREVER]
            heapq.heapify(self._ends)

    def sweep(self) -> None:
        """About once a second: judge again what time may have changed."""
        now, left = self._now(), JUDGED_AT_ONCE
        with self._decision.afterwards.turn():
            while self._ends and self._ends[0][0] <= now:
                at, key = heapq.heappop(self._ends)
                entry = self._entries.get(key)
                if entry is None or entry.valid_until != at:
                    continue
                left -= 1
                verdict = self._decision.judge(entry.request) if left >= 0 else None
                if verdict is None or verdict.valid_until == at:
                    self._drop(entry)
                else:
                    self.judged(entry, verdict)

    def _drop(self, entry: MapEntry) -> None:
        del self._entries[entry.key]
        self._decision.sessions.discard(entry)
        if self.words.pop(entry.key, None) is not None:
            self.turned(entry.key)

    def _emptied(self) -> bool:
        now = self._now()
        if 0.0 <= now - self._emptied_at < BEGIN_ANEW_SECONDS:
            return False
        self._emptied_at = now
        self.clear()
        self.begun_anew()
        return True

    def clear(self) -> None:
        """Forget all keys."""
        for entry in self._entries.values():
            self._decision.sessions.discard(entry)
        self._entries.clear()
        self.words.clear()
        self._ends.clear()
