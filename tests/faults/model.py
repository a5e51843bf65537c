"""What is right for every device at every moment, from what was acknowledged.

A report or an edit holds from its 2xx on. From the first attempt to send it until then both the old and the new answer
are right. So a refusal is *due* since the later of two moments: the acknowledgement of the list that holds the banned
app, and that of the enforcement; and it is due no longer as soon as a report or an edit that may end it is on its way.
Times are of ``time.monotonic``.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Fact:
    """Something that is so, is not so, or may be either."""

    value: bool | None = None
    """None: both are right."""
    since: float = 0.0
    coming: bool | None = None

    def sending(self, value: bool) -> None:
        """A statement is on its way."""
        self.coming = value
        if value is not self.value:
            self.value = None

    def acknowledged(self, at: float) -> None:
        """The statement on its way was acknowledged."""
        if self.value is not self.coming:
            self.value, self.since = self.coming, at
        self.coming = None

    def doubt(self) -> None:
        """Nothing acknowledged so far counts any more."""
        self.value = None


@dataclass(slots=True)
class Model:
    """The facts: of each device whether its last list holds the banned app; whether the ban is enforced."""

    dirty: dict[str, Fact] = field(default_factory=dict)
    enforced: Fact = field(default_factory=Fact)

    def fact(self, device: str) -> Fact:
        """Of a device."""
        return self.dirty.setdefault(device, Fact())

    def refusal_due(self, device: str) -> float | None:
        """Since when nothing but a refusal is right; None where mail may be."""
        dirty = self.fact(device)
        if dirty.value is True and self.enforced.value is True:
            return max(dirty.since, self.enforced.since)
        return None

    def mail_due(self, device: str) -> float | None:
        """Since when nothing but mail is right; None where a refusal may be."""
        since = [fact.since for fact in (self.fact(device), self.enforced) if fact.value is False]
        return min(since) if since else None

    def doubt(self) -> None:
        """The store was put back: what was acknowledged before may be lost."""
        for fact in self.dirty.values():
            fact.doubt()
        self.enforced.doubt()
