"""Log lines that anybody can cause come at a bounded rate; the next one that passes says how many were left out.

Only for events that need no accepted credentials and no edit: a refusal, a cut or a change of the policy is always
written. What libraries log by the standard library is paced as well, by the library's name for its logger.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from structlog.typing import EventDict, WrappedLogger

PACED = frozenset(
    (
        "accept_failed",
        "api_failed",
        "api_store_unavailable",
        "asker_misconfigured",
        "asker_not_authentic",
        "autodiscover_not_understood",
        "certificate_wrong",
        "credential_check_impossible",
        "credential_check_not_possible",
        "credential_wrong",
        "login_put_off",
        "mail_server_unwatchable",
        "open_files_exhausted",
        "operator_refused",
        "proxy_header_refused",
        "receiver_failed",
        "record_load_failed",
        "report_not_authentic",
        "report_not_stored",
        "report_unreadable",
        "sighting_unreadable",
        "source_secret_unusable",
        "too_many_devices",
        "upstream_lost",
        "upstream_unavailable",
    )
)
BURST = 60.0
PER_SECOND = 1.0
KEYS_MOST = 200
LEFT_OUT = "left_out"


def said(record: logging.LogRecord) -> str:
    """What a library's line says, also where its message and arguments don't fit each other; never raises."""
    try:
        return record.getMessage()
    except Exception as error:
        message = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        return f"{message} (arguments do not fit: {type(error).__name__})"


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    left_out: int = 0


class LogPace:
    """Token buckets by event; one per process. A structlog processor, and a filter of the standard library."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._buckets: dict[str, _Bucket] = {}

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        """Pass on, or drop."""
        key = str(event.get("event"))
        if key not in PACED:
            return event
        left_out = self.taken(key)
        if left_out is None:
            raise structlog.DropEvent
        return {**event, LEFT_OUT: left_out} if left_out else event

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a library's line passes."""
        left_out = self.taken(f"logger:{record.name}")
        if left_out:
            record.msg, record.args = f"{said(record)} ({left_out} lines left out before)", ()
        return left_out is not None

    def taken(self, key: str) -> int | None:
        """How many lines were left out since the last one; None: this one is left out, too."""
        bucket, now = self._bucket(key), self._now()
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) * PER_SECOND)
        bucket.at = now
        if bucket.tokens < 1.0:
            bucket.left_out += 1
            return None
        bucket.tokens -= 1.0
        left_out, bucket.left_out = bucket.left_out, 0
        return left_out

    def _bucket(self, key: str) -> _Bucket:
        found = self._buckets.get(key)
        if found is None:
            # Events and loggers are named in code, so they are few; should a library invent names, they share one.
            key = key if len(self._buckets) < KEYS_MOST else "others"
            found = self._buckets.setdefault(key, _Bucket(BURST, self._now()))
        return found
