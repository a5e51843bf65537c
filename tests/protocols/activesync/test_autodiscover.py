"""Autodiscover: requests read, answers written anew with our address, hostile XML refused."""

import json
import time
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.autodiscover import (
    ADDRESS_LONGEST,
    DOCUMENT_LONGEST,
    DiscoveryRequest,
    invalid_request,
    no_provider,
    read_request,
    rendered_request,
    rewritten,
    v2_answer,
    v2_protocol,
)
from gateway.protocols.answer import Answer

PUBLIC = "https://mail.example"
EAS_URL = "https://mail.example/Microsoft-Server-ActiveSync"
SCHEMAS = "http://schemas.microsoft.com/exchange/autodiscover"
MOBILE = f"{{{SCHEMAS}/mobilesync/responseschema/2006}}"
FRAME = f"{{{SCHEMAS}/responseschema/2006}}"

REQUEST = f"""<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="{SCHEMAS}/mobilesync/requestschema/2006">
  <Request>
    <EMailAddress>ada@corp.example</EMailAddress>
    <AcceptableResponseSchema>{SCHEMAS}/mobilesync/responseschema/2006</AcceptableResponseSchema>
  </Request>
</Autodiscover>""".encode()
OUTLOOK = REQUEST.replace(b"/mobilesync/responseschema/2006", b"/outlook/responseschema/2006a")


def answer(action: str, extra: str = "") -> bytes:
    """An answer as Exchange writes it."""
    return f"""<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="{SCHEMAS}/responseschema/2006">
  <Response xmlns="{SCHEMAS}/mobilesync/responseschema/2006">
    <Culture>en:us</Culture>
    <User><DisplayName>Ada &amp; Co</DisplayName><EMailAddress>ada@corp.example</EMailAddress></User>
    <Action>{action}</Action>{extra}
  </Response>
</Autodiscover>""".encode()


SETTINGS = """<Settings><Server><Type>MobileSync</Type>
<Url>https://mbx07.internal/Microsoft-Server-ActiveSync</Url><Name>https://mbx07.internal/x</Name></Server>
<Server><Type>CertEnroll</Type><Url>https://ca.example/enroll</Url><Name></Name><ServerData>CertTemplate</ServerData>
</Server></Settings>"""


# --- requests --------------------------------------------------------------------------------------------------------


def email_of(body: bytes) -> str | None:
    """The mail address that a request is about; None when it cannot be read."""
    try:
        return read_request(body).email
    except InvalidValue:
        return None


def test_a_phones_request() -> None:
    assert read_request(REQUEST) == DiscoveryRequest("ada@corp.example", mobile=True)
    assert email_of(REQUEST) == "ada@corp.example"


def test_a_desktops_request_is_told_apart() -> None:
    assert read_request(OUTLOOK) == DiscoveryRequest("ada@corp.example", mobile=False)


@pytest.mark.parametrize(
    "spelling",
    [
        b"\xef\xbb\xbf" + REQUEST,
        REQUEST.replace(b'<?xml version="1.0" encoding="utf-8"?>\n', b""),
        REQUEST.replace(b'encoding="utf-8"', b'encoding="utf-16"'),
        REQUEST.replace(b'encoding="utf-8"', b'encoding="unicode_escape"'),
        REQUEST.replace(b"xmlns=", b"xmlns:q=").replace(b"Autodiscover ", b"q:Autodiscover ").replace(
            b"</Autodiscover>", b"</q:Autodiscover>"
        ),
        REQUEST.replace(b"ada@", b"<![CDATA[a]]>&#100;&#x61;@"),
        REQUEST.replace(b"<Request>", b"<!-- <EMailAddress>b@c</EMailAddress> --><Request>"),
    ],
)  # fmt: skip
def test_other_spellings_of_it(spelling: bytes) -> None:
    assert email_of(spelling) == "ada@corp.example"


LAUGHS = b"<!DOCTYPE a [" + b"".join(
    b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10 if n else b"ha") for n in range(10)
)


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"<",
        b"<Autodiscover/>",
        b"<Autodiscover><Request/></Autodiscover>",
        LAUGHS + b"]><Autodiscover>&l9;</Autodiscover>",
        b'<!DOCTYPE Autodiscover SYSTEM "file:///etc/passwd">' + REQUEST.partition(b"?>")[2],
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + REQUEST.partition(b"?>")[2].replace(b"ada@", b"&x;@"),
        b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/">%x;]>' + REQUEST.partition(b"?>")[2],
        REQUEST.replace(b"ada@", b"&x;@"),
        REQUEST.replace(b"ada@", b"a\x00da@"),
        REQUEST.replace(b"ada@", b"a&#13;&#10;da@"),
        REQUEST.replace(b"ada@", b"\xff@"),
        REQUEST.replace(b"ada@", b"a" * ADDRESS_LONGEST + b"@"),
        REQUEST.replace(b"<Request>", b"<a>" * 20 + b"<Request>"),
        REQUEST.replace(b"<Request>", b"<a/>" * 2000 + b"<Request>"),
        REQUEST.replace(b"<Request>", b"<" + b"a" * 5000 + b"/><Request>"),
        REQUEST + b" " * DOCUMENT_LONGEST,
        REQUEST + REQUEST,
    ],
)
def test_hostile_requests_are_refused(hostile: bytes) -> None:
    began = time.process_time()
    assert email_of(hostile) is None
    with pytest.raises(InvalidValue):
        read_request(hostile)
    assert time.process_time() - began < 1


