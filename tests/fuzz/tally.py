"""Runs the check of a target on inputs, counts what it says, and keeps what it finds: each kind of finding once."""

import hashlib
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.judging import ACCEPTED, Target
from tests.fuzz.mutation import Mutations, smaller

GROWN = 300
"""Inputs from the grammar that stand in the pool beside the kept ones."""
GROWN_SHARE = 0.4
"""Of the cases that come fresh from the grammar; the others are changed inputs of the pool."""
SLOW_SECONDS = 1.0
"""Of this process's time, for one input of a few kilobytes: longer is a finding."""
FINDINGS_MOST = 20


@dataclass(slots=True)
class Finding:
    """An input and what is wrong about it."""

    octets: bytes
    what: str


@dataclass(slots=True)
class Tally:
    """What the cases of one target came to."""

    target: Target
    cases: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)

    def take(self, octets: bytes) -> str:
        """Check one input; its verdict, or empty for a finding."""
        self.cases += 1
        began = time.perf_counter()
        verdict, kind, what = judged(self.target, octets)
        if time.perf_counter() - began > SLOW_SECONDS and (spent := _spent(self.target, octets)) > SLOW_SECONDS:
            verdict, kind, what = "", "slow", f"it takes {spent:.1f} s of processor time"
        if not verdict:
            self._found(kind, what, octets)
        self.verdicts[verdict or "finding"] += 1
        return verdict

    def _found(self, kind: str, what: str, octets: bytes) -> None:
        if kind in self.findings or len(self.findings) >= FINDINGS_MOST:
            return
        if kind != "slow":
            octets = smaller(octets, lambda shorter: judged(self.target, shorter)[1] == kind)
            what = judged(self.target, octets)[2]
        self.findings[kind] = Finding(octets, what)

    @property
    def accepted(self) -> int:
        """Cases that we accept."""
        return self.verdicts[ACCEPTED]

    @property
    def stricter(self) -> dict[str, int]:
        """Cases that only we refuse, by reason."""
        word = "stricter: "
        return {each.removeprefix(word): count for each, count in self.verdicts.items() if each.startswith(word)}


def judged(target: Target, octets: bytes) -> tuple[str, str, str]:
    """The verdict, or what kind of finding it is and what is wrong."""
    try:
        return target.check(octets), "", ""
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = " ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[1:][-3:])
        return "", f"{type(error).__name__} at {place}", f"{type(error).__name__}: {error}"


def _spent(target: Target, octets: bytes) -> float:
    began = time.process_time()
    judged(target, octets)
    return time.process_time() - began


def inputs(target: Target, kept: list[bytes], seed: int) -> Iterator[bytes]:
    """Inputs without end; the same seed and the same kept inputs give the same ones."""
    random = Random(seed)
    mutations = Mutations(random, [*kept, *(target.grow(random) for _ in range(GROWN))], target.words, target.longest)
    while True:
        yield target.grow(random) if random.random() < GROWN_SHARE else mutations.draw()


def save(finding: Finding, target: str, folder: Path) -> Path:
    """Write a finding's input and, beside it, what is wrong about it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{target}.{hashlib.sha256(finding.octets).hexdigest()[:12]}"
    path.write_bytes(finding.octets)
    path.with_suffix(path.suffix + ".txt").write_text(finding.what + "\n")
    return path
