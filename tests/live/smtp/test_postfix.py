"""Real mail programs through a whole gateway to a real Postfix: as without it, refused in words, cut, not fooled."""

import asyncio
import base64
import json
import os
import re
import smtplib
import subprocess
import time
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

import aiosmtplib
import pytest

from tests.live.mail_servers import PASSWORD
from tests.live.smtp.conftest import TEXT, Way, tables
from tests.live.smtp.postfix import DOMAIN, MESSAGE_MOST, Postfix
from tests.live.tokens import token
from tests.support.reporting import Agent
from tests.support.running import running
from tests.support.submitted import SmtpClient, plain

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

AT_ONCE_SECONDS = 2.0
BERT = f"bert@{DOMAIN}"
BLOCKED = "550 5.7.1 Mail on this device is blocked by your organization because of this app: TikTok"


def message(subject: str, text: str = "Hello.\n.\n..\nEnd.\n") -> EmailMessage:
    """A small one, with dots where lines begin."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = f"anna@{DOMAIN}", BERT, subject
    made["Date"], made["Message-ID"] = formatdate(0), f"<{subject.replace(' ', '.')}@{DOMAIN}>"
    made.set_content(text)
    return made


def session(way: Way, *, direct: bool = False, source: str = "127.0.0.1") -> smtplib.SMTP:
    """Python's own client; ``direct``: without the gateway."""
    port = way.postfix.ports["smtps" if way.name == "tls" else "smtp"] if direct else way.port
    local = (source, 0)
    if way.name == "tls":
        return smtplib.SMTP_SSL("127.0.0.1", port, context=way.trust, timeout=60, source_address=local)
    made = smtplib.SMTP("127.0.0.1", port, timeout=60, source_address=local)
    if way.name == "starttls":
        made.starttls(context=way.trust)
    return made


def send(way: Way, user: str, made: EmailMessage, *, direct: bool = False, source: str = "127.0.0.1") -> None:
    """Log in and send one."""
    with session(way, direct=direct, source=source) as server:
        server.login(user, PASSWORD)
        server.send_message(made, from_addr=user)


async def test_as_without_the_gateway(way: Way) -> None:
    user = way.user("sender")
    await way.clean(user)
    for direct in (True, False):
        made = message(f"same {way.name} {direct}", "Grüße.\n.\n..x\n" + "long " * 400 + "\n")
        await asyncio.to_thread(send, way, user, made, direct=direct)
    one = await asyncio.to_thread(way.postfix.until_arrived, f"same {way.name} True")
    other = await asyncio.to_thread(way.postfix.until_arrived, f"same {way.name} False")
    assert one.replace(b"True", b"False") == other


async def test_postfix_knows_the_client_and_not_us(way: Way) -> None:
    user = way.user("sender")
    await way.clean(user)
    await asyncio.to_thread(send, way, user, message(f"from {way.name}"), source="127.0.0.77")
    said = await asyncio.to_thread(
        way.postfix.until_said, rf"client=unknown\[127\.0\.0\.77\], sasl_method=PLAIN, sasl_username={user}"
    )
    assert said


async def test_aiosmtplib(way: Way) -> None:
    user = way.user("sender")
    await way.clean(user)
    await aiosmtplib.send(
        message(f"aiosmtplib {way.name}"),
        sender=user,
        hostname="127.0.0.1",
        port=way.port,
        username=user,
        password=PASSWORD,
        use_tls=way.name == "tls",
        start_tls=way.name == "starttls",
        tls_context=None if way.name == "clear" else way.trust,
    )
    await asyncio.to_thread(way.postfix.until_arrived, f"aiosmtplib {way.name}")


def swaks(way: Way, user: str, subject: str) -> subprocess.CompletedProcess[str]:
    """The Swiss army knife for SMTP."""
    tls = {"clear": [], "starttls": ["--tls"], "tls": ["--tls-on-connect"]}[way.name]
    words = ["swaks", "--server", f"127.0.0.1:{way.port}", "--auth", "LOGIN", "--auth-user", user]
    words += ["--auth-password", PASSWORD, "--from", user, "--to", BERT, "--header", f"Subject: {subject}", *tls]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def msmtp(way: Way, user: str, subject: str) -> subprocess.CompletedProcess[str]:
    """A mail program's little helper."""
    trust = [f"--tls-trust-file={way.postfix.certificates.authority}"]
    tls = {
        "clear": ["--tls=off", "--auth=plain"],
        "starttls": ["--tls=on", "--tls-starttls=on", "--auth=on", *trust],
        "tls": ["--tls=on", "--tls-starttls=off", "--auth=on", *trust],
    }[way.name]
    words = ["msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={way.port}", f"--user={user}", *tls]
    words += [f"--passwordeval=echo {PASSWORD}", f"--from={user}", BERT]
    text = f"Subject: {subject}\n\nHello.\n.\n"
    return subprocess.run(words, input=text, capture_output=True, text=True, timeout=60, check=False)


PROGRAMS = {"swaks": swaks, "msmtp": msmtp}


