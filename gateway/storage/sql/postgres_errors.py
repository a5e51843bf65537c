"""What PostgreSQL refuses, each as one clear sentence with the remedy, by SQLSTATE.

See PostgreSQL's appendix A for the codes. The server's own words are repeated only where we have none: its first line
holds no values of rows; its details may, and are left out.
"""

import os
import ssl
from collections.abc import Iterable

import asyncpg

from gateway.ports.store import StoreUnavailable
from gateway.storage.sql.postgres_url import PostgresTarget

AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What asyncpg raises beside what SQLAlchemy wraps: also while it connects, and when an answer does not come."""
_DATABASE = "the database {place} "
_SENTENCES = {
    "25006": "is read-only, as a standby is: name the primary in [storage] url, or all servers of the group",
    "25P03": "has ended a transaction of ours that did nothing for too long; this process was held up",
    "40001": "could not decide between two changes at once: send it again",
    "40P01": "could not decide between two changes at once: send it again",
    "42501": "does not allow this role what it needs ({words}): make the role the owner of the database",
    "42P01": "has lost a table of Gatepost ({words}): restore a backup",
    "53100": "has no room left on its disk: make room",
    "53200": "has no memory left: give its server more",
    "53300": "has no connection left: raise max_connections there, or run fewer workers",
    "55P03": "is held by another process for too long: look for a long transaction of another program",
    "57014": "has taken too long for one statement: look at the load of its server",
    "57P01": "was shut down, or ended the connection",
    "57P02": "has crashed and recovers",
    "57P03": "is starting, or shutting down",
    "XX001": "is damaged: restore a backup",
    "XX002": "has a damaged index: REINDEX it",
}
_REFUSALS = {
    "28P01": "does not accept the password of the user{user}: correct it in [storage] url",
    "28000": "does not let the user{user} in ({words}): see pg_hba.conf there, and [storage] url",
    "3D000": "does not exist on that server: create it (docs/operating.md has the commands), or correct [storage] url",
}


def sentence_for(error: BaseException, place: str) -> str:
    """What a driver's error means; ``place`` names the database without secrets."""
    state, words = getattr(error, "sqlstate", None), _words(error)
    sentence = _SENTENCES.get(str(state))
    if sentence is not None:
        return (_DATABASE + sentence).format(place=place, words=words)
    if isinstance(error, TimeoutError):
        return f"the database {place} gives no answer in time"
    if is_a_value(error):
        # These texts repeat the value.
        return f"the database {place} cannot hold a value that it was given ({type(error).__name__})"
    return f"the database {place} does not answer: {words}"


def is_a_value(error: BaseException) -> bool:
    """Whether a value is to blame, and not the database: one that it cannot hold, or look for."""
    return isinstance(error, asyncpg.DataError) or str(getattr(error, "sqlstate", None)).startswith("22")


def connecting(error: BaseException, target: PostgresTarget) -> StoreUnavailable:
    """Why one server could not be connected to."""
    user = f" {target.user}" if target.user else ""
    if refusal := _REFUSALS.get(str(getattr(error, "sqlstate", None))):
        return StoreUnavailable((_DATABASE + refusal).format(place=target.place, user=user, words=_words(error)))
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return StoreUnavailable((_DATABASE + _SENTENCES["25006"]).format(place=target.place))
    if isinstance(error, ssl.SSLCertVerificationError):
        return StoreUnavailable(
            f"the certificate of the database {target.place} is not trusted ({error.verify_message.rstrip('.')}): "
            "name its authority by sslrootcert=FILE and the host as the certificate does in [storage] url"
        )
    if isinstance(error, ssl.SSLError):
        return StoreUnavailable(f"TLS with the database {target.place} fails: {_words(error)}")
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return StoreUnavailable(
            f"the database {target.place} offers no TLS: turn ssl on there, "
            "or write sslmode=disable into [storage] url where the network is trusted"
        )
    return StoreUnavailable(sentence_for(error, target.place))


def most_telling(errors: Iterable[StoreUnavailable]) -> StoreUnavailable:
    """Of several servers' errors the one to show: one that answered before those that are away, the first of them."""
    ordered = sorted(errors, key=lambda error: "does not answer" in str(error) or "no answer" in str(error))
    return ordered[0]


def _words(error: BaseException) -> str:
    """The first line of an error's text, or what kind it is."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        # The event loop's own text repeats the address.
        return os.strerror(error.errno).lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
