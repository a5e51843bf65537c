"""What an HTTP front can be told, with its defaults."""

from dataclasses import dataclass, field

from gateway.proxies.webmail.exposure import WebmailSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFrontSettings:
    """Times in seconds, sizes in octets."""

    upstreams: tuple[str, ...]
    upstream_ca: str = ""
    public_url: str = ""
    """Scheme and host that phones know us by; empty: taken from each request's Host."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose X-Forwarded-For is believed."""
    webmail: WebmailSettings = field(default_factory=WebmailSettings)
    """Which other ways to mail there are; by default none."""
    max_head_bytes: int = 32 << 10
    max_body_bytes: int = 100 << 20
    head_seconds: float = 15.0
    """For a whole request head, from its first octet; also for the TLS handshake before it."""
    body_seconds: float = 60.0
    """Between two pieces of a request's body."""
    idle_seconds: float = 120.0
    """Between two requests on one connection."""
    write_seconds: float = 120.0
    """While a client takes nothing of its answer."""
    max_connections: int = 20_000
    max_connections_per_address: int = 2_000
    """Many phones share an address behind a carrier's translation."""
    requests_per_connection: int = 10_000
    tls_handshake_seconds: float = 10.0
    sessions_per_user: int = 64
    parked_per_device: int = 8
    """One more ends the oldest."""
    upstream_connections: int = 20_000
    upstream_connect_seconds: float = 10.0
    upstream_idle_seconds: float = 4.0
    upstream_response_seconds: float = 120.0
    """For the first octet of an answer to a command that does not wait."""
    parked_seconds: float = 3_900.0
    """For a Ping or Sync that waits at the server; at most 59 minutes by the protocol, never less than 3,660 here."""
    retry_after_seconds: int = 30
