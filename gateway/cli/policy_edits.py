"""How an edit of the policy goes: what it would do is shown, then asked, then it is applied on all workers.

Held back by ``?hold=true`` it is a change with a number that nobody sees anything of; the answer to the question
applies or rejects it, or leaves it to a second person. What merely turns a flag down is done at once and asks nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NoReturn

import typer

from gateway.cli.change_words import device_words, print_change, share_words
from gateway.cli.client import AdminClient
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed, Waits, left_behind, still_stands
from gateway.cli.output import moment
from gateway.cli.telling import telling_of

Send = Callable[[AdminClient, dict[str, Any]], dict[str, Any]]
"""Sends the edit with that query."""


def carry_out(desk: Desk, send: Send) -> None:
    """Make an edit; ``Failed`` where it is refused or not confirmed, ``Waits`` where it is left to a second person."""
    if desk.yes:
        try:
            with desk.api("waiting for the workers") as api:
                answer = send(api, {})
        except Waits as waits:
            raise left_behind(str(waits), waits.answer) from None
        show_applied(desk, answer)
        return
    with desk.api("computing what it would do") as api:
        held = send(api, {"hold": "true"})
        telling = telling_of(desk, api, held) if "number" in held else None
    if "policy_version" in held:
        show_applied(desk, held)
        return
    for warning in held["warnings"]:
        desk.warn(warning)
    if not desk.as_json:
        print_change(held, telling)
    if held["refusal"]:
        _leave_to_a_second_person(desk, held)
    confirm_and_apply(desk, held)


def _leave_to_a_second_person(desk: Desk, held: dict[str, Any]) -> NoReturn:
    """Ask whether it shall wait for one; ``Waits``, or it is rejected: what nobody wants is not left behind."""
    for each in held["guards"]:
        desk.warn(each["detail"])
    with _rejected_unless_confirmed(desk, held["number"]):
        desk.confirm(f"Leave change {held['number']} to a second person, who may approve it?")
    raise left_behind(held["refusal"], {"change": held["number"], **held})


def confirm_and_apply(desk: Desk, held: dict[str, Any], *, rejected_otherwise: bool = True) -> None:
    """Ask, with the numbers in the question, and apply the change; otherwise it is rejected, or stays previewed."""
    see_that_nothing_stops(held)
    number = held["number"]
    with _rejected_unless_confirmed(desk, number) if rejected_otherwise else nullcontext():
        desk.confirm(f"Apply change {number}: {numbers_words(held)}?")
    try:
        with desk.api("waiting for the workers") as api:
            answer = api.post(f"/changes/{number}/apply", {"stage": 1})
    except Waits as waits:
        raise left_behind(str(waits), waits.answer) from None
    except Failed as error:
        raise still_stands(error, number) from None
    show_applied(desk, answer, unchanged_words(number, answer))


@contextmanager
def _rejected_unless_confirmed(desk: Desk, number: int) -> Iterator[None]:
    try:
        yield
    except (Failed, typer.Abort):
        with desk.api() as api:
            api.post(f"/changes/{number}/reject", {"reason": "not confirmed"})
        raise


def see_that_nothing_stops(held: dict[str, Any]) -> None:
    """``Waits`` where a second person has to approve a held change first."""
    if held["refusal"]:
        raise left_behind(held["refusal"], {"change": held.get("number"), **held})


def numbers_words(change: dict[str, Any]) -> str:
    """What a preview found, in one line."""
    seen = change["preview"] or {}
    return f"{share_words(seen, 'newly_cut')} newly cut, {share_words(seen, 'newly_admitted')} newly admitted"


def unchanged_words(number: int, answer: dict[str, Any]) -> str:
    """Of a stage or a withdrawal that made no version, and of an act beside the policy."""
    return f"change {number} ({answer.get('summary', '')}): done; the policy is as it was before"


def show_applied(desk: Desk, answer: dict[str, Any], otherwise: str = "nothing to change") -> None:
    """Print an ``Applied`` answer, or when the change comes; ``Failed`` names the silent workers."""
    if "comes_at" in answer:
        where = f"change {answer['change']} is {answer['state']}"
        desk.show(answer, text=f"{where}: {answer['detail']} ({moment(answer['comes_at'])})")
        return
    for warning in answer["warnings"]:
        desk.warn(warning)
    desk.show(answer, text="\n".join(_words(answer, otherwise)))
    if not answer["in_force"]:
        names = ", ".join(answer["silent"]) or "some that are not there"
        raise Failed(
            f"policy version {answer['policy_version']} is stored, but in force on {answer['in_force_on']} of"
            f" {answer['workers']} workers only; silent: {names}"
        )


def _words(answer: dict[str, Any], otherwise: str) -> Iterator[str]:
    version = f"policy version {answer['policy_version']}"
    yield answer["summary"] if answer["changed"] else otherwise
    if not answer["workers"]:
        yield f"{version} stored; no worker runs here to take it up"
    else:
        length = f"{answer['seconds'] * 1000:.0f} ms" if answer["seconds"] < 10 else f"{answer['seconds']:.0f} s"
        yield f"{version} in force on {answer['in_force_on']} of {answer['workers']} workers after {length}"
    if answer["newly_cut"] or answer["newly_admitted"]:
        yield f"{device_words(answer['newly_cut'])} newly cut, {answer['newly_admitted']:,} newly admitted"
