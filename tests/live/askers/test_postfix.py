"""Postfix asking by policy delegation, over TCP and by a unix socket: what a mail program sees at each recipient."""

import asyncio
import shutil
import smtplib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.live.askers.servers import PASSWORD, missing, policy_socket, start_postfix
from tests.live.askers.switch import Switch
from tests.live.children import free_ports
from tests.support.asking import Asking
from tests.support.phone_certificates import Certificates

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATIENCE_SECONDS = 30.0
Reply = tuple[int, str]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def postfix(
    ground: Path, gatepost: Asking, postfix_switch: Switch, mailboxes: dict[str, int], made: Certificates
) -> AsyncIterator[dict[str, int]]:
    """The ports of submission: one that asks over TCP, one by a unix socket."""
    if reason := missing("postfix", "dovecot"):
        pytest.skip(reason)
    tcp, unix = free_ports(2)
    directory = ground / "postfix"
    child = start_postfix(
        directory, tcp=tcp, unix=unix, auth=mailboxes["auth"], gatepost=postfix_switch.port, made=made
    )
    # It belongs to the front from here on.
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(policy_socket(directory)))
    shutil.chown(policy_socket(directory), "postfix")
    policy_socket(directory).chmod(0o600)
    await gatepost.postfix_front.listen(sock, None, secure=False)
    yield {"tcp": tcp, "unix": unix}
    child.stop()


class Sender:
    """A mail program in the middle of a message."""

    def __init__(self, port: int, made: Certificates, user: str) -> None:
        self._smtp = smtplib.SMTP("localhost", port, timeout=PATIENCE_SECONDS)
        self._smtp.starttls(context=made.trust())
        if user:
            self._smtp.login(user, PASSWORD)
        self._smtp.ehlo()

    def begin(self) -> Reply:
        """MAIL."""
        return read(self._smtp.mail("anna@corp.example"))

    def to(self, address: str = "somebody@other.example") -> Reply:
        """RCPT."""
        return read(self._smtp.rcpt(address))

    def finish(self) -> Reply:
        """The message itself."""
        return read(self._smtp.data(b"Subject: x\r\n\r\nHello.\r\n"))

    def close(self) -> None:
        """Hang up."""
        self._smtp.close()


def read(reply: tuple[int, bytes]) -> Reply:
    return reply[0], reply[1].decode()


def whole(port: int, made: Certificates, user: str) -> Reply:
    """One message, as far as it gets."""
    sender = Sender(port, made, user)
    try:
        sender.begin()
        reply = sender.to()
        return sender.finish() if reply[0] == 250 else reply
    finally:
        sender.close()


@pytest.mark.parametrize("way", ["tcp", "unix"])
async def test_allowed(postfix: dict[str, int], made: Certificates, way: str) -> None:
    assert (await asyncio.to_thread(whole, postfix[way], made, "anna"))[0] == 250


@pytest.mark.parametrize("way", ["tcp", "unix"])
async def test_refused_and_told_why(postfix: dict[str, int], made: Certificates, way: str) -> None:
    """Its password is proved: it may know."""
    code, text = await asyncio.to_thread(whole, postfix[way], made, "bert")
    assert code == 550
    assert text.startswith("5.7.1 ")
    assert "com.zhiliaoapp.musically" in text


@pytest.mark.parametrize("way", ["tcp", "unix"])
async def test_deferred(postfix: dict[str, int], made: Certificates, gatepost: Asking, way: str) -> None:
    gatepost.evidence.unavailable = True
    code, text = await asyncio.to_thread(whole, postfix[way], made, "dora")
    assert (code, text[:6]) == (451, "4.7.1 ")
    assert "cannot answer now" in text


async def test_who_has_not_logged_in_is_postfixs_to_refuse(
    postfix: dict[str, int], made: Certificates, gatepost: Asking
) -> None:
    before = gatepost.answered("postfix", "not_judged")
    code, text = await asyncio.to_thread(whole, postfix["tcp"], made, "")
    assert code == 554
    assert "Access denied" in text or "rejected" in text
    assert gatepost.answered("postfix", "not_judged") == before + 1


async def test_a_verdict_that_turns_within_a_message(
    postfix: dict[str, int], made: Certificates, gatepost: Asking
) -> None:
    """The recipients so far are accepted, the next one is not."""
    sender = await asyncio.to_thread(Sender, postfix["tcp"], made, "anna")
    assert (await asyncio.to_thread(sender.begin))[0] == 250
    assert (await asyncio.to_thread(sender.to))[0] == 250
    gatepost.dirty("anna@corp.example", "annaphone")
    assert (await asyncio.to_thread(sender.to, "other@other.example"))[0] == 550
    sender.close()


@pytest.mark.parametrize("switched", ["off", "silent"])
async def test_nothing_is_sent_while_gatepost_is_away(
    postfix: dict[str, int], made: Certificates, postfix_switch: Switch, switched: str
) -> None:
    become: Callable[[], object] = getattr(postfix_switch, switched)
    await become()  # type: ignore[misc]
    code, text = await asyncio.to_thread(whole, postfix["tcp"], made, "anna")
    assert (code, text[:6]) == (451, "4.7.1 ")
    await postfix_switch.on()
    assert (await asyncio.to_thread(whole, postfix["tcp"], made, "anna"))[0] == 250


async def test_a_restart_of_gatepost_is_not_noticed(
    postfix: dict[str, int], made: Certificates, postfix_switch: Switch
) -> None:
    """Postfix keeps its connection, finds it gone, and asks on another one."""
    assert (await asyncio.to_thread(whole, postfix["tcp"], made, "anna"))[0] == 250
    await postfix_switch.off()
    await postfix_switch.on()
    assert (await asyncio.to_thread(whole, postfix["tcp"], made, "anna"))[0] == 250
