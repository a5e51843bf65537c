"""``gatepost status``: live numbers."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from gateway.cli import output
from gateway.cli.desk import Desk

LATEST = 253_402_300_800.0
"""Epoch seconds from which a moment has no date: the year 10000."""


def status(desk: Desk) -> None:
    """Show how the gateway stands: policy, workers, fleet, and how many devices pass unjudged.

    \b
    Examples:
      gatepost status
      gatepost status --json
    """
    with desk.api("looking at the fleet") as api:
        answer = api.get("/status")
    for warning in answer["warnings"]:
        desk.warn(warning)
    if desk.as_json:
        desk.show(answer)
        return
    output.print_pairs([*_policy(answer), *_fleet(answer["fleet"]), *_gateway(answer)])


def _policy(answer: dict[str, Any]) -> Iterator[tuple[str, object]]:
    policy = answer["policy"]
    yield "ready", answer["ready"]
    yield (
        "policy",
        f"version {policy['number']} by {policy['author']}, {output.ago(policy['created_at'], answer['at'])}",
    )
    yield "enforcement", "on" if policy["enforcement_on"] else "off"
    names = ", ".join(policy["enforced_bans"])
    yield "bans", f"{policy['bans']}, enforced: {names or 'none'}"
    yield "exemptions", policy["exemptions"]


def _fleet(fleet: dict[str, Any]) -> Iterator[tuple[str, object]]:
    least = "" if fleet["complete"] else " looked at, more are known"
    yield "devices", f"{fleet['devices']}{least}"
    yield "  clean", fleet["clean"]
    yield "  banned app, not enforced", fleet["dirty"]
    yield "  refused", fleet["refused"]
    yield "  exempt", fleet["exempt"]
    causes = ", ".join(f"{name} {count}" for name, count in sorted(fleet["unjudged_by_cause"].items()))
    yield "  pass unjudged", f"{fleet['unjudged']} ({causes})" if causes else fleet["unjudged"]


def _gateway(answer: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for name, count in sorted(answer["stored"].items()):
        yield f"stored {name}", count
    yield "change log", answer["sequence"]
    yield from _flat("", answer["gateway"])


def _flat(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    """Live figures as they come: the processes know best what they count."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{prefix} {name}".strip().replace("_", " "), inner)
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for number, each in enumerate(value, 1):
            name = each.get("name", number) if isinstance(each, dict) else number
            inner = {key: found for key, found in each.items() if key != "name"} if isinstance(each, dict) else each
            yield from _flat(f"{prefix} {name}", inner)
    elif isinstance(value, float) and prefix.endswith(" until") and 0 < value < LATEST:
        yield prefix, output.moment(datetime.fromtimestamp(value, UTC).isoformat())
    elif isinstance(value, float):
        yield prefix, round(value, 3)
    else:
        yield prefix, value
