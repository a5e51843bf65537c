"""Texts that count how often they are compared: whether something looks at all of a list for each of its members."""


class CountedName(str):
    """Compares like any other text."""

    __slots__ = ()
    compared = 0
    """By all of them together; ``monkeypatch`` sets it back."""

    def __eq__(self, other: object) -> bool:
        CountedName.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__
