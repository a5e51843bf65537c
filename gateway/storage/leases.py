"""Who gets a lease: the same rule for every store, inside a unit of work that no other runs beside."""

from gateway.ports.store import Lease


def taken(present: Lease | None, name: str, holder: str, now: float, seconds: float) -> Lease | None:
    """The lease as it is when ``holder`` has asked for it; None while another one holds it."""
    if present is None:
        return Lease(name, holder, 1, now + seconds)
    if present.holder == holder:
        return Lease(name, holder, present.term, now + seconds)
    return Lease(name, holder, present.term + 1, now + seconds) if present.ends_at <= now else None
