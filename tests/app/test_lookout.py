"""What the operator is told of the store, certificates, the clock and silent sources."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.app import lookout
from gateway.app.health import CERTIFICATES_EVERY_SECONDS, CertificateDates, store_trouble
from gateway.app.lookout import Looked, Lookout
from gateway.changes.apply import ensure_first_policy
from gateway.domain.inventory import Scope
from gateway.observability.clock import SteadyClock
from gateway.observability.metrics import Metrics
from gateway.ports.store import Change, Source, Store, Writing
from gateway.settings import Settings
from gateway.storage.memory import MemoryStore
from gateway.storage.memory.reading import MemoryReading
from tests.network.authority import Authority
from tests.support.phone_certificates import Certificates, make_certificates

NOW = 1_700_000_000.0
DAY = 86_400.0


class Site:
    """A control process's surroundings."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.at = NOW
        self.wall_ahead = 0.0
        self.store = MemoryStore()
        self.heard: dict[str, float] = {}
        self.not_written = ""
        self.feed_up = True
        self.clock = SteadyClock(lambda: self.at + self.wall_ahead, lambda: self.at)
        self.certificates = CertificateDates(settings or Settings(), lambda: self.at)
        looked = Looked(self.clock, lambda: self.not_written, lambda: self.feed_up, self.heard)
        self.lookout = Lookout(self.store, looked, self.certificates)

    async def look(self) -> list[str]:
        """One look; what is said of it."""
        await self.lookout.look()
        return self.lookout.sentences()

    def figures(self) -> dict[str, dict[tuple[str, ...], float]]:
        """The metrics by name."""
        metrics = Metrics()
        self.lookout.gauge(metrics)
        return {name: family.values for name, family in metrics.families.items()}

    async def add_source(self, name: str) -> None:
        """A source whose lists are good for a day."""

        async def work(writing: Writing) -> None:
            await writing.put_source(Source(name, "push", "*", Scope.DEVICE, DAY, created_at=NOW - 10 * DAY))

        await self.store.write(work)


async def test_nothing_is_said_when_all_is_well() -> None:
    site = Site()
    await ensure_first_policy(site.store, _nobody, NOW)
    assert await site.look() == []
    figures = site.figures()
    assert figures["gatepost_store_up"] == figures["gatepost_store_writable"] == {(): 1}
    assert figures["gatepost_policy_version"] == figures["gatepost_enforcement_on"] == {(): 1}
    assert list(figures["gatepost_info"].values()) == [1]


async def test_a_store_that_cannot_be_read() -> None:
    site = Site()
    site.store.unavailable = "the disk fails: check the disk"
    assert await site.look() == ["the store cannot be read: the disk fails: check the disk"]
    assert site.lookout.unready == {"store": "the disk fails: check the disk"}
    assert site.figures()["gatepost_store_up"] == {(): 0}


async def test_a_store_that_answers_once_and_then_hangs_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    hangs, found = asyncio.Event(), asyncio.Event()

    async def looked_at(store: Store) -> dict[str, str]:
        trouble = await store_trouble(store)
        if trouble:
            found.set()
        return trouble

    async def sources(reading: MemoryReading) -> Sequence[Source]:
        hangs.set()
        await asyncio.Event().wait()
        return ()

    monkeypatch.setattr(MemoryReading, "sources", sources)
    monkeypatch.setattr(lookout, "store_trouble", looked_at)
    monkeypatch.setattr(lookout, "LOOK_WITHIN_SECONDS", 0.01)
    monkeypatch.setattr(lookout, "LOOK_EVERY_SECONDS", 0.01)
    looking = asyncio.create_task(site.lookout.run())
    try:
        async with asyncio.timeout(5):
            await hangs.wait()
            site.store.unavailable = "the disk fails: check the disk"
            await found.wait()
        assert site.lookout.unready == {"store": "the disk fails: check the disk"}
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_a_store_that_cannot_be_written_is_a_warning_and_no_reason_to_send_phones_away() -> None:
    site = Site()
    site.not_written = "the disk is full: make room"
    assert await site.look() == [
        "the store cannot be written, so reports and edits are refused: the disk is full: make room"
    ]
    assert site.lookout.unready == {}
    assert site.figures()["gatepost_store_writable"] == {(): 0}


async def test_a_feed_that_is_away_and_a_clock_that_jumped() -> None:
    site = Site()
    site.feed_up, site.wall_ahead = False, -7200.0
    site.clock.look()
    assert await site.look() == [
        "the fast feed is away (Redis): changes take about a second, by the change log",
        "the wall clock jumped by -7200 s and is not believed yet: set it right",
    ]


async def test_a_source_that_fell_silent() -> None:
    site = Site()
    for name in ("agents", "kiosk"):
        await site.add_source(name)
    assert await site.look() == []
    site.at += DAY / 2
    site.heard["agents"] = site.at
    site.at += DAY
    assert await site.look() == [
        "source kiosk: no report of it was taken here for 1 d 12 h, and its lists are stale after 1 d"
    ]
    last = site.figures()["gatepost_source_last_report_timestamp_seconds"]
    assert last == {("agents",): NOW + DAY / 2, ("kiosk",): NOW}


async def test_many_silent_sources_are_a_few_sentences() -> None:
    site = Site()
    for number in range(8):
        await site.add_source(f"source-{number}")
    site.at += 2 * DAY
    said = await site.look()
    assert len(said) == 6
    assert said[-1] == "and 3 more sources"


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


async def test_a_certificate_that_ends_soon_and_one_that_has_ended(made: Certificates) -> None:
    site = Site(Settings.model_validate({"tls": {"certificate": str(made.certificate), "key": str(made.key)}}))
    ends_at = site.certificates.ends()[str(made.certificate)]
    site.at = ends_at - 3 * DAY
    assert await site.look() == [f"certificate {made.certificate} expires in 3 d"]
    site.at = ends_at + 2 * DAY
    assert await site.look() == [f"certificate {made.certificate} has expired 2 d ago"]
    expires = site.figures()["gatepost_certificate_expires_timestamp_seconds"]
    assert expires == {(str(made.certificate),): ends_at}


async def test_a_certificate_that_was_replaced_is_looked_at_again(made: Certificates) -> None:
    site = Site(Settings.model_validate({"tls": {"certificate": str(made.certificate), "key": str(made.key)}}))
    assert site.certificates.ends()
    made.certificate.write_text("nothing")
    assert site.certificates.ends()
    site.at += CERTIFICATES_EVERY_SECONDS + 1
    assert site.certificates.ends() == {}


async def _nobody(changes: object) -> None:
    assert isinstance(changes, (list, tuple))
    assert all(isinstance(each, Change) for each in changes)


async def test_a_list_of_revoked_certificates_that_ends_is_told_of(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    crl = authority.revoke(ends=ends)
    site = Site(Settings.model_validate({"tls": {"client_ca": str(authority.certificate), "client_crl": str(crl)}}))
    site.at = ends.timestamp() - 2 * 3600
    assert await site.look() == []
    site.at = ends.timestamp() - 600
    assert await site.look() == [
        f"the list of revoked certificates {crl} ends in 10 min: put the next one in place",
    ]
    site.at = ends.timestamp() + 7200
    assert await site.look() == [
        f"the list of revoked certificates {crl} has ended 2 h ago: nobody with a certificate of its authority gets "
        "in, so put the next one in place"
    ]
