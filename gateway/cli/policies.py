"""``gatepost policy``: what was changed, by whom, and when."""

from typing import Annotated

import typer

from gateway.cli.bans import written
from gateway.cli.desk import Desk, command, group
from gateway.cli.output import Rows, moment

app = group("Policy versions: what was changed, by whom, and when.")


@command(app, "list")
def list_policies(
    desk: Desk, limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 20
) -> None:
    """List the newest policy versions.

    \b
    Examples:
      gatepost policy list
      gatepost policy list --limit 100 --json
    """
    with desk.api() as api:
        answer = api.get("/policies", limit=limit)
    rows = [
        (each["number"], moment(each["created_at"]), each["author"], each["summary"]) for each in answer["policies"]
    ]
    desk.show(answer, rows=Rows(("version", "applied", "author", "what"), rows))


@command(app, "show")
def show(desk: Desk, number: Annotated[int, typer.Argument(help="Number of the version.")]) -> None:
    """Show one policy version with its bans.

    \b
    Example:
      gatepost policy show 7
    """
    with desk.api() as api:
        answer = api.get(f"/policies/{number}")
    text = (
        f"policy version {answer['number']} by {answer['author']}, {moment(answer['created_at'])}\n"
        f"{answer['summary']}\n"
        f"enforcement {'on' if answer['enforcement_on'] else 'off'}, {answer['exemptions']} exemptions"
    )
    rows = [(ban["name"], ban["flag"], ", ".join(map(written, ban["matchers"]))) for ban in answer["bans"]]
    desk.show(answer, text=text, rows=Rows(("ban", "flag", "matchers"), rows, "no bans"))
