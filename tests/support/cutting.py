"""Askers whose sessions are cut by means that do nothing but remember."""

import json

from gateway.authz.cutter import Cutter
from gateway.authz.following import Cut, Following
from gateway.authz.let_in import LetIn
from gateway.decision.refusal_log import RefusalLog
from gateway.decision.refusal_pace import RefusalPace
from tests.support.asking import Asking, question
from tests.support.fake_means import FakeMeans
from tests.support.fronted import Clock


class Cutting:
    """Askers whose sessions are cut by means of a test."""

    def __init__(self) -> None:
        self.means = FakeMeans()
        self.clock = Clock(lambda: 1000.0)
        self.asking: Asking
        self.let_in: LetIn
        self.cut: Cut
        self.most = 100

    def following(self, part: str, made: Asking) -> Following | None:
        """For Dovecot and Postfix, each in its part."""
        asker = {"http": "dovecot", "postfix": "postfix"}.get(part)
        if asker is None:
            return None
        cutter = Cutter(self.means, RefusalLog(RefusalPace()), made.metrics, made.decision.judge, monotonic=self.clock)
        let_in = LetIn(made.decision, cutter, remembered_seconds=3600.0, most=self.most, monotonic=self.clock)
        cut = Cut(frozenset({asker}), cutter, let_in)
        if part == "http":
            self.let_in, self.cut = let_in, cut
        return Following(made.decision, made.rules, [cut])

    async def login(self, user: str, protocol: str = "imap") -> int:
        """The status that Dovecot gets."""
        body = json.dumps({"user": user, "login": user, "remote": "192.0.2.7", "protocol": protocol}).encode()
        answer = await self.asking.ask(question("dovecot?command=allow", method="POST", body=body), "POST")
        return int(json.loads(answer.body)["status"])

    def counted(self, outcome: str) -> float:
        """Of the cuts."""
        return self.asking.metrics.families["gatepost_asker_cuts_total"].get("doveadm", outcome)
