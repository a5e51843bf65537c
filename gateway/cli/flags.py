"""``gatepost flag``: turn enforcement, per ban, globally, and for what cannot be known."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gateway.cli.bans import rule_words
from gateway.cli.client import segment
from gateway.cli.desk import Desk, command, group
from gateway.cli.output import Rows
from gateway.cli.policy_edits import show_applied
from gateway.cli.values import seconds_of
from gateway.domain.access import Protocol
from gateway.domain.bans import Flag
from gateway.domain.inventory import Platform
from gateway.domain.policy import OutlookMobile, Unavailable

app = group("Enforcement flags: off, report-only, enforce; per ban, globally, and for unknowns.")

_UNKNOWN_WORDS = "missing|stale|scope|unmatched|conflict|compromised|not_compliant allow|report-only|deny"


@command(app, "list")
def list_flags(desk: Desk) -> None:
    """List everything that can be turned, and how it stands.

    \b
    Examples:
      gatepost flag list
      gatepost flag list --json
    """
    with desk.api() as api:
        answer = api.get("/flags")
    desk.show(answer, rows=Rows(("what", "setting", "for"), list(_lines(answer))))


def _lines(answer: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    yield "--global", "on" if answer["enforcement_on"] else "off", "everybody"
    for ban in answer["bans"]:
        for rule in ban["rules"]:
            yield ban["name"], rule["flag"], rule_words(rule)
        yield ban["name"], ban["flag"], "everybody else" if ban["rules"] else "everybody"
    for unknown in answer["unknowns"]:
        for rule in unknown["rules"]:
            where = ", ".join(word for word in (rule["protocol"], rule["platform"]) if word)
            yield f"--unknown {unknown['name']}", rule["setting"], where
        yield f"--unknown {unknown['name']}", unknown["setting"], "otherwise" if unknown["rules"] else "everybody"
    yield "--outlook-mobile", answer["outlook_mobile"], "Outlook on phones"
    yield "--unavailable", answer["unavailable"], "when the state cannot be read"
    grace = answer["grace"]
    yield "--grace", f"{grace['seconds'] / 86400:g}d", f"{grace['devices']} new devices per user in 30 days"


@command(app, "set")
def set_flag(
    desk: Desk,
    ban: Annotated[str | None, typer.Argument(metavar="[BAN]", help="Name of the ban.")] = None,
    flag: Annotated[Flag | None, typer.Argument(metavar="[FLAG]", help="off, report-only or enforce.")] = None,
    percent: Annotated[
        float | None,
        typer.Option("--percent", min=0, max=100, help="For this share of the users, always the same ones."),
    ] = None,
    group_name: Annotated[str, typer.Option("--group", metavar="GROUP", help="For members of this group.")] = "",
    protocol: Annotated[Protocol | None, typer.Option("--protocol", help="For this way in.")] = None,
    platform: Annotated[Platform | None, typer.Option("--platform", help="For this platform, with --unknown.")] = None,
    switch: Annotated[
        str | None, typer.Option("--global", metavar="on|off", help="The switch above all enforcement.")
    ] = None,
    unknown: Annotated[
        tuple[str, str] | None, typer.Option("--unknown", metavar=_UNKNOWN_WORDS, help="What cannot be known.")
    ] = None,
    outlook: Annotated[
        OutlookMobile | None, typer.Option("--outlook-mobile", help="The rule for Outlook on phones.")
    ] = None,
    unavailable: Annotated[
        Unavailable | None, typer.Option("--unavailable", help="The answer when the state cannot be read.")
    ] = None,
    grace: Annotated[
        str | None, typer.Option("--grace", metavar="LENGTH", help="Grace of new devices, e.g. 3d; 0d for none.")
    ] = None,
    grace_devices: Annotated[int, typer.Option("--grace-devices", min=0, help="How many per user in 30 days.")] = 2,
    note: Annotated[str, typer.Option("--note", help="For the policy's history.")] = "",
) -> None:
    """Turn one thing; answers when it is in force on every worker.

    Without conditions a flag counts for everybody and replaces what was said about the ban before; with conditions it
    goes before older rules. Turning something off never asks; enforcing does, unless --yes is given.

    \b
    Examples:
      gatepost flag set TikTok report-only
      gatepost flag set TikTok enforce --percent 10
      gatepost flag set TikTok enforce --group field-staff --protocol activesync
      gatepost flag set --global off
      gatepost flag set --unknown unmatched deny --platform android
    """
    wanted = [
        name
        for name, given in (
            ("BAN FLAG", ban),
            ("--global", switch),
            ("--unknown", unknown),
            ("--outlook-mobile", outlook),
            ("--unavailable", unavailable),
            ("--grace", grace),
        )
        if given is not None
    ]
    if len(wanted) != 1:
        raise typer.BadParameter("turn one thing at a time: BAN FLAG, --global, --unknown, --outlook-mobile, …")
    _check_conditions(wanted[0], bool(group_name) or percent is not None, protocol, platform)
    body: dict[str, Any] = {"note": note}
    if ban is not None:
        if flag is None:
            raise typer.BadParameter(f"say what to set {ban} to: off, report-only or enforce")
        path = f"/flags/bans/{segment(ban)}"
        body |= {"flag": flag.value, "percent": percent, "group": group_name, "protocol": protocol}
        tightens, what = flag is Flag.ENFORCE, f"Enforce {ban}?"
    elif switch is not None:
        if switch not in ("on", "off"):
            raise typer.BadParameter("--global is on or off")
        path, tightens, what = "/flags/global", switch == "on", "Switch all enforcement on?"
        body["on"] = switch == "on"
    elif unknown is not None:
        path = f"/flags/unknowns/{segment(unknown[0])}"
        body |= {"setting": unknown[1], "protocol": protocol, "platform": platform}
        tightens, what = unknown[1] == "deny", f"Refuse devices whose evidence is {unknown[0]}?"
    elif outlook is not None:
        path, tightens, what = "/flags/outlook_mobile", outlook is OutlookMobile.DENY, "Refuse Outlook on phones?"
        body["rule"] = outlook.value
    elif unavailable is not None:
        path, tightens, what = "/flags/unavailable", unavailable is Unavailable.DENY, "Refuse while nothing is known?"
        body["answer"] = unavailable.value
    else:
        path, tightens, what = "/flags/grace", False, ""
        body |= {"seconds": seconds_of(grace or ""), "devices": grace_devices}
    if tightens:
        desk.confirm(what)
    with desk.api("waiting for the workers") as api:
        show_applied(desk, api.put(path, body))


def _check_conditions(wanted: str, for_some: bool, protocol: Protocol | None, platform: Platform | None) -> None:
    if for_some and wanted != "BAN FLAG":
        raise typer.BadParameter("--percent and --group go with a ban's flag")
    if protocol is not None and wanted not in ("BAN FLAG", "--unknown"):
        raise typer.BadParameter("--protocol goes with a ban's flag or with --unknown")
    if platform is not None and wanted != "--unknown":
        raise typer.BadParameter("--platform goes with --unknown")
