"""Autodiscover for phones: v1 (XML, schema mobilesync, [MS-ASCMD] 2.2.1.1) and v2 (JSON).

v1 is asked of the back end, and its answer written anew with our address in it, from what was understood: no phone
learns a back end's name. v2 is answered from here alone; relaying that family of URLs has been a way into mail servers.
XML from outside is read by expat with bounds; a document type, and with it every entity, is refused.
"""

import json
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl
from xml.parsers import expat
from xml.sax.saxutils import escape

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.requests import Mount, published_at
from gateway.protocols.answer import Answer

DOCUMENT_LONGEST: Final = 64 << 10
"""Octets of a request or an answer."""
ADDRESS_LONGEST: Final = 320
"""Characters of a mail address, RFC 5321 §4.5.3.1."""
XML_TYPE: Final = "text/xml; charset=utf-8"

_DEPTH_MOST = 16
_ELEMENTS_MOST = 1000
_NAME_LONGEST = 256
_SCHEMAS = "http://schemas.microsoft.com/exchange/autodiscover"
_REQUEST_SCHEMA = f"{_SCHEMAS}/mobilesync/requestschema/2006"
_MOBILE_SCHEMA = f"{_SCHEMAS}/mobilesync/responseschema/2006"
_FRAME_SCHEMA = f"{_SCHEMAS}/responseschema/2006"
_PRIVATE = ("Cache-Control", "private, no-store")

_V2_PROTOCOLS: Final = {
    "activesync": ("ActiveSync", Mount.EAS),
    "autodiscoverv1": ("AutodiscoverV1", Mount.AUTODISCOVER_V1),
}


@dataclass(slots=True)
class _Node:
    """An element by its local name, with the characters directly in it."""

    name: str
    text: str = ""
    children: "list[_Node]" = field(default_factory=list)

    def all(self, name: str) -> "list[_Node]":
        return [child for child in self.children if child.name == name]

    def at(self, *path: str) -> "_Node | None":
        node: _Node | None = self
        for name in path:
            node = next(iter(node.all(name)), None) if node is not None else None
        return node

    def words(self, *path: str) -> str:
        node = self.at(*path)
        return "" if node is None else node.text.strip()


