"""How fast and how patiently the outbox works."""

from dataclasses import dataclass, field

from gateway.domain.batches import Batches
from gateway.domain.quiet_hours import Daytime


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """Times in seconds."""

    batches: Batches = field(default_factory=Batches)
    daytime: Daytime = field(default_factory=Daytime)
    wrong_at_most: int = 20
    """More readers of a change's notices than this say that theirs is wrong: nothing more of it leaves."""
    per_second: float = 10.0
    at_once: int = 2
    """Notices under way at the same time."""
    lease_seconds: float = 240.0
    """For everything before the transmission, a turn that is waited for included."""
    transmit_seconds: float = 1_200.0
    """After which a transmission that nobody tells the end of is uncertain."""
    pause_seconds: float = 300.0
    """When the way to the mail server is broken."""
    alarm_seconds: float = 900.0
    """So long nothing has been taken though it is tried: then somebody should know."""
    refused_in_a_row: int = 5
    """Then it is not the recipients' fault: the mailing stops."""
    every_seconds: float = 1.0
    end_seconds: float = 4.0
    """At the end of the process, for what is under way: the control process has not much longer."""
    close_seconds: float = 1.5
    """And for taking leave of the mail server."""
