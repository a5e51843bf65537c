"""What every phone is told truthfully: OPTIONS and Autodiscover; and authentication that would bind a connection."""

import pytest

from tests.support.fronted import Fronted, fronted
from tests.support.raw_http import basic, eas, request
from tests.support.scripted_origin import Origin
from tests.support.spine import FOLDER_SYNC
from tests.support.upstream import MailboxServer

EAS = "/Microsoft-Server-ActiveSync"
V1 = "/autodiscover/autodiscover.xml"
ASKED = (
    b'<?xml version="1.0"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/mobilesync/'
    b'requestschema/2006"><Request><EMailAddress>anna@corp.example</EMailAddress><AcceptableResponseSchema>'
    b"http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"
    b"</AcceptableResponseSchema></Request></Autodiscover>"
)
TOLD = (
    b'<?xml version="1.0"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">'
    b'<Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006">'
    b"<User><EMailAddress>anna@corp.example</EMailAddress></User><Action><Settings><Server><Type>MobileSync</Type>"
    b"<Url>https://mbx1.internal/Microsoft-Server-ActiveSync</Url><Name>mbx1.internal</Name></Server></Settings>"
    b"</Action></Response></Autodiscover>"
)


def options(target: str = EAS, *, user: str = "") -> bytes:
    return request(target, method="OPTIONS", Content_Length="", user=user)


async def test_a_refused_phone_learns_the_versions_all_the_same(gateway: Fronted, mailbox: MailboxServer) -> None:
    gateway.dirty("anna", "phone1")
    client = await gateway.client()
    answer = await client.ask(options(user="anna"), "OPTIONS")
    assert answer.status == 200
    assert answer.header("MS-ASProtocolVersions") == "2.5,12.0,12.1,14.0,14.1"
    assert answer.header("MS-ASProtocolCommands") == "Sync,Ping"


async def test_options_with_a_query(gateway: Fronted, mailbox: MailboxServer) -> None:
    client = await gateway.client()
    for query in ("?User=anna", "?Cmd=Options&User=anna&DeviceId=d1&DeviceType=Outlook"):
        assert (await client.ask(options(EAS + query, user="anna"), "OPTIONS")).status == 200


async def test_options_without_credentials_is_the_mail_servers_to_answer(gateway: Fronted) -> None:
    client = await gateway.client()
    answer = await client.ask(options(), "OPTIONS")
    assert (answer.status, answer.header("WWW-Authenticate")) == (401, 'Basic realm="mail"')


async def test_versions_we_do_not_understand_are_not_offered(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(options(user="anna"))
    connection = await origin.connection()
    await connection.request()
    await connection.answer(b"", "200 OK", "MS-ASProtocolVersions: 14.1,17.0", "MS-ASProtocolCommands: Sync,Telepathy")
    answer = await client.answer("OPTIONS")
    assert answer.header("MS-ASProtocolVersions") == "14.1"
    assert answer.header("MS-ASProtocolCommands") == "Sync"


@pytest.mark.parametrize("scheme", ["NTLM TlRMTVNTUAABAAAA", "Negotiate YII=", "Kerberos x", "Digest a=b", "Basic !!"])
@pytest.mark.parametrize("target", [EAS, V1])
async def test_authentication_of_a_connection_never_reaches_the_pool(
    scripted: Fronted, origin: Origin, scheme: str, target: str
) -> None:
    body = FOLDER_SYNC if target == EAS else ASKED
    target = eas("FolderSync", "anna", "phone1") if target == EAS else target
    client = await scripted.client()
    answer = await client.ask(request(target, body, Authorization=scheme))
    assert answer.status == 401
    assert [value.split(" ")[0] for name, value in answer.headers if name == "www-authenticate"] == ["Basic"]
    assert not origin.unaccepted


@pytest.mark.parametrize("target", [EAS, V1])
async def test_nor_is_it_offered(scripted: Fronted, origin: Origin, target: str) -> None:
    body = FOLDER_SYNC if target == EAS else ASKED
    target = eas("FolderSync", "anna", "phone1") if target == EAS else target
    client = await scripted.client()
    client.write(request(target, body, user="anna"))
    connection = await origin.connection()
    await connection.request()
    await connection.answer(
        b"",
        "401 Unauthorized",
        "WWW-Authenticate: Negotiate",
        "WWW-Authenticate: NTLM",
        'WWW-Authenticate: Basic realm="x"',
    )
    answer = await client.answer()
    assert [value for name, value in answer.headers if name == "www-authenticate"] == ['Basic realm="x"']


async def test_a_401_is_never_left_without_a_way_in(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(request(eas("FolderSync", "anna", "phone1"), FOLDER_SYNC, user="anna"))
    connection = await origin.connection()
    await connection.request()
    await connection.answer(b"", "401 Unauthorized", "WWW-Authenticate: Negotiate, NTLM")
    assert (await client.answer()).header("WWW-Authenticate").startswith("Basic ")


async def test_autodiscover_names_our_address_and_no_other(origin: Origin) -> None:
    async with fronted(origin.url, public_url="https://mail.example") as gateway:
        client = await gateway.client()
        client.write(request(V1, ASKED, user="anna", Content_Type="text/xml", Accept_Encoding="gzip"))
        connection = await origin.connection()
        asked = await connection.request()
        assert asked.line == b"POST /autodiscover/autodiscover.xml HTTP/1.1"
        assert b"anna@corp.example" in asked.body
        assert asked.header("Accept-Encoding") == ""
        assert asked.header("Authorization") == basic("anna")
        assert asked.header("X-Forwarded-For") == "127.0.0.1"
        await connection.answer(TOLD)
        answer = await client.answer()
        assert b"<Url>https://mail.example/Microsoft-Server-ActiveSync</Url>" in answer.body
        assert b"internal" not in answer.body
        # And once more by the same connections.
        client.write(request(V1, ASKED, user="anna"))
        await connection.request()
        await connection.answer(TOLD)
        assert (await client.answer()).status == 200


async def test_without_a_public_url_it_is_the_host_that_was_asked(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(request(V1, ASKED, user="anna", Host="phones.example"))
    connection = await origin.connection()
    await connection.request()
    await connection.answer(TOLD)
    assert b"<Url>https://phones.example/Microsoft-Server-ActiveSync</Url>" in (await client.answer()).body


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"<x", b"600"), (b"", b"600"), (ASKED.replace(b"mobilesync/responseschema", b"outlook/responseschema"), b"601")],
)
async def test_autodiscover_that_cannot_be_answered(
    scripted: Fronted, origin: Origin, body: bytes, said: bytes
) -> None:
    client = await scripted.client()
    answer = await client.ask(request(V1, body, user="anna"))
    assert (answer.status, said in answer.body) == (200, True)
    assert not origin.unaccepted


