"""What is done to SMTP gateways: smuggled messages, injected commands, forged origins; none of it gets through."""

import base64
import socket

import pytest

from tests.support.fronted import until
from tests.support.submission_server import SubmissionServer
from tests.support.submitted import ANNA, Submitted, plain, submitted

SMUGGLED = b"MAIL FROM:<boss@corp.example>\r\nRCPT TO:<all@corp.example>\r\nDATA\r\nPay this.\r\n"
ENDS = (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n\0.\r\n", b"\n\n.\r\n", b"\r\r\n.\n")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("whole", [True, False], ids=["in one piece", "octet by octet"])
async def test_no_second_message_is_smuggled_into_a_mail_server_that_would_take_it(
    end: bytes, whole: bool, front: Submitted, server: SubmissionServer
) -> None:
    server.lenient = True
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    octets = b"Subject: one\r\n\r\nHello" + end + SMUGGLED + b"\r\n.\r\n"
    for at in range(0, len(octets), len(octets) if whole else 1):
        client.write(octets[at : at + (len(octets) if whole else 1)])
        await client.drain()
    assert (await client.reply())[:9] == b"550 5.6.0"
    assert (await client.reply())[:9] == b"421 4.4.2"
    assert await client.closed()
    await until(lambda: server.open == 0)
    assert server.messages == []
    assert not any(b"boss" in each for each in server.commands)
    assert b"boss" not in b"".join(server.unfinished)
    assert front.messages("nul" if b"\0" in end else "bare_line_end") == 1


async def test_a_dot_behind_a_stray_cr_ends_where_everybody_ends_it(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    await client.at_data()
    assert (await client.ask(b"Hello\r\r\n."))[:9] == b"550 5.6.0"
    assert server.messages == []


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\r\n"])
async def test_a_command_ends_with_cr_and_lf(end: bytes, front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    client.write(b"NOOP" + end + b"MAIL FROM:<a@b.example>\r\n")
    assert (await client.reply())[:9] == b"500 5.5.2"
    assert await client.closed()
    assert "MAIL" not in server.verbs()
    assert front.ended("bare_line_end") == 1


async def test_nothing_may_follow_data_before_its_answer(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    await client.ask(b"MAIL FROM:<a@b.example>")
    await client.ask(b"RCPT TO:<a@b.example>")
    client.write(b"DATA\r\nSubject: eager\r\n\r\n.\r\n")
    assert (await client.reply())[:9] == b"503 5.5.0"
    assert await client.closed()
    assert server.messages == []
    assert front.ended("pipelined") == 1


async def test_a_message_for_a_data_that_is_refused_is_not_run_as_commands(
    front: Submitted, server: SubmissionServer
) -> None:
    client = await front.client()
    await client.logged_in()
    server.replies["DATA"] = [b"451 4.3.0 Not now"]
    assert (await client.at_data())[:3] == b"451"
    # Whoever goes on all the same gives commands of his own session, and no more.
    assert (await client.ask(b"Subject: x"))[:3] == b"500"
    assert server.messages == []


@pytest.mark.parametrize("verb", [b"XCLIENT ADDR=192.0.2.1 LOGIN=boss", b"XFORWARD ADDR=192.0.2.1"])
@pytest.mark.parametrize("logged_in", [True, False])
async def test_a_forged_origin_ends_the_connection(
    verb: bytes, logged_in: bool, front: Submitted, server: SubmissionServer
) -> None:
    client = await front.client()
    await (client.logged_in() if logged_in else client.greeted())
    assert (await client.ask(verb))[:9] == b"550 5.7.0"
    assert await client.closed()
    assert not any(each.startswith((b"XCLIENT", b"XFORWARD")) for each in server.commands)


async def test_a_proxy_header_from_outside_is_no_command(front: Submitted) -> None:
    client = await front.client()
    await client.reply()
    assert (await client.ask(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2"))[:3] == b"500"


async def test_chunks_are_not_taken_for_commands(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    await client.ask(b"MAIL FROM:<a@b.example>")
    client.write(b"BDAT 40 LAST\r\nRCPT TO:<all@corp.example>\r\n")
    assert (await client.reply())[:9] == b"502 5.5.1"
    assert await client.closed()
    assert "RCPT" not in server.verbs()


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<a@b.example>\0SIZE=1",
        b"MAIL FROM:<a@b.example> SIZE=1\x0bRSET",
        b"RCPT TO:<a@b.example>",
        b"EXPN all",
        b"TURN",
        b"\xff\xfe",
        b"",
        b"M\xc3\x84IL FROM:<a@b.example>",
    ],
)
async def test_odd_commands_stay_here(line: bytes, front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    before = len(server.commands)
    assert (await client.ask(line))[:1] == b"5"
    assert len(server.commands) == before


@pytest.mark.parametrize("login", ["someone-else@corp.example", "anna%cred@corp.example", "anna@alias.example"])
async def test_another_spelling_is_another_login_and_not_the_refused_one(
    login: str, front: Submitted, server: SubmissionServer
) -> None:
    """Whose mailbox a name is the mail server knows; that it is one person's the settings and the store have to say."""
    front.dirty()
    client = await front.client()
    await client.logged_in(login)
    (session,) = front.decision.sessions
    assert session.request.login == login


async def test_spellings_of_one_name_are_one_login(front: Submitted) -> None:
    front.dirty()
    for login in ("anna", "Anna", "ANNA@CORP.example", "ａnna"):
        client = await front.client()
        await client.logged_in(login)
        assert (await client.ask(b"MAIL FROM:<a@b.example>"))[:3] == b"550", login


async def test_the_mail_server_never_hears_a_claim_of_who_submitted(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.logged_in()
    assert (await client.ask(b"MAIL FROM:<a@b.example> AUTH=boss@corp.example"))[:3] == b"250"
    assert server.commands[-1] == b"MAIL FROM:<a@b.example>"


async def test_the_clients_address_goes_upstream_and_what_it_says_of_itself_only_if_it_is_a_name(
    server: SubmissionServer,
) -> None:
    server.extensions.append("XCLIENT NAME ADDR PROTO HELO PORT LOGIN")
    async with submitted(server.url) as front:
        client = await front.client(source="127.0.0.9")
        await client.reply()
        assert b"XCLIENT" not in await client.ask(b"EHLO [a] LOGIN=boss\x01")
        await client.ask(b"AUTH PLAIN " + plain(ANNA))
        (said,) = [each for each in server.commands if each.startswith(b"XCLIENT")]
        assert b" ADDR=127.0.0.9 " in said
        assert said.endswith(b" HELO=[UNAVAILABLE]")
        assert server.verbs()[:5] == ["EHLO", "QUIT", "EHLO", "XCLIENT", "EHLO"]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_ipv4_on_a_listener_for_both_families_is_ipv4(server: SubmissionServer) -> None:
    """As systemd's ListenStream=587 makes one; to a mail server IPV6:::ffff:127.0.0.9 is somebody else."""
    server.extensions.append("XCLIENT ADDR")
    async with submitted(server.url) as front:
        sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        port = sock.getsockname()[1]
        await front.front.listen(sock, None, secure=False)
        client = await front.client(port, source="127.0.0.9")
        assert (await client.logged_in())[:3] == b"235"
        assert b"XCLIENT ADDR=127.0.0.9" in server.commands
        (session,) = front.decision.sessions
        assert session.request.client_address == "127.0.0.9"


async def test_the_clients_address_by_the_proxy_protocol(server: SubmissionServer) -> None:
    server.preamble = "line"
    async with submitted(server.url, client_address="proxy-v1") as front:
        client = await front.client(source="127.0.0.9")
        assert (await client.logged_in())[:3] == b"235"
        assert server.preambles[0] == b"PROXY UNKNOWN"
        assert server.preambles[1].startswith(b"PROXY TCP4 127.0.0.9 127.0.0.1 ")


async def test_the_clients_address_by_the_second_version(server: SubmissionServer) -> None:
    server.preamble = "binary"
    async with submitted(server.url, client_address="proxy-v2") as front:
        client = await front.client(source="127.0.0.9")
        assert (await client.logged_in())[:3] == b"235"
        assert server.preambles[0][12:13] == b"\x20"
        assert server.preambles[1][12:14] == b"\x21\x11"
        assert server.preambles[1][16:20] == bytes((127, 0, 0, 9))


ODD_NAMES = (
    *(b"anna@corp.example\0x", b"anna@corp.example\0", b"anna\xe9@corp.example", b"anna@corp.example\xc3"),
    *(b"\xc1\xa1nna@corp.example", b"anna@corp.example\x01", b"anna\r\nMAIL FROM:<boss@corp.example>"),
)


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_a_name_that_two_readers_could_read_differently_is_shown_to_no_mail_server(
    name: bytes, front: Submitted, server: SubmissionServer
) -> None:
    client = await front.client()
    await client.greeted()
    response = base64.b64encode(b"\0" + name + b"\0secret")
    assert (await client.ask(b"AUTH PLAIN " + response))[:1] == b"5"
    await client.ask(b"AUTH LOGIN " + base64.b64encode(name))
    assert (await client.ask(base64.b64encode(b"secret")))[:1] == b"5"
    assert "AUTH" not in server.verbs()


async def test_nobody_submits_on_behalf_of_somebody_else(front: Submitted, server: SubmissionServer) -> None:
    client = await front.client()
    await client.greeted()
    for authzid in ("bert@corp.example", "ANNA@corp.example"):
        assert (await client.ask(b"AUTH PLAIN " + plain(ANNA, authzid=authzid)))[:9] == b"535 5.7.8"
    assert "AUTH" not in server.verbs()


async def test_a_login_after_mail_is_none(front: Submitted, server: SubmissionServer) -> None:
    """The first one stands, whoever the second would have been; without one there is no MAIL."""
    client = await front.client()
    await client.greeted()
    assert (await client.ask(b"MAIL FROM:<anna@corp.example>"))[:9] == b"530 5.7.0"
    assert (await client.ask(b"AUTH PLAIN " + plain(ANNA)))[:3] == b"235"
    assert (await client.ask(b"MAIL FROM:<anna@corp.example>"))[:3] == b"250"
    assert (await client.ask(b"AUTH PLAIN " + plain("bert@corp.example")))[:9] == b"503 5.5.1"
    assert (await client.ask(b"RCPT TO:<bert@corp.example>"))[:3] == b"250"
    assert [session.request.login for session in front.decision.sessions] == [ANNA]
    assert server.verbs().count("AUTH") == 1
