"""``gatepost flag``: turn enforcement, per ban, globally, and for what cannot be known."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from gateway.changes.edits import UNKNOWN_NAMES
from gateway.cli.bans import rule_words
from gateway.cli.break_glass import turn_locally
from gateway.cli.client import segment
from gateway.cli.desk import Desk, command, group
from gateway.cli.output import Rows
from gateway.cli.policy_edits import carry_out
from gateway.cli.rollouts import At, Rollout, Stages, StopCut, StopUndelivered, StopWrong
from gateway.cli.telling import TellOption, told_so
from gateway.cli.values import seconds_of
from gateway.domain.access import Protocol
from gateway.domain.bans import Flag
from gateway.domain.inventory import Platform
from gateway.domain.policy import OutlookMobile, Setting, Unavailable

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
    local: Annotated[
        bool,
        typer.Option("--local", help="Break-glass, with --global: by a file on this machine, for 24 hours at most."),
    ] = False,
    tell: TellOption = None,
    note: Annotated[str, typer.Option("--note", help="For the policy's history.")] = "",
    stages: Stages = None,
    at: At = "",
    stop_cut: StopCut = None,
    stop_undelivered: StopUndelivered = None,
    stop_wrong: StopWrong = None,
) -> None:
    """Turn one thing; answers when it is in force on every worker.

    Without conditions a flag counts for everybody and replaces what was said
    about the ban before; with conditions it goes before older rules. What it
    would do is shown before it is asked for; turning down is done at once and
    asks nothing.

    \b
    Examples:
      gatepost flag set TikTok report-only
      gatepost flag set TikTok enforce --percent 10
      gatepost flag set TikTok enforce --tell with-the-cut
      gatepost flag set TikTok enforce --stage report-only:24h --stage 10%:4h --stop-cut-per-hour 500
      gatepost flag set TikTok enforce --group field-staff --protocol activesync
      gatepost flag set --global off
      gatepost flag set --global off --local --note "database gone"
      gatepost flag set --unknown unmatched deny --platform android
    """
    turns = [
        turn
        for turn in (
            _ban_turn(ban, flag, percent, group_name, protocol) if ban is not None else None,
            _global_turn(switch) if switch is not None else None,
            _unknown_turn(unknown, protocol, platform) if unknown is not None else None,
            _outlook_turn(outlook) if outlook is not None else None,
            _unavailable_turn(unavailable) if unavailable is not None else None,
            _Turn("grace", {"seconds": seconds_of(grace), "devices": grace_devices}) if grace is not None else None,
        )
        if turn is not None
    ]
    if len(turns) != 1:
        raise typer.BadParameter("turn one thing at a time: BAN FLAG, --global, --unknown, --outlook-mobile, …")
    if (group_name or percent is not None) and ban is None:
        raise typer.BadParameter("--percent and --group go with a ban's flag")
    if protocol is not None and ban is None and unknown is None:
        raise typer.BadParameter("--protocol goes with a ban's flag or with --unknown")
    if platform is not None and unknown is None:
        raise typer.BadParameter("--platform goes with --unknown")
    if tell is not None and ban is None:
        raise typer.BadParameter("--tell goes with a ban's flag")
    if local and switch is None:
        raise typer.BadParameter("--local goes with --global")
    if local:
        turn_locally(desk, broken=switch == "off", reason=note)
        return
    rollout = Rollout(stages, at, stop_cut, stop_undelivered, stop_wrong).body()
    path, body = f"/flags/{turns[0].path}", {**turns[0].body, **told_so(tell), "note": note, **rollout}
    carry_out(desk, lambda api, query: api.put(path, body, **query))


@dataclass(frozen=True, slots=True)
class _Turn:
    """One thing to be turned."""

    path: str
    body: dict[str, Any]


def _ban_turn(ban: str, flag: Flag | None, percent: float | None, group_name: str, protocol: Protocol | None) -> _Turn:
    if flag is None:
        raise typer.BadParameter(f"say what to set {ban} to: off, report-only or enforce")
    body = {"flag": flag, "percent": percent, "group": group_name, "protocol": protocol}
    return _Turn(f"bans/{segment(ban)}", body)


def _global_turn(switch: str) -> _Turn:
    if switch not in ("on", "off"):
        raise typer.BadParameter("--global is on or off")
    return _Turn("global", {"on": switch == "on"})


def _unknown_turn(unknown: tuple[str, str], protocol: Protocol | None, platform: Platform | None) -> _Turn:
    name, setting = unknown[0].replace("-", "_"), unknown[1]
    if name not in UNKNOWN_NAMES or setting not in set(Setting):
        raise typer.BadParameter(f"--unknown takes two words: {_UNKNOWN_WORDS}")
    return _Turn(f"unknowns/{name}", {"setting": setting, "protocol": protocol, "platform": platform})


def _outlook_turn(rule: OutlookMobile) -> _Turn:
    return _Turn("outlook_mobile", {"rule": rule})


def _unavailable_turn(answer: Unavailable) -> _Turn:
    return _Turn("unavailable", {"answer": answer})
