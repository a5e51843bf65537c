"""The shared cache and the fast feed on Redis or Valkey: accelerators, never the truth.

Names are found when they are asked for: the supervisor runs the embedded server and speaks with none, and need not wait
for a client library before it starts its children.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.storage.redis.connection import RedisConnection
    from gateway.storage.redis.effects import EffectReceiver, EffectSender
    from gateway.storage.redis.embedded import BinaryMissing, EmbeddedFailed, EmbeddedValkey, find_binary
    from gateway.storage.redis.erasing import RedisEraser
    from gateway.storage.redis.feed import RedisPublisher, RedisSubscription
    from gateway.storage.redis.marks import RedisMarks
    from gateway.storage.redis.names import SESSIONS
    from gateway.storage.redis.records import RedisRecords
    from gateway.storage.redis.sightings import SightingReceiver, SightingSender
    from gateway.storage.redis.worker_statuses import RedisWorkerStatuses

_WHERE = {
    "BinaryMissing": "embedded",
    "EffectReceiver": "effects",
    "EffectSender": "effects",
    "EmbeddedFailed": "embedded",
    "EmbeddedValkey": "embedded",
    "RedisConnection": "connection",
    "RedisEraser": "erasing",
    "RedisMarks": "marks",
    "RedisPublisher": "feed",
    "RedisRecords": "records",
    "RedisSubscription": "feed",
    "RedisWorkerStatuses": "worker_statuses",
    "SESSIONS": "names",
    "SightingReceiver": "sightings",
    "SightingSender": "sightings",
    "find_binary": "embedded",
}

__all__ = [
    "SESSIONS",
    "BinaryMissing",
    "EffectReceiver",
    "EffectSender",
    "EmbeddedFailed",
    "EmbeddedValkey",
    "RedisConnection",
    "RedisEraser",
    "RedisMarks",
    "RedisPublisher",
    "RedisRecords",
    "RedisSubscription",
    "RedisWorkerStatuses",
    "SightingReceiver",
    "SightingSender",
    "find_binary",
]


def __getattr__(name: str) -> object:
    try:
        module = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(f"{__name__}.{module}"), name)
