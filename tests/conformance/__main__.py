"""``python -m tests.conformance`` prints the table of every way and every person; ``--write`` puts it on its page."""

import asyncio
import logging
import sys

import structlog
import uvloop

from tests.conformance.table import answered, put_on_the_page, written


def main(words: list[str]) -> int:
    """Print, or write."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        table = written(runner.run(answered()))
    if words == ["--write"]:
        put_on_the_page(table)
    else:
        print(table, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
