"""The reference implementation of the store, in memory."""

from gateway.storage.memory.store import MemoryStore

__all__ = ["MemoryStore"]
