"""What askers say: Postfix's requests, Dovecot's questions, HAProxy's frames, a client's request as proxies tell it.

Postfix's are read at every split and by a second reader, Dovecot's by ``json`` without our bounds, HAProxy's written
anew by a second writer. The last is the same request twice: as its client sends it to us, and as nginx and Envoy ask
about it; the question must be one.
"""

import base64
import ipaddress
import json
import re
from random import Random

from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_login
from gateway.protocols.activesync.identify import Asked, identify
from gateway.protocols.activesync.requests import Mount, mount_of
from gateway.protocols.answer import Answer
from gateway.protocols.authz import dovecot, original, postfix, spop
from gateway.protocols.authz.original import ClientQuestion, Kind, Misconfigured
from gateway.protocols.http.request_head import BadRequest, RequestHead, parse_request
from gateway.protocols.lines import Unframeable
from tests.fuzz import phrases
from tests.fuzz.heads import ADDRESS, RULES
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same
from tests.protocols.authz.verdicts import DENY
from tests.support import spop_frames

_ACTION = re.compile(rb"action=[ -~]{1,500}\n\n\Z")
SPLIT_MOST = 24

# --- Postfix


def _requests(pieces: list[bytes]) -> tuple[list[postfix.Attributes], str]:
    reader, found = postfix.PolicyReader(), []
    for piece in pieces:
        reader.receive(piece)
        try:
            while (each := reader.next()) is not None:
                found.append(each)
        except Unframeable as error:
            return found, error.reason
    return found, ""


