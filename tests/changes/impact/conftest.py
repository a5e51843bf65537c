"""A whole inventory side over each store: reports, people, bindings, sightings (``tests.inventory.chain``)."""

from tests.inventory.conftest import chain, store

__all__ = ["chain", "store"]
