"""Chooses the few inputs that are worth keeping: the shortest ones that together reach every place reached.

A place is a step from one line of the gateway's code to another, or a verdict. By the interpreter's own tracing, so it
needs no engine.
"""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.judging import Target
from tests.fuzz.names import CORPUS, HERE
from tests.fuzz.tally import judged

KEPT_LONGEST = 1500
"""Octets: longer ones are for the grammar to grow."""
_GATEWAY = str(HERE.parents[1] / "gateway")

Place = tuple[str, int, int]


def chosen(target: Target, inputs: Iterable[bytes]) -> list[bytes]:
    """The inputs to keep."""
    reached: set[Place] = set()
    kept = []
    for octets in sorted(set(inputs), key=lambda each: (len(each), each)):
        if len(octets) <= KEPT_LONGEST and (new := _places(target, octets) - reached):
            reached |= new
            kept.append(octets)
    return kept


def write(target: Target, inputs: list[bytes]) -> None:
    """Make these the kept inputs of a target."""
    folder = CORPUS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for octets in inputs:
        Path(folder / hashlib.sha256(octets).hexdigest()[:12]).write_bytes(octets)


def _places(target: Target, octets: bytes) -> set[Place]:
    places: set[Place] = set()
    last = 0

    def step(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal last
        if not frame.f_code.co_filename.startswith(_GATEWAY):
            return None
        if event == "line":
            places.add((frame.f_code.co_filename, last, frame.f_lineno))
            last = frame.f_lineno
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        verdict = judged(target, octets)[0]
    finally:
        sys.settrace(before)
    return places | {(verdict, 0, 0)}
