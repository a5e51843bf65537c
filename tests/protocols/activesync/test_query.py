"""Queries of both forms: understood once, ambiguous ones refused, rebuilt for the back end."""

import base64
from urllib.parse import parse_qs, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.errors import InvalidValue
from gateway.domain.identity import canonical_device_id
from gateway.protocols.activesync import query_base64
from gateway.protocols.activesync.commands import CODE_OF, Command, UnknownCommand
from gateway.protocols.activesync.query import QUERY_LONGEST, EasQuery, QueryForm, parse_query
from gateway.protocols.activesync.versions import Version

WORKED_EXAMPLE = b"jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l"
"""[MS-ASHTTP] 4.1.1.1."""

IPHONE = b"User=ada%40corp.example&DeviceId=ApplF9FD6K2XFK11&DeviceType=iPhone&Cmd=Ping"
ANDROID = b"Cmd=Sync&User=CORP%5Cada&DeviceId=androidc1234567890&DeviceType=Android"

alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
printable = st.characters(exclude_categories=["C"])
commands = st.sampled_from(sorted(CODE_OF))
users = st.text(printable, min_size=1, max_size=40)
device_ids = st.text(alphanumeric, min_size=1, max_size=32)
device_types = st.text(printable, min_size=1, max_size=40)
parameters = st.dictionaries(
    st.sampled_from(["CollectionId", "ItemId", "LongId", "Occurrence", "AttachmentName", "ParentId"]),
    st.text(printable, max_size=20),
    max_size=3,
)


def test_the_standards_own_example() -> None:
    query = parse_query(WORKED_EXAMPLE)
    assert query == EasQuery(
        *(Command.SYNC, None, "v140device", b"v140Device", "SmartPhone", Version.V14_0, None, 0x0409),
        form=QueryForm.BASE64,
    )
    assert query.render() == WORKED_EXAMPLE


@pytest.mark.parametrize(
    ("query", "command", "user", "device"),
    [
        (IPHONE, Command.PING, "ada@corp.example", "applf9fd6k2xfk11"),
        (ANDROID, Command.SYNC, "CORP\\ada", "androidc1234567890"),
        (b"cmd=fOLDERsYNC&USER=a%25b&deviceid=AB&devicetype=x", Command.FOLDER_SYNC, "a%b", "ab"),
        (b"&Cmd=Sync&&User=a+b&DeviceId=AB&DeviceType=x&", Command.SYNC, "a+b", "ab"),
        (b"Cmd=Options&User=a&DeviceId=AB&DeviceType=Outlook", Command.OPTIONS, "a", "ab"),
        (b"Cmd=Options&User=a", Command.OPTIONS, "a", ""),
    ],
)
def test_queries_as_phones_write_them(query: bytes, command: Command, user: str, device: str) -> None:
    said = parse_query(query)
    assert (said.command, said.user, said.device_id, said.form) == (command, user, device, QueryForm.PLAIN)


def test_what_servers_read_differently_is_rewritten() -> None:
    odd = b"&cmd=sync&User=a;DeviceId=B&DEVICEID=aB&deviceType=My%20Phone&CollectionId=1%263&"
    assert parse_query(odd).render() == (
        b"Cmd=Sync&User=a%3BDeviceId%3DB&DeviceId=aB&DeviceType=My%20Phone&CollectionId=1%263"
    )


def test_the_usual_spelling_goes_on_as_it_came() -> None:
    assert parse_query(IPHONE).render() is IPHONE


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"Cmd=Sync&User=a&DeviceId=A&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=A&DEVICEID=B&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=A&Device%49d=B&DeviceType=x",
        b"Cmd=Sync&Cmd=Sync&User=a&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=A&DeviceType=x&Cmd=Sync",
        b"Cmd=Sync&User=a&User=a&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=A&DeviceType=x&ItemId=1&itemid=2",
        b"Cmd=Sync&User=a&DeviceId=" + b"A" * 33 + b"&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=A,B&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=A%2CB&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=A",
        b"Cmd=Sync&User=a&DeviceId=A&DeviceType=",
        b"Cmd=Sync&User=a&DeviceId=A&DeviceType=x?Cmd=Ping",
        b"?Cmd=Sync&User=a&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=A&DeviceType=x#y",
        b"Cmd=Sync&User=a%00&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=a\x00&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=A%00&DeviceType=x",
        b"Cmd=Sync&User=a%0d%0aX:1&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=a b&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=%ff&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=\xc3\xa4&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=%c2%85&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=a%4&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=a%&DeviceId=A&DeviceType=x",
        b"Cmd=Sync&User=a&DeviceId=A&DeviceType=x&flag",
        b"Cmd=Sync&User=a&DeviceId=A&DeviceType=x&a.b=1",
        b"Cmd=Sync&User=a&DeviceId=A&DeviceType=x&" + b"&".join(b"p%d=1" % n for n in range(40)),
        b"Cmd=Sync&User=a&DeviceId=A&DeviceType=x&LongId=" + b"a" * QUERY_LONGEST,
        b"Cmd=Sync&User=a&DeviceId=A&DeviceType=" + b"x" * 256,
    ],
)
def test_ambiguous_and_malformed_queries_are_refused(query: bytes) -> None:
    with pytest.raises(InvalidValue):
        parse_query(query)


