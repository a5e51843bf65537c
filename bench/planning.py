"""How long it takes to write down who is told of a change: ``python -m bench.planning [--people N]``.

A fleet in SQLite in which everybody holds the banned app, the index of the control process, and a change that cuts them
all: preview, apply with its notices in one transaction, then the recipients page by page, with what is on
their devices and under which name. ``--profile`` says where the time goes.
"""

import argparse
import asyncio
import cProfile
import pstats
import resource
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench import fleet
from gateway.app.telling import ChangeWaves
from gateway.changes import edits
from gateway.changes.apply import InForceResult, ensure_first_policy
from gateway.changes.applying import Applied, Applier, Rules
from gateway.changes.desk import Actor, ChangeDesk
from gateway.changes.fleet_previews import FleetPreviews
from gateway.changes.telling import Telling, TellSettings
from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.identity import identity_rules
from gateway.domain.inventory import Platform
from gateway.domain.notice import Tell
from gateway.inventory.records import load_record
from gateway.notices.compose import Composer, ComposeSettings
from gateway.notices.recipients import Recipients
from gateway.ports.store import Change
from gateway.storage.sql import SqlStore, open_store

ANN = Actor("ann", "t1")
BAN = Ban("TikTok", (Matcher(MatcherKind.ID, fleet.BANNED, Platform.ANDROID),), flag=Flag.ENFORCE, seed=7)
SENDER = ComposeSettings(sender="notices@corp.example", sender_name="Mail access")


class _Nobody:
    async def wait(self, version: int, timeout_seconds: float) -> InForceResult:
        return InForceResult(0, 0, 0.0)


async def _publish(changes: Sequence[Change]) -> None:
    """There are no workers."""


async def run(directory: Path, people: int, *, profile: bool) -> None:
    """Make, plan, print."""
    fleet.BANNED_EVERY = 1
    fleet.fill(directory / "gatepost.db", people)
    store = await open_store(f"sqlite:///{directory / 'gatepost.db'}", writable=True)
    load = partial(load_record, rules=identity_rules("corp.example", {}))
    previews = FleetPreviews(store, load, None)
    following = asyncio.create_task(previews.run())
    began = time.monotonic()
    await previews._ready.wait()
    print(f"index of {people} people in {time.monotonic() - began:.1f} s")
    number = await _applied(store, previews)
    recipients = Recipients(store, Composer(SENDER, b"k" * 32), ChangeWaves(store, previews, load), time.time)
    profiler = cProfile.Profile() if profile else None
    began, cpu = time.monotonic(), time.process_time()
    if profiler:
        profiler.enable()
    await recipients.look()
    if profiler:
        profiler.disable()
    seconds, spent = time.monotonic() - began, time.process_time() - cpu
    async with store.read() as reading:
        (mailing,) = await reading.mailings(number)
        notices = sum((await reading.notice_counts(number, mailing.kind)).values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{notices} notices ({mailing.state}) in {seconds:.1f} s, {spent:.1f} s of processor time; {peak:.0f} MB")
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await store.close()
    if profiler:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


async def _applied(store: SqlStore, previews: FleetPreviews) -> int:
    await ensure_first_policy(store, _publish, time.time())
    telling = Telling(TellSettings(Tell.WITH_THE_CUT, sends=True))
    applier = Applier(store, previews, _publish, _Nobody(), rules=lambda: Rules(second_person=False), telling=telling)
    desk = ChangeDesk(store, previews)
    change = await desk.propose(ANN, lambda version: edits.add_ban(version, BAN))
    assert change is not None
    began = time.monotonic()
    previewed, _ = await desk.preview(change.number, ANN.name)
    assert previewed.preview is not None
    print(f"preview: {previewed.preview.newly_cut} devices newly cut, in {time.monotonic() - began:.2f} s")
    began = time.monotonic()
    assert isinstance(await applier.apply(change.number, ANN.name), Applied)
    print(f"applied, its notices ordered in the same transaction, in {time.monotonic() - began:.2f} s")
    return change.number


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory), given.people, profile=given.profile))


if __name__ == "__main__":
    main()