class _Reader:
    """One pass of expat over one document."""

    def __init__(self) -> None:
        self._root = _Node("")
        self._open = [self._root]
        self._elements = 0
        self._parser = expat.ParserCreate("utf-8", " ")  # whatever is declared: no codec but expat's own
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    def document(self, body: bytes) -> _Node:
        try:
            self._parser.Parse(body, True)
        except expat.ExpatError:
            raise InvalidValue("the Autodiscover document is not well-formed XML") from None
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._open) > _DEPTH_MOST or self._elements > _ELEMENTS_MOST or len(name) > _NAME_LONGEST:
            raise InvalidValue("the Autodiscover document is nested too deeply or has too many elements")
        node = _Node(name.rpartition(" ")[2])
        self._open[-1].children.append(node)
        self._open.append(node)

    def _end(self, name: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        self._open[-1].text += text

    def _doctype(self, *declaration: object) -> None:
        raise InvalidValue("an Autodiscover document has no document type declaration")


def _document(body: bytes) -> _Node:
    if len(body) > DOCUMENT_LONGEST:
        raise InvalidValue("the Autodiscover document is too large")
    root = _Reader().document(body).at("Autodiscover")
    if root is None:
        raise InvalidValue("the document is no Autodiscover document")
    return root


@dataclass(frozen=True, slots=True)
class DiscoveryRequest:
    """What a v1 request asks."""

    email: str
    mobile: bool
    """Whether the answer may be of the mobilesync schema; others name every address of a back end."""


def read_request(body: bytes) -> DiscoveryRequest:
    """What a v1 request asks. Raises ``InvalidValue``."""
    root = _document(body)
    email = root.words("Request", "EMailAddress")
    if not email or len(email) > ADDRESS_LONGEST or not email.isprintable():
        raise InvalidValue("the Autodiscover request has no mail address")
    return DiscoveryRequest(email, root.words("Request", "AcceptableResponseSchema") in (_MOBILE_SCHEMA, ""))


def rendered_request(request: DiscoveryRequest) -> bytes:
    """The request for the back end, with nothing in it that was not understood; always of the mobilesync schema."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="{_REQUEST_SCHEMA}"><Request>'
        f"<EMailAddress>{escape(request.email)}</EMailAddress>"
        f"<AcceptableResponseSchema>{_MOBILE_SCHEMA}</AcceptableResponseSchema></Request></Autodiscover>"
    ).encode()


def rewritten(body: bytes, public_url: str) -> bytes:
    """The back end's v1 answer with our address in place of its own.

    Understood are Settings, Redirect (to another mail address) and the errors; a server of another type than MobileSync
    (CertEnroll) stays as it is. Raises ``InvalidValue`` for anything else: it may name hosts.
    """
    response = _document(body).at("Response")
    if response is None:
        raise InvalidValue("the Autodiscover answer has no Response")
    failed = response.at("Error")
    if failed is not None:
        return _failure(failed.words("ErrorCode"), failed.words("Message"))
    action = response.at("Action")
    told = _action(action, published_at(Mount.EAS, public_url)) if action is not None else ""
    if not told:
        raise InvalidValue("the Autodiscover answer says neither settings nor redirect nor error")
    user = "".join(_element(name, response.words("User", name)) for name in ("DisplayName", "EMailAddress"))
    culture = _element("Culture", response.words("Culture"))
    return _framed(f'<Response xmlns="{_MOBILE_SCHEMA}">{culture}<User>{user}</User><Action>{told}</Action></Response>')


def _action(action: _Node, address: str) -> str:
    settings = action.at("Settings")
    if settings is not None:
        servers = "".join(_server(server, address) for server in settings.all("Server"))
        return f"<Settings>{servers}</Settings>" if servers else ""
    redirect = action.words("Redirect")
    if "@" in redirect and len(redirect) <= ADDRESS_LONGEST:
        return _element("Redirect", redirect)
    failed = action.at("Error")
    if failed is None:
        return ""
    said = "".join(_element(name, failed.words(name)) for name in ("Status", "Message"))  # DebugData names insides
    return f"<Error>{said}</Error>"


def _server(server: _Node, address: str) -> str:
    kind = server.words("Type")
    if kind == "MobileSync":
        told = {"Type": kind, "Url": address, "Name": address}
    else:
        told = {name: server.words(name) for name in ("Type", "Url", "Name", "ServerData")}
    return f"<Server>{''.join(_element(name, value) for name, value in told.items())}</Server>"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>" if text else ""


def _framed(response: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="{_FRAME_SCHEMA}">{response}</Autodiscover>'
    ).encode()


def _failure(code: str, message: str) -> bytes:
    said = _element("ErrorCode", code) + _element("Message", message)
    return _framed(f'<Response xmlns="{_FRAME_SCHEMA}"><Error>{said}</Error></Response>')


def invalid_request() -> Answer:
    """v1 error 600: the request cannot be read ([MS-ASCMD] 4.2.4)."""
    return Answer(200, "OK", (("Content-Type", XML_TYPE), _PRIVATE), _failure("600", "Invalid Request"))


def no_provider() -> Answer:
    """v1 error 601: this schema is not answered; phones ask for mobilesync."""
    return Answer(
        *(200, "OK", (("Content-Type", XML_TYPE), _PRIVATE)),
        _failure("601", "Provider is not available"),
    )


def v2_protocol(query: bytes) -> str:
    """The protocol that a v2 query (without its question mark) asks for; empty when it names none, or two."""
    try:
        pairs = parse_qsl(query.decode("ascii"), max_num_fields=16)
    except ValueError:
        return ""
    named = [value for name, value in pairs if name.lower() == "protocol"]
    return named[0] if len(named) == 1 else ""


def v2_answer(protocol: str, public_url: str) -> Answer:
    """Where ``protocol`` is served, ActiveSync and AutodiscoverV1 that is; 400 for any other."""
    found = _V2_PROTOCOLS.get(protocol.lower())
    if found is not None:
        name, mount = found
        return _json(200, "OK", {"Protocol": name, "Url": published_at(mount, public_url)})
    supported = ",".join(name for name, _ in _V2_PROTOCOLS.values())
    sentence = f"The given protocol value is invalid. Supported values are '{supported}'."
    return _json(400, "Bad Request", {"ErrorCode": "InvalidProtocol", "ErrorMessage": sentence})


def _json(status: int, reason: str, content: dict[str, str]) -> Answer:
    headers = (("Content-Type", "application/json; charset=utf-8"), _PRIVATE)
    return Answer(status, reason, headers, json.dumps(content).encode())
