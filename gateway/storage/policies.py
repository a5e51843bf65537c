"""``PolicyVersion`` as JSON and back, strictly: what is stored is what was decided, to the letter.

Decoding checks every type and refuses a field it does not know: a newer version's ban must not be half understood.
Encoding proves that the document reads back as the same value. Fields added later need defaults that mean what the
documents before them meant.
"""

import msgspec

from gateway.domain.policy import PolicyVersion
from gateway.storage.rows import DAMAGED, Unreadable

FORMAT = 1


class PolicyDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The document around a version."""

    format: int
    policy: PolicyVersion


_decoder = msgspec.json.Decoder(PolicyDocument)
_encoder = msgspec.json.Encoder(order="sorted")


def encode_policy(version: PolicyVersion) -> str:
    """The version as JSON. Raises ``ValueError`` when the document would not read back as the same value."""
    text = _encoder.encode(PolicyDocument(FORMAT, version)).decode()
    try:
        same = decode_policy(text) == version
    except Unreadable as error:
        raise ValueError(f"policy version {version.number} cannot be stored: {error}") from error
    if not same:
        raise ValueError(f"policy version {version.number} does not read back as the same value")
    return text


def decode_policy(text: str) -> PolicyVersion:
    """The version of a document that ``encode_policy`` made. Raises ``Unreadable``."""
    try:
        document = _decoder.decode(text)
        stated = msgspec.json.decode(text)
    except DAMAGED as error:
        raise Unreadable(f"a policy version that this Gatepost cannot read: {error}") from error
    if document.format != FORMAT:
        raise Unreadable(f"a policy version of format {document.format}; this Gatepost reads {FORMAT}")
    unknown = _unknown_field(stated, msgspec.to_builtins(document))
    if unknown:
        raise Unreadable(f"a policy version with the field {unknown}, which this Gatepost does not know")
    return document.policy


def _unknown_field(stated: object, understood: object, path: str = "") -> str:
    """The first field of the document that its decoding dropped; empty when there is none."""
    if isinstance(stated, dict) and isinstance(understood, dict):
        for name, value in stated.items():
            if name not in understood:
                return f"{path}{name}"
            if found := _unknown_field(value, understood[name], f"{path}{name}."):
                return found
    elif isinstance(stated, list) and isinstance(understood, list | tuple):
        for value, other in zip(stated, understood, strict=False):
            if found := _unknown_field(value, other, path):
                return found
    return ""
