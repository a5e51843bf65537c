"""Who reads what a command prints."""

import sys


def on_terminal() -> bool:
    """Whether a person reads the answer."""
    return sys.stdout.isatty()
