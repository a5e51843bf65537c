"""Device credentials at Dovecot: it cuts them off the name, and we are told the name as it came."""

import asyncio
import imaplib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.domain.credential import DeviceCredential, digest_of
from tests.live.askers.servers import PASSWORD, example, missing, start_dovecot
from tests.live.children import free_ports
from tests.support.asking import Asking, asking

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOGIN = "gus@corp.example"
SECRET = "abcdefghijklmnopqrstuvwxyz"
CLEAN, DIRTY = "k3vq7mzd", "k4vq7mzd"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(ground: Path) -> AsyncIterator[tuple[Asking, int]]:
    """Dovecot by both examples; Gus has a clean phone and one that is not, each with a credential."""
    if reason := missing("dovecot"):
        pytest.skip(reason)
    directory = ground / "credentials"
    directory.mkdir()
    imap, pop3, auth = free_ports(3)
    async with asking(directory, dovecot_proved=True) as made:
        made.clean(LOGIN, "phone1")
        made.dirty(LOGIN, "phone2")
        evidence = made.evidence
        held = tuple(
            DeviceCredential(name, digest_of(name, SECRET), device)
            for name, device in ((CLEAN, "phone1"), (DIRTY, "phone2"))
        )
        evidence.sequence += 1
        evidence.records[LOGIN] = replace(evidence.records[LOGIN], credentials=held, sequence=evidence.sequence)
        made.decision.changed(LOGIN, evidence.sequence)
        further = example("dovecot/gatepost-credentials.conf", {})
        port = int(made.http.rpartition(":")[2])
        child = start_dovecot(
            directory / "dovecot", (LOGIN,), imap=imap, pop3=pop3, auth=auth, gatepost=port, further=further
        )
        yield made, imap
        child.stop()


def login(port: int, user: str) -> str:
    """What a mail program is told."""
    session = imaplib.IMAP4("127.0.0.1", port, timeout=20)
    try:
        session.login(user, PASSWORD)
        return f"selected {session.select()[0]}"
    except imaplib.IMAP4.error as error:
        return str(error)
    finally:
        session.shutdown()


@pytest.mark.parametrize(
    ("behind", "told"),
    [
        (f"%{CLEAN}-{SECRET}", "selected OK"),
        (f"%{DIRTY}-{SECRET}", "com.zhiliaoapp.musically"),
        (f"%{CLEAN}-{SECRET[::-1]}", "[AUTHENTICATIONFAILED]"),
        ("", "com.zhiliaoapp.musically"),
    ],
    ids=["clean", "dirty", "wrong", "without"],
)
async def test_the_device_answers_whose_credential_it_is(place: tuple[Asking, int], behind: str, told: str) -> None:
    _, imap = place
    assert told in await asyncio.to_thread(login, imap, LOGIN + behind)
