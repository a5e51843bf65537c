"""``gatepost ban presets`` and ``gatepost ban import-preset``: published ban lists."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gateway.cli.change_words import print_change
from gateway.cli.client import segment
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed, Waits, still_stands
from gateway.cli.output import Rows
from gateway.cli.policy_edits import confirm_and_apply, see_that_nothing_stops
from gateway.cli.telling import telling_of
from gateway.domain.bans import Flag


def presets(
    desk: Desk,
    name: Annotated[str, typer.Option("--show", metavar="PRESET", help="One list with its entries and sources.")] = "",
) -> None:
    """List the published ban lists that come with Gatepost, and how many of their apps are recognised.

    \b
    Examples:
      gatepost ban presets
      gatepost ban presets --show india-2020-06-29
    """
    with desk.api() as api:
        answer = api.get(f"/ban-presets/{segment(name)}") if name else api.get("/ban-presets")
    if name:
        desk.show(answer, text=_heading(answer), rows=_entries(answer["entries"]))
        return
    rows = [
        (each["name"], each["apps"], each["android"], each["ios"], each["unrecognised"], each["title"])
        for each in answer["presets"]
    ]
    desk.show(answer, rows=Rows(("preset", "apps", "android", "ios", "unrecognised", "what"), rows))


def import_preset(
    desk: Desk,
    name: Annotated[str, typer.Argument(metavar="PRESET", help="Name of the list: gatepost ban presets.")],
    flag: Annotated[Flag, typer.Option("--flag", help="What the bans do at first.")] = Flag.REPORT_ONLY,
    groups: Annotated[
        list[str] | None, typer.Option("--group", metavar="GROUP", help="Only for its members. Repeatable.")
    ] = None,
    variants: Annotated[bool, typer.Option("--variants", help="Lite and other editions, too; less checked.")] = False,
    text: Annotated[str, typer.Option("--text", help="For people who are refused: why, and what to do.")] = "",
    note: Annotated[str, typer.Option("--note", help="For the change.")] = "",
) -> None:
    """Ban what is recognised of a published list: a change with its preview, applied if you say so.

    Without a yes, or where nobody can be asked, it stays previewed and is in force for nobody.

    \b
    Examples:
      gatepost ban import-preset india-2020-06-29
      gatepost ban import-preset us-federal-tiktok --variants --flag enforce --group "field staff"
    """
    body = {"flag": flag.value, "groups": groups or [], "variants": variants, "text": text, "note": note}
    with desk.api("computing what it would do") as api:
        answer = api.post(f"/ban-presets/{segment(name)}/import", body)
        seen = api.get(f"/changes/{answer['change']}") if answer["change"] else None
        telling = telling_of(desk, api, seen) if seen is not None else None
    for warning in answer["warnings"]:
        desk.warn(warning)
    if desk.as_json:
        desk.show(_applied_if_so(desk, answer))
        return
    desk.show(answer, text="\n".join(_proposed(answer)))
    if answer["left_out"]:
        print("\nnot recognised and not banned; the ids are unconfirmed, check them by hand:")
        desk.show(answer, rows=_entries(answer["left_out"]))
    if seen is not None:
        print()
        print_change(seen, telling)
        print()
        _ask(desk, {**seen, "refusal": answer["refusal"]})


def _applied_if_so(desk: Desk, answer: dict[str, Any]) -> dict[str, Any]:
    if answer["change"] is None:
        return answer
    see_that_nothing_stops(answer)
    if not desk.yes:
        return answer
    try:
        with desk.api() as api:
            return {**answer, "applied": api.post(f"/changes/{answer['change']}/apply", {})}
    except Waits:
        raise
    except Failed as error:
        raise still_stands(error, answer["change"]) from None


def _ask(desk: Desk, seen: dict[str, Any]) -> None:
    see_that_nothing_stops(seen)
    if desk.yes or desk.somebody_is_there:
        confirm_and_apply(desk, seen, rejected_otherwise=False)
    else:
        print(f"nothing is in force yet; now: gatepost apply {seen['number']}")


def _heading(preset: dict[str, Any]) -> str:
    lines = [f"{preset['title']}: {_recognised(preset)}", preset["about"]]
    return "\n".join([*lines, *(f"source: {each}" for each in preset["sources"]), " "])


def _recognised(preset: dict[str, Any]) -> str:
    return (
        f"of {preset['apps']} apps {preset['android']} are recognised on Android, {preset['ios']} on iOS,"
        f" {preset['unrecognised']} not at all"
    )


def _proposed(answer: dict[str, Any]) -> Iterator[str]:
    yield f"{answer['name']}: {_recognised(answer)}"
    for each in answer["already"]:
        yield f"{each['app']} falls under ban {each['ban']} already ({each['flag']}): left as it is"
    if answer["change"] is None:
        yield "nothing to change: what is recognised is banned already"


def _entries(entries: list[dict[str, Any]]) -> Rows:
    rows = []
    for each in entries:
        ids = ", ".join([*each["ids"], *(f"{variant} (variant)" for variant in each["variants"])]) or "-"
        rows.append((each["app"], ids, ", ".join(each["candidates"]) or "-", each["note"] or "-"))
    return Rows(("app", "recognised by", "unconfirmed", "note"), rows)
