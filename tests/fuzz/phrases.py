"""Pieces of requests, right ones and odd ones, from which the HTTP targets grow their inputs."""

import base64
from random import Random

HOST = b"mail.example"
BODIES = {
    b"FolderSync": bytes.fromhex("03016a00000756520330000101"),
    b"Sync": bytes.fromhex("03016a00455c4f4b033000015203350001010101"),
    b"SendMail": bytes.fromhex("03016a000015455203313239000101"),
    b"Ping": bytes.fromhex("03016a00000d450503363000010101"),
    b"Settings": bytes.fromhex("03016a00001245564803410001010101"),
    b"Provision": bytes.fromhex("03016a00000e454647480341000101010101"),
}
USERS = (b"anna", b"anna%40corp.example", b"CORP%5Canna", b"anna@corp.example", b"%C3%BCnal", b"berta", b"")
DEVICES = (b"PHONE1", b"phone1", b"A" * 32, b"A" * 33, b"48454c4c4f", b"ApplF2LQ1", b"", b"a%41", b"a-b")
BASE64_QUERY = base64.b64encode(bytes.fromhex("8c0909040650484f4e4531000769506f6e653132"))
QUERIES = (
    BASE64_QUERY,
    BASE64_QUERY.replace(b"=", b"%3D"),
    b"Cmd=Options&DeviceId=PHONE1&DeviceType=SP",
    b"Cmd=GetAttachment&AttachmentName=a%20b&User=anna&DeviceId=PHONE1&DeviceType=SP",
)
SECRET = base64.b64encode(b"anna:secret")
FIELDS = (
    b"User-Agent: Mail/1",
    b"X-MS-PolicyKey: 12345",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: Keep-Alive, close",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Accept: */*",
    b"Accept-Encoding: gzip",
    b"Accept-Language: de",
    b"Cookie: a=b",
    b"Content-Type: application/vnd.ms-sync.wbxml",
    b"MS-ASProtocolVersion: 14.1",
    b"MS-ASProtocolVersion: 12.1",
    b"Content-Encoding: gzip",
    b"Expect: 100-continue",
    b"X-Forwarded-For: 192.0.2.1",
    b"Authorization: Basic " + SECRET,
    b"Authorization: Bearer e30.eyJ1cG4iOiJhbm5hQGNvcnAuZXhhbXBsZSJ9.e30",
    b"Authorization: Negotiate abcd",
)
ODD_FRAMING = (
    b"Content-Length: 5",
    b"Content-Length: 0",
    b"Content-Length: +5",
    b"Content-Length: 5, 5",
    b"Content-Length: 5 5",
    b"Content-Length:\t5",
    b"Content-Length : 5",
    b"content-length: 00005",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: Chunked ",
    b"Transfer-Encoding: chunked\t",
    b"Content-Length: 5\t",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding : chunked",
    b"Transfer_Encoding: chunked",
)
"""Lines about a body's length, right and wrong."""
ODD_FIELDS = (
    *ODD_FRAMING,
    b"Host: other.example",
    b"Host : mail.example",
    b"Connection: close\t",
    b"TE: trailers",
    b" folded",
    b"\tfolded: x",
    b"Cookie: \x80\xff",
    b"Cookie:\t\ta\tb",
    b"Cookie:",
    b": empty",
    b"No-Colon",
    b"Expect: 200-maybe",
    b"Proxy-Connection: close",
    b"Sec-WebSocket-Key: a",
    b"X: " + b"y" * 300,
)
STARTS = (
    b"POST / HTTP/1.1",
    b"GET /autodiscover/autodiscover.json?Protocol=ActiveSync HTTP/1.1",
    b"HEAD /x HTTP/1.1",
    b"OPTIONS /Microsoft-Server-ActiveSync HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"POST http://mail.example/ HTTP/1.1",
    b"POST /a HTTP/1.0",
    b"POST /a HTTP/2.0",
    b"POST /a HTTP/1.1 ",
    b"POST  /a HTTP/1.1",
    b"POST\t/a HTTP/1.1",
    b"post /a HTTP/1.1",
    b"POST /a",
    b"PRI * HTTP/2.0",
    b"CONNECT mail.example:443 HTTP/1.1",
    b"POST /a?b#c HTTP/1.1",
    b"POST /\xc3\xbc HTTP/1.1",
    b"PROPFIND // HTTP/1.1",
)
WORDS = (
    *(line.partition(b":")[0] + b":" for line in (*FIELDS, *ODD_FIELDS)),
    *FIELDS,
    *ODD_FIELDS,
    *(b"\r\n" + line + b"\r\n" for line in ODD_FIELDS[: len(ODD_FRAMING) + 3]),
    *(b"chunked", b"close", b"HTTP/1.0", b"HTTP/1.1", b"\r\n\r\n", b"Host: mail.example\r\n", b"0\r\n\r\n", b"5\r\n"),
)


def query(random: Random) -> bytes:
    """A query as phones write it, or a little otherwise."""
    if random.random() < 0.12:
        return random.choice(QUERIES)
    command, user, device = b"FolderSync", b"anna", b"PHONE1"
    if random.random() < 0.5:
        command = random.choice((*BODIES, b"foldersync", b"Unknown"))
    if random.random() < 0.3:
        user = random.choice(USERS)
    if random.random() < 0.3:
        device = random.choice(DEVICES)
    rest = b"User=%b&DeviceId=%b&DeviceType=Android" % (user, device)
    ways = (b"Cmd=%b&%b" % (command, rest), b"%b&Cmd=%b" % (rest, command))
    return random.choice(ways)


def start(random: Random) -> bytes:
    """A request line."""
    if random.random() < 0.15:
        return random.choice(STARTS)
    return b"POST /Microsoft-Server-ActiveSync?%b HTTP/1.1" % query(random)


def head(random: Random, *framing: bytes) -> bytes:
    """A head with that framing, and at times with another."""
    lines = [b"Host: " + HOST, b"Authorization: Basic " + SECRET, *framing]
    lines += random.sample(FIELDS, int(random.random() * 5))
    while random.random() < 0.25:
        lines.append(random.choice(ODD_FIELDS))
    if random.random() < 0.5:
        random.shuffle(lines)
    return b"\r\n".join([start(random), *lines, b"", b""])


def chunks(random: Random, content: bytes) -> bytes:
    """``content`` in chunks, at times spelled oddly."""
    pieces = []
    while content:
        size = 1 + int(random.random() * len(content))
        odd = random.random()
        extension = b"" if odd < 0.9 else random.choice((b";a=b", b" ;a", b";", b'; a="\x7f"', b" ", b"\t", b";\n"))
        spelled = b"%x" % size if odd > 0.1 else random.choice((b"0%x", b"%X", b"+%x", b"0x%x", b"%x\r")) % size
        pieces.append(spelled + extension + b"\r\n" + content[:size] + (b"\r\n" if random.random() < 0.97 else b"\n"))
        content = content[size:]
    trailer = b"" if random.random() < 0.85 else random.choice((b"A: b\r\n", b"Host: x\r\n", b"A : b\r\n", b"A\r\n"))
    return b"".join(pieces) + b"0\r\n" + trailer + (b"\r\n" if random.random() < 0.97 else b"\n")
