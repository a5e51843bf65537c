"""Where workers listen, by part: what the supervisor needs to know of the fronts, which it never loads itself.

The fronts behind these names are the rows of ``fronts``.
"""

from gateway.settings import Settings

PARTS = ("http", "imap", "pop3", "smtp", "authz", "haproxy", "postfix", "envoy")
"""Sections of the settings with ``listen``."""


def listens_of(settings: Settings) -> dict[str, list[str]]:
    """Where workers listen, by part; one that is off is left out, so that a version without it can be upgraded."""
    listens = {part: getattr(settings, part).listen for part in PARTS}
    return {part: urls for part, urls in listens.items() if urls or part == "http"}


def served_by_one(settings: Settings) -> tuple[str, ...]:
    """Parts that one worker serves for all: a map of HAProxy has one hand that writes it."""
    return ("haproxy",) if settings.haproxy.map else ()
