"""How a command ends when it cannot do what it was asked: one clear sentence, exit 1."""


class Failed(Exception):  # noqa: N818  (an end, not a mistake)
    """Refused or failed; the text is the sentence that the operator reads."""
