"""What a phone says about itself: DeviceInformation, in Settings from 12.0 and in Provision from 14.1 on.

[MS-ASCMD] 2.2.3.45, [MS-ASPROV] 2.2.2.53. Self-asserted and never trusted for an ALLOW: it is for people to look at,
and for noticing that it contradicts the inventory.
"""

from typing import Final

from gateway.protocols.activesync.code_pages import TAGS
from gateway.protocols.activesync.commands import ROOTS, Command
from gateway.protocols.activesync.wbxml import Element, Limits, WbxmlError, decode

BODY_LONGEST: Final = 64 << 10
"""Octets of a Settings or Provision request that are looked at; a Settings request may carry out-of-office texts."""
VALUE_LONGEST: Final = 1024
"""Characters that are kept of a value, [MS-ASCMD] 2.2.3.113."""

FIELDS: Final = (
    *("Model", "IMEI", "FriendlyName", "OS", "OSLanguage", "PhoneNumber", "UserAgent"),
    *("EnableOutboundSMS", "MobileOperator"),
)
"""The fields there are, by the names of their tags."""

_LIMITS = Limits(body_bytes=BODY_LONGEST, depth=16, elements=2000, string_bytes=BODY_LONGEST)
_ROOTS = frozenset((ROOTS[Command.SETTINGS], ROOTS[Command.PROVISION]))
_DEVICE_INFORMATION = TAGS["Settings", "DeviceInformation"]
_SET = TAGS["Settings", "Set"]
_NAME_OF = {TAGS["Settings", name]: name for name in FIELDS}


def read(body: bytes) -> dict[str, str] | None:
    """The fields of a Settings or Provision request, by name; None when it has none or cannot be read. Never raises.

    Values are cleaned of control characters, cut to ``VALUE_LONGEST`` and left out when empty; of a field given twice
    the first counts.
    """
    try:
        root = decode(body, _LIMITS)
    except WbxmlError:
        return None
    if (root.page, root.tag) not in _ROOTS:
        return None
    information = root.child(*_DEVICE_INFORMATION)
    told = information.child(*_SET) if information is not None else None
    return (_fields(told) or None) if told is not None else None


def _fields(told: Element) -> dict[str, str]:
    fields: dict[str, str] = {}
    for element in told.children:
        name = _NAME_OF.get((element.page, element.tag))
        value = _cleaned(element.characters()) if name is not None else ""
        if name is not None and value:
            fields.setdefault(name, value)
    return fields


def _cleaned(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * VALUE_LONGEST])
    return " ".join(printable.split())[:VALUE_LONGEST]