@pytest.mark.parametrize("name", [b"Wipe", b"Sync%20", b"GetHierarchy", b"Syncx", b"Autodiscover"])
def test_unknown_commands_have_an_error_of_their_own(name: bytes) -> None:
    with pytest.raises(UnknownCommand):
        parse_query(b"Cmd=" + name + b"&User=a&DeviceId=A&DeviceType=x")


# --- the base64 form -------------------------------------------------------------------------------------------------


def packed(*octets: bytes | int) -> bytes:
    return base64.b64encode(b"".join(bytes((piece,)) if isinstance(piece, int) else piece for piece in octets))


WHOLE = (b"\x8c\x00\x09\x04", 2, b"AB", 4, b"\x01\x00\x00\x80", 1, b"x", 7, 1, 3, 8, 3, b"ada", 1, 1, b"5")


def test_every_field_of_a_base64_query() -> None:
    query = parse_query(packed(*WHOLE))
    assert query.policy_key == 0x80000001
    assert query.user == "ada"
    assert query.parameters == (("CollectionId", "5"), ("SaveInSent", "T"), ("AcceptMultiPart", "T"))
    assert parse_query(query.render()) == query


def test_escaped_and_unpadded_base64() -> None:
    raw = b"\xfb" * 16
    binary = packed(b"\x8c\x00\x09\x04", 16, raw, 0, 2, b"xy")
    assert {b"+", b"/", b"="} <= {binary[at : at + 1] for at in range(len(binary))}
    expected = parse_query(binary)
    for changed in (binary.rstrip(b"="), binary.replace(b"+", b"%2B").replace(b"/", b"%2f").replace(b"=", b"%3D")):
        assert parse_query(changed) == expected
    assert expected.device_id == raw.hex()


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b"v140Device", [b"v140Device", b"V140DEVICE", b"76313430446576696365"]),
        (bytes(range(16)), [b"000102030405060708090a0b0c0d0e0f", b"000102030405060708090A0B0C0D0E0F"]),
    ],
)
def test_a_device_is_one_in_every_spelling(raw: bytes, plain: list[bytes]) -> None:
    said = {parse_query(packed(b"\x8c\x00\x09\x04", len(raw), raw, 0, 1, b"x")).device_id}
    said |= {parse_query(b"Cmd=Sync&User=a&DeviceId=" + spelling + b"&DeviceType=x").device_id for spelling in plain}
    assert len(said) == 1


@pytest.mark.parametrize(
    "octets",
    [
        (b"",),
        (b"\x8c\x00\x09",),
        (b"\x8c\x00\x09\x04",),
        (b"\x8c\x00\x09\x04", 0, 0, 1, b"x"),
        (b"\x8c\x00\x09\x04", 33, b"A" * 33, 0, 1, b"x"),
        (b"\x8c\x00\x09\x04", 200, b"A" * 20),
        (b"\x8c\x00\x09\x04", 1, b"A", 3, b"123", 1, b"x"),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 0),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 9, b"x"),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 1, b"x", 8),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 1, b"x", 8, 5, b"ad"),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 1, b"x", 2, 1, b"a"),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 1, b"x", 9, 1, b"a"),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 1, b"x", 8, 1, b"a", 8, 1, b"b"),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 1, b"x", 7, 1, 4),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 1, b"x", 7, 0),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 1, b"x", 8, 2, b"\xff\xff"),
        (b"\x8c\x00\x09\x04", 1, b"A", 0, 1, b"x", 8, 2, b"a\x00"),
        (b"\x19\x00\x09\x04", 1, b"A", 0, 1, b"x"),
        (b"\x78\x00\x09\x04", 1, b"A", 0, 1, b"x"),
        (b"\x00\x00\x09\x04", 1, b"A", 0, 1, b"x"),
        (b"\xff\x00\x09\x04", 1, b"A", 0, 1, b"x"),
    ],
)
def test_hostile_base64_queries_are_refused(octets: tuple[bytes | int, ...]) -> None:
    with pytest.raises(InvalidValue):
        parse_query(packed(*octets))


@pytest.mark.parametrize("code", [5, 6, 7, 8, 24, 255])
def test_codes_of_no_command(code: int) -> None:
    with pytest.raises(UnknownCommand):
        parse_query(packed(0x8C, code, b"\x09\x04", 1, b"A", 0, 1, b"x"))


@pytest.mark.parametrize("query", [b"jAA", b"jAAJBA=p", b"=jAAJBA", b"jAAJBA%3", b"jAAJ%00BA", b"jA-J_A", b"A" * 5000])
def test_what_only_resembles_base64(query: bytes) -> None:
    with pytest.raises(InvalidValue):
        parse_query(query)


