"""Errors of the core.

Each carries one sentence for the person who caused it, with the remedy. A denial is never an error: it is a
``Verdict``. What the peer got wrong is an ``InvalidValue``; edges turn it into their protocol's own words.
"""


class DomainError(Exception):
    """Base of every error the core raises on purpose."""


class InvalidValue(DomainError):  # noqa: N818  (reads as a statement at the raise site)
    """A value from outside does not have the form it must have."""
