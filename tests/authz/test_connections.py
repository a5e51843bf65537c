"""Connections of askers: one question after the other at any split, within bounds of time, octets and number."""

import asyncio
import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.authz.asker_connection import WAITING_MOST, AskerConnection
from gateway.authz.keys import AskerKeys, KeyUnusable
from gateway.protocols.authz import postfix
from tests.support.asking import (
    KEY,
    Asking,
    asking,
    original,
    policy_request,
    question,
    read_action,
)
from tests.support.fronted import until
from tests.support.raw_http import eas

ANNA = question("nginx", *original(eas("Sync", "anna", "ANNAPHONE")), user="anna")
BERT = question("nginx", *original(eas("Sync", "bert", "BERTPHONE")), user="bert")
CORA = question("nginx", *original(eas("Sync", "cora", "CORAPHONE")), user="cora")
DOVECOT = question("dovecot?command=allow", method="POST", body=json.dumps({"user": "bert"}).encode())


# --- one after the other


async def test_pipelined_questions_are_answered_in_their_order(authz: Asking) -> None:
    """The second is at hand at once, the first is not."""
    await authz.cache.load("bert@corp.example")
    authz.evidence.gate = asyncio.Event()
    client = await authz.client()
    client.write(CORA + BERT + DOVECOT + BERT)
    await until(lambda: authz.evidence.reads >= 2)
    authz.evidence.gate.set()
    answers = [await client.answer("GET") for _ in range(4)]
    assert [each.status for each in answers] == [200, 403, 200, 403]
    assert json.loads(answers[2].body)["status"] == -1


async def test_questions_in_pieces(authz: Asking) -> None:
    whole = BERT + DOVECOT + ANNA
    for at in range(1, len(whole), 37):
        client = await authz.client()
        client.write(whole[:at])
        await asyncio.sleep(0)
        client.write(whole[at:])
        answers = [await client.answer("GET") for _ in range(3)]
        assert [each.status for each in answers] == [403, 200, 200]
        client.close()


async def test_a_connection_stays(authz: Asking) -> None:
    client = await authz.client()
    for _ in range(50):
        assert (await client.ask(ANNA, "GET")).status == 200
    assert len(authz.front.connections) == 1


async def test_a_get_has_no_body_whatever_it_announces(authz: Asking) -> None:
    """nginx announces its client's unless told otherwise, and sends none."""
    client = await authz.client()
    answer = await client.ask(ANNA.replace(b"\r\n\r\n", b"\r\nContent-Length: 500\r\n\r\n"), "GET")
    assert (answer.status, answer.header("Connection")) == (200, "close")


async def test_a_refusal_does_not_wait_for_what_the_client_sends(authz: Asking) -> None:
    lines = (*original(eas("SendMail", "bert", "BERTPHONE")), "Content-Length: 5000000")
    client = await authz.client()
    answer = await client.ask(question("refusal", *lines, user="bert", method="POST"))
    assert (answer.status, answer.header("Connection")) == (200, "close")
    client.write(bytes(100_000))
    authz.clock.ahead += 3
    authz.front.sweep()
    await until(lambda: not authz.front.connections)


async def test_a_small_body_is_skipped_and_the_connection_stays(authz: Asking) -> None:
    refused = question(
        "refusal", *original(eas("Ping", "bert", "BERTPHONE")), user="bert", method="POST", body=b"x" * 99
    )
    client = await authz.client()
    for at in (len(refused), len(refused) - 50, len(refused) - 99):
        client.write(refused[:at])
        assert (await client.answer()).status == 200
        client.write(refused[at:] + ANNA)
        assert (await client.answer("GET")).status == 200


# --- what is not understood


@pytest.mark.parametrize(
    "octets",
    [
        b"GET /authz/v1/nginx HTTP/1.1\n\n\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        ANNA.replace(b"Host: gatepost\r\n", b""),
        ANNA.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        b"GET /authz/v1/nginx HTTP/1.1\r\nX: " + b"x" * 40_000,
    ],
)
async def test_what_is_not_http_ends_the_connection(authz: Asking, octets: bytes) -> None:
    client = await authz.client()
    with capture_logs() as logged:
        answer = await client.ask(octets, "GET")
    assert answer.status in (400, 431)
    assert answer.header("Connection") == "close"
    assert [each["event"] for each in logged] == ["asker_misconfigured"]


