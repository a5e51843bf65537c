"""The picture of a change: what it touches, its stages, who approved it, and what its preview found."""

from collections.abc import Iterator
from typing import Any

from gateway.changes.lengths import length_of
from gateway.cli import output
from gateway.cli.output import Rows, moment, print_rows
from gateway.cli.telling import BEFORE, notice_lines, telling_lines

_STOPS = (("cut_per_hour", "devices cut per hour"), ("undelivered", "lost notices"), ("wrong", '"this is wrong"'))


def print_change(change: dict[str, Any], telling: dict[str, Any] | None = None) -> None:
    """A change with its preview, and whom it tells, as text."""
    told = telling_lines(telling) if telling else ()
    for line in (*_lines(change), *told, *notice_lines(change)):
        print(output.harmless(line))
    seen = change["preview"]
    if seen is None:
        return
    for key in ("platforms", "ownerships", "sources", "groups"):
        rows = [
            (each["name"] or "unknown", each["devices"], each["cut"], each["admitted"], each["unjudged"])
            for each in seen[key]
            if each["cut"] or each["admitted"]
        ]
        if rows:
            print()
            print_rows(
                Rows((key.removesuffix("s"), "devices", "newly cut", "newly admitted", "let through unjudged"), rows)
            )
    if seen.get("first_cut"):
        print()
        print_rows(Rows(("newly cut", "device"), [(each["person"], each["device"]) for each in seen["first_cut"][:10]]))


def _lines(change: dict[str, Any]) -> Iterator[str]:
    yield f"change {change['number']} by {change['author']}: {change['title']}"
    yield f"{change['state']}, made on policy version {change['base_version']}, {moment(change['created_at'])}"
    if change["note"]:
        yield f"note: {change['note']}"
    for words in change["touches"]:
        yield f"  {words}"
    if len(change["stages"]) > 1:
        for stage in change["stages"]:
            yield f"  stage {stage['number']}: {_stage_words(stage)}"
    if change["starts_at"] and change["state"] in BEFORE[:2]:
        yield f"not before {moment(change['starts_at'])}"
    for approval in change["approvals"]:
        standing = f"until {moment(approval['ends_at'])}" if approval["counts"] else "counts no more"
        yield f"approved by {approval['operator']}, {standing}"
    if change["preview"] is not None:
        yield ""
        yield from _preview_lines(change["preview"])
        if change["preview"]["newly_cut"] and not change["preview"].get("first_cut"):
            yield f"by name         gatepost change show {change['number']} --names --reason WHY"


def _stage_words(stage: dict[str, Any]) -> str:
    whom = "report-only" if stage["report_only"] else "everybody"
    whom = f"{stage['percent']:g} % of the users" if stage["percent"] is not None else whom
    whom = f"group {stage['group']}" if stage["group"] else whom
    if stage["policy_version"]:
        return f"{whom}, in force in policy version {stage['policy_version']}"
    if stage["by_itself"]:
        whom += f", by itself {length_of(stage['after_seconds'])} after the one before"
    elif stage["number"] > 1:
        whom += ", when somebody applies it"
    stops = [f"{stage['stop'][key]} {words}" for key, words in _STOPS if stage["stop"][key] is not None]
    return f"{whom}; halts beyond {', '.join(stops)}" if stops else whom


def share_words(seen: dict[str, Any], key: str) -> str:
    """A number of devices with its share of all."""
    number = seen.get(key, 0)
    share = f" ({number * 100 / seen['devices']:.2g} %)" if number and seen.get("devices") else ""
    return f"{device_words(number)}{share}"


def device_words(number: int) -> str:
    """A number of devices, in words that fit one as well."""
    return f"{number:,} device{'' if number == 1 else 's'}"


def _preview_lines(seen: dict[str, Any]) -> Iterator[str]:
    share = f", {seen['newly_cut'] * 100 / seen['devices']:.2g} % of all" if seen["newly_cut"] else ""
    people = f"{seen['people_cut']:,} {'person' if seen['people_cut'] == 1 else 'people'}"
    yield f"newly cut       {device_words(seen['newly_cut'])} of {people}{share}"
    if seen["people_cut_off"]:
        yield f"                {seen['people_cut_off']:,} of these people lose their last device"
    yield f"newly admitted  {device_words(seen['newly_admitted'])}"
    if seen.get("cut_by_name") or seen.get("admitted_by_name"):
        lost, got = seen["cut_by_name"], seen["admitted_by_name"]
        yield f"by login alone  {lost:,} people more lose mail, {got:,} more get it, by protocols that name no device"
    yield f"unchanged       {device_words(seen['unchanged'])} of {seen['devices']:,}"
    yield f"refused         {seen['refused_before']:,} before, {seen['refused_after']:,} after"
    yield f"unjudged        {seen['unjudged']:,} devices pass although nobody can judge them{_causes(seen)}"
    if (sessions := seen.get("sessions")) is not None:
        yield f"connected       {sessions['ended']:,} of {sessions['connected']:,} sessions would end now"
    for later in seen["later"]:
        hours = later["within_seconds"] / 3600
        span = f"{hours:g} hours" if hours < 48 else f"{hours / 24:g} days"
        yield f"later           {later['devices']:,} more by time alone within {span}"
    for named in seen["named"]:
        if named["people_cut"]:
            names = f": {', '.join(named['cut'][:5])}" if named["cut"] else ""
            yield f"among them      {named['people_cut']:,} of {named['name']}{names}"


def _causes(seen: dict[str, Any]) -> str:
    causes = [f"{number:,} {cause}" for cause, number in seen["unjudged_by_cause"].items()]
    return f" ({', '.join(causes)})" if causes else ""
