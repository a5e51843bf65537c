"""``gatepost notice``: what people are told about a change, and how far that is."""

import time
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import Failed, reworded
from gateway.cli.output import Rows, moment
from gateway.cli.progress import shown

app = group("Notices to people about a change: held first, then in rising batches.")

LOOK_SECONDS = 0.2

Number = Annotated[int, typer.Argument(metavar="CHANGE", help="Number of the change.", min=1)]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="warning, cut, correction or admitted.")]


@command(app, "list")
def list_notices(desk: Desk) -> None:
    """List what people are told about changes, and how far that is.

    \b
    Example:
      gatepost notice list
    """
    with desk.api() as api:
        answer = api.get("/notices")
    if not answer["sending"]:
        desk.note("no [notices] sender is set: nobody is told anything by mail")
    for warning in answer["warnings"]:
        desk.warn(warning)
    rows = [
        (
            each["change"],
            each["kind"],
            each["state"],
            moment(each["starts_at"]),
            _how_far(each),
            each["words"],
        )
        for each in answer["mailings"]
    ]
    headings = ("change", "kind", "state", "not before", "notices", "why")
    desk.show(answer, rows=Rows(headings, rows, "no notices yet: gatepost notice plan CHANGE KIND"))


@command(app, "show")
def show_notices(
    desk: Desk,
    number: Number,
    reason: Annotated[str, typer.Option("--reason", help="Why; needed, and kept by the audit log.")] = "",
    state: Annotated[str, typer.Option("--state", help="Only these: sent, uncertain, failed …")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many.")] = 50,
) -> None:
    """Show the notices of a change, person by person.

    Who gets one has the app that it names: the look takes a reason, and is
    audited. How many there are, and how far they are: gatepost notice list.

    \b
    Examples:
      gatepost notice show 12 --reason "who did not get theirs?"
      gatepost notice show 12 --state uncertain --limit 1000 --reason "ticket 4711"
    """
    with desk.api() as api:
        answer = api.get(f"/notices/{number}", reason=reason, state=state or None, limit=limit)
        mailings = api.get("/notices", change=number)["mailings"]
    rows = [
        (each["user"], each["kind"], each["state"], moment(each["next_at"]), each["attempts"], each["answer"])
        for each in answer["notices"]
    ]
    desk.show(answer, rows=Rows(("user", "kind", "state", "next", "attempts", "answer"), rows, "no such notices"))
    if answer["next_after"]:
        desk.note(f"these are the first {limit}: --limit shows more")
    for each in mailings:
        if each["state"] == "planning":
            desk.note(f"{each['kind']}: {_how_far(each)}")


@command(app, "plan")
def plan_notices(
    desk: Desk,
    number: Number,
    kind: Kind,
    deadline: Annotated[str, typer.Option("--deadline", help="Of a warning: from when mail is cut, RFC 3339.")] = "",
    urgent: Annotated[bool, typer.Option("--urgent", help="Leave at any time of the day.")] = False,
    hold_seconds: Annotated[
        float | None, typer.Option("--hold-seconds", help="Leave so long after planning at the earliest.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until everybody is written down.")] = True,
) -> None:
    """Tell everybody whom a change cuts: they are written down, then held; nothing leaves meanwhile, and stop ends it.

    \b
    Examples:
      gatepost notice plan 12 warning --deadline 2026-12-01T08:00:00+01:00
      gatepost notice plan 12 cut --urgent --hold-seconds 60
    """
    desk.confirm(f"Tell everybody whom change {number} cuts?")
    given: dict[str, Any] = {"kind": kind, "urgent": urgent, "hold_seconds": hold_seconds}
    with desk.api() as api:
        answer = api.post(f"/notices/{number}", {**given, "deadline": deadline or None})
        if wait:
            answer = _written_down(desk, api, answer)
    _say_planned(desk, answer)


def _written_down(desk: Desk, api: AdminClient, begun: dict[str, Any]) -> dict[str, Any]:
    """The mailing when everybody is written down, or somebody has stopped or taken it back."""
    number, kind, mailing = begun["change"], begun["kind"], begun
    with shown(desk) as tick:
        while mailing["state"] == "planning":
            tick("people written down", mailing["looked_at"], mailing["people"] or 0)
            time.sleep(LOOK_SECONDS)
            try:
                found = api.get("/notices", change=number)["mailings"]
            except Failed as error:
                ordered = f"the {kind} notices of change {number} are ordered; how far they are is not known now"
                raise reworded(error, f"{ordered} (gatepost notice list shows it): {error}") from None
            mailing = next((each for each in found if each["kind"] == kind), begun)
    return mailing


def _say_planned(desk: Desk, mailing: dict[str, Any]) -> None:
    number, kind = mailing["change"], mailing["kind"]
    if mailing["without_address"]:
        desk.warn(f"{mailing['without_address']} people have no address and are told nothing")
    if mailing["not_found"]:
        desk.warn(f"{mailing['not_found']} logins belong to nobody known and are told nothing")
    if mailing["not_so"]:
        desk.warn(f"{mailing['not_so']} people have none of the apps that it names (by now), and are told nothing")
    if mailing["state"] in ("stopped", "cancelled"):
        raise Failed(f"the {kind} notices of change {number} are {mailing['state']}: {mailing['words']}")
    if mailing["state"] == "planning":
        words = "who is told is being written down: gatepost notice list shows how far that is"
    else:
        words = f"{sum(mailing['notices'].values())} notices; the first ones leave at {moment(mailing['starts_at'])}"
    desk.show(mailing, text=f"{words}. To stop them: gatepost notice stop {number} {kind}")


@command(app, "stop")
def stop_notices(
    desk: Desk, number: Number, kind: Kind, reason: Annotated[str, typer.Option("--reason", help="Why.")] = ""
) -> None:
    """Let no more of a change's notices go until resume; what is on its way is not called back.

    \b
    Example:
      gatepost notice stop 12 cut
    """
    with desk.api() as api:
        answer = api.post(f"/notices/{number}/{kind}/stop", {"reason": reason})
    desk.show(answer, text=f"stopped: {_counted(answer['notices'])}")


@command(app, "resume")
def resume_notices(desk: Desk, number: Number, kind: Kind) -> None:
    """Let stopped notices go on.

    \b
    Example:
      gatepost notice resume 12 cut
    """
    desk.confirm(f"Let the {kind} notices of change {number} go on?")
    with desk.api() as api:
        answer = api.post(f"/notices/{number}/{kind}/resume", {})
    desk.show(answer, text=f"goes on: {_counted(answer['notices'])}")


@command(app, "resend")
def resend_notice(
    desk: Desk, number: Number, kind: Kind, user: Annotated[str, typer.Argument(metavar="USER", help="The reader.")]
) -> None:
    """Send a notice again that is uncertain, was refused, came back or has expired. It may arrive twice then.

    \b
    Example:
      gatepost notice resend 12 cut anna@corp.example
    """
    desk.confirm(f"Send the {kind} notice of change {number} to {user} again? It may arrive twice.")
    with desk.api() as api:
        answer = api.post(f"/notices/{number}/{kind}/resend", {"user": user})
    desk.show(answer, text=f"{answer['user']}: {answer['state']}")


def _how_far(mailing: dict[str, Any]) -> str:
    """How many are in which state; while recipients are written down, how many of how many."""
    if mailing["state"] == "planning":
        return f"{mailing['looked_at']:,} of {mailing['people']:,} written down" if mailing["people"] else "begins"
    return _counted(mailing["notices"])


def _counted(notices: dict[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sorted(notices.items())) or "none"
