"""How a command ends when what it was asked is not done: one clear sentence, and an exit status that says which way."""

from typing import Any


class Failed(Exception):  # noqa: N818  (an end, not a mistake)
    """Refused or failed; the text is the sentence that the operator reads."""

    code = 1


class Waits(Failed):
    """It stands as a change that waits for a second person. ``answer``: the API's, for programs."""

    code = 3

    def __init__(self, sentence: str, answer: dict[str, Any]) -> None:
        super().__init__(sentence)
        self.answer = answer


def see_that_done(answer: dict[str, Any], then: str = "") -> None:
    """``Waits`` where the answer to a guarded action says that it waits; ``then``: what follows the second person."""
    if answer.get("change") is not None:
        raise Waits(answer["sentence"] + then, answer)
