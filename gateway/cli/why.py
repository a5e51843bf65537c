"""``gatepost why``: why somebody has mail or not."""

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.desk import Desk
from gateway.cli.values import moment_of
from gateway.domain.access import Protocol


def why(
    desk: Desk,
    user: Annotated[str, typer.Argument(help="The user, in any spelling: a, DOMAIN\\a, a@domain.")],
    device: Annotated[str, typer.Argument(help="ActiveSync DeviceId; without it all devices of the user.")] = "",
    protocol: Annotated[Protocol, typer.Option("--protocol", help="By which way in.")] = Protocol.ACTIVESYNC,
    certificate: Annotated[
        str, typer.Option("--certificate", metavar="TYPE:KEY", help="With a client certificate that names a device so.")
    ] = "",
    with_ban: Annotated[
        list[str] | None,
        typer.Option("--with-ban", metavar="NAME=PLATFORM:ID", help="As if this were banned and enforced. Repeatable."),
    ] = None,
    with_app: Annotated[
        list[str] | None,
        typer.Option("--with-app", metavar="PLATFORM:ID", help="As if the app were on the device. Repeatable."),
    ] = None,
    without_app: Annotated[
        list[str] | None,
        typer.Option("--without-app", metavar="PLATFORM:ID", help="As if the app were gone. Repeatable."),
    ] = None,
    flag: Annotated[
        list[str] | None,
        typer.Option("--flag", metavar="BAN=FLAG", help="As if the ban's flag were this, for everybody. Repeatable."),
    ] = None,
    unknown: Annotated[
        list[str] | None,
        typer.Option("--unknown", metavar="CAUSE=SETTING", help="As if this were set for unknowns. Repeatable."),
    ] = None,
    policy: Annotated[
        int, typer.Option("--policy", metavar="VERSION", min=0, help="By this policy version, on what is known now.")
    ] = 0,
    reason: Annotated[
        str, typer.Option("--reason", help="Why you ask; needed with --with-ban, and kept by the audit log.")
    ] = "",
    at: Annotated[
        str,
        typer.Option("--at", metavar="MOMENT", help="As it was then: 2026-01-31T08:00, by this machine's time zone."),
    ] = "",
    plain: Annotated[
        bool, typer.Option("--plain", help="In the words for the user, with nobody else in them.")
    ] = False,
) -> None:
    """Tell why a user or device is let through or refused, and what would change it.

    \b
    Examples:
      gatepost why anna@corp.example
      gatepost why anna@corp.example ApplDX3Q --json
      gatepost why anna@corp.example --protocol imap --certificate serial:F9FXJ0
      gatepost why anna@corp.example ApplDX3Q --plain
      gatepost why anna@corp.example ApplDX3Q --at 2026-11-25T10:00
      gatepost why anna@corp.example --flag TikTok=enforce --unknown stale=deny
      gatepost why anna@corp.example --with-ban "Old chat=android:org.example.chat" --reason "ticket 4711"
    """
    thought = {"with_ban": with_ban, "with_app": with_app, "without_app": without_app, "flag": flag, "unknown": unknown}
    asked = {"user": user, "device": device, "protocol": protocol.value, "certificate": certificate, "reason": reason}
    with desk.api() as api:
        answer = api.get(
            "/why",
            policy=policy or None,
            at=moment_of(at) if at else None,
            **asked,
            **{key: values or [] for key, values in thought.items()},
        )
    if desk.as_json:
        desk.show(answer)
        return
    if answer["kept_since"]:
        desk.note(f"as it was at {output.moment(answer['at'])}, by what was known and in force then")
    if answer["what_if"]:
        desk.note("as if that were so; nothing was changed")
    devices = [each for each in answer["answers"] if each["device"]]
    if plain:
        _show_plain(devices if device or len(devices) == 1 else answer["answers"])
        return
    if certificate or device or len(devices) == 1:
        _show_one(answer, answer["answers"][0] if certificate else devices[0])
        return
    _show_all(answer)


def _tell_demand(answer: dict[str, Any]) -> None:
    shown = {
        "certificate": "a client certificate",
        "credential": "a device credential",
        "either": "a client certificate or a device credential",
    }
    if answer.get("demand") in shown:
        print(f"By {answer['protocol']} nobody gets in without {shown[answer['demand']]} ([identity] demand).")