@pytest.mark.parametrize("name", PROGRAMS)
async def test_mail_programs_send_are_refused_in_words_and_send_again(way: Way, name: str) -> None:
    program = PROGRAMS[name]
    user = way.user(name)
    await way.clean(user)
    done = await asyncio.to_thread(program, way, user, f"{name} one {way.name}")
    assert done.returncode == 0, done.stdout + done.stderr
    await asyncio.to_thread(way.postfix.until_arrived, f"{name} one {way.name}")
    await way.dirty(user)
    done = await asyncio.to_thread(program, way, user, f"{name} two {way.name}")
    assert done.returncode != 0
    assert BLOCKED in done.stdout + done.stderr
    assert TEXT in done.stdout + done.stderr
    await way.clean(user)
    done = await asyncio.to_thread(program, way, user, f"{name} three {way.name}")
    assert done.returncode == 0, done.stdout + done.stderr
    await asyncio.to_thread(way.postfix.until_arrived, f"{name} three {way.name}")
    assert way.postfix.arrived(f"{name} two {way.name}") == []


async def test_refused_and_back_by_smtplib(way: Way) -> None:
    user = way.user("refused")
    await way.dirty(user)
    with pytest.raises(smtplib.SMTPSenderRefused) as caught:
        await asyncio.to_thread(send, way, user, message(f"refused {way.name}"))
    assert caught.value.smtp_code == 550
    assert isinstance(caught.value.smtp_error, bytes)
    assert b"TikTok" in caught.value.smtp_error
    assert caught.value.smtp_error.endswith(TEXT.encode())
    with pytest.raises(smtplib.SMTPAuthenticationError) as wrong, session(way) as server:
        server.login(user, "wrong")
    assert wrong.value.smtp_code == 535
    assert isinstance(wrong.value.smtp_error, bytes)
    assert b"TikTok" not in wrong.value.smtp_error
    await way.clean(user)
    await asyncio.to_thread(send, way, user, message(f"back {way.name}"))
    await asyncio.to_thread(way.postfix.until_arrived, f"back {way.name}")


async def test_cut_between_two_transactions_and_within_none(way: Way) -> None:
    user = way.user("turned")
    await way.clean(user)
    client = await way.client()
    assert (await client.ask(b"AUTH PLAIN " + plain(user, PASSWORD)))[:3] == b"235"
    idle, sending = client, await way.client()
    assert (await sending.ask(b"AUTH PLAIN " + plain(user, PASSWORD)))[:3] == b"235"
    assert (await sending.at_data(b"<" + user.encode() + b">"))[:3] == b"354"
    sending.write(b"Subject: whole %b\r\n\r\nfirst\r\n" % way.name.encode())
    began = time.monotonic()
    await way.dirty(user)
    said = await idle.reply()
    assert said.startswith(b"421 4.7.0 Mail on this device is blocked")
    assert time.monotonic() - began < AT_ONCE_SECONDS
    assert await idle.closed()
    assert (await sending.ask(b"second\r\n."))[:3] == b"250"
    assert (await sending.reply())[:9] == b"421 4.7.0"
    assert await sending.closed()
    assert b"first\nsecond" in (await asyncio.to_thread(way.postfix.until_arrived, f"whole {way.name}"))
    await way.clean(user)
    await asyncio.to_thread(send, way, user, message(f"again {way.name}"))
    await asyncio.to_thread(way.postfix.until_arrived, f"again {way.name}")


