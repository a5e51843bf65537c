"""What a mail front can be told, with its defaults."""

from dataclasses import dataclass
from typing import Literal

AddressTold = Literal["protocol", "proxy-v1", "proxy-v2", "none"]
"""How the mail server hears whose connection it is: by the mail protocol's own means, by the PROXY protocol, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFrontSettings:
    """Times in seconds."""

    upstream: str
    upstream_ca: str = ""
    client_address: AddressTold = "protocol"
    cleartext_login: bool = False
    """Whether a login without TLS is taken, as behind something that ends TLS."""
    allow_unauthenticate: bool = False
    """Whether a mail server may be used at which a session can become another user's (RFC 8437)."""
    refusal: Literal["words", "notice"] = "words"
    """How a banned app is told of: in the answer to the login, or to known accounts by a mailbox with one message."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of balancers, whose connections begin with the PROXY protocol's header."""
    max_connections: int = 20_000
    max_connections_per_address: int = 2_000
    sessions_per_user: int = 100
    login_seconds: float = 60.0
    """From the connection to a login that stands; a TLS handshake counts with it."""
    tls_handshake_seconds: float = 10.0
    idle_seconds: float = 2_100.0
    """After the login, while nothing comes from either side; never under 30 minutes (RFC 9051 §5.4)."""
    upstream_connect_seconds: float = 10.0
    upstream_login_seconds: float = 60.0
    """For each answer of the mail server before the login; some hold back the answer to a wrong password."""
