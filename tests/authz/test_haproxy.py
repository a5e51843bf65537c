"""HAProxy's stream processing engine: what it is told of each verdict, and whoever is not it."""

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.protocols.authz.spop import FrameType
from tests.support.asking import KEY, Asking, read_frame, variables_of
from tests.support.fronted import until
from tests.support.raw_http import eas
from tests.support.spop_frames import DISCONNECT, HEALTH_CHECK, HELLO, asked, notify, number, string

ANNA = eas("FolderSync", "anna", "ANNAPHONE")
BERT = eas("FolderSync", "bert", "BERTPHONE")


async def test_the_three_verdicts(authz: Asking) -> None:
    allowed = await authz.variables(ANNA, "anna")
    assert (allowed["verdict"], allowed["reason"]) == ("allow", "clean")
    assert int(allowed["valid"]) > authz.now()
    denied = await authz.variables(BERT, "bert")
    assert (denied["verdict"], denied["reason"]) == ("refuse", "banned_app")
    authz.evidence.unavailable = True
    deferred = await authz.variables(eas("Sync", "cora", "CORAPHONE"), "cora")
    assert (deferred["verdict"], deferred["reason"]) == ("defer", "state_unavailable")


async def test_what_is_left_to_the_mail_server_and_what_is_not(authz: Asking) -> None:
    nobody = await authz.variables(BERT, "")
    assert (nobody["verdict"], nobody["reason"]) == ("allow", "not_asked")
    assert (await authz.variables(BERT, "", cookies=number(1)))["verdict"] == "refuse"
    assert (await authz.variables(BERT, "", auth=string(b"Negotiate YII"), auths=number(1)))["verdict"] == "refuse"


async def test_what_phones_may_not_ask(authz: Asking) -> None:
    twice = {"verdict": "refuse", "reason": "not_understood"}
    assert await authz.variables(ANNA, "anna", auths=number(2)) == twice
    assert await authz.variables(ANNA + "&DeviceId=BERTPHONE", "anna") == twice
    assert await authz.variables("/%4dicrosoft-Server-ActiveSync", "anna") == twice
    assert await authz.variables("*", "anna") == twice


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x"])
async def test_without_the_key_no_variable_is_set(authz: Asking, key: str) -> None:
    """So nobody is let in, and nothing is told."""
    with capture_logs() as logged:
        assert await authz.variables(ANNA, "anna", key) == {}
    assert (authz.evidence.reads, [each["event"] for each in logged]) == (0, ["asker_not_authentic"])


async def test_arguments_that_are_missing_are_told_of(authz: Asking) -> None:
    with capture_logs() as logged:
        assert (await authz.variables(ANNA, "anna", auths=string(None)))["verdict"] == "defer"
    assert [each["event"] for each in logged] == ["asker_misconfigured"]


@pytest.mark.parametrize("user", ["bert", ""])
async def test_who_is_without_credentials_only_because_none_are_told(authz: Asking, user: str) -> None:
    """Everybody would be let in: the mail server sees what HAProxy leaves out."""
    nothing = string(None)
    answer = authz.variables(BERT, user, auth=nothing) if user else authz.variables(BERT, user, cookies=nothing)
    with capture_logs() as logged:
        assert (await answer)["verdict"] == "defer"
    assert [each["event"] for each in logged] == ["asker_misconfigured"]


async def test_questions_of_one_connection(authz: Asking) -> None:
    """Each answer has its question's numbers; the second is at hand at once, the first is not."""
    await authz.cache.load("bert@corp.example")
    authz.evidence.gate = asyncio.Event()
    reader, writer = await authz.connected(authz.haproxy)
    writer.write(HELLO + asked(ANNA, "anna", KEY, b"\0\1") + asked(BERT, "bert", KEY, b"\5\2") + DISCONNECT)
    assert (await read_frame(reader))[0] == FrameType.AGENT_HELLO
    await until(lambda: authz.evidence.reads >= 2)
    authz.evidence.gate.set()
    first, second = await read_frame(reader), await read_frame(reader)
    assert (first[5:7], variables_of(first)["verdict"]) == (b"\0\1", "allow")
    assert (second[5:7], variables_of(second)["verdict"]) == (b"\5\2", "refuse")
    assert (await read_frame(reader))[0] == FrameType.AGENT_DISCONNECT
    assert await reader.read() == b""


async def test_a_health_check(authz: Asking) -> None:
    reader, writer = await authz.connected(authz.haproxy)
    writer.write(HEALTH_CHECK)
    assert (await read_frame(reader))[0] == FrameType.AGENT_HELLO
    assert await reader.read() == b""


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        asked(ANNA, "anna", KEY),
        HELLO + HELLO,
        HELLO + notify({}, name=b"another-message"),
        HELLO + b"\0\0\0\7" + bytes(7),
    ],
    ids=["http", "no hello", "two hellos", "another message", "a fragment"],
)
async def test_what_is_not_understood_ends_the_connection(authz: Asking, octets: bytes) -> None:
    reader, writer = await authz.connected(authz.haproxy)
    writer.write(octets)
    frame = await read_frame(reader)
    if frame[0] == FrameType.AGENT_HELLO:
        frame = await read_frame(reader)
    assert frame[0] == FrameType.AGENT_DISCONNECT
    assert await reader.read() == b""
    assert authz.evidence.reads == 0
