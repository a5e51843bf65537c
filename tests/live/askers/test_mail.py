"""nginx's mail proxy before Dovecot, and Dovecot asking by itself: what a mail program sees of each verdict."""

import asyncio
import base64
import imaplib
import poplib
import re
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.credential import DeviceCredential, digest_of
from tests.live.askers.conftest import USERS
from tests.live.askers.servers import MAIL_MODULE, PASSWORD, missing, start_dovecot, start_nginx_mail
from tests.live.askers.switch import Switch
from tests.live.children import free_ports
from tests.support.asking import Asking
from tests.support.phone_certificates import Certificates

pytestmark = pytest.mark.asyncio(loop_scope="session")

GENERIC = "Mail on this device is blocked by your organization. Ask your help desk."
PATIENCE_SECONDS = 20.0


def imap_login(port: int, user: str, password: str = PASSWORD, tls: ssl.SSLContext | None = None) -> str:
    """What a mail program is told: the answer to LOGIN, or the mailbox's own to SELECT."""
    if tls is None:
        session = imaplib.IMAP4("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    else:
        session = imaplib.IMAP4_SSL("localhost", port, ssl_context=tls, timeout=PATIENCE_SECONDS)
    try:
        session.login(user, password)
        return f"selected {session.select()[0]}"
    except imaplib.IMAP4.error as error:
        return str(error).removeprefix("b'").removesuffix("'")
    finally:
        session.shutdown()


# --- nginx


@pytest.fixture(scope="module")
def nginx(ground: Path, http_switch: Switch, made: Certificates) -> Iterator[dict[str, int]]:
    """The ports of nginx's mail proxy."""
    if reason := missing("nginx") or ("" if MAIL_MODULE.exists() else "not installed: libnginx-mod-mail"):
        pytest.skip(reason)
    imap, pop3, smtp = free_ports(3)
    child = start_nginx_mail(
        ground / "nginx-mail", imap=imap, pop3=pop3, smtp=smtp, gatepost=http_switch.port, made=made
    )
    yield {"imap": imap, "pop3": pop3, "smtp": smtp}
    child.stop()


class TestNginx:
    async def login(self, nginx: dict[str, int], made: Certificates, user: str, password: str = PASSWORD) -> str:
        return await asyncio.to_thread(imap_login, nginx["imap"], user, password, made.trust())

    async def test_allowed(self, nginx: dict[str, int], made: Certificates) -> None:
        assert await self.login(nginx, made, "anna") == "selected OK"

    async def test_refused(self, nginx: dict[str, int], made: Certificates) -> None:
        assert await self.login(nginx, made, "bert") == f"[CONTACTADMIN] {GENERIC}"

    async def test_deferred(self, nginx: dict[str, int], made: Certificates, gatepost: Asking) -> None:
        gatepost.evidence.unavailable = True
        assert (await self.login(nginx, made, "dora")).startswith("[UNAVAILABLE] ")

    async def test_a_wrong_password_is_the_mail_servers_to_say(self, nginx: dict[str, int], made: Certificates) -> None:
        assert "[AUTHENTICATIONFAILED]" in await self.login(nginx, made, "anna", "wrong")

    async def test_nobody_is_let_in_while_gatepost_is_away(
        self, nginx: dict[str, int], made: Certificates, http_switch: Switch
    ) -> None:
        await http_switch.off()
        assert "selected" not in await self.login(nginx, made, "anna")
        await http_switch.silent()
        assert "selected" not in await self.login(nginx, made, "anna")
        await http_switch.on()
        assert await self.login(nginx, made, "anna") == "selected OK"

    async def test_a_device_credential_stays_at_gatepost(
        self, nginx: dict[str, int], made: Certificates, gatepost: Asking
    ) -> None:
        """nginx logs in at Dovecot, which knows of none, by the user's own name."""
        name, secret = "k3vq7mzd", "abcdefghijklmnopqrstuvwxyz"
        login, evidence = "fred@corp.example", gatepost.evidence
        gatepost.clean(login, "phone1")
        gatepost.dirty(login, "phone2")
        assert await self.login(nginx, made, "fred") == f"[CONTACTADMIN] {GENERIC}"
        for device_id, told in (("phone1", "selected OK"), ("phone2", f"[CONTACTADMIN] {GENERIC}")):
            held = DeviceCredential(name, digest_of(name, secret), device_id)
            evidence.sequence += 1
            evidence.records[login] = replace(evidence.records[login], credentials=(held,), sequence=evidence.sequence)
            gatepost.decision.changed(login, evidence.sequence)
            assert await self.login(nginx, made, f"fred%{name}-{secret}") == told
        assert "[AUTHENTICATIONFAILED]" in await self.login(nginx, made, f"fred%{name}-{secret[::-1]}")

    @pytest.mark.parametrize(
        ("user", "told"), [("anna", "logged in"), ("bert", f"-ERR [SYS/PERM] {GENERIC}"), ("dora", "-ERR [SYS/TEMP] ")]
    )
    async def test_pop3(
        self, nginx: dict[str, int], made: Certificates, gatepost: Asking, user: str, told: str
    ) -> None:
        gatepost.evidence.unavailable = user == "dora"

        def login() -> str:
            session = poplib.POP3_SSL("localhost", nginx["pop3"], context=made.trust(), timeout=PATIENCE_SECONDS)
            try:
                session.user(user)
                session.pass_(PASSWORD)
                session.stat()
            except poplib.error_proto as error:
                return str(error)
            finally:
                session.close()
            return "logged in"

        assert told in await asyncio.to_thread(login)

    @pytest.mark.parametrize(("user", "code"), [("bert", (550, b"5.7.1")), ("dora", (451, b"4.7.1"))])
    async def test_refused_and_deferred_by_smtp(
        self, nginx: dict[str, int], made: Certificates, gatepost: Asking, user: str, code: tuple[int, bytes]
    ) -> None:
        gatepost.evidence.unavailable = user == "dora"

        def told() -> tuple[int, bytes]:
            with smtplib.SMTP_SSL("localhost", nginx["smtp"], context=made.trust(), timeout=PATIENCE_SECONDS) as smtp:
                smtp.ehlo()
                # Not by login(), which tries another mechanism on a connection that nginx has closed.
                reply = smtp.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode())
                smtp.close()
                return reply

        status, text = await asyncio.to_thread(told)
        assert (status, text[:5]) == code