def check_postfix(octets: bytes) -> str:
    """See the module."""
    whole = _requests([octets])
    for at in range(1, len(octets), 1 + len(octets) // SPLIT_MOST):
        same(f"split at {at}", whole, _requests([octets[:at], octets[at:]]))
    blocks = octets.split(b"\n\n")
    for number, attributes in enumerate(whole[0]):
        same(f"request {number}", _by_lines(blocks[number]), attributes)
        _judged_as_said(attributes)
    return ACCEPTED if whole[0] else REFUSED


def _by_lines(block: bytes) -> dict[bytes, bytes]:
    pairs = [line.partition(b"=") for line in block.splitlines()]
    return {name: value for name, _, value in pairs}


def _judged_as_said(attributes: postfix.Attributes) -> None:
    try:
        request = postfix.asked(attributes, RULES)
    except InvalidValue:
        return
    user = attributes.get(b"sasl_username", b"")
    same("nobody is judged who has not logged in", bool(user), request is not None)
    if request is not None:
        same("who", canonical_login(user.decode(), RULES), request.login)
        hold("one action", _ACTION.match(postfix.action(DENY)))


def grow_postfix(random: Random) -> bytes:
    """Some requests."""
    octets = b""
    while not octets or random.random() < 0.4:
        lines = [b"request=smtpd_access_policy"]
        for name in (b"protocol_state", b"sasl_username", b"client_address", b"recipient", b"ccert_subject", b"size"):
            if random.random() < 0.8:
                values = (b"anna", b"RCPT", b"", b"a=b", b"CORP\\anna", b"192.0.2.1", b"\xc3\xbc", b"\xff", b"a b")
                lines.append(name + b"=" + random.choice(values))
        if random.random() < 0.1:
            lines.append(random.choice((lines[-1], b"x", b"=", b"X=y", b"a\0=b", b"a=b\r")))
        octets += b"\n".join(lines) + random.choice((b"\n\n", b"\n\n", b"\n\n", b"\n", b"\r\n\r\n"))
    return octets


POSTFIX = Target(
    "postfix",
    "policy requests at every split and by a second reader",
    check_postfix,
    grow_postfix,
    (b"\n", b"\n\n", b"=", b"sasl_username=", b"request=", b"smtpd_access_policy", b"\r", b"\0", b"anna"),
    2048,
)

# --- Dovecot


def check_dovecot(octets: bytes) -> str:
    """See the module."""
    try:
        asked = dovecot.question(octets, RULES)
    except Misconfigured:
        return "stricter: misconfigured"
    except InvalidValue:
        return REFUSED
    said = json.loads(octets)
    hold("an object", isinstance(said, dict))
    same("who", canonical_login(said.get("user") or said["login"], RULES), asked.request.login)
    hold("success is said", asked.success is None or said["success"] is asked.success)
    hold("an address is short", len(asked.request.client_address) <= 45)
    for proved in (True, False):
        answer = json.loads(dovecot.answer(DENY, proved=proved))
        hold("refused", answer["status"] == -1 and answer["msg"])
    return ACCEPTED


def grow_dovecot(random: Random) -> bytes:
    """An object, mostly as Dovecot writes it."""
    said: dict[str, object] = {}
    for name in ("login", "user", "protocol", "remote", "session_id", "device_id", "cert", "success", "tls"):
        if random.random() < 0.8:
            said[name] = random.choice(
                ("anna", "imap", "", "CORP\\anna", "a@b@c", '"x"', "ü", "UNSUPPORTED_VARIABLE_x")
            )
        if random.random() < 0.1:
            said[name] = random.choice((True, False, None, 1, 1e400, [], {}, "a\0"))
    said["success"] = random.choice((True, False))
    if random.random() < 0.5:
        said["login"] = said["user"] = "Anna"
        said["protocol"], said["remote"] = "pop3", "192.0.2.1"
        said.pop("cert", None)
        said.pop("device_id", None)
    return json.dumps(said).encode()


DOVECOT = Target(
    "dovecot",
    "policy questions with json",
    check_dovecot,
    grow_dovecot,
    (b'{"', b'":"', b'","', b'"}', b"true", b"null", b"NaN", b"[", b"{", b'"user":"', b'"login":"', b"\\u0000", b"1e9"),
    2048,
)

# --- HAProxy


def _frames(pieces: list[bytes]) -> tuple[list[spop.Frame], str]:
    reader, found = spop.FrameReader(), []
    for piece in pieces:
        reader.receive(piece)
        try:
            while (each := reader.next()) is not None:
                found.append(each)
        except Unframeable as error:
            return found, error.reason
    return found, ""


def check_spop(octets: bytes) -> str:
    """See the module."""
    whole = _frames([octets])
    for at in range(1, len(octets), 1 + len(octets) // SPLIT_MOST):
        same(f"split at {at}", whole, _frames([octets[:at], octets[at:]]))
    for frame in whole[0]:
        if isinstance(frame, spop.Notify):
            _written_again(frame)
    return ACCEPTED if whole[0] else REFUSED


def _written_again(asked: spop.Notify) -> None:
    """A question written anew by the tests' own writer is the same question; its answer has its numbers."""
    written = b""
    for name, arguments in asked.messages.items():
        said = b"".join(spop_frames.text(key) + _value(value) for key, value in arguments.items())
        written += spop_frames.text(name) + bytes((len(arguments),)) + said
    ids = spop_frames.varint(asked.stream_id) + spop_frames.varint(asked.frame_id)
    frame = spop_frames.frame(3, ids, written)
    if len(frame) <= spop.FRAME_LONGEST:
        same("written and read once more", asked, _frames([frame])[0][0])
    answer = spop.ack(asked, {"verdict": "allow"})
    hold("its length", int.from_bytes(answer[:4]) == len(answer) - 4)
    hold("its numbers", answer[9:].startswith(ids))


def _value(value: spop.Value) -> bytes:
    if isinstance(value, bool):
        return b"\x11" if value else b"\x01"
    if isinstance(value, int):
        return spop_frames.number(value)
    if isinstance(value, str):
        packed = ipaddress.ip_address(value).packed
        return (b"\x06" if len(packed) == 4 else b"\x07") + packed
    return spop_frames.string(value)


def grow_spop(random: Random) -> bytes:
    """Some frames."""
    octets = b""
    while not octets or random.random() < 0.5:
        kind = random.random()
        if kind < 0.2:
            octets += random.choice((spop_frames.HELLO, spop_frames.HEALTH_CHECK, spop_frames.DISCONNECT))
        elif kind < 0.7:
            ids = spop_frames.varint(random.choice((0, 1, 239, 240, 2288, 264432))) + b"\1"
            octets += spop_frames.asked("/x", random.choice(("anna", "")), "key", ids)
        else:
            value = random.choice(
                (b"\0", b"\x11", b"\x01", b"\x02\xf0\x80\0", b"\x07" + bytes(16), b"\x0a", b"\x08\xff")
            )
            octets += spop_frames.notify({b"a": value}, name=random.choice((b"x", b"gatepost-http")))
    return octets


SPOP = Target(
    "spop",
    "HAProxy's frames at every split, written anew by a second writer",
    check_spop,
    grow_spop,
    (b"\0\0\0", b"\3\0\0\0\1", b"\1\0\0\0\1", b"\xf0", b"\xff", b"\x08", b"\x06", b"gatepost-http", b"\0\1"),
    2048,
)

# --- HTTP askers

Found = ClientQuestion | Answer


def as_nginx_asks(client: RequestHead, method: bytes, target: bytes) -> Found | None:
    """The question as nginx asks it; None: it would not be asked so."""
    said = [(b"X-Original-Method", method), (b"X-Original-URI", target), (b"X-Client-IP", ADDRESS.encode())]
    own = {name.lower() for name, _ in said}
    fields = [each for each in client.fields if each[0].lower() not in own] + said
    asking = client._replace(
        method=b"GET", path=b"/authz/v1/nginx", query=None, fields=fields, named={n.lower(): v for n, v in fields}
    )
    try:
        return original.question(*original.client_head(asking, Kind.NGINX), RULES)
    except InvalidValue:
        return None


def check_askers(octets: bytes) -> str:
    """See the module."""
    try:
        client = parse_request(octets)
    except BadRequest:
        return REFUSED
    target = client.path if client.query is None else client.path + b"?" + client.query
    found = as_nginx_asks(client, client.method, target)
    hold("what is a request can be asked about", found is not None)
    behind = client._replace(path=b"/authz/v1/envoy" + client.path)
    by_envoy, _ = original.client_head_behind(b"/authz/v1/envoy", behind)
    same("nginx and Envoy", found, original.question(by_envoy, ADDRESS, RULES))
    if mount_of(client.path) is Mount.EAS:
        _as_inline(found, identify(client, ADDRESS, RULES), client)
    elif isinstance(found, ClientQuestion) and found.request is not None:
        hold("no DeviceId beside ActiveSync", not found.request.device_id)
    if isinstance(found, Answer):
        hold("not ALLOW", found.status >= 400)
        return REFUSED
    return ACCEPTED


def _as_inline(found: Found | None, inline: Asked | Answer, client: RequestHead) -> None:
    if isinstance(inline, Answer):
        same("refused as inline", inline, found)
    elif isinstance(found, ClientQuestion):
        same("judged as inline", (inline.request, inline.query.command, inline.version), tuple(found))
    else:
        hold("only for a cookie", b"cookie" in client.named and inline.credentials is None)


def grow_askers(random: Random) -> bytes:
    """A client's head, with credentials more often than not."""
    head = phrases.head(random, b"Content-Length: 0")
    if random.random() < 0.3 and b"uthorization" not in head:
        secret = base64.b64encode(random.choice((b"anna:x", b"CORP\\anna:x", b"a@b@c:x", b":x")))
        head = head.replace(b"\r\n", b"\r\nAuthorization: Basic %b\r\n" % secret, 1)
    return head


ASKERS = Target(
    "askers",
    "a client's request as an HTTP asker passes it on, with the same inline",
    check_askers,
    grow_askers,
    phrases.WORDS,
)