async def test_a_policy_request_that_is_none_is_put_off(authz: Asking) -> None:
    reader, writer = await authz.policy()
    writer.write(b"GET / HTTP/1.1\n\n" + policy_request("anna"))
    assert (await read_action(reader)).startswith("action=451 4.7.1")
    assert await reader.read() == b""


# --- Postfix


async def test_postfix(authz: Asking) -> None:
    assert await authz.action(policy_request("anna")) == "action=DUNNO"
    refused = await authz.action(policy_request("bert"))
    assert refused.startswith("action=550 5.7.1 Mail on this device is blocked")
    # The password is proved: the person may know.
    assert "com.zhiliaoapp.musically" in refused
    authz.evidence.unavailable = True
    assert (await authz.action(policy_request("cora"))).startswith("action=451 4.7.1")


async def test_who_has_not_logged_in_to_postfix_is_left_to_its_own_rules(authz: Asking) -> None:
    assert await authz.action(policy_request("")) == "action=DUNNO"
    assert authz.evidence.reads == 0


async def test_postfix_asks_many_times_on_a_connection(authz: Asking) -> None:
    reader, writer = await authz.policy()
    writer.write(policy_request("anna") + policy_request("bert") + policy_request("cora")[:50])
    assert await read_action(reader) == "action=DUNNO"
    assert (await read_action(reader)).startswith("action=550")
    writer.write(policy_request("cora")[50:])
    assert await read_action(reader) == "action=DUNNO"


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x"])
async def test_postfix_without_the_key(authz: Asking, key: str) -> None:
    with capture_logs() as logged:
        assert (await authz.action(policy_request("anna", key=key))).startswith("action=451 4.7.1")
    assert (authz.evidence.reads, [each["event"] for each in logged]) == (0, ["asker_not_authentic"])
    assert KEY not in str(logged)


async def test_a_verdict_that_turns_holds_from_the_next_recipient_on(authz: Asking) -> None:
    reader, writer = await authz.policy()
    writer.write(policy_request("anna"))
    assert await read_action(reader) == "action=DUNNO"
    authz.dirty("anna@corp.example", "annaphone")
    writer.write(policy_request("anna"))
    assert (await read_action(reader)).startswith("action=550")
    authz.clean("anna@corp.example", "annaphone")
    writer.write(policy_request("anna"))
    assert await read_action(reader) == "action=DUNNO"


# --- time


async def test_what_cannot_be_read_in_time_is_deferred(tmp_path: Path) -> None:
    async with asking(tmp_path, answer_seconds=0.1) as authz:
        authz.evidence.gate = asyncio.Event()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        answer = await authz.ask(CORA)
        assert (answer.status, answer.header("X-Gatepost-Verdict")) == (403, "defer")
        assert (await authz.action(policy_request("cora"))).startswith("action=451")
        # Two bounds of a tenth of a second, and room for a busy machine; a load gives up after five.
        assert loop.time() - begun < 4
        assert authz.answered("nginx", "late") == authz.answered("postfix", "late") == 1
        authz.evidence.gate.set()
        await until(lambda: "cora@corp.example" in authz.cache.entries)
        assert (await authz.ask(CORA)).header("X-Gatepost-Verdict") == "allow"


async def test_slow_questions_and_idle_connections_end(authz: Asking) -> None:
    slow, idle = await authz.client(), await authz.client()
    assert (await idle.ask(ANNA, "GET")).status == 200
    slow.write(ANNA[:50])
    await until(lambda: len(authz.front.connections) == 2)
    await until(lambda: any(not each.idle for each in authz.front.connections))
    authz.clock.ahead += 11
    slow.write(ANNA[50:60])
    authz.front.sweep()
    await until(lambda: len(authz.front.connections) == 1)
    assert (await idle.ask(ANNA, "GET")).status == 200
    authz.clock.ahead += 321
    authz.front.sweep()
    await until(lambda: not authz.front.connections)


async def test_who_does_not_read_is_read_no_more(authz: Asking) -> None:
    """Answers are not piled up for an asker that takes none."""
    client = await authz.client()
    client.write(ANNA * 30_000)
    most = 0
    for _ in range(300):
        await asyncio.sleep(0)
        (connection,) = authz.front.connections
        assert isinstance(connection, AskerConnection)
        most = max(most, connection._speech.waiting)
    # What waits is bounded, give or take what one read of the loop brings.
    assert most < WAITING_MOST + (1 << 20)
    client.abort()
    await until(lambda: not authz.front.connections)


