"""What the SMTP front can be told, with its defaults."""

from dataclasses import dataclass
from typing import Literal

AddressTold = Literal["protocol", "proxy-v1", "proxy-v2", "none"]
"""How the mail server hears whose connection it is: by XCLIENT if it takes that, by the PROXY protocol, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpFrontSettings:
    """Times in seconds, sizes in octets."""

    upstream: str
    """``smtp://``, ``smtp+starttls://`` or ``smtps://`` with host and port."""
    upstream_ca: str = ""
    name: str = "localhost"
    """What we call ourselves, to clients and to the mail server."""
    client_address: AddressTold = "protocol"
    trusted_proxies: tuple[str, ...] = ()
    """Networks of balancers, whose connections begin with the PROXY protocol's header."""
    cleartext_login: bool = False
    """Whether a login without TLS is taken, as behind something that ends TLS."""
    max_message_bytes: int = 100 << 20
    memory_bytes: int = 128 << 20
    """What all messages that are under way may hold in this process."""
    max_recipients: int = 1_000
    """Of one message, those that the mail server refused included."""
    failed_logins: int = 3
    """On one connection."""
    max_connections: int = 5_000
    max_connections_per_address: int = 500
    sessions_per_user: int = 20
    tls_handshake_seconds: float = 10.0
    login_seconds: float = 60.0
    """From the connection to the login."""
    idle_seconds: float = 300.0
    """Between two commands (RFC 5321 §4.5.3.2.7)."""
    data_seconds: float = 180.0
    """Between two pieces of a message, and for each of them to be taken (RFC 5321 §4.5.3.2.5)."""
    message_seconds: float = 3_600.0
    """For a whole message."""
    upstream_connect_seconds: float = 10.0
    upstream_command_seconds: float = 60.0
    upstream_reply_seconds: float = 600.0
    """For the answer to a whole message (RFC 5321 §4.5.3.2.6)."""
