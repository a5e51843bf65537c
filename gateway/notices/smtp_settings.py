"""The mail server that notices are handed to, and how patiently. Times in seconds."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """One mail server."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"]
    """``starttls``: without it nothing is said, and nobody logs in."""
    name: str = "localhost"
    """What we call ourselves in EHLO."""
    username: str = ""
    """Empty: no login. By token: the mailbox."""
    password: str = field(default="", repr=False)
    """Not used where tokens are."""
    connections: int = 2
    connect_seconds: float = 30.0
    """For each step until there is a session, and twice that for all of them."""
    handover_seconds: float = 120.0
    """For all of a notice before its message: connection, login, MAIL, RCPT together. RFC 5321 4.5.3.2 gives each of
    them up to five minutes; nothing is lost by less, since what has not begun is tried again."""
    answer_seconds: float = 600.0
    """For DATA, the message and the answer to it together."""
