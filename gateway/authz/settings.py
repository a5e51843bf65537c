"""What external authorization can be told, with its defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.access import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthzSettings:
    """Times in seconds."""

    answer_seconds: float = 0.1
    """Until an asker is told "cannot know now"; none of them waits for less than 0.2 by itself (Envoy)."""
    head_seconds: float = 10.0
    """For a whole question, from its first octet."""
    idle_seconds: float = 320.0
    """Between two questions on a connection; Postfix keeps one for 300."""
    max_connections: int = 2_000
    certificates_required: bool = False
    """Whether listeners within TLS let in only who shows a certificate of ours."""
    certificates_from: frozenset[str] = frozenset()
    """Askers whose word on a client's certificate is taken, by their names; their configuration must always set it."""
    retry_after_seconds: int = 30
    dovecot_proved: bool = False
    """Whether Dovecot asks only after it has checked the password: then the refusal names the app."""
    mail_servers: Mapping[Protocol, tuple[str, int]] = field(default_factory=dict)
    """Address and port that nginx's mail proxy goes on to, by protocol."""
