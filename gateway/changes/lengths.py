"""Lengths of time as people write them: ``90s``, ``30m``, ``12h``, ``2d``, ``1w``. Pure, both ways."""

import re

from gateway.domain.errors import InvalidValue

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_LENGTH = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smhdw])")


def seconds_of(text: str) -> float:
    """The length in seconds. Raises ``InvalidValue``."""
    found = _LENGTH.fullmatch(text.strip())
    if not found:
        raise InvalidValue(f"{text!r} is no length of time: write 30m, 12h, 2d or 1w")
    return float(found[1]) * _UNITS[found[2]]


def length_of(seconds: float) -> str:
    """The shortest way to write that many seconds, to the thousandth of a second."""
    for unit in ("w", "d", "h", "m"):
        count = seconds / _UNITS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
