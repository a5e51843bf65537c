"""Texts that every database can hold: PostgreSQL takes no U+0000, and whoever sends one is told so before all else.

What stands behind this in ``ports.store`` is ``Unstorable``, of one database only and when much is done already.
"""

import re

from fastapi import Depends, Request

from gateway.admin.api.problems import Refused

_ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
"""U+0000 as JSON writes it (RFC 8259 7): behind another backslash it is none."""


async def _storable(request: Request) -> None:
    path, query = request.scope["path"], request.scope["query_string"]
    # The body has been read already for the route.
    if "\0" in path or b"\0" in query or b"%00" in query or _ESCAPED.search(await request.body()):
        raise Refused(
            422, "invalid_value", "the character U+0000 stands in a text, and no text may hold it: leave it out"
        )


Storable = Depends(_storable)
"""For every router of ``/api/v1``."""
