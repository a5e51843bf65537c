"""Logs: one event a line on standard error, JSON for machines or coloured text on a terminal, secrets masked.

Everything goes through structlog, also what libraries log by the standard library. A log line that cannot be written is
lost and nothing else: a full disk behind standard error, or a reader that hangs, must not stop mail (``lines``).
"""

import logging
import os
import sys
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime
from json import JSONEncoder

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.observability.lines import STDERR
from gateway.observability.log_pace import LogPace, said
from gateway.observability.secrets import masked, printable

log = structlog.get_logger()

TERMINAL_VARIABLE = "GATEPOST_TERMINAL"
"""Set by the supervisor for its children: their standard error is a pipe, its own a terminal."""


def wants_json(style: str) -> bool:
    """Whether to log JSON: ``style`` is ``json``, ``text`` or ``auto`` (text on a terminal)."""
    if style != "auto":
        return style == "json"
    return not (sys.stderr.isatty() or os.environ.get(TERMINAL_VARIABLE) == "1")


def configure_logging(level: str = "info", *, json: bool = True) -> None:
    """Set up logging for this process; may be called again."""
    number = logging.getLevelNamesMapping()[level.upper()]
    pace = LogPace()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        # What is written down later says itself when it happened.
        structlog.processors.MaybeTimeStamper(fmt="iso", utc=True),
        # Tracebacks without the values of variables: those may be anybody's mail or password.
        structlog.processors.format_exc_info,
        _mask,
    ]
    last: list[Processor] = [structlog.processors.JSONRenderer(_in_json)] if json else [_escape, _console()]
    structlog.configure(
        processors=[pace, structlog.stdlib.PositionalArgumentsFormatter(), *shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *arguments: _Stderr(),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = _StderrHandler()
    handler.setFormatter(formatter)
    handler.addFilter(pace.filter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries tell their own story at info; warnings are for the operator.
    root.setLevel(max(number, logging.WARNING))
    STDERR.on_lost = _tell_lost


_ENCODER = JSONEncoder(default=str)


def _in_json(event: EventDict, **_: object) -> str:
    return _ENCODER.encode(event)


def _mask(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    # What begins with an underscore the standard library's bridge needs for itself, and takes it out again.
    return {key: value if key[:1] == "_" else masked(key, value) for key, value in event.items()}


def _escape(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """A device may call itself something that steers a terminal."""
    return {key: printable(value, keep="\n" if key == "exception" else "") for key, value in event.items()}


def _console() -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors="NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback
    )


def _write(line: str) -> None:
    STDERR.write(line.encode("utf-8", "backslashreplace") + b"\n")


def happened(at: float | None) -> dict[str, str]:
    """For a line that is written later than what it tells of: its moment (epoch seconds); None: now."""
    return {} if at is None else {"timestamp": datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")}


def _tell_lost(lines: int) -> None:
    log.warning("log_lines_lost", lines=lines)


class _Stderr:
    """What structlog writes lines to: whole ones, so that lines of several processes don't mix."""

    def msg(self, message: str) -> None:
        _write(message)

    debug = info = warning = warn = error = critical = fatal = exception = log = msg


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # Whatever a library logs, and whoever calls it: that a line cannot be made is no error of theirs.
        with suppress(Exception):
            shown = copy(record)
            shown.msg, shown.args = said(record), ()
            _write(self.format(shown))
