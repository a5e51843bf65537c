"""``PolicyChange`` as JSON and back, strictly, as ``policies`` does it with policy versions.

What kind of value a touched part has follows from the part's name. Encoding proves that the document reads back as
the same value.
"""

from dataclasses import fields
from typing import Any

import msgspec

from gateway.domain.change import PolicyChange
from gateway.domain.notice import Tell
from gateway.domain.policy import Exemption, NewDeviceGrace, OutlookMobile, Unavailable, UnknownSetting
from gateway.domain.policy_parts import FlagPart, PartValue, Recognition, Touch
from gateway.storage.rows import DAMAGED, Unreadable

FORMAT = 1

_KINDS: dict[str, Any] = {
    "enforcement": bool,
    "grace": NewDeviceGrace,
    "outlook_mobile": OutlookMobile,
    "unavailable": Unavailable,
    "unknown": UnknownSetting,
    "ban": Recognition,
    "flag": FlagPart,
    "exemption": Exemption,
}

_LATER: dict[str, Any] = {"tell": Tell | None, "own_starts_at": float | None}
"""Fields that came later: while one is None it is not written, so that the version before reads the document."""

# Everything but the touches, whose values have a type for each part.
_REST = msgspec.defstruct(
    "ChangeDocument",
    [
        ("format", int),
        ("touches", list[tuple[str, msgspec.Raw, msgspec.Raw]]),
        *(
            (each.name, PolicyChange.__annotations__[each.name])
            for each in fields(PolicyChange)
            if each.name not in ("touches", *_LATER)
        ),
        *((name, kind, None) for name, kind in _LATER.items()),
    ],
    frozen=True,
    forbid_unknown_fields=True,
)
_decoder = msgspec.json.Decoder(_REST)
_encoder = msgspec.json.Encoder(order="sorted")


def encode_policy_change(change: PolicyChange) -> str:
    """The change as JSON. Raises ``ValueError`` when the document would not read back as the same value."""
    document = {each.name: getattr(change, each.name) for each in fields(PolicyChange)}
    document = {name: value for name, value in document.items() if name not in _LATER or value is not None}
    document["touches"] = [(touch.part, touch.before, touch.after) for touch in change.touches]
    text = _encoder.encode({"format": FORMAT, **document}).decode()
    try:
        same = decode_policy_change(text) == change
    except Unreadable as error:
        raise ValueError(f"change {change.number} cannot be stored: {error}") from error
    if not same:
        raise ValueError(f"change {change.number} does not read back as the same value")
    return text


def decode_policy_change(text: str) -> PolicyChange:
    """The change of a document that ``encode_policy_change`` made. Raises ``Unreadable``."""
    try:
        document: Any = _decoder.decode(text)
        touches = tuple(
            Touch(part, _value(part, before), _value(part, after)) for part, before, after in document.touches
        )
    except (*DAMAGED, KeyError) as error:
        raise Unreadable(f"a change that this Gatepost cannot read: {error}") from error
    if document.format != FORMAT:
        raise Unreadable(f"a change of format {document.format}; this Gatepost reads {FORMAT}")
    rest = {each.name: getattr(document, each.name) for each in fields(PolicyChange) if each.name != "touches"}
    return PolicyChange(touches=touches, **rest)


def _value(part: str, raw: msgspec.Raw) -> PartValue | None:
    kind = _KINDS[part.partition(":")[0]]
    value: PartValue | None = msgspec.json.decode(raw, type=kind | None if kind is not bool else bool | None)
    return value
