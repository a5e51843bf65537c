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
    command_seconds: float = 300.0
    answer_seconds: float = 600.0
    """For the answer to the whole message."""