@given(
    st.binary(max_size=100)
    | st.text(max_size=100).map(lambda text: REQUEST.replace(b"ada", text.encode("utf-8", "replace")))
)
def test_garbage_is_refused_or_read(body: bytes) -> None:
    email = email_of(body)
    assert email is None or (email.isprintable() and len(email) <= ADDRESS_LONGEST)


printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60)


@given(printable)
def test_a_request_is_rebuilt(email: str) -> None:
    request = DiscoveryRequest(email, mobile=True)
    assert read_request(rendered_request(request)) == request


# --- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_names_this_gateway() -> None:
    told = rewritten(answer(SETTINGS), PUBLIC)
    assert b"internal" not in told
    response = ET.fromstring(told)[0]  # noqa: S314  (our own document)
    servers = [
        {child.tag.removeprefix(MOBILE): child.text for child in server}
        for server in response.iterfind(f"{MOBILE}Action/{MOBILE}Settings/{MOBILE}Server")
    ]
    assert servers == [
        {"Type": "MobileSync", "Url": EAS_URL, "Name": EAS_URL},
        {"Type": "CertEnroll", "Url": "https://ca.example/enroll", "ServerData": "CertTemplate"},
    ]
    assert response.findtext(f"{MOBILE}Culture") == "en:us"
    assert response.findtext(f"{MOBILE}User/{MOBILE}DisplayName") == "Ada & Co"
    assert response.findtext(f"{MOBILE}User/{MOBILE}EMailAddress") == "ada@corp.example"


def test_what_is_not_understood_is_not_told() -> None:
    assert b"internal" not in rewritten(answer(SETTINGS, "<EwsUrl>https://mbx07.internal/EWS</EwsUrl>"), PUBLIC)


def test_another_mail_address() -> None:
    told = rewritten(answer("<Redirect>ada@other.example</Redirect>"), PUBLIC)
    assert b"<Action><Redirect>ada@other.example</Redirect></Action>" in told


def test_errors() -> None:
    action = "<Error><Status>2</Status><Message>No &lt;user&gt;</Message><DebugData>mbx07.internal</DebugData></Error>"
    told = rewritten(answer(action), PUBLIC)
    assert b"<Error><Status>2</Status><Message>No &lt;user&gt;</Message></Error>" in told
    assert b"internal" not in told
    failed = (
        f'<Autodiscover xmlns="{SCHEMAS}/responseschema/2006"><Response><Error Time="1" Id="2"><ErrorCode>601'
        "</ErrorCode><Message>Provider is not available</Message><DebugData/></Error></Response></Autodiscover>"
    )
    assert rewritten(failed.encode(), PUBLIC) == no_provider().body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Sign in</body></html>",
        b"<Autodiscover/>",
        answer(""),
        answer("<Settings/>"),
        answer("<Redirect>https://mbx07.internal/autodiscover</Redirect>"),
        answer("<RedirectUrl>https://mbx07.internal/</RedirectUrl>"),
        LAUGHS + b"]>" + answer(SETTINGS).partition(b"?>")[2],
        f'<Autodiscover xmlns="{SCHEMAS}/responseschema/2006"><Response xmlns="{SCHEMAS}/outlook/responseschema/2006a">'
        "<Account><Protocol><Server>mbx07.internal</Server></Protocol></Account></Response></Autodiscover>".encode(),
    ],
)
def test_answers_that_are_not_understood_are_not_passed_on(body: bytes) -> None:
    with pytest.raises(InvalidValue):
        rewritten(body, PUBLIC)


@pytest.mark.parametrize(("told", "code"), [(invalid_request(), "600"), (no_provider(), "601")])
def test_errors_of_our_own(told: Answer, code: str) -> None:
    assert told.status == 200
    root = ET.fromstring(told.body)  # noqa: S314  (our own document)
    assert root.findtext(f"{FRAME}Response/{FRAME}Error/{FRAME}ErrorCode") == code


# --- v2 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "protocol"),
    [
        (b"Email=ada%40corp.example&Protocol=ActiveSync&RedirectCount=1", "ActiveSync"),
        (b"protocol=activesync", "activesync"),
        (b"Protocol=Active%53ync", "ActiveSync"),
        (b"", ""),
        (b"Protocol=", ""),
        (b"Protocol=ActiveSync&Protocol=Ews", ""),
        (b"Protocol=ActiveSync&protocol=ActiveSync", ""),
        (b"&".join([b"a=1"] * 20) + b"&Protocol=ActiveSync", ""),
        (b"Protocol=\xff", ""),
    ],
)
def test_the_protocol_asked_for(query: bytes, protocol: str) -> None:
    assert v2_protocol(query) == protocol


@pytest.mark.parametrize(
    ("protocol", "content"),
    [
        ("ActiveSync", {"Protocol": "ActiveSync", "Url": EAS_URL}),
        ("ACTIVESYNC", {"Protocol": "ActiveSync", "Url": EAS_URL}),
        ("AutodiscoverV1", {"Protocol": "AutodiscoverV1", "Url": f"{PUBLIC}/autodiscover/autodiscover.xml"}),
    ],
)
def test_protocols_that_are_served(protocol: str, content: dict[str, str]) -> None:
    told = v2_answer(protocol, PUBLIC + "/")
    assert (told.status, json.loads(told.body)) == (200, content)
    assert dict(told.headers)["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("protocol", ["", "Ews", "Rest", "<script>", "ActiveSync "])
def test_protocols_that_are_not(protocol: str) -> None:
    told = v2_answer(protocol, PUBLIC)
    assert (told.status, json.loads(told.body)["ErrorCode"]) == (400, "InvalidProtocol")
    assert b"script" not in told.body
