"""``--tell``, and what a change says of the people whom it would tell."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed
from gateway.cli.output import moment
from gateway.domain.notice import Tell

TellOption = Annotated[
    Tell | None,
    typer.Option("--tell", help="How people are told whom it newly cuts. Left out: as [notices] tell says."),
]

BEFORE = ("previewed", "approved", "scheduled")

_WORDS = {
    Tell.WARNING_FIRST: "{who}, warned first: the change comes {hours:g} hours later by itself",
    Tell.WITH_THE_CUT: "{who}, when the change comes",
    Tell.NEVER: "nobody by itself; {who} by gatepost notice plan",
}


def told_so(tell: Tell | None) -> dict[str, Any]:
    """For the body of a request; nothing where nothing was said."""
    return {"tell": tell.value} if tell is not None else {}


def telling_of(desk: Desk, api: AdminClient, change: dict[str, Any]) -> dict[str, Any] | None:
    """Whom a change that has not come yet would tell; with --json that is asked for by itself."""
    if desk.as_json or change["state"] not in BEFORE or not change["newly_cut"]:
        return None
    try:
        return api.get(f"/changes/{change['number']}/telling")
    except Failed as error:
        # The change itself is there to be looked at.
        desk.note(f"whom it would tell is not known now: {error}")
        return None


def telling_lines(telling: dict[str, Any]) -> Iterator[str]:
    """Whom a change tells, in words."""
    if not telling["people"] and not telling["without_address"]:
        return
    who = "1 person" if telling["people"] == 1 else f"{telling['people']:,} people"
    words = _WORDS[Tell(telling["tell"])].format(who=who, hours=telling["warned_seconds"] / 3_600)
    languages = ", ".join(f"{number:,} {language}" for language, number in telling["languages"].items())
    yield f"told            {words}" + (f" ({languages})" if languages else "")
    if telling["without_address"]:
        yield f"                {telling['without_address']:,} people have no address and are told nothing"


def notice_lines(change: dict[str, Any]) -> Iterator[str]:
    """What became of the notices of a change."""
    if change["undelivered"]:
        yield f"undelivered     {change['undelivered']:,} notices: gatepost notice show {change['number']} --reason …"
    if change["wrong"]:
        yield f"called wrong    by {change['wrong']:,} readers"
    if change["starts_at"] and change["state"] in ("scheduled", "applying"):
        yield f"comes           {moment(change['starts_at'])} at the earliest"
