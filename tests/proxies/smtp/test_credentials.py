"""Device credentials at submission: judged by their own device, cut when revoked, never passed on."""

from dataclasses import replace

from gateway.domain.credential import DeviceCredential, digest_of
from tests.support.fronted import TIKTOK
from tests.support.submission_server import SubmissionServer
from tests.support.submitted import ANNA, Submitted, plain

ID, SECRET = "k3vq7mzd", "abcdefghijklmnopqrstuvwxyz"
NAME = f"{ANNA}%{ID}-{SECRET}"


def holding(front: Submitted, device_id: str | None) -> None:
    """A credential stands for that device; None: it is revoked."""
    held = () if device_id is None else (DeviceCredential(ID, digest_of(ID, SECRET), device_id),)
    front.evidence.sequence += 1
    record = replace(front.evidence.records[ANNA], credentials=held, sequence=front.evidence.sequence)
    front.evidence.records[ANNA] = record
    front.decision.changed(ANNA, record.sequence)


async def test_the_device_of_the_credential_decides(front: Submitted, server: SubmissionServer) -> None:
    front.clean()
    front.decision.changed(ANNA, front.evidence.put(ANNA, "phone2", TIKTOK))
    holding(front, "phone1")
    client = await front.client()
    assert (await client.logged_in(NAME))[:3] == b"235"
    assert (await client.ask(b"MAIL FROM:<anna@corp.example>"))[:3] == b"250"
    # The mail server has seen the user's own name.
    assert any(plain(ANNA) in line for line in server.commands)
    assert not any(plain(NAME) in line for line in server.commands)
    holding(front, "phone2")
    assert (await client.reply())[:9] == b"421 4.7.0"
    client = await front.client()
    assert (await client.logged_in(NAME))[:3] == b"235"
    assert (await client.ask(b"MAIL FROM:<anna@corp.example>"))[:9] == b"550 5.7.1"


async def test_a_wrong_one_is_a_wrong_login(front: Submitted, server: SubmissionServer) -> None:
    front.clean()
    holding(front, None)
    client = await front.client()
    assert (await client.logged_in(NAME))[:9] == b"535 5.7.8"
    assert not any(b"AUTH" in line for line in server.commands)
    assert front.logins("wrong_credential") == 1


async def test_revoked_its_session_ends(front: Submitted) -> None:
    front.clean()
    holding(front, "phone1")
    client = await front.client()
    assert (await client.logged_in(NAME))[:3] == b"235"
    holding(front, None)
    assert (await client.reply())[:9] == b"421 4.7.0"