async def test_autodiscover_too_large(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    answer = await client.ask(request(V1, ASKED + bytes(70_000), user="anna"))
    assert answer.status == 413


async def test_autodiscover_whose_answer_is_not_understood_is_not_passed_on(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(request(V1, ASKED, user="anna"))
    connection = await origin.connection()
    await connection.request()
    await connection.answer(b"<html>mbx1.internal is down</html>")
    answer = await client.answer()
    assert (answer.status, b"internal" in answer.body) == (503, False)


async def test_autodiscover_with_the_mail_server_away(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(request(V1, ASKED, user="anna"))
    connection = await origin.connection()
    await connection.request()
    connection.close()
    assert (await client.answer()).status == 503


async def test_a_client_that_leaves_while_autodiscover_is_asked(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    client.write(request(V1, ASKED, user="anna"))
    connection = await origin.connection()
    await connection.request()
    client.close()
    await connection.until_ended()


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("/autodiscover/autodiscover.json?Email=a@b.example&Protocol=ActiveSync", 200, b'"https://mail.example/Micro'),
        ("/AutoDiscover/autodiscover.json/v1.0/a@b.example?Protocol=autodiscoverv1", 200, b"/autodiscover.xml"),
        ("/autodiscover/autodiscover.json?Protocol=Ews", 400, b"InvalidProtocol"),
        ("/autodiscover/autodiscover.json", 400, b"InvalidProtocol"),
        ("/autodiscover/autodiscover.json?a@evil/owa/?&Email=x&Protocol=ActiveSync", 200, b'"https://mail.example/'),
    ],
)
async def test_autodiscover_v2_is_answered_from_here_alone(
    scripted: Fronted, origin: Origin, target: str, status: int, said: bytes
) -> None:
    client = await scripted.client()
    answer = await client.ask(request(target, method="GET", Content_Length=""), "GET")
    assert (answer.status, said in answer.body) == (status, True)
    assert not origin.unaccepted


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", EAS, 501),
        ("PUT", EAS + "?Cmd=Sync", 501),
        ("GET", V1, 501),
        ("POST", "/autodiscover/autodiscover.json?Protocol=ActiveSync", 501),
        ("POST", EAS + "?Cmd=Telepathy&User=anna&DeviceId=d1&DeviceType=x", 501),
        ("POST", EAS, 400),
        ("GET", "/owa/", 404),
        ("POST", "/EWS/Exchange.asmx", 404),
        ("POST", "/SOGo/Microsoft-Server-ActiveSync?Cmd=Sync", 404),
        ("POST", "//Microsoft-Server-ActiveSync?Cmd=Sync", 404),
        ("POST", "/Microsoft-Server-ActiveSync/default.eas?Cmd=Sync", 404),
        ("POST", "/Microsoft-Server-ActiveSync/../owa/", 404),
        ("POST", "/%4dicrosoft-Server-ActiveSync?Cmd=Sync", 404),
    ],
)
async def test_whatever_is_not_served_goes_nowhere(
    scripted: Fronted, origin: Origin, method: str, target: str, status: int
) -> None:
    client = await scripted.client()
    answer = await client.ask(request(target, method=method, user="anna"), method)
    assert (answer.status, answer.closed) == (status, False)
    assert not origin.unaccepted


async def test_closed_paths_are_counted_by_name_and_bounded(scripted: Fronted) -> None:
    client = await scripted.client()
    for number in range(150):
        await client.ask(request(f"/path{number}/x", method="GET", Content_Length=""), "GET")
    await client.ask(request("/Path0/y", method="GET", Content_Length=""), "GET")
    assert scripted.counted("gatepost_closed_path_total", "/path0") == 2
    assert scripted.counted("gatepost_closed_path_total", "other") == 50
    # Nobody who asks for inventions hides those whom a closed path would hurt.
    await client.ask(request("/OWA/auth.owa", method="GET", Content_Length=""), "GET")
    assert scripted.counted("gatepost_closed_path_total", "/owa") == 1


async def test_a_coded_body_is_not_looked_into(scripted: Fronted, origin: Origin) -> None:
    client = await scripted.client()
    for target in (eas("FolderSync", "anna", "phone1"), V1):
        assert (await client.ask(request(target, FOLDER_SYNC, user="anna", Content_Encoding="gzip"))).status == 415
    assert not origin.unaccepted
