"""What ``gatepost restore`` says before and after: what is lost, for whom the answer changes, what to do then."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.cli import output

if TYPE_CHECKING:
    from gateway.app.fleet_difference import FleetDifference, Moved
    from gateway.app.losses import Losses
    from gateway.app.restoring import RestorePreview

ON_AGAIN = "gatepost flag set --global on"
ERASE_AGAIN = "gatepost person erase LOGIN --reason …"
NOT_KNOWN = (
    "who was erased after the backup cannot be known here, and is back with it: look it up in your own records, and "
    f"erase them again when the gateway runs ({ERASE_AGAIN})"
)


def before(preview: "RestorePreview", now: float) -> Iterator[str]:
    """What is said before anything is done; ``now`` in epoch seconds."""
    header = preview.header
    taken = _moment(header.taken_at)
    age = output.ago(iso(header.taken_at), iso(now))
    yield (
        f"backup of {taken} ({age}), schema {header.schema}, policy version {header.policy_version}: "
        f"{preview.restored['mail_devices']} devices, {preview.restored['inventories']} inventories, "
        f"{preview.restored['people']} people, {preview.restored['sources']} sources"
    )
    yield ""
    if preview.unreadable:
        yield f"the present database cannot be looked at, so nobody can say what is lost: {preview.unreadable}"
    elif preview.losses is None:
        yield "there is no database now: nothing is lost"
    else:
        yield from _loss_lines(preview.losses)
    yield from _erased_lines(preview.losses)
    for change in preview.changes_held:
        yield f"change {change.number} was {change.state}, and is {change.becomes} then: {change.title}"
    if preview.changes_held:
        yield "  what became of them since nobody knows here: each goes on by a person's word only, and with a new yes"
    yield ""
    yield from _fleet_lines(preview)
    if preview.without_key:
        yield ""
        yield _without_key(preview.without_key)


def _without_key(notices: int) -> str:
    return (
        f"data_dir/notice-key is not here, and in no backup: links in {notices} notices are good no more, and their "
        "mail that comes back is not recognised; copy it from where the backup was made before the gateway starts"
    )


def _erased_lines(losses: "Losses | None") -> Iterator[str]:
    found = losses.erasures.found if losses is not None else ()
    if found:
        yield (
            f"comes back: what was erased of {len(found)} people since; erase them again when the gateway runs "
            f"({ERASE_AGAIN}). The audit log names nobody:"
        )
    for each in found:
        yield f"  erased {output.moment(each.at)} by {each.author}: {each.reason}"
    if losses is None or not losses.erasures.all_known:
        yield NOT_KNOWN


def _loss_lines(losses: "Losses") -> Iterator[str]:
    if not losses.anything:
        yield "lost: nothing was reported, seen or edited since"
        return
    since = losses.since
    yield "lost, because it came after the backup:"
    if since.reports or since.devices_reported:
        newest = f", the newest of {_moment(since.newest_report_at)}" if since.newest_report_at else ""
        yield f"  {since.reports} reports; {since.devices_reported} devices fall back to older evidence{newest}"
    if since.devices_seen:
        yield f"  {since.devices_seen} devices that asked for the first time"
    if since.pins:
        yield f"  {since.pins} bindings by hand"
    for version in losses.policies:
        yield f"  policy version {version.number} by {version.author}, {_moment(version.created_at)}: {version.summary}"
    if losses.changes:
        first, last = losses.changes[0], losses.changes[-1]
        yield f"  change {last}" if first == last else f"  changes {first} to {last}"
    if losses.sources_added:
        yield f"  sources: {', '.join(losses.sources_added)} (add them again)"
    for token in losses.tokens_created:
        yield f"  token {token.id} of {token.operator}, made {_moment(token.created_at)}"
    if losses.sources_rotated:
        names = ", ".join(losses.sources_rotated)
        yield f"  the newest secrets of: {names} (rotate again: their reports are refused until then)"
    if losses.sources_returned:
        yield f"comes back: the sources {', '.join(losses.sources_returned)}, removed since (remove them again)"
    if losses.tokens_revoked:
        yield f"stays as it is: {len(losses.tokens_revoked)} tokens revoked since are not given back"
    if losses.credentials_revoked:
        yield f"stays as it is: {len(losses.credentials_revoked)} device credentials revoked since are not given back"
    for operator in losses.operators_lessened:
        left = ", ".join(sorted(operator.roles)) if operator.present else "removed"
        yield f"stays as it is: operator {operator.name}, {left or 'no role'}"


def _fleet_lines(preview: "RestorePreview") -> Iterator[str]:
    starts_off = preview.policy is None or not preview.policy.enforcement_on
    if starts_off:
        reason = ": it was off in the backup" if not preview.enforcement_was_on else ""
        yield f"starts with enforcement off{reason}: everybody has mail, what would be refused is recorded"
    else:
        yield "starts enforcing, on the evidence of then (--keep-enforcing)"
    fleet = preview.fleet
    if fleet is None:
        yield "for whom the answer changes was not worked out"
        return
    yield f"{fleet.devices} devices were judged from both: {fleet.refused_now} are refused now"
    yield from _moved_lines("  refused now, have mail after the restore", fleet.let_through)
    yield from _moved_lines("  have mail now, refused after the restore", fleet.cut)
    if starts_off:
        yield from _moved_lines("  refused now, would have mail with enforcement on again", fleet.let_through_when_on)
        yield from _moved_lines("  have mail now, would be refused with enforcement on again", fleet.cut_when_on)


def _moved_lines(what: str, moved: "Moved") -> Iterator[str]:
    shown = ", ".join(f"{login} {device}" for login, device in moved.named[:3])
    more = ", …" if moved.count > 3 else ""
    yield f"{what}: {moved.count}" + (f" ({shown}{more})" if moved.count else "")


def afterwards(preview: "RestorePreview", kept: str) -> Iterator[str]:
    """What is said when it is done, and what is to do now."""
    version = preview.policy
    number = f"policy version {version.number} by {version.author}" if version else "no policy version yet"
    enforcing = version is not None and version.enforcement_on
    yield f"restored; {number}, enforcement {'on' if enforcing else 'off'}"
    if kept:
        yield f"the database before is kept as {kept}: remove it when it is not needed any more, it holds secrets"
    yield "start the gateway; a full list puts its device right, a delta that does not fit gets 409, which asks for one"
    yield "what was acknowledged after the backup can be sent again as it was, with the same message id"
    if not enforcing and preview.enforcement_was_on:
        fleet = preview.fleet
        freed = f"{fleet.let_through.count} devices that were refused have mail until then: " if fleet else ""
        yield f"{freed}when the agents have reported, switch enforcement on: {ON_AGAIN}"
    losses = preview.losses
    if losses is not None and losses.erasures.found:
        yield f"{len(losses.erasures.found)} people who were erased since are back: erase them again, {ERASE_AGAIN}"
    if losses is None or not losses.erasures.all_known:
        yield NOT_KNOWN
    if preview.without_key:
        yield _without_key(preview.without_key)


def as_data(preview: "RestorePreview", kept: str, now: float) -> dict[str, Any]:
    """All of it, for programs."""
    version, losses = preview.policy, preview.losses
    return {
        "backup": {**asdict(preview.header), "taken_at": iso(preview.header.taken_at)},
        "age_seconds": round(now - preview.header.taken_at, 3),
        "restored": preview.restored,
        "policy_version": version.number if version else None,
        "enforcement_on": version.enforcement_on if version else None,
        "enforcement_was_on": preview.enforcement_was_on,
        "present_unreadable": preview.unreadable,
        "lost": _lost_data(losses) if losses else None,
        "fleet": _fleet_data(preview.fleet) if preview.fleet else None,
        "changes_held": [
            {"number": each.number, "title": each.title, "state": each.state, "becomes": each.becomes}
            for each in preview.changes_held
        ],
        "erased_since": _erased_data(losses),
        "kept": kept or None,
        "notices_without_key": preview.without_key,
        "enforcement_on_again": ON_AGAIN,
    }


def _erased_data(losses: "Losses | None") -> dict[str, Any]:
    if losses is None:
        return {"all_known": False, "erasures": []}
    return {
        "all_known": losses.erasures.all_known,
        "erasures": [{"at": each.at, "author": each.author, "reason": each.reason} for each in losses.erasures.found],
    }


def _lost_data(losses: "Losses") -> dict[str, Any]:
    since = losses.since
    return {
        "reports": since.reports,
        "devices_reported": since.devices_reported,
        "newest_report_at": iso(since.newest_report_at) if since.newest_report_at else None,
        "devices_seen": since.devices_seen,
        "bindings_by_hand": since.pins,
        "policy_versions": [{**asdict(each), "created_at": iso(each.created_at)} for each in losses.policies],
        "changes": list(losses.changes),
        "sources_added": losses.sources_added,
        "sources_rotated": losses.sources_rotated,
        "sources_returned": losses.sources_returned,
        "tokens_created": [{"id": each.id, "operator": each.operator} for each in losses.tokens_created],
        "tokens_revoked_kept": [{"id": each.id, "operator": each.operator} for each in losses.tokens_revoked],
        "credentials_revoked_kept": [each.id for each in losses.credentials_revoked],
        "operators_lessened_kept": [
            {"name": each.name, "roles": sorted(each.roles), "removed": not each.present}
            for each in losses.operators_lessened
        ],
    }


def _fleet_data(fleet: "FleetDifference") -> dict[str, Any]:
    def moved(each: "Moved") -> dict[str, Any]:
        return {"count": each.count, "named": [{"login": login, "device": device} for login, device in each.named]}

    return {
        "devices": fleet.devices,
        "refused_now": fleet.refused_now,
        "let_through": moved(fleet.let_through),
        "cut": moved(fleet.cut),
        "let_through_when_on": moved(fleet.let_through_when_on),
        "cut_when_on": moved(fleet.cut_when_on),
    }


def iso(moment: float) -> str:
    """A moment as programs read it."""
    return datetime.fromtimestamp(moment, UTC).isoformat()


def _moment(moment: float) -> str:
    return output.moment(iso(moment))