# --- Dovecot


@pytest.fixture(scope="module")
def dovecot(ground: Path, http_switch: Switch) -> Iterator[int]:
    """The port of a Dovecot that asks after each login."""
    if reason := missing("dovecot"):
        pytest.skip(reason)
    imap, pop3, auth = free_ports(3)
    child = start_dovecot(ground / "asking", USERS, imap=imap, pop3=pop3, auth=auth, gatepost=http_switch.port)
    yield imap
    child.stop()


class TestDovecot:
    async def test_allowed(self, dovecot: int, gatepost: Asking) -> None:
        before = gatepost.answered("dovecot", "allow")
        assert await asyncio.to_thread(imap_login, dovecot, "anna") == "selected OK"
        assert gatepost.answered("dovecot", "allow") == before + 1

    async def test_refused_and_told_why(self, dovecot: int) -> None:
        """Its password is proved: it may know."""
        told = await asyncio.to_thread(imap_login, dovecot, "bert")
        assert re.match(r"\[ALERT\] Mail on this device is blocked .*com\.zhiliaoapp\.musically", told)

    async def test_one_who_is_refused_slows_down_nobody(self, dovecot: int) -> None:
        """As it would by Dovecot's own penalty, for everybody from that address."""
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await asyncio.to_thread(imap_login, dovecot, "bert")
        begun = loop.time()
        assert await asyncio.to_thread(imap_login, dovecot, "anna") == "selected OK"
        assert loop.time() - begun < 2

    async def test_deferred(self, dovecot: int, gatepost: Asking) -> None:
        gatepost.evidence.unavailable = True
        assert "The mail gateway cannot answer now." in await asyncio.to_thread(imap_login, dovecot, "dora")

    async def test_a_wrong_password_is_not_asked_about(self, dovecot: int, gatepost: Asking) -> None:
        asked = {name: gatepost.answered("dovecot", name) for name in ("allow", "deny", "reported_failure")}
        assert "[AUTHENTICATIONFAILED]" in await asyncio.to_thread(imap_login, dovecot, "bert", "wrong")
        assert gatepost.answered("dovecot", "allow") == asked["allow"]
        assert gatepost.answered("dovecot", "deny") == asked["deny"]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while gatepost.answered("dovecot", "reported_failure") == asked["reported_failure"]:  # noqa: ASYNC110
                # Dovecot reports after it has answered, and nothing else tells of it.
                await asyncio.sleep(0.01)

    async def test_nobody_is_let_in_while_gatepost_is_away(self, dovecot: int, http_switch: Switch) -> None:
        await http_switch.off()
        assert "[AUTHENTICATIONFAILED]" in await asyncio.to_thread(imap_login, dovecot, "emil")
        await http_switch.silent()
        assert "[AUTHENTICATIONFAILED]" in await asyncio.to_thread(imap_login, dovecot, "emil")
        await http_switch.on()
        assert await asyncio.to_thread(imap_login, dovecot, "emil") == "selected OK"

    async def test_nobody_is_let_in_by_a_wrong_key(self, dovecot: int, gatepost: Asking) -> None:
        kept = gatepost.key_file.read_text()
        try:
            gatepost.key_file.write_text("a-key-that-dovecot-has-not\n")
            gatepost.front.reload_tls()
            assert "The mail gateway cannot answer now." in await asyncio.to_thread(imap_login, dovecot, "anna")
        finally:
            gatepost.key_file.write_text(kept)
            gatepost.front.reload_tls()