def worker_peak(way: Way) -> int:
    """Octets that the worker has held at most."""
    parent = way.gateway.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (worker,) = [pid for pid in children if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


async def test_a_message_of_25_mb_in_bounded_memory(way: Way) -> None:
    user = way.user("large")
    await way.clean(user)
    await asyncio.to_thread(send, way, user, message(f"small {way.name}"))
    before = worker_peak(way)
    text = "".join(f"{os.urandom(38).hex()}\n" for _ in range((25 << 20) // 78))
    await asyncio.to_thread(send, way, user, message(f"large {way.name}", text))
    arrived = await asyncio.to_thread(way.postfix.until_arrived, f"large {way.name}")
    assert arrived.endswith(text.encode())
    grown = worker_peak(way) - before
    assert grown < 4 << 20, grown


async def test_extensions_pass(way: Way) -> None:
    user = way.user("sender")
    await way.clean(user)
    with session(way) as server:
        server.login(user, PASSWORD)
        offered = dict(server.esmtp_features)
        assert {"size", "8bitmime", "dsn", "smtputf8", "enhancedstatuscodes", "pipelining", "auth"} == set(offered)
        assert offered["size"] == str(MESSAGE_MOST)
        assert server.mail(user, [f"SIZE={MESSAGE_MOST + 1}"])[0] == 552
        text = f"Subject: extensions {way.name}\r\n\r\nGrüße\r\n".encode()
        assert server.mail(user, ["SMTPUTF8", "BODY=8BITMIME", "RET=HDRS", "ENVID=Abc123"])[0] == 250
        assert server.rcpt(BERT, ["NOTIFY=SUCCESS", f"ORCPT=rfc822;{BERT}"])[0] == 250
        assert server.data(text)[0] == 250
    assert b"Gr\xc3\xbc\xc3\x9fe" in (await asyncio.to_thread(way.postfix.until_arrived, f"extensions {way.name}"))
    report = await asyncio.to_thread(way.postfix.until_arrived, "Successful Mail Delivery Report")
    assert b"Original-Envelope-Id: Abc123" in report


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_tokens(way: Way, mechanism: str) -> None:
    """Dovecot checks them; a forged one learns nothing, a good one is judged like a password."""
    user = way.user("odd")
    await way.dirty(user)
    client = await way.client()
    forged = await client.ask(f"AUTH {mechanism} ".encode() + shown(mechanism, user, token(user, key=b"another")))
    assert forged[:4] == b"334 "
    assert json.loads(base64.b64decode(forged[4:]))["status"] in ("401", "invalid_token")
    refused = await client.ask(b"AQ==" if mechanism == "OAUTHBEARER" else b"")
    assert refused[:9] == b"535 5.7.8"
    assert b"TikTok" not in refused
    assert (await client.ask(f"AUTH {mechanism} ".encode() + shown(mechanism, user, token(user))))[:3] == b"235"
    assert BLOCKED.encode() in await client.ask(f"MAIL FROM:<{user}>".encode())
    await way.clean(user)
    client = await way.client()
    assert (await client.ask(f"AUTH {mechanism} ".encode() + shown(mechanism, user, token(user))))[:3] == b"235"
    assert (await client.ask(f"MAIL FROM:<{user}>".encode()))[:3] == b"250"


def shown(mechanism: str, user: str, its: str) -> bytes:
    """A client's one response, in base64."""
    if mechanism == "XOAUTH2":
        return base64.b64encode(f"user={user}\x01auth=Bearer {its}\x01\x01".encode())
    return base64.b64encode(f"n,a={user},\x01auth=Bearer {its}\x01\x01".encode())


async def smuggle(client: SmtpClient, user: str, end: bytes, subject: str) -> bytes:
    """A message with another one behind an end that is none; the answer to it."""
    await client.at_data(b"<" + user.encode() + b">")
    inner = f"MAIL FROM:<boss@{DOMAIN}>\r\nRCPT TO:<{BERT}>\r\nDATA\r\nSubject: {subject}\r\n\r\nPay.\r\n".encode()
    client.write(b"Subject: outer\r\n\r\nHello" + end + inner + b".\r\n")
    return await client.reply()


async def test_what_postfix_takes_for_an_end_is_refused_here(way: Way) -> None:
    user = way.user("odd")
    await way.clean(user)
    direct = await SmtpClient.connected(way.postfix.ports["smtp"])
    way.opened.append(direct)
    await direct.greeted()
    await direct.ask(b"AUTH PLAIN " + plain(user, PASSWORD))
    assert (await smuggle(direct, user, b"\r\n.\n", f"smuggled {way.name} direct"))[:3] == b"250"
    # This Postfix does fall for it: without the gateway the second message is there.
    await asyncio.to_thread(way.postfix.until_arrived, f"smuggled {way.name} direct")
    for end in (b"\r\n.\n", b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\r"):
        client = await way.client()
        await client.ask(b"AUTH PLAIN " + plain(user, PASSWORD))
        assert (await smuggle(client, user, end, f"smuggled {way.name} through"))[:9] == b"550 5.6.0"
    await asyncio.to_thread(send, way, user, message(f"after smuggling {way.name}"))
    await asyncio.to_thread(way.postfix.until_arrived, f"after smuggling {way.name}")
    assert way.postfix.arrived(f"smuggled {way.name} through") == []


async def test_nothing_without_a_login(way: Way) -> None:
    client = await way.client()
    assert (await client.ask(f"MAIL FROM:<boss@{DOMAIN}>".encode()))[:9] == b"530 5.7.0"
    assert (await client.ask(b"XCLIENT ADDR=192.0.2.1 LOGIN=boss"))[:9] == b"550 5.7.0"
    assert await client.closed()


async def test_a_user_that_is_not_ours_to_judge_is_told_by_postfix(way: Way) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError):
        await asyncio.to_thread(send, way, f"nobody@{DOMAIN}", message("nobody"))


async def test_the_proxy_protocol(postfix: Postfix, tmp_path: Path) -> None:
    for version in ("proxy-v1", "proxy-v2"):
        directory = tmp_path / version
        directory.mkdir()
        upstream = f"smtp+starttls://127.0.0.1:{postfix.ports['proxy']}"
        more = tables("clear", postfix, f'client_address = "{version}"', upstream)
        async with running(directory, "http://127.0.0.1:9", more=more) as gateway:
            way = Way("clear", gateway, Agent("", ""), postfix.certificates.trust(), postfix)
            source = f"127.0.0.{8 + int(version[-1])}"
            await asyncio.to_thread(send, way, way.user("proxied"), message(f"by {version}"), source=source)
            await asyncio.to_thread(postfix.until_arrived, f"by {version}")
            assert await asyncio.to_thread(postfix.until_said, rf"client=\S*\[{source}\], sasl_method=PLAIN")
