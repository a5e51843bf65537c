"""``gatepost plan`` and ``gatepost policy export``: the policy as a file, and what an edited one would do."""

import os.path
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.changes.policy_file import LONGEST
from gateway.cli.change_words import print_change
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed, reworded
from gateway.cli.output import moment
from gateway.cli.telling import telling_of

OCTETS = LONGEST * 4
"""Of a file whose characters take four octets each."""


def plan(
    desk: Desk,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Policy file; - reads standard input.", allow_dash=True)],
) -> None:
    """Make a change of what a policy file says, and show what it would do. Nothing is in force before it is applied.

    A file holds all of a policy or only what is to change; what it does not name
    stays as it is. One that changes nothing says so.

    \b
    Examples:
      gatepost policy export policy.toml
      gatepost plan policy.toml
      gatepost apply 12
    """
    text = _read(file)
    answer = _planned(desk, file, text)
    change = answer["change"]
    if change is None:
        desk.show(answer, text=f"nothing to change: policy version {answer['policy_version']} is as {file} says")
        return
    for warning in change["warnings"]:
        desk.warn(warning)
    if desk.as_json:
        desk.show(answer)
        return
    with desk.api() as api:
        telling = telling_of(desk, api, change)
    print_change(change, telling)
    print()
    desk.show(answer, text="\n".join(_next(change)))


def _planned(desk: Desk, file: Path, text: str) -> dict[str, Any]:
    try:
        with desk.api("computing what it would do") as api:
            return api.post("/changes", {"toml": text})
    except Failed as error:
        # What is wrong with the file begins with its line.
        raise reworded(error, f"{file}, {error}" if str(error).startswith("line ") else str(error)) from None


def _next(change: dict[str, Any]) -> list[str]:
    number = change["number"]
    asked = [f"asks for a second person: {each['detail']}" for each in change["guards"]]
    if change["refusal"] and not asked:
        # Nobody's approval helps.
        return [f"nothing is in force yet, and this would not be applied: {change['refusal']}"]
    if asked:
        asked += [f"nothing is in force yet; now another person: gatepost approve {number}", "then"]
    else:
        asked = ["nothing is in force yet; now"]
    words = f"{asked[-1]}: gatepost apply {number}"
    if change["starts_at"]:
        words += f"; it comes then by itself at {moment(change['starts_at'])}"
    return [*asked[:-1], words]


def _read(file: Path) -> str:
    try:
        octets = sys.stdin.buffer.read(OCTETS + 1) if str(file) == "-" else _octets(file)
    except OSError as error:
        raise Failed(f"{file} cannot be read ({error.strerror}): name a policy file") from None
    if len(octets) > OCTETS:
        raise Failed(f"{file} is larger than a policy file may be ({LONGEST} characters): make two of it")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failed(f"{file} is no text in UTF-8 (octet {error.start}): save it as such") from None


def _octets(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(OCTETS + 1)


def export(
    desk: Desk,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to; without, it is printed.", show_default=False)
    ] = None,
) -> None:
    """Write the policy in force as a policy file, to be edited and planned.

    \b
    Examples:
      gatepost policy export
      gatepost policy export policy.toml
    """
    with desk.api() as api:
        answer = api.get("/policy-file")
    if file is None:
        if desk.as_json:
            desk.show(answer)
        else:
            # As it is, and not line by line: nothing in it steers a terminal, since TOML escapes what would.
            sys.stdout.write(answer["toml"])
        return
    if os.path.exists(file):
        desk.confirm(f"Write over {file}?")
    try:
        file.write_text(answer["toml"], "utf-8")
    except OSError as error:
        raise Failed(f"{file} cannot be written ({error.strerror}): name another place") from None
    desk.show({**answer, "file": str(file)}, text=f"policy version {answer['policy_version']} written to {file}")
