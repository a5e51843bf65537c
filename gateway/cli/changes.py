"""``gatepost change`` and its short forms: look at changes, approve, apply and withdraw them."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import Failed
from gateway.cli.output import Rows, moment, print_rows
from gateway.cli.policy_edits import show_applied
from gateway.cli.telling import TellOption, notice_lines, telling_lines, told_so

app = group("Changes of the policy: what they would do, who approved them, where they stand.")

Number = Annotated[int, typer.Argument(metavar="CHANGE", min=1, help="Number of the change.")]
BEFORE = ("previewed", "approved", "scheduled")
Reason = Annotated[str, typer.Option("--reason", help="Why, for the history.")]


@command(app, "list")
def list_changes(
    desk: Desk, limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 20
) -> None:
    """List the newest changes.

    \b
    Examples:
      gatepost change list
      gatepost change list --limit 100 --json
    """
    with desk.api() as api:
        answer = api.get("/changes", limit=limit)
    rows = [
        (
            each["number"],
            each["state"],
            moment(each["created_at"]),
            each["author"],
            _numbers(each),
            each["title"],
        )
        for each in answer["changes"]
    ]
    columns = ("change", "state", "made", "author", "cut / admitted", "what")
    desk.show(answer, rows=Rows(columns, rows, "no changes yet"))


def _numbers(line: dict[str, Any]) -> str:
    return "-" if line["newly_cut"] is None else f"{line['newly_cut']:,} / {line['newly_admitted']:,}"


@command(app, "show")
def show(
    desk: Desk,
    number: Number,
    names: Annotated[bool, typer.Option("--names", help="Also the first whom it cuts, by name.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; needed with --names, and kept by the audit log.")] = "",
) -> None:
    """Show one change with its newest preview, its approvals and its history.

    \b
    Examples:
      gatepost change show 12
      gatepost change show 12 --names --reason "are these really the test phones?"
    """
    with desk.api() as api:
        answer = api.get(f"/changes/{number}", names="true" if names else None, reason=reason)
        telling = _telling(desk, api, answer)
    show_change(desk, answer, telling)


@command(app, "preview")
def preview(desk: Desk, number: Number) -> None:
    """Compute what a change would do now. An approval of another preview is void.

    \b
    Example:
      gatepost change preview 12
    """
    with desk.api("computing what it would do") as api:
        answer = api.post(f"/changes/{number}/preview", {})
        telling = _telling(desk, api, answer)
    show_change(desk, answer, telling)


@command(app, "reject")
def reject(desk: Desk, number: Number, reason: Reason = "") -> None:
    """End a change that has not begun.

    \b
    Example:
      gatepost change reject 12 --reason "not this week"
    """
    with desk.api() as api:
        answer = api.post(f"/changes/{number}/reject", {"reason": reason})
    desk.show(answer, text=f"change {number} is {answer['state']}")


@command(app, "halt")
def halt(desk: Desk, number: Number, reason: Reason = "") -> None:
    """Stop a change between two stages; what is in force stays. gatepost apply goes on with it.

    \b
    Example:
      gatepost change halt 12 --reason "too many questions"
    """
    with desk.api() as api:
        answer = api.post(f"/changes/{number}/halt", {"reason": reason})
    desk.show(answer, text=f"change {number} is {answer['state']}; withdraw it or go on: gatepost apply {number}")


def approve(desk: Desk, number: Number) -> None:
    """Approve a change that somebody else made, as its preview shows it.

    \b
    Example:
      gatepost approve 12
    """
    with desk.api() as api:
        seen = api.get(f"/changes/{number}")
        if not desk.as_json:
            show_change(desk, seen, _telling(desk, api, seen))
        desk.confirm(f"Approve change {number} by {seen['author']}?")
        answer = api.post(f"/changes/{number}/approve", {"digest": seen["digest"] or "no preview yet"})
    until = moment(answer["approvals"][-1]["ends_at"])
    desk.show(answer, text=f"change {number} is approved until {until}; now: gatepost apply {number}")


def apply(desk: Desk, number: Number, tell: TellOption = None) -> None:
    """Bring the next stage of a change into force; answers when every worker judges by it.

    \b
    Examples:
      gatepost apply 12
      gatepost apply 12 --tell with-the-cut
    """
    with desk.api() as api:
        seen = api.get(f"/changes/{number}")
        if not desk.as_json and not desk.yes:
            show_change(desk, seen, _telling(desk, api, seen))
        desk.confirm(f"Apply change {number}?")
    with desk.api("waiting for the workers") as api:
        # The stage that was seen: asked again after a lost answer, the one behind it does not come.
        began = [each for each in seen["stages"] if each["policy_version"] is not None]
        stage = {"stage": len(began) + 1} if len(began) < len(seen["stages"]) else {}
        answer = api.post(f"/changes/{number}/apply", {**told_so(tell), **stage})
    show_applied(desk, answer)


def withdraw(desk: Desk, number: Number, reason: Reason = "") -> None:
    """Take a change back, at once: what it touched is as before, and nothing is enforced that is not enforced now.

    \b
    Example:
      gatepost withdraw 12 --reason "sent in error"
    """
    with desk.api("waiting for the workers") as api:
        answer = api.post(f"/changes/{number}/withdraw", {"reason": reason})
    for part in answer["clashes"]:
        desk.warn(f"a later change had touched {part}, too: the milder value stands")
    for part in set(answer["kept"]) - set(answer["clashes"]):
        if part.startswith("action:"):
            desk.warn("what the change did besides the policy is not undone by this: undo it by a command of its own")
        else:
            desk.warn(f"{part} stays as it is: going back would enforce more, which is a change of its own")
    show_applied(desk, answer)


# --- the picture of a change


def _telling(desk: Desk, api: AdminClient, change: dict[str, Any]) -> dict[str, Any] | None:
    """Whom a change that has not come yet would tell; with --json that is asked for by itself."""
    if desk.as_json or change["state"] not in BEFORE or not change["newly_cut"]:
        return None
    try:
        return api.get(f"/changes/{change['number']}/telling")
    except Failed as error:
        # The change itself is there to be looked at.
        desk.note(f"whom it would tell is not known now: {error}")
        return None


def show_change(desk: Desk, change: dict[str, Any], telling: dict[str, Any] | None = None) -> None:
    """A change with its preview, and whom it tells."""
    told = [*(telling_lines(telling) if telling else ()), *notice_lines(change)]
    desk.show(change, text="\n".join((*_lines(change), *told)))
    seen = change["preview"]
    if desk.as_json or seen is None:
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
    for approval in change["approvals"]:
        standing = f"until {moment(approval['ends_at'])}" if approval["counts"] else "counts no more"
        yield f"approved by {approval['operator']}, {standing}"
    if change["preview"] is not None:
        yield ""
        yield from _preview_lines(change["preview"])


def _stage_words(stage: dict[str, Any]) -> str:
    whom = "report-only" if stage["report_only"] else "everybody"
    whom = f"{stage['percent']:g} % of the users" if stage["percent"] is not None else whom
    whom = f"group {stage['group']}" if stage["group"] else whom
    return f"{whom}, in force in policy version {stage['policy_version']}" if stage["policy_version"] else whom


def _preview_lines(seen: dict[str, Any]) -> Iterator[str]:
    share = f", {seen['newly_cut'] * 100 / seen['devices']:.2g} % of all" if seen["newly_cut"] else ""
    yield f"newly cut       {seen['newly_cut']:,} devices of {seen['people_cut']:,} people{share}"
    if seen["people_cut_off"]:
        yield f"                {seen['people_cut_off']:,} of these people lose their last device"
    yield f"newly admitted  {seen['newly_admitted']:,} devices"
    yield f"unchanged       {seen['unchanged']:,} devices of {seen['devices']:,}"
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