# --- properties ------------------------------------------------------------------------------------------------------


def spelled(draw: st.DrawFn, text: str) -> bytes:
    """``text`` with every octet that needs it, and some that do not, percent-encoded in either case."""
    pieces = []
    for octet in text.encode():
        keep = octet in alphanumeric.encode() and draw(st.booleans())
        pieces.append(bytes((octet,)) if keep else draw(st.sampled_from([b"%%%02X", b"%%%02x"])) % octet)
    return b"".join(pieces)


@st.composite
def plain_queries(draw: st.DrawFn) -> tuple[bytes, dict[str, str]]:
    values = {
        "Cmd": draw(commands).value,
        "User": draw(users),
        "DeviceId": draw(device_ids),
        "DeviceType": draw(device_types),
        **draw(parameters),
    }
    pieces = []
    for name in draw(st.permutations(sorted(values))):
        cased = "".join(draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in name)
        pieces.append(cased.encode() + b"=" + spelled(draw, values[name]))
    return b"&".join(pieces), values


@given(plain_queries())
def test_any_spelling_of_a_plain_query_is_understood_and_rebuilt(made: tuple[bytes, dict[str, str]]) -> None:
    query, values = made
    said = parse_query(query)
    assert (said.command, said.user, said.device_type) == (values["Cmd"], values["User"], values["DeviceType"])
    assert said.device_id == canonical_device_id(values["DeviceId"].encode())
    rebuilt = said.render()
    assert parse_qs(rebuilt.decode(), keep_blank_values=True) == {name: [value] for name, value in values.items()}
    assert parse_query(rebuilt)._replace(received=b"") == said._replace(received=b"")


@given(
    *(commands, users, device_ids, device_types, parameters),
    *(st.sampled_from(list(Version)[2:]), st.none() | st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFF)),
)
def test_both_forms_say_the_same(
    command: Command,
    user: str,
    device_id: str,
    device_type: str,
    given_parameters: dict[str, str],
    version: Version,
    key: int | None,
    locale: int,
) -> None:
    plain = EasQuery(
        *(command, user, canonical_device_id(device_id.encode()), device_id.encode(), device_type),
        parameters=tuple(given_parameters.items()),
    )
    compact = plain._replace(protocol_version=version, policy_key=key, locale=locale, form=QueryForm.BASE64)
    from_plain, from_compact = parse_query(plain.render()), parse_query(compact.render())
    assert from_plain._replace(received=b"") == plain
    assert from_compact == compact
    assert parse_query(base64_without_padding(compact.render())) == compact


def base64_without_padding(query: bytes) -> bytes:
    return query.rstrip(b"=")


@given(st.binary(max_size=80) | st.binary(max_size=60).map(base64.b64encode))
@example(WORKED_EXAMPLE)
@example(IPHONE)
def test_whatever_comes_is_understood_stably_or_refused(query: bytes) -> None:
    try:
        said = parse_query(query)
    except InvalidValue:
        return
    rebuilt = said.render()
    assert parse_query(rebuilt).render() == rebuilt
    assert parse_query(rebuilt)._replace(received=b"") == said._replace(received=b"")


PIECES = (
    *(b"Cmd=Sync", b"&", b"=", b"User=a", b"DeviceId=A", b"DeviceId=B", b"DeviceType=x", b"%26", b"%3D", b";"),
    *(b"%00", b"%", b"?", b"%25", b"&Cmd=Ping", b"&User=%C3%A4", b"deviceID", b"\x00", b"#", b"/", b"%c0%ae", b"+"),
)
WHOLE_PIECES = (b"&Cmd=Sync", b"&User=a", b"&DeviceId=A", b"&DeviceType=x")
pieces = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12),
    st.lists(st.sampled_from(PIECES), max_size=4).flatmap(lambda some: st.permutations([*WHOLE_PIECES, *some])),
).map(b"".join)


@given(pieces)
def test_a_server_that_takes_the_first_and_one_that_takes_the_last_read_the_same(query: bytes) -> None:
    try:
        said = parse_query(query)
    except InvalidValue:
        return
    values = {name.lower(): each for name, each in parse_qs(said.render().decode(), keep_blank_values=True).items()}
    assert all(len(each) == 1 for each in values.values())
    assert values["cmd"] == [said.command.value]
    assert values.get("deviceid", [""])[0].encode() == said.device_id_raw
    assert b"\0" not in unquote_to_bytes(said.render())


@given(st.binary(max_size=200))
def test_the_layout_raises_nothing_else(octets: bytes) -> None:
    try:
        fields = query_base64.read(base64.b64encode(octets))
    except InvalidValue:
        return
    assert base64.b64decode(query_base64.write(fields))[:5] == octets[:5]


def test_a_field_has_at_most_255_octets() -> None:
    fields = query_base64.Fields(140, 0, 0, b"A", None, b"x" * 256, ())
    with pytest.raises(InvalidValue):
        query_base64.write(fields)
