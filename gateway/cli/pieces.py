"""Imports that go in pieces: what is known to be done when one of them fails."""

from gateway.cli.failures import Failed, Unclear


def imported(count: int, whole: int, noun: str) -> str:
    """How many were, when the next piece was refused or is not sent."""
    left = ", the others not" if count < whole else ""
    return f"{count} of {whole} {noun} were imported{left}"


def broken_off(error: Failed, count: int, next_ones: int, whole: int, noun: str) -> Failed:
    """The end of an import whose piece behind the first ``count`` failed: what is known, and what is not."""
    if isinstance(error, Unclear):
        return Unclear(f"{_at_least_imported(count, next_ones, whole, noun)}: {error}")
    return Failed(f"{imported(count, whole, noun)}: {error}") if count else error


def _at_least_imported(count: int, next_ones: int, whole: int, noun: str) -> str:
    """When it broke off without an answer about the next ones."""
    if count:
        known = f"{count} of {whole} {noun} were imported; whether the next {next_ones} were is not known"
    else:
        known = f"whether the first {next_ones} of {whole} {noun} were imported is not known"
    others = ", the others were not" if count + next_ones < whole else ""
    return f"{known}{others}; import the file again to be sure"
