"""Autodiscover: XML as ElementTree reads it, nothing of a back end's address left in what we write anew.

An input that begins with ``<`` is a document, read as a request and as an answer; any other is a query of version 2.
"""

import re
from random import Random
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.autodiscover import (
    ADDRESS_LONGEST,
    read_request,
    rendered_request,
    rewritten,
    v2_answer,
    v2_protocol,
)
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same

OURS = "https://ours.example"
_URL = f"{OURS}/Microsoft-Server-ActiveSync"


def check(octets: bytes) -> str:
    """See the module."""
    if not octets.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"<"):
        return _query(octets)
    request, answer = _request(octets), _answer(octets)
    return ACCEPTED if ACCEPTED in (request, answer) else request


def _tree(octets: bytes) -> ElementTree.Element | None:
    if not _askable(octets):
        return None
    try:
        return ElementTree.fromstring(octets, ElementTree.XMLParser(encoding="utf-8"))  # noqa: S314  (see above)
    except (ElementTree.ParseError, ValueError):
        return None


def _askable(octets: bytes) -> bool:
    """Not with a document type: its entities would be unfolded; nor with the sign between namespace and name."""
    return b"<!DOCTYPE" not in octets and b"}" not in octets


def _named(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if isinstance(child.tag, str) and child.tag.rpartition("}")[2] == name]


def _words(element: ElementTree.Element, *path: str) -> str:
    """All characters right in the first element at that path."""
    for name in path:
        found = _named(element, name)
        if not found:
            return ""
        element = found[0]
    return ((element.text or "") + "".join(child.tail or "" for child in element)).strip()


def _request(octets: bytes) -> str:
    tree = _tree(octets)
    address = "" if tree is None or _name(tree) != "Autodiscover" else _words(tree, "Request", "EMailAddress")
    try:
        ours = read_request(octets)
    except InvalidValue:
        return "stricter: request" if address else REFUSED
    if _askable(octets):
        same("the address", address, ours.email)
    hold("a bounded address", 0 < len(ours.email) <= ADDRESS_LONGEST and ours.email.isprintable())
    anew = rendered_request(ours)
    again = read_request(anew)
    same("the address written anew", (ours.email, True), (again.email, again.mobile))
    same("the spelling of the spelling", anew, rendered_request(again))
    return ACCEPTED


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _answer(octets: bytes) -> str:
    try:
        anew = rewritten(octets, OURS)
    except InvalidValue:
        return REFUSED
    hold("another reader refuses the document", _tree(octets) is not None or not _askable(octets))
    tree = _tree(anew)
    if tree is None:
        hold("another reader refuses what we write anew", not _askable(anew))
        return ACCEPTED
    same("written anew once more", anew, rewritten(anew, OURS))
    servers = [each for each in tree.iter() if _name(each) == "Server"]
    for server in servers:
        kind, url, name = (_words(server, part) for part in ("Type", "Url", "Name"))
        hold("our address for MobileSync", kind != "MobileSync" or (url, name) == (_URL, _URL))
    hold("nothing of the inside", not {"DebugData", "LoginName"} & {_name(each) for each in tree.iter()})
    return ACCEPTED


def _query(octets: bytes) -> str:
    protocol = v2_protocol(octets)
    found = [piece.partition(b"=") for piece in octets.split(b"&")]
    named = [
        unquote_to_bytes(value.replace(b"+", b" ")).decode("utf-8", "replace")
        for name, _, value in found
        if value and unquote_to_bytes(name.replace(b"+", b" ")).lower() == b"protocol"
    ]
    if protocol:
        same("the protocol", named, [protocol])
    answer = v2_answer(protocol, OURS)
    hold("an answer of ours", answer.status in (200, 400))
    hold("nothing of the query in the answer", not re.search(rb"[<\\]", answer.body))
    return ACCEPTED if answer.status == 200 else REFUSED


_REQUEST = (
    b'<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/'
    b'mobilesync/requestschema/2006"><Request><EMailAddress>anna@corp.example</EMailAddress>'
    b"<AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"
    b"</AcceptableResponseSchema></Request></Autodiscover>"
)
_SETTINGS = (
    b'<?xml version="1.0"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">'
    b'<Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006">'
    b"<Culture>en:en</Culture><User><DisplayName>Anna</DisplayName><EMailAddress>anna@corp.example</EMailAddress></User>"
    b"<Action><Settings><Server><Type>MobileSync</Type><Url>https://inside/Microsoft-Server-ActiveSync</Url>"
    b"<Name>https://inside/Microsoft-Server-ActiveSync</Name></Server><Server><Type>CertEnroll</Type><Url>https://cert/"
    b"</Url><ServerData>x</ServerData></Server></Settings></Action></Response></Autodiscover>"
)
_DOCUMENTS = (
    _REQUEST,
    _SETTINGS,
    _SETTINGS.replace(b"<Settings>", b"<Redirect>berta@corp.example</Redirect><Settings>"),
    b"<Autodiscover><Response><Action><Redirect>berta@corp.example</Redirect></Action></Response></Autodiscover>",
    b"<Autodiscover><Response><Error><ErrorCode>600</ErrorCode><Message>a &amp; b</Message>"
    b"<DebugData>inside</DebugData></Error></Response></Autodiscover>",
    b"<Autodiscover><Response><Action><Error><Status>1</Status><Message>m</Message><DebugData>inside</DebugData></Error>"
    b"</Action></Response></Autodiscover>",
)
_PIECES = (
    *(
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"<!--x-->",
        b"<![CDATA[a<b]]>",
        b"<?pi x?>",
        b"&amp;",
        b"&#65;",
        b"&#0;",
        b"&b;",
    ),
    *(b"<EMailAddress>b@x</EMailAddress>", b"<Request>", b"</Request>", b"<x:y xmlns:x='z'>", b"</x:y>", b"<a>" * 20),
    *(
        b"encoding='utf-16'",
        b"encoding='cp037'",
        b" ",
        b"\xef\xbb\xbf",
        b"\xff",
        b"<Server><Type> MobileSync</Type></Server>",
    ),
    *(b"<Type>MobileSync</Type>", b"<Url>https://inside/</Url>", b"<Error/>", b"<Redirect>@</Redirect>", b"xmlns=''"),
    *(b"\xe2\x80\xa8", b"\xc2\x85", b"\xc2\xa0"),
)


def grow(random: Random) -> bytes:
    """A document with up to three pieces put in, or a query of version 2."""
    if random.random() < 0.1:
        pairs = (b"Protocol=ActiveSync", b"Email=a", b"protocol=AutodiscoverV1", b"Protocol=%41ctiveSync", b"x", b"&")
        return b"&".join(random.choice(pairs) for _ in range(int(random.random() * 4)))
    document = random.choice(_DOCUMENTS)
    for _ in range(int(random.random() * 4)):
        places = [found.start() for found in re.finditer(rb"<", document)]
        at = random.choice(places)
        document = document[:at] + random.choice(_PIECES) + document[at:]
    return document


TARGET = Target(
    "discovery", "Autodiscover documents with ElementTree, queries of version 2", check, grow, _PIECES, 4096
)
