"""NTLM messages and SPNEGO tokens, written octet by octet by another hand than that which reads them."""

import base64
import struct

UNICODE, OEM, ANONYMOUS = 0x1, 0x2, 0x800
NTLM_OID = "2b06010401823702020a"
KERBEROS_OID = "2a864886f712010202"


def first(flags: int = UNICODE) -> bytes:
    """NEGOTIATE ([MS-NLMP] 2.2.1.1)."""
    return b"NTLMSSP\0" + struct.pack("<II", 1, flags) + bytes(16)


def challenge(flags: int = UNICODE) -> bytes:
    """CHALLENGE ([MS-NLMP] 2.2.1.2)."""
    return b"NTLMSSP\0" + struct.pack("<IHHIIQQ", 2, 0, 0, 48, flags, 0x0123456789ABCDEF, 0) + bytes(8)


def last(user: str, domain: str = "", flags: int = UNICODE, response: bytes = bytes(24), coding: str = "") -> bytes:
    """AUTHENTICATE ([MS-NLMP] 2.2.1.3)."""
    coding = coding or ("utf-16-le" if flags & UNICODE else "latin-1")
    at, fields, payload = 64, b"", b""
    for part in (b"", response, domain.encode(coding), user.encode(coding), "PC".encode(coding), b""):
        fields += struct.pack("<HHI", len(part), len(part), at + len(payload))
        payload += part
    return b"NTLMSSP\0" + struct.pack("<I", 3) + fields + struct.pack("<I", flags) + payload


def der(tag: int, *content: bytes) -> bytes:
    """One element."""
    octets = b"".join(content)
    if len(octets) < 0x80:
        return bytes((tag, len(octets))) + octets
    count = (len(octets).bit_length() + 7) // 8
    return bytes((tag, 0x80 | count)) + len(octets).to_bytes(count) + octets


def begun(message: bytes, *mechanisms: str) -> bytes:
    """A client's first token."""
    listed = der(0xA0, der(0x30, *(der(6, bytes.fromhex(each)) for each in mechanisms or (NTLM_OID,))))
    carried = der(0xA2, der(4, message)) if message else b""
    return der(0x60, der(6, bytes.fromhex("2b0601050502")), der(0xA0, der(0x30, listed, carried)))


def goes_on(message: bytes, state: int = 1, mechanism: str = "") -> bytes:
    """Any further token."""
    chosen = der(0xA1, der(6, bytes.fromhex(mechanism))) if mechanism else b""
    return der(0xA1, der(0x30, der(0xA0, der(10, bytes((state,)))), chosen, der(0xA2, der(4, message))))


def shown(scheme: str, token: bytes) -> str:
    """As it stands in a header."""
    return f"{scheme} {base64.b64encode(token).decode()}"
