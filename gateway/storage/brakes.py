"""``Brake`` as JSON and back. Fields are only ever added, with defaults: version N and N + 1 read each other's."""

import msgspec

from gateway.domain.brake import Brake
from gateway.storage.rows import DAMAGED, Unreadable

_decoder = msgspec.json.Decoder(Brake)
_encoder = msgspec.json.Encoder(order="sorted")


def encode_brake(brake: Brake) -> str:
    """The brake as JSON."""
    return _encoder.encode(brake).decode()


def decode_brake(text: str) -> Brake:
    """The brake of a document that ``encode_brake`` made. Raises ``Unreadable``."""
    try:
        return _decoder.decode(text)
    except DAMAGED as error:
        raise Unreadable(f"a fleet brake that this Gatepost cannot read: {error}") from error
