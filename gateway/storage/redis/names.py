"""The names of everything kept in Redis.

``gp:{incarnation of the store}:{run id of the server}:`` holds what is worth something only in this life of both: a
copy from an earlier life stands under a name nobody reads. The two streams are named without them, because their
messages carry the incarnation and their readers begin at the newest position, and so is what workers say of themselves,
which is renewed, and marks, which decide nothing. Two installations share a server by
different database numbers.
"""

FEED = "gp:feed"
SIGHTINGS = "gp:sightings"
EFFECTS = "gp:effects"
EFFECTS_TAKEN = "gp:effects:taken"
EFFECTS_ADDED = "gp:effects:added"
EFFECTS_COUNTED = "gp:effects:counted"
WORKERS = "gp:workers"
SESSIONS = "gp:sessions"


def mark_key(name: str) -> str:
    """A mark: of no life in particular, since one too many says nothing wrong."""
    return f"gp:mark:{name}"


def life(incarnation: str, run_id: str) -> str:
    """The prefix of one life."""
    return f"gp:{incarnation}:{run_id[:12]}:"


def record_key(prefix: str, login: str) -> str:
    """A person's record."""
    return f"{prefix}p:{login}"


def published_key(prefix: str) -> str:
    """The newest sequence published in this life."""
    return f"{prefix}seq"


def floor_key(prefix: str) -> str:
    """The sequence of the last change of everybody: records older than it count for nothing."""
    return f"{prefix}floor"
