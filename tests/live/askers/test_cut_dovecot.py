"""Sessions that Dovecot was told to let in end when the verdict turns: by doveadm's HTTP API, and by the program."""

import asyncio
import imaplib
import shutil
import statistics
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.app.asker_cuts import following_of
from gateway.authz.cutter import CutFailed
from gateway.authz.doveadm_means import DoveadmMeans
from gateway.authz.following import Following
from gateway.settings import Settings
from tests.live.askers.servers import DOVEADM_KEY, PASSWORD, missing, start_dovecot
from tests.live.children import Child, free_ports
from tests.support.asking import Asking, asking

pytestmark = pytest.mark.asyncio(loop_scope="session")

USERS = ("ina", "ivo", "iris", "jan", "12345", "o.neil-x")
CUT_WITHIN_SECONDS = 5.0
"""For a busy machine; what was measured stands in docs/external-authorization.md."""


class Place:
    """Dovecot that asks, and Gatepost with one way to cut."""

    def __init__(self, child: Child, gatepost: Asking, settings: Settings, imap: int, doveadm: int) -> None:
        self.child = child
        self.gatepost = gatepost
        self.settings = settings
        self.imap = imap
        self.doveadm = doveadm


def settings_of(directory: Path, doveadm: int) -> Settings:
    """By doveadm's HTTP API."""
    key = directory / "doveadm.key"
    key.write_text(DOVEADM_KEY + "\n")
    cut = {"askers": ["dovecot"], "doveadm": f"http://127.0.0.1:{doveadm}", "key_file": str(key)}
    return Settings.model_validate({"authz": {"cuts": [cut]}})


def following(settings: Settings, made: Asking, part: str, *, adopts: bool = True) -> Following | None:
    """As a worker makes it."""
    part = {"http": "authz"}.get(part, part)
    return following_of(settings, part, made.decision, made.rules, made.metrics, made.now, adopts=adopts)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(ground: Path) -> AsyncIterator[Place]:
    """One for all tests of this file."""
    if reason := missing("dovecot", "doveadm"):
        pytest.skip(reason)
    directory = ground / "cut-dovecot"
    imap, pop3, auth, doveadm = free_ports(4)
    (ground / "cut-gatepost").mkdir()
    settings = settings_of(ground / "cut-gatepost", doveadm)
    async with asking(
        ground / "cut-gatepost", following=lambda part, made: following(settings, made, part), dovecot_proved=True
    ) as made:
        child = start_dovecot(
            directory,
            USERS,
            imap=imap,
            pop3=pop3,
            auth=auth,
            gatepost=int(made.http.rpartition(":")[2]),
            doveadm=doveadm,
        )
        yield Place(child, made, settings, imap, doveadm)
        child.stop()


class Idling:
    """A mail program that waits in IDLE."""

    def __init__(self, port: int, user: str) -> None:
        self._session = imaplib.IMAP4("127.0.0.1", port, timeout=20)
        self._session.login(user, PASSWORD)
        self._session.select()
        self._session.send(b"x IDLE\r\n")
        assert self._session.readline().startswith(b"+")

    def until_told(self) -> bytes:
        """The next line; empty at the end."""
        return self._session.readline()

    def still_there(self) -> bool:
        """Whether the session goes on."""
        self._session.send(b"DONE\r\n")
        return b"OK" in self._session.readline()

    def close(self) -> None:
        """Hang up."""
        self._session.shutdown()


async def idling(place: Place, user: str) -> Idling:
    """Let in by Dovecot's question to us."""
    place.gatepost.clean(f"{user}@corp.example", "phone")
    return await asyncio.to_thread(Idling, place.imap, user)


async def cut_after(place: Place, user: str, session: Idling) -> float:
    """Seconds from the news to the last line."""
    loop = asyncio.get_running_loop()
    told = asyncio.create_task(asyncio.to_thread(session.until_told))
    await asyncio.sleep(0)
    begun = loop.time()
    place.gatepost.dirty(f"{user}@corp.example", "phone")
    async with asyncio.timeout(CUT_WITHIN_SECONDS):
        line = await told
    took = loop.time() - begun
    assert line.startswith(b"* BYE") or line == b""
    session.close()
    return took


