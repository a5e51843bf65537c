"""Where in the audit log a moment is; entries are in the order in which they were written down."""

import json

from gateway.ports.store import Reading


async def number_before(reading: Reading, moment: str, size: int) -> int:
    """The number of an entry before which all are earlier than ``moment`` (as ``moment_text`` has it).

    ``size``: the number of the newest entry.
    """
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        rows = await reading.audit_entries(middle, 1)
        at = str(json.loads(rows[0].entry).get("at", "")) if rows else ""
        if rows and at < moment:
            low = rows[0].seq
        else:
            high = middle
    return low
