"""MAIL and RCPT, read to the octet and written anew (RFC 5321 §4.1.2, RFC 1870, RFC 3461, RFC 6152, RFC 6531).

A path is passed on in the octets in which it came, or not at all: no address is repaired, because a mail server that
repairs otherwise would have another sender or recipient. Parameters are those of extensions that the mail server has.
What is a good address is the mail server's to say, as far as two readers cannot differ about where it ends.
"""

import re
from dataclasses import dataclass
from typing import Final

from gateway.domain.errors import InvalidValue
from gateway.protocols.smtp.extensions import Extensions

PATH_LONGEST: Final = 256
"""Octets with the angle brackets (RFC 5321 §4.5.3.1.3)."""

_ATOM = rb"[!#-'*+\-./-9=?A-Z^-~\x80-\xff]"
_LOCAL = rb'(?:%b{1,128}+|"(?:[ !#-\[\]-~\x80-\xff]|\\[ -~]){0,128}+")' % _ATOM
# RFC 5321 §4.1.3 lets brackets hold quotes and ">", and readers that do not know them end the path there.
_DOMAIN = rb"(?:[A-Za-z0-9._\x80-\xff-]{1,255}+|\[[A-Za-z0-9.:_-]{1,64}+\])"
_PATH = re.compile(rb"<(?:%b(?:@%b)?)?>" % (_LOCAL, _DOMAIN))
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([!-<>-~\x80-\xff]++))?\Z")
_SIZE = re.compile(rb"[0-9]{1,20}\Z")
_XTEXT = rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})"
_ENVID = re.compile(rb"%b{1,100}\Z" % _XTEXT)
_ORCPT = re.compile(rb"[A-Za-z0-9-]{1,32};(?:[!-<>-~\x80-\xff]){1,500}\Z")
_NOTIFY = re.compile(rb"(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2})\Z", re.IGNORECASE)


class BadCommand(InvalidValue):
    """MAIL or RCPT is refused; ``reply`` is what the client is told."""

    def __init__(self, reply: bytes) -> None:
        super().__init__("the SMTP command is refused")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Command:
    """A command as the mail server gets it."""

    octets: bytes
    size: int = 0
    """What the client says of the message's size, in octets; 0: nothing."""
    utf8: bool = False
    """The client asked for SMTPUTF8."""


def read_mail(argument: bytes, extensions: Extensions) -> Command:
    """``FROM:<path>`` with its parameters; ``extensions``: what was offered. Raises ``BadCommand``."""
    path, parameters = _split(b"FROM:", argument)
    given = _given(parameters)
    utf8 = b"SMTPUTF8" in given and extensions.utf8
    size = _size(given.pop(b"SIZE")) if b"SIZE" in given else 0
    words = [b"SIZE=%d" % size] if size and extensions.size is not None else []
    if b"BODY" in given and extensions.eight_bit:
        words.append(_one_of(b"BODY", given.pop(b"BODY"), b"7BIT", b"8BITMIME"))
    if utf8:
        if given.pop(b"SMTPUTF8") is not None:
            raise BadCommand(b"501 5.5.4 SMTPUTF8 takes no value")
        words.append(b"SMTPUTF8")
    elif not path.isascii():
        raise BadCommand(b"553 5.6.7 An address with other characters than ASCII needs SMTPUTF8")
    if extensions.dsn:
        if b"RET" in given:
            words.append(_one_of(b"RET", given.pop(b"RET"), b"FULL", b"HDRS"))
        if b"ENVID" in given:
            words.append(_matching(b"ENVID", given.pop(b"ENVID"), _ENVID))
    # Who submitted it is what the credentials say, and the mail server knows them (RFC 4954 §5).
    given.pop(b"AUTH", None)
    _nothing_left(given)
    return Command(b" ".join((b"MAIL FROM:" + path, *words)), size, utf8)


def read_rcpt(argument: bytes, extensions: Extensions, *, utf8: bool) -> Command:
    """``TO:<path>`` with its parameters; ``utf8``: the sender asked for SMTPUTF8. Raises ``BadCommand``."""
    path, parameters = _split(b"TO:", argument)
    if path == b"<>":
        raise BadCommand(b"501 5.1.3 A recipient has an address")
    if not (utf8 or path.isascii()):
        raise BadCommand(b"553 5.6.7 An address with other characters than ASCII needs SMTPUTF8")
    given = _given(parameters)
    words = []
    if extensions.dsn:
        if b"NOTIFY" in given:
            words.append(_matching(b"NOTIFY", given.pop(b"NOTIFY"), _NOTIFY))
        if b"ORCPT" in given:
            words.append(_matching(b"ORCPT", given.pop(b"ORCPT"), _ORCPT))
    _nothing_left(given)
    return Command(b" ".join((b"RCPT TO:" + path, *words)))


def _split(word: bytes, argument: bytes) -> tuple[bytes, list[bytes]]:
    """The path and its parameters. A blank behind the colon is a mistake that many clients make."""
    if argument[: len(word)].upper() != word:
        raise BadCommand(b"501 5.5.4 Syntax: %b %b<address>" % (b"MAIL" if word == b"FROM:" else b"RCPT", word))
    rest = argument[len(word) :].lstrip(b" ")
    found = _PATH.match(rest)
    if found is None or len(found[0]) > PATH_LONGEST:
        raise BadCommand(b"553 5.1.3 The address is not understood: write it in angle brackets")
    behind = rest[found.end() :]
    if behind and not behind.startswith(b" "):
        raise BadCommand(b"501 5.5.4 A blank stands between the address and its parameters")
    return found[0], behind.split(b" ")[1:]


def _given(parameters: list[bytes]) -> dict[bytes, bytes | None]:
    given: dict[bytes, bytes | None] = {}
    for parameter in parameters:
        if not parameter:
            continue
        found = _PARAMETER.match(parameter)
        if found is None or found[1].upper() in given:
            raise BadCommand(b"501 5.5.4 A parameter is not understood, or stands there twice")
        given[found[1].upper()] = found[2]
    return given


def _size(value: bytes | None) -> int:
    if value is None or not _SIZE.match(value):
        raise BadCommand(b"501 5.5.4 SIZE is a number of octets")
    return int(value)


def _one_of(name: bytes, value: bytes | None, *known: bytes) -> bytes:
    if value is None or value.upper() not in known:
        raise BadCommand(b"501 5.5.4 %b is %b" % (name, b" or ".join(known)))
    return name + b"=" + value.upper()


def _matching(name: bytes, value: bytes | None, form: re.Pattern[bytes]) -> bytes:
    if value is None or not form.match(value):
        raise BadCommand(b"501 5.5.4 %b is not understood" % name)
    return name + b"=" + value


def _nothing_left(given: dict[bytes, bytes | None]) -> None:
    if given:
        raise BadCommand(b"555 5.5.4 A parameter is not offered here")
