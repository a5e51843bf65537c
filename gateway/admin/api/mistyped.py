"""Warnings about names that nobody has: an edit for a mistyped group or user is valid, and does nothing."""

from collections.abc import Sequence

from gateway.ports.store import Reading

PEOPLE_LOOKED_AT = 20_000
"""In search of members; in a larger company the rest is taken on trust."""


async def group_warnings(reading: Reading, groups: Sequence[str]) -> list[str]:
    """A sentence for each of ``groups`` that nobody known is in."""
    missing = dict.fromkeys(groups)
    after, looked_at = "", 0
    while missing and looked_at < PEOPLE_LOOKED_AT:
        page = await reading.people(after)
        if not page:
            return [f"nobody known is in group {name}" for name in missing]
        for person in page:
            for name in person.groups:
                missing.pop(name, None)
        after, looked_at = page[-1].person_id, looked_at + len(page)
    return []


async def user_warnings(reading: Reading, login: str) -> list[str]:
    """A sentence where no person of that canonical login is known."""
    if not login or await reading.person_by_login(login) is not None:
        return []
    return [f"no user {login} is known from any import or report"]
