"""``gatepost change`` and its short forms: look at changes, approve, apply and withdraw them."""

from typing import Annotated, Any

import typer

from gateway.cli.change_words import print_change
from gateway.cli.desk import Desk, command, group
from gateway.cli.output import Rows, moment
from gateway.cli.policy_edits import show_applied, unchanged_words
from gateway.cli.telling import TellOption, telling_of, told_so

app = group("Changes of the policy: what they would do, who approved them, where they stand.")

Number = Annotated[int, typer.Argument(metavar="CHANGE", min=1, help="Number of the change.")]
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
        telling = telling_of(desk, api, answer)
    show_change(desk, answer, telling)


@command(app, "preview")
def preview(desk: Desk, number: Number) -> None:
    """Compute what a change, or what is left of it, would do now.

    An approval stands as long as hardly anybody else would be cut than what it was given for.

    \b
    Example:
      gatepost change preview 12
    """
    with desk.api("computing what it would do") as api:
        answer = api.post(f"/changes/{number}/preview", {})
        telling = telling_of(desk, api, answer)
    show_change(desk, answer, telling)
    if answer["refusal"]:
        desk.note(answer["refusal"])


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
            show_change(desk, seen, telling_of(desk, api, seen))
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
            show_change(desk, seen, telling_of(desk, api, seen))
        desk.confirm(f"Apply change {number}?")
    with desk.api("waiting for the workers") as api:
        # The stage that was seen: asked again after a lost answer, the one behind it does not come.
        began = [each for each in seen["stages"] if each["policy_version"] is not None]
        stage = {"stage": len(began) + 1} if len(began) < len(seen["stages"]) else {}
        answer = api.post(f"/changes/{number}/apply", {**told_so(tell), **stage})
    show_applied(desk, answer, unchanged_words(number, answer))


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
    show_applied(desk, answer, unchanged_words(number, answer))


def show_change(desk: Desk, change: dict[str, Any], telling: dict[str, Any] | None = None) -> None:
    """A change with its preview, and whom it tells."""
    if desk.as_json:
        desk.show(change)
    else:
        print_change(change, telling)
