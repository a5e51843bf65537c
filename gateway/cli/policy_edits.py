"""How an edit of the policy is answered: what changed, and on how many workers it is in force."""

from typing import Any

from gateway.cli.desk import Desk
from gateway.cli.failures import Failed


def show_applied(desk: Desk, answer: dict[str, Any]) -> None:
    """Print an ``Applied`` answer, or when it comes; ``Failed`` names the silent workers."""
    if "comes_at" in answer:
        desk.show(answer, text=answer["detail"])
        return
    for warning in answer["warnings"]:
        desk.warn(warning)
    desk.show(answer, text=_words(answer))
    if not answer["in_force"]:
        names = ", ".join(answer["silent"]) or "some that are not there"
        raise Failed(
            f"policy version {answer['policy_version']} is stored, but in force on {answer['in_force_on']} of"
            f" {answer['workers']} workers only; silent: {names}"
        )


def _words(answer: dict[str, Any]) -> str:
    if not answer["changed"]:
        begin = f"nothing to change\npolicy version {answer['policy_version']}"
    else:
        begin = f"{answer['summary']}\npolicy version {answer['policy_version']}"
    if not answer["workers"]:
        return f"{begin} stored; no worker runs here to take it up"
    length = f"{answer['seconds'] * 1000:.0f} ms" if answer["seconds"] < 10 else f"{answer['seconds']:.0f} s"
    return f"{begin} in force on {answer['in_force_on']} of {answer['workers']} workers after {length}"
