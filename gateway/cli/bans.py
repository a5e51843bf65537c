"""``gatepost ban``: apps that must not be on a device with company mail."""

from typing import Annotated, Any

import typer

from gateway.cli.client import segment
from gateway.cli.desk import Desk, command, group
from gateway.cli.output import Rows, moment, print_pairs
from gateway.cli.policy_edits import carry_out
from gateway.cli.rollouts import At, Rollout, Stages, StopCut, StopUndelivered, StopWrong
from gateway.cli.telling import TellOption, told_so
from gateway.cli.values import moment_of
from gateway.domain.bans import Flag

app = group("Apps that must not be on a device with company mail.")

Ids = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="PLATFORM:ID", help="App id, or a prefix that ends with .* at a dot. Repeatable."),
]
Excepts = Annotated[
    list[str] | None, typer.Option("--except", metavar="PLATFORM:ID", help="App that is fine all the same. Repeatable.")
]
Signers = Annotated[
    list[str] | None, typer.Option("--signer", metavar="SHA256", help="Signing certificate (Android). Repeatable.")
]
TeamIds = Annotated[list[str] | None, typer.Option("--team-id", metavar="ID", help="Apple developer team. Repeatable.")]
Extensions = Annotated[
    list[str] | None, typer.Option("--extension", metavar="ID", help="Browser extension id. Repeatable.")
]
Origins = Annotated[
    list[str] | None, typer.Option("--origin", metavar="WHERE", help="sideload, marketplace, … Repeatable.")
]
Names = Annotated[
    list[str] | None,
    typer.Option("--app-name", metavar="GLOB", help="Display name with * and ?; weak, anybody can choose one."),
]


@command(app, "add")
def add(
    desk: Desk,
    name: Annotated[str, typer.Argument(help="Name of the ban, as people will read it.")],
    ids: Ids = None,
    excepts: Excepts = None,
    signers: Signers = None,
    team_ids: TeamIds = None,
    extensions: Extensions = None,
    origins: Origins = None,
    names: Names = None,
    publisher: Annotated[str, typer.Option("--publisher", metavar="GLOB", help="Publisher, with --app-name.")] = "",
    below: Annotated[
        str, typer.Option("--below-version", metavar="VERSION", help="Only versions below this one.")
    ] = "",
    flag: Annotated[Flag, typer.Option("--flag", help="What the ban does at first.")] = Flag.REPORT_ONLY,
    groups: Annotated[
        list[str] | None, typer.Option("--group", metavar="GROUP", help="Only for its members. Repeatable.")
    ] = None,
    starts: Annotated[str, typer.Option("--starts", metavar="WHEN", help="Before it, enforce only reports.")] = "",
    ends: Annotated[str, typer.Option("--ends", metavar="WHEN", help="From then on the ban is off.")] = "",
    text: Annotated[str, typer.Option("--text", help="For people who are refused: why, and what to do.")] = "",
    tell: TellOption = None,
    note: Annotated[str, typer.Option("--note", help="For the policy's history.")] = "",
    stages: Stages = None,
    at: At = "",
    stop_cut: StopCut = None,
    stop_undelivered: StopUndelivered = None,
    stop_wrong: StopWrong = None,
) -> None:
    """Ban an app. A new ban only reports until its flag is set to enforce.

    What it would do is shown before it is asked for.

    \b
    Examples:
      gatepost ban add TikTok --id android:com.zhiliaoapp.musically --id ios:com.zhiliaoapp.musically
      gatepost ban add "Vendor X" --id "android:com.vendorx.*" --except android:com.vendorx.authenticator
      gatepost ban add "Old chat" --id android:org.example.chat --below-version 4.2 --flag enforce --yes
      gatepost ban add Clips --id android:org.example.clips --flag enforce --stage report-only:24h --stage 10%:4h
    """
    kinds = (("signer", signers), ("team_id", team_ids), ("extension_id", extensions), ("origin", origins))
    matchers: list[dict[str, Any]] = [{"kind": "id", "value": value} for value in ids or ()]
    matchers += [{"kind": kind, "value": value} for kind, values in kinds for value in values or ()]
    matchers += [{"kind": "name", "value": value, "publisher": publisher} for value in names or ()]
    if not matchers:
        raise typer.BadParameter("say what recognises the app, for example --id android:com.example.app")
    if publisher and not names:
        raise typer.BadParameter("--publisher goes with --app-name")
    if below:
        matchers = [{**each, "below_version": below} for each in matchers]
    body: dict[str, Any] = {
        "name": name,
        "matchers": matchers,
        "exceptions": [{"kind": "id", "value": value} for value in excepts or ()],
        "flag": flag.value,
        "groups": groups or [],
        "text": text,
        "note": note,
        **told_so(tell),
        **({"starts_at": moment_of(starts)} if starts else {}),
        **({"ends_at": moment_of(ends)} if ends else {}),
        **Rollout(stages, at, stop_cut, stop_undelivered, stop_wrong).body(),
    }
    carry_out(desk, lambda api, query: api.post("/bans", body, **query))