def _show_plain(answers: list[dict[str, Any]]) -> None:
    for place, each in enumerate(answers):
        if len(answers) > 1:
            print(f"{'' if place == 0 else chr(10)}{output.harmless(each['device']) or 'without a device'}:")
        for sentence in each["plain"]:
            print(output.harmless(sentence))


def _show_all(answer: dict[str, Any]) -> None:
    rows = [(each["device"] or "(any)", each["effect"], each["headline"]) for each in answer["answers"]]
    known = "" if answer["known"] else ", not known from any import or report"
    print(
        f"{output.harmless(answer['person'])}{known}; policy version {answer['policy']['number']}, {answer['protocol']}"
    )
    _tell_demand(answer)
    output.print_rows(output.Rows(("device", "answer", "why"), rows))


def _show_one(answer: dict[str, Any], why: dict[str, Any]) -> None:
    now, policy, setter = answer["at"], answer["policy"], why["flag_set_by"]
    print(output.harmless(why["headline"]))
    _tell_demand(answer)
    output.print_pairs(
        [
            ("answer", why["effect"]),
            ("rule", why["reason"]),
            ("would be", _would(why)),
            ("posture", why["posture"]),
            ("causes", why["causes"]),
            ("app", _app(why["app"] or why["would"]["app"])),
            ("ban", why["ban"] or why["would"]["ban"]),
            ("flag", why["flag"] or ""),
            ("  set by", f"{setter['author']}, {_when(setter, now)}{_by_change(setter)}" if setter else ""),
            ("user", answer["person"] + ("" if answer["known"] else " (not known from any import or report)")),
            ("groups", answer["groups"]),
            ("device", why["device"]),
            ("identity", why["identity"]),
            ("credentials", why["credentials"]),
            ("binding", why["binding"]),
            *(("report", _report(each, now)) for each in why["evidence"]),
            ("kept hits", why["tombstones"] or ""),
            ("policy", f"{_applied(policy)}, {_when(policy, now)}: {policy['summary']}"),
            ("  by", _by_change(policy).removeprefix(", ")),
            ("next change", _next(why, now)),
            *(("allow if", way) for way in why["would_allow"]),
            ("text", why["note"]),
        ]
    )


def _when(version: dict[str, Any], now: str) -> str:
    return f"version {version['number']}, {output.ago(version['created_at'], now)}"


def _applied(version: dict[str, Any]) -> str:
    change = version["change"]
    return f"applied by {change['applied_by'] if change else version['author']}"


def _by_change(version: dict[str, Any]) -> str:
    """The change behind a version, as far as it says more than the version."""
    change = version["change"]
    if change is None:
        return ""
    stage = f", stage {change['stage']} of {change['stages']}" if change["stages"] > 1 and change["stage"] else ""
    withdrawn = "withdrawal of " if change["withdrawn"] else ""
    agreed = f", approved by {', '.join(change['approved_by'])}" if change["approved_by"] else ""
    return f", {withdrawn}change {change['number']} by {change['author']}{stage}{agreed}"


def _would(why: dict[str, Any]) -> str:
    would = why["would"]
    return f"{would['effect']} ({would['reason']}) if enforced" if would["effect"] != why["effect"] == "allow" else ""


def _app(app: dict[str, Any] | None) -> str:
    if app is None:
        return ""
    version = f" {app['version']}" if app["version"] else ""
    return f"{app['name'] or app['id']}{version} ({app['platform']}:{app['id']})"


def _report(evidence: dict[str, Any], now: str) -> str:
    words = [
        f"{evidence['source']} {evidence['source_device']}, {output.ago(evidence['reported_at'], now)}",
        f"scope {evidence['scope']}",
        f"{evidence['apps']} apps",
        f"stale {output.ago(evidence['stale_at'], now)}" if evidence["stale_at"] else "",
        "no full list yet" if evidence["full_list_at"] is None else "",
        "suspiciously short" if evidence["suspicious"] else "",
        "compromised" if evidence["compromised"] else "",
        "not compliant" if evidence["compliant"] is False else "",
    ]
    return ", ".join(word for word in words if word)


def _next(why: dict[str, Any], now: str) -> str:
    if not why["next_change_at"]:
        return "by news only"
    return (
        f"{output.moment(why['next_change_at'])} ({output.ago(why['next_change_at'], now)}): then {why['next_effect']}"
    )
