"""How a command ends when what it was asked is not done: one clear sentence, and an exit status that says which way."""

from typing import Any


class Failed(Exception):  # noqa: N818  (an end, not a mistake)
    """Refused or failed; the text is the sentence that the operator reads."""

    code = 1


class Unclear(Failed):
    """No answer came to what was asked, or a broken server's, or that of something before it: it may have been done."""


class Waits(Failed):
    """It stands as a change that waits for a second person.

    ``answer``: the API's, for programs; ``note``: what else there is to know, for people.
    """

    code = 3

    def __init__(self, sentence: str, answer: dict[str, Any], note: str = "") -> None:
        super().__init__(sentence)
        self.answer = answer
        self.note = note


def left_behind(sentence: str, answer: dict[str, Any]) -> Waits:
    """What ends a command that leaves the change of ``answer`` to a second person, with the way to drop it."""
    return Waits(sentence, answer, f"to drop it: gatepost change reject {answer['change']}")


def reworded(error: Failed, sentence: str) -> Failed:
    """The same end in other words."""
    return Unclear(sentence) if isinstance(error, Unclear) else Failed(sentence)


def still_stands(error: Failed, number: int) -> Failed:
    """The same end of a command that has made a change before, with the way to see what became of that."""
    return reworded(error, f"{error}; where change {number} stands: gatepost change show {number}")


def see_that_done(answer: dict[str, Any], then: str = "") -> None:
    """``Waits`` where the answer to a guarded action says that it waits; ``then``: what follows the second person."""
    if answer.get("change") is not None:
        raise left_behind(answer["sentence"] + then, answer)