@command(app, "list")
def list_bans(desk: Desk) -> None:
    """List all bans.

    \b
    Examples:
      gatepost ban list
      gatepost ban list --json
    """
    with desk.api() as api:
        answer = api.get("/bans")
    rows = [
        (ban["name"], ban["flag"], len(ban["rules"]) or "-", ", ".join(map(written, ban["matchers"][:3])) + _more(ban))
        for ban in answer["bans"]
    ]
    desk.show(
        answer, rows=Rows(("ban", "flag", "rules", "matchers"), rows, "no bans yet: gatepost ban add NAME --id …")
    )


@command(app, "show")
def show(desk: Desk, name: Annotated[str, typer.Argument(help="Name of the ban.")]) -> None:
    """Show one ban with all its matchers and rules.

    \b
    Example:
      gatepost ban show TikTok
    """
    with desk.api() as api:
        ban = api.get(f"/bans/{segment(name)}")
    if desk.as_json:
        desk.show(ban)
        return
    print_pairs(
        [
            ("ban", ban["name"]),
            ("flag", ban["flag"]),
            *(("  but", f"{rule['flag']} for {rule_words(rule)}") for rule in ban["rules"]),
            *(("matches", written(each)) for each in ban["matchers"]),
            *(("except", written(each)) for each in ban["exceptions"]),
            ("groups", ban["groups"]),
            ("starts", moment(ban["starts_at"]) if ban["starts_at"] else ""),
            ("ends", moment(ban["ends_at"]) if ban["ends_at"] else ""),
            ("text", ban["text"]),
            *(("warning", each) for each in ban["warnings"]),
        ]
    )


@command(app, "remove")
def remove(
    desk: Desk,
    name: Annotated[str, typer.Argument(help="Name of the ban.")],
    note: Annotated[str, typer.Option("--note", help="For the policy's history.")] = "",
) -> None:
    """Remove a ban; to keep it and only stop it, use: gatepost flag set BAN off.

    \b
    Example:
      gatepost ban remove TikTok --yes
    """
    carry_out(desk, lambda api, query: api.delete(f"/bans/{segment(name)}", note=note, **query))


def written(matcher: dict[str, Any]) -> str:
    """A matcher in one piece."""
    text = f"{matcher['platform']}:{matcher['value']}" if matcher["kind"].startswith("id") else matcher["value"]
    kind = "" if matcher["kind"].startswith("id") else f"{matcher['kind']} "
    publisher = f" by {matcher['publisher']}" if matcher["publisher"] else ""
    below = f" below {matcher['below_version']}" if matcher["below_version"] else ""
    return f"{kind}{text}{publisher}{below}"


def rule_words(rule: dict[str, Any]) -> str:
    """The conditions of a flag's rule."""
    words = [f"{rule['percent']:g} % of the users"] if rule["percent"] is not None else []
    words += [f"group {rule['group']}"] if rule["group"] else []
    words += [f"protocol {rule['protocol']}"] if rule["protocol"] else []
    return ", ".join(words)


def _more(ban: dict[str, Any]) -> str:
    left = len(ban["matchers"]) - 3
    return f" and {left} more" if left > 0 else ""