async def test_an_asker_that_goes_away_while_its_answer_is_looked_for(authz: Asking) -> None:
    authz.evidence.gate = asyncio.Event()
    client = await authz.client()
    client.write(CORA)
    await until(lambda: authz.evidence.reads > 0)
    client.abort()
    await until(lambda: not authz.front.connections)
    authz.evidence.gate.set()
    assert (await authz.ask(ANNA)).status == 200


async def test_one_connection_too_many(authz: Asking) -> None:
    async with asking(authz.key_file.parent, max_connections=2) as small:
        clients = [await small.client() for _ in range(2)]
        await until(lambda: len(small.front.connections) == 2)
        third = await small.client()
        assert (await third.answer("GET")).closed
        assert small.metrics.families["gatepost_authz_askers_refused_total"].get("too_many") == 1
        for each in clients:
            assert (await each.ask(ANNA, "GET")).status in (200, 403)


# --- keys


async def test_keys_are_read_again(authz: Asking) -> None:
    client = await authz.client()
    assert (await client.ask(ANNA, "GET")).status == 200
    authz.key_file.write_text("another-key-of-some-length\n")
    authz.front.reload_tls()
    assert (await client.ask(ANNA, "GET")).header("X-Gatepost-Verdict") == ""
    authz.key_file.write_text("short")
    with capture_logs() as logged:
        authz.front.reload_tls()
    assert [each["event"] for each in logged] == ["asker_keys_not_reloaded"]
    right = ANNA.replace(KEY.encode(), b"another-key-of-some-length")
    assert (await client.ask(right, "GET")).status == 200


def test_two_keys_hold_at_the_same_time(authz: Asking) -> None:
    second = authz.key_file.with_name("second")
    second.write_text("the-next-key-0123456789")
    keys = AskerKeys([str(authz.key_file), str(second)])
    assert keys.holds(KEY.encode())
    assert keys.holds(b"the-next-key-0123456789")
    assert not keys.holds(b"")
    assert not AskerKeys([]).holds(b"")
    assert KEY not in repr(keys) + str(vars(keys))


@pytest.mark.parametrize(
    "text",
    ["", "short", "two words of a key here", "x" * 257, "fünfzehn-und-mehr-zeichen"],
    ids=["empty", "few", "blanks", "many", "letters"],
)
def test_a_key_that_is_none(authz: Asking, text: str) -> None:
    authz.key_file.write_text(text)
    with pytest.raises(KeyUnusable, match="openssl rand -hex 32") as caught:
        AskerKeys([str(authz.key_file)])
    assert not text or text not in str(caught.value)
    with pytest.raises(KeyUnusable, match="cannot be read"):
        AskerKeys([str(authz.key_file.with_name("absent"))])


# --- the end


async def test_draining_ends_connections_with_their_next_answer(authz: Asking) -> None:
    kept, quiet = await authz.client(), await authz.client()
    assert (await kept.ask(ANNA, "GET")).header("Connection") == ""
    assert (await quiet.ask(ANNA, "GET")).status == 200
    drained = asyncio.create_task(authz.front.drain(10.0, handed_over=False))
    await asyncio.sleep(0)
    answer = await kept.ask(ANNA, "GET")
    assert (answer.status, answer.header("Connection")) == (200, "close")
    async with asyncio.timeout(5):
        await drained
    assert (await quiet.answer("GET")).closed
    assert not authz.front.connections


async def test_a_question_that_is_under_way_is_answered_when_draining(authz: Asking) -> None:
    reader, writer = await authz.policy()
    authz.evidence.gate = asyncio.Event()
    writer.write(policy_request("cora"))
    await until(lambda: authz.evidence.reads > 0)
    drained = asyncio.create_task(authz.postfix_front.drain(10.0, handed_over=False))
    await asyncio.sleep(0)
    authz.evidence.gate.set()
    assert await read_action(reader) == "action=DUNNO"
    await drained


def test_a_request_is_no_longer_than_what_may_wait() -> None:
    """Else a connection that is paused would wait for ever for the rest of its question."""
    assert postfix.REQUEST_LONGEST < WAITING_MOST
