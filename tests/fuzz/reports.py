"""Report bodies: JSON as msgspec reads it, a report where the OpenAPI document has one, gzip as ``gzip`` unpacks it.

An input that begins like gzip is unpacked first, within a small bound.
"""

import gzip
import json
import math
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any
from zlib import crc32

import msgspec
from jsonschema import Draft202012Validator

from gateway.domain.errors import InvalidValue
from gateway.inventory.sources.push.bodies import TooLarge, parsed, unpacked
from gateway.inventory.sources.push.payload import ERRORS_SHOWN, PayloadInvalid, read_report
from tests.fuzz.judging import ACCEPTED, REFUSED, Target, hold, same
from tests.inventory.agreement import validator
from tests.inventory.events import NOW, delta, full

UNPACKED_MOST = 64 << 10
_GZIP = b"\x1f\x8b"
_ASKED_OF = 8
"""Of so many reports that we refuse, one is shown to the schema: it takes a millisecond."""


@cache
def _schema() -> Draft202012Validator:
    return validator({"$ref": "#/components/schemas/CloudEvent"})


def check(octets: bytes) -> str:
    """See the module."""
    if octets.startswith(_GZIP):
        content = _unpacked(octets)
        if content is None:
            return REFUSED
        octets = content
    try:
        value = parsed(octets)
    except InvalidValue as error:
        hold("a refusal is short", len(str(error)) < 400)
        return f"stricter: {_reason(str(error))}" if _peer(octets) is not _NONE else REFUSED
    theirs = _peer(octets)
    try:
        report = read_report(value, "agents", NOW)
    except PayloadInvalid as error:
        hold("bounded errors", 0 < len(error.errors) <= ERRORS_SHOWN)
        # A half of a surrogate pair and numbers beyond 64 bits may stand in JSON, not in a report.
        hold("msgspec refuses what we read", theirs is not _NONE or _beyond_the_peer(value))
        return "stricter: report" if crc32(octets) % _ASKED_OF == 0 and _schema().is_valid(value) else REFUSED
    # Extension attributes are ignored, whatever is in them (CloudEvents 1.0 §3.1).
    if theirs is not _NONE or not _beyond_the_peer(value):
        same("the JSON value", _comparable(value), _comparable(theirs))
    hold("the OpenAPI document has no such report", _schema().is_valid(value))
    assert isinstance(value, dict)
    same("the apps", [app["id"] for app in value["data"]["apps"]], [each.app.id for each in report.apps])
    same("the sequence", value["data"]["sequence"], report.sequence)
    hold("a device is named", report.source_device and all(key.value for key in report.device_keys))
    return ACCEPTED


_NONE = object()


def _peer(octets: bytes) -> object:
    try:
        return msgspec.json.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NONE


def _reason(sentence: str) -> str:
    for known in ("stands twice", "more than 256 members", "too long", "nested too deeply"):
        if known in sentence:
            return known
    return sentence.partition(" at character")[0].removeprefix("the body is ")


def _unpacked(octets: bytes) -> bytes | None:
    """The octets within, held against ``gzip``; None: refused."""
    try:
        content = unpacked(octets, UNPACKED_MOST)
    except TooLarge:
        # The other one is not asked: it would unpack all of it.
        return None
    except InvalidValue:
        return None
    hold("within the bound", len(content) <= UNPACKED_MOST)
    same("unpacked", gzip.decompress(octets), content)
    return content


def _comparable(value: object) -> object:
    """Numbers by value and kind; those beyond 64 bits are another kind elsewhere."""
    if isinstance(value, dict):
        return {name: _comparable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_comparable(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return "long" if abs(value) >= 1 << 63 else value
    if isinstance(value, float):
        return "long" if abs(value) >= 1 << 63 else value
    return value


def _beyond_the_peer(value: object) -> bool:
    if isinstance(value, dict):
        return any(_beyond_the_peer(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return any(_beyond_the_peer(each) for each in value)
    if isinstance(value, float):
        return math.isinf(value)
    if isinstance(value, str):
        return any(0xD800 <= ord(letter) < 0xE000 for letter in value)
    return isinstance(value, int) and abs(value) >= 1 << 63


_ODD: tuple[Callable[[Random], object], ...] = (
    lambda random: random.choice((None, True, False, 0, -1, 1.0, 2**53, 2**53 - 1, 2**64, 10**400, 1e300, -0.0)),
    lambda random: random.choice(("", "x", "\ud800", "\u0000", " a", "a\u200b", "device", "full", "delta", "x" * 600)),
    lambda random: random.choice(
        ("2026-11-20T08:17:01Z", "2026-11-20T24:00:00Z", "9999-12-31T23:59:60Z", "2026-02-30")
    ),
    lambda random: random.choice(([], {}, [[]], {"a": 1}, [{"platform": "android", "id": "a"}] * 3)),
)


def grow(random: Random) -> bytes:
    """A report, full or delta, with up to two members that are otherwise."""
    event: Any = full(1 + int(random.random() * 9)) if random.random() < 0.6 else delta(7, 6, added=["a"], gone=["b"])
    for _ in range(int(random.random() * 3)):
        _changed(event, random)
    text = json.dumps(event, ensure_ascii=random.random() < 0.5, separators=random.choice(((",", ":"), (", ", ": "))))
    octets = text.encode("utf-8", "surrogatepass")
    kind = random.random()
    if kind < 0.03:
        return gzip.compress(octets, mtime=0)
    if kind < 0.032:
        return gzip.compress(bytes(random.choice((UNPACKED_MOST, UNPACKED_MOST + 1, 4 << 20))), mtime=0)
    if kind < 0.04:
        return octets.replace(
            b'"kind"', random.choice((b'"kind": 1, "kind"', b'"k\\u0069nd": 2, "kind"', b'NaN, "kind"'))
        )
    return octets


def _changed(value: Any, random: Random) -> None:
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = random.choice(keys) if keys else None
        if key is None or not isinstance(value[key], dict | list) or random.random() < 0.15:
            break
        value = value[key]
    odd = random.choice(_ODD)(random)
    way = random.random()
    if key is None or way < 0.1:
        if isinstance(value, dict):
            value[random.choice(("more", "boot_id", "base_sequence", "subject", "removed", "version_code"))] = odd
        else:
            value.append(odd)
    elif way < 0.2:
        del value[key]
    else:
        value[key] = odd


TARGET = Target(
    "reports",
    "report bodies with msgspec, the OpenAPI document and gzip",
    check,
    grow,
    (
        *(
            b'"kind":"full",',
            b'"k\\u0069nd":',
            b"NaN",
            b"-Infinity",
            b"1e400",
            b"1E5",
            b"-0",
            b"01",
            b"9" * 400,
            b"\\ud800",
        ),
        *(
            b"\\u0000",
            b"[" * 300,
            b'{"a":' * 300,
            b"{}",
            b"[]",
            b'"',
            b"\\",
            b",",
            b":",
            b"\xef\xbb\xbf",
            b"\xed\xa0\x80",
        ),
        *(
            b"null",
            b"true",
            b"9007199254740993",
            b"1.0",
            b'"delta"',
            b'"user"',
            b"\xc0\x80",
            b"2026-11-20T08:17:01.5+01:00",
        ),
        *(b'"removed":true,', b'"app_count":', b'"apps":[],', b" ", b"\t", b"\x0c", b"//", b"'"),
    ),
    6000,
)