async def test_an_idle_session_ends_and_others_stay(place: Place) -> None:
    ina, ivo = await idling(place, "ina"), await idling(place, "ivo")
    await cut_after(place, "ina", ina)
    assert await asyncio.to_thread(ivo.still_there)
    ivo.close()


async def test_how_fast(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    took = []
    for _ in range(20):
        took.append(await cut_after(place, "iris", await idling(place, "iris")))
        # The next login must not meet the second cut of those who were let in a moment ago.
        place.gatepost.clean("iris@corp.example", "phone")
    with capsys.disabled():
        print(
            f"\ndoveadm: news to BYE, 20 times: median {1000 * statistics.median(took):.1f} ms, "
            f"longest {1000 * max(took):.1f} ms"
        )


async def test_a_name_that_doveadm_would_take_for_something_else(place: Place) -> None:
    """12345 is a network address to doveadm, 0.0.48.57: nobody is cut by it, and that is counted."""
    counted = place.gatepost.metrics.families["gatepost_asker_cuts_total"]
    before = counted.get("doveadm", "not_possible")
    session, other = await idling(place, "12345"), await idling(place, "o.neil-x")
    place.gatepost.dirty("12345@corp.example", "phone")
    async with asyncio.timeout(CUT_WITHIN_SECONDS):
        while counted.get("doveadm", "not_possible") == before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(session.still_there)
    session.close()
    await cut_after(place, "o.neil-x", other)


async def test_a_session_from_before_our_time_is_found_and_cut(place: Place) -> None:
    """A worker that was restarted has forgotten whom it let in; Dovecot's own list has not."""
    session = await idling(place, "jan")
    made = place.gatepost
    forgetful = made.followed["http"]
    assert forgetful is not None
    await forgetful.close()
    made.dirty("jan@corp.example", "phone")
    await made.cache.load("jan@corp.example")
    another = following(place.settings, made, "authz")
    assert another is not None
    begun = asyncio.get_running_loop().time()
    await another.start()
    try:
        async with asyncio.timeout(CUT_WITHIN_SECONDS):
            line = await asyncio.to_thread(session.until_told)
        assert line.startswith(b"* BYE") or line == b""
        assert asyncio.get_running_loop().time() - begun < CUT_WITHIN_SECONDS
    finally:
        await another.close()
    session.close()


async def test_a_wrong_key_is_said_so(place: Place) -> None:
    means = DoveadmMeans(f"http://127.0.0.1:{place.doveadm}", "another key")
    with pytest.raises(CutFailed, match="does not take the key"):
        await means.cut(["ina"])
    await means.close()


async def test_nobody_there_is_no_failure(place: Place) -> None:
    means = DoveadmMeans(f"http://127.0.0.1:{place.doveadm}", DOVEADM_KEY)
    assert await means.cut(["nobody-of-that-name", "nor-of-that"]) == 0
    await means.close()


async def test_by_the_program(place: Place, ground: Path) -> None:
    program, directory = shutil.which("doveadm"), ground / "cut-by-program"
    assert program is not None
    directory.mkdir()
    config = directory / "dovecot" / "dovecot.conf"
    cut = {"askers": ["dovecot"], "command": [program, "-c", str(config), "kick", "{user}"]}
    settings = Settings.model_validate({"authz": {"cuts": [cut]}})
    async with asking(
        directory, following=lambda part, made: following(settings, made, part), dovecot_proved=True
    ) as made:
        imap, pop3, auth = free_ports(3)
        port = int(made.http.rpartition(":")[2])
        child = start_dovecot(config.parent, USERS, imap=imap, pop3=pop3, auth=auth, gatepost=port)
        try:
            there = Place(child, made, settings, imap, 0)
            await cut_after(there, "ina", await idling(there, "ina"))
        finally:
            child.stop()
