"""Whether a process set lives, and whether it can judge and forward mail: pure, from the status of its workers.

Not alive means that a restart would help; not ready means that no new connections should be sent here for now. Both
answer (ok, what was looked at), fit for JSON, without names of people or devices.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Answer = tuple[bool, dict[str, object]]


def liveness(status: Mapping[str, Any]) -> Answer:
    """Not ok when every worker hangs: one that died is restarted by the supervisor, one that hangs is not."""
    workers = _workers(status)
    hanging = [str(row.get("name")) for row in workers if row.get("silent")]
    return not workers or len(hanging) < len(workers), {"workers": len(workers), "hanging": hanging}


def readiness(status: Mapping[str, Any], troubles: Mapping[str, str] | None = None) -> Answer:
    """Ok when a worker serves with a policy and fresh state, one reaches a mail server, and nothing else troubles.

    ``troubles`` are sentences by the name of what they are about (``store``, ``cache`` …).
    """
    workers = _workers(status)
    serving = [row for row in workers if _serves(row)]
    reaching = [row for row in serving if _reaches(row)]
    checks: dict[str, object] = {
        "workers": _check(bool(serving), f"{len(serving)} of {len(workers)} workers judge by a policy and fresh state"),
        "mail_server": _check(bool(reaching), f"{len(reaching)} of {len(serving)} of these reach a mail server"),
        **_glass(serving),
        **{name: _check(ok=False, found=sentence) for name, sentence in (troubles or {}).items()},
    }
    return bool(reaching) and not troubles, checks


def _glass(serving: Sequence[Row]) -> dict[str, object]:
    """Told, and no reason not to be ready: mail is served, though nothing is enforced."""
    broken = sum(1 for row in serving if row.get("glass_broken"))
    found = f"the glass is broken: {broken} of {len(serving)} workers enforce nothing"
    return {"break_glass": _check(ok=True, found=found)} if broken else {}


def _workers(status: Mapping[str, Any]) -> Sequence[Row]:
    rows = status.get("workers", ())
    return [row for row in rows if isinstance(row, Mapping)]


def _serves(row: Row) -> bool:
    version = row.get("policy_version", 0)
    return bool(row.get("alive")) and not row.get("silent") and version > 0 and not row.get("state_lost")


def _reaches(row: Row) -> bool:
    """Also true for a worker that has no mail server to tell of."""
    servers = (row.get("front") or {}).get("upstreams", ())
    return not servers or any(server.get("healthy") for server in servers)


def _check(ok: bool, found: str) -> dict[str, object]:
    return {"ok": ok, "found": found}
