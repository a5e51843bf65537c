"""Every kind of fault; to import it registers all of them."""

from tests.faults import (
    cache_faults,
    clock_faults,
    flood_faults,
    postgres_faults,
    process_faults,
    store_faults,
    upstream_faults,
)

KINDS = (process_faults, cache_faults, store_faults, postgres_faults, upstream_faults, clock_faults, flood_faults)
