"""The shared cache and the fast feed on Redis or Valkey: accelerators, never the truth."""

from gateway.storage.redis.connection import RedisConnection
from gateway.storage.redis.effects import EffectReceiver, EffectSender
from gateway.storage.redis.embedded import BinaryMissing, EmbeddedFailed, EmbeddedValkey, find_binary
from gateway.storage.redis.feed import RedisPublisher, RedisSubscription
from gateway.storage.redis.marks import RedisMarks
from gateway.storage.redis.records import RedisRecords
from gateway.storage.redis.sightings import SightingReceiver, SightingSender
from gateway.storage.redis.worker_statuses import RedisWorkerStatuses

__all__ = [
    "BinaryMissing",
    "EffectReceiver",
    "EffectSender",
    "EmbeddedFailed",
    "EmbeddedValkey",
    "RedisConnection",
    "RedisMarks",
    "RedisPublisher",
    "RedisRecords",
    "RedisSubscription",
    "RedisWorkerStatuses",
    "SightingReceiver",
    "SightingSender",
    "find_binary",
]
