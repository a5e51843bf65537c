"""``gatepost brake``: what the fleet brake holds, and an operator's word on it."""

from typing import Annotated, Any

import typer

from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import Failed
from gateway.cli.output import Rows, ago, moment
from gateway.cli.values import seconds_of

app = group("What evidence or time would refuse all at once, held until somebody has looked.")

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="See brake status.")]
Trouble = Annotated[str, typer.Argument(metavar="TROUBLE", help="stale, hits or gaps: see brake status.")]
Ban = Annotated[str, typer.Option("--ban", help="Which ban, where the trouble is hits.")]


@app.callback()
def brake() -> None:
    """What evidence or time would refuse all at once, held until somebody has looked."""


@command(app, "status")
def status(desk: Desk) -> None:
    """Show what is held or alarmed of, and what was let go.

    \b
    Examples:
      gatepost brake status
      gatepost brake status --json
    """
    with desk.api() as api:
        answer = api.get("/brake")
    if answer["standing_still"]:
        desk.warn("nobody has looked ahead lately, so no list of apps ages: see brake_waits in the log")
    rows = [_row(each, answer["at"]) for each in answer["holds"]]
    columns = ("source", "trouble", "ban", "since", "devices", "held", "confirmed until", "by")
    text = "\n".join(
        f"let go: source {each['source']}, {each['trouble']}, by {each['by']}; not held again until "
        f"{moment(each['until'])}"
        for each in answer["releases"]
    )
    desk.show(answer, rows=Rows(columns, rows, "nothing is held"), text=text)


def _row(hold: dict[str, Any], at: str) -> tuple[object, ...]:
    until = moment(hold["confirmed_until"]) if hold["confirmed_until"] else ""
    counted = (hold["source"], hold["trouble"], hold["ban"], ago(hold["since"], at), hold["devices"])
    return (*counted, "yes" if hold["holding"] else "alarm only", until, hold["confirmed_by"])


@command(app, "release")
def release(desk: Desk, source: Source, trouble: Trouble = "stale", ban: Ban = "") -> None:
    """Let go: what is held comes into force within seconds, and is not held again for a day.

    stale: whoever's list is too old is refused. hits, gaps: waiting reports are
    taken when they are sent again. It asks first and says how many devices
    that concerns.

    \b
    Examples:
      gatepost brake release agents
      gatepost brake release intune hits --ban TikTok --yes
    """
    with desk.api() as api:
        hold = _held(api.get("/brake"), source, trouble, ban)
        desk.confirm(f"Let go of {hold['devices']} devices that {_what(hold)}?")
        answer = api.post("/brake/release", {"source": source, "trouble": trouble, "ban": ban})
    done = f"let go of {answer['devices']} devices that {_what(answer)}; the workers follow within {SOON}"
    desk.show(answer, text=done)


@command(app, "confirm")
def confirm(
    desk: Desk,
    source: Source,
    trouble: Trouble = "stale",
    ban: Ban = "",
    length: Annotated[str, typer.Option("--for", metavar="LENGTH", help="How long: 8h, 2d.")] = "8h",
) -> None:
    """Say that somebody has looked, and that it is to be held on meanwhile.

    Nobody is refused by this. When the time is over it is told as an alarm again.

    \b
    Example:
      gatepost brake confirm agents --for 12h
    """
    body = {"source": source, "trouble": trouble, "ban": ban, "hours": seconds_of(length) / 3600}
    with desk.api() as api:
        answer = api.post("/brake/confirm", body)
    until = moment(answer["confirmed_until"])
    desk.show(answer, text=f"held on: {answer['devices']} devices that {_what(answer)}, until {until}")


SOON = "2 s"


def _held(answer: dict[str, Any], source: str, trouble: str, ban: str) -> dict[str, Any]:
    for each in answer["holds"]:
        if (each["source"], each["trouble"], each["ban"]) == (source, trouble, ban):
            found: dict[str, Any] = each
            return found
    raise Failed(f"nothing is held of source {source} for {trouble}: gatepost brake status shows what is")


def _what(hold: dict[str, Any]) -> str:
    if hold["trouble"] == "stale":
        return f"have mail although the lists of source {hold['source']} are too old"
    if hold["trouble"] == "gaps":
        return f"source {hold['source']} would no longer prove clean"
    return f"have ban {hold['ban']} by source {hold['source']}"
