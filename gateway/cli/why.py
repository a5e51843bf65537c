"""``gatepost why``: why somebody has mail or not."""

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.desk import Desk
from gateway.domain.access import Protocol


def why(
    desk: Desk,
    user: Annotated[str, typer.Argument(help="The user, in any spelling: a, DOMAIN\\a, a@domain.")],
    device: Annotated[str, typer.Argument(help="ActiveSync DeviceId; without it all devices of the user.")] = "",
    protocol: Annotated[Protocol, typer.Option("--protocol", help="By which way in.")] = Protocol.ACTIVESYNC,
    certificate: Annotated[
        str, typer.Option("--certificate", metavar="TYPE:KEY", help="With a client certificate that names a device so.")
    ] = "",
) -> None:
    """Tell why a user or device is let through or refused, and what would change it.

    \b
    Examples:
      gatepost why anna@corp.example
      gatepost why anna@corp.example ApplDX3Q --json
      gatepost why anna@corp.example --protocol imap --certificate serial:F9FXJ0
    """
    with desk.api() as api:
        answer = api.get("/why", user=user, device=device, protocol=protocol.value, certificate=certificate)
    if desk.as_json:
        desk.show(answer)
        return
    devices = [each for each in answer["answers"] if each["device"]]
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
            ("  set by", f"{setter['author']}, {_when(setter, now)}" if setter else ""),
            ("user", answer["person"] + ("" if answer["known"] else " (not known from any import or report)")),
            ("groups", answer["groups"]),
            ("device", why["device"]),
            ("identity", f"{why['identity']} {' '.join(why['credentials'])}".rstrip()),
            ("binding", why["binding"]),
            *(("report", _report(each, now)) for each in why["evidence"]),
            ("kept hits", why["tombstones"] or ""),
            ("policy", f"applied by {policy['author']}, {_when(policy, now)}: {policy['summary']}"),
            ("next change", _next(why, now)),
            *(("allow if", way) for way in why["would_allow"]),
            ("text", why["note"]),
        ]
    )


def _when(version: dict[str, Any], now: str) -> str:
    return f"version {version['number']}, {output.ago(version['created_at'], now)}"


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
