"""Envoy over gRPC: its own words for ALLOW, DENY and DEFER, without a key; and what no Envoy would say."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from structlog.testing import capture_logs

from gateway.domain.verdict import Effect
from tests.support.asking import KEY, Asking, asking
from tests.support.envoy_asks import (
    METHOD,
    Envoy,
    asked_by_envoy,
    check,
    effect_of,
    envoy,
    headers_of,
    noted,
    phone,
    told,
)
from tests.support.fronted import until
from tests.support.raw_http import basic, eas

BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
"""FolderSync, Status 129."""
GENERIC = "Mail on this device is blocked by your organization. Ask your help desk."
ANNA = eas("FolderSync", "anna", "ANNAPHONE")
BERT = eas("FolderSync", "bert", "BERTPHONE")
CORA = eas("FolderSync", "cora", "CORAPHONE")


@pytest.fixture
async def asker(authz: Asking) -> AsyncIterator[Envoy]:
    """An Envoy."""
    async with envoy(await authz.for_envoy()) as client:
        yield client


def questions(authz: Asking, answer: str) -> float:
    return authz.answered("envoy_grpc", answer)


# --- the three verdicts


async def test_allowed(authz: Asking, asker: Envoy) -> None:
    """What the mail server is told takes the place of what the client says under such names."""
    forged = (("x-gatepost-user", "boss"), ("x-gatepost-key", "guessed"), ("X-Gatepost-Other", "x"))
    response = await asker.ask(phone(ANNA, "anna", more=forged))
    assert response.status.code == 0
    headers = headers_of(response.ok_response.headers)
    assert int(headers.pop("x-gatepost-valid-until")) > authz.now()
    assert headers == {
        "x-gatepost-verdict": "allow",
        "x-gatepost-reason": "clean",
        "x-gatepost-user": "anna@corp.example",
        "x-gatepost-identity": "device_id",
    }
    assert list(response.ok_response.headers_to_remove) == ["x-gatepost-key", "x-gatepost-other"]
    assert noted(response)["reason"] == "clean"
    assert questions(authz, "allow") == 1


async def test_denied_in_the_phones_own_words(asker: Envoy) -> None:
    """An HTTP 200 with Status 129, which no other HTTP asker can pass on by itself."""
    response = await asker.ask(phone(BERT, "bert"))
    denied = response.denied_response
    assert (response.status.code, denied.status.code, denied.body.encode()) == (7, 200, BLOCKED)
    assert headers_of(denied.headers)["content-type"] == "application/vnd.ms-sync.wbxml"
    assert (noted(response)["verdict"], noted(response)["reason"]) == ("deny", "banned_app")
    assert "TikTok" not in str(response)
    assert "musically" not in str(response)
    older = (await asker.ask(phone(BERT, "bert", version="12.1"))).denied_response
    assert (older.status.code, older.body) == (403, GENERIC)


async def test_deferred(authz: Asking, asker: Envoy) -> None:
    authz.evidence.unavailable = True
    response = await asker.ask(phone(CORA, "cora"))
    assert (response.status.code, response.denied_response.status.code) == (14, 503)
    assert headers_of(response.denied_response.headers)["retry-after"] == "30"
    # Newer Envoys let it pass where the operator has set failure_mode_allow.
    assert not response.HasField("error_response") if "error_response" in response.DESCRIPTOR.fields_by_name else True


async def test_every_refusal_fits_into_envoys_answer(asker: Envoy) -> None:
    """Its body is text there, and those of ActiveSync are octets."""
    for command in ("Sync", "SendMail", "Ping", "MeetingResponse", "Provision", "GetAttachment", "ItemOperations"):
        denied = (await asker.ask(phone(eas(command, "bert", "BERTPHONE"), "bert"))).denied_response
        assert denied.status.code in (200, 403), command
        assert denied.body, command


async def test_what_is_left_to_the_mail_server(authz: Asking, asker: Envoy) -> None:
    for request in (phone(BERT), phone("/Microsoft-Server-ActiveSync", "bert", method="OPTIONS")):
        response = await asker.ask(request)
        assert (effect_of(response), noted(response)["reason"]) == (Effect.ALLOW, "not_asked")
    assert authz.evidence.reads == 0


@pytest.mark.parametrize(
    "more", [(("cookie", "session=1"),), (("authorization", "Negotiate YII"),)], ids=["a cookie", "Negotiate"]
)
async def test_credentials_that_name_nobody(asker: Envoy, more: tuple[tuple[str, str], ...]) -> None:
    denied = (await asker.ask(phone(BERT, more=more))).denied_response
    assert (denied.status.code, headers_of(denied.headers)["www-authenticate"][:5]) == (401, "Basic")


async def test_a_verdict_that_turns_holds_from_the_next_question_on(authz: Asking, asker: Envoy) -> None:
    assert effect_of(await asker.ask(phone(ANNA, "anna"))) is Effect.ALLOW
    authz.dirty("anna@corp.example", "annaphone")
    assert effect_of(await asker.ask(phone(ANNA, "anna"))) is Effect.DENY
    authz.clean("anna@corp.example", "annaphone")
    assert effect_of(await asker.ask(phone(ANNA, "anna"))) is Effect.ALLOW


# --- how headers come


@pytest.mark.parametrize("raw", [False, True], ids=["joined", "raw"])
async def test_headers_in_both_forms(asker: Envoy, raw: bool) -> None:
    for uri, user, effect in ((ANNA, "anna", Effect.ALLOW), (BERT, "bert", Effect.DENY)):
        assert effect_of(await asker.ask(check(uri, told(uri, user), raw=raw))) is effect


@pytest.mark.parametrize("raw", [False, True], ids=["joined", "raw"])
async def test_two_logins_in_one_request_are_no_way_round(asker: Envoy, raw: bool) -> None:
    for first, second in (("anna", "bert"), ("bert", "anna")):
        headers = told(ANNA, first, more=(("authorization", basic(second)),))
        response = await asker.ask(check(ANNA, headers, raw=raw))
        assert response.denied_response.status.code == (400 if raw else 401)


async def test_octets_that_no_header_has(asker: Envoy) -> None:
    headers = told(ANNA, "anna", more=(("x", "a\r\nb"),))
    assert (await asker.ask(check(ANNA, headers, raw=True))).denied_response.status.code == 400


@pytest.mark.parametrize(
    "path", ["*", "", "/a b", "/ü", f"{ANNA}&DeviceId=BERTPHONE", "/%4dicrosoft-Server-ActiveSync"]
)
async def test_what_phones_may_not_ask(asker: Envoy, path: str) -> None:
    assert effect_of(await asker.ask(check(path, told(ANNA, "anna")))) is not Effect.ALLOW


# --- mistakes of a configuration


async def test_headers_that_are_left_out_let_nobody_in(authz: Asking, asker: Envoy) -> None:
    """By allowed_headers: the credentials are not there, and the mail server would get them."""
    with capture_logs() as logged:
        response = await asker.ask(check(BERT, (("user-agent", "x"),)))
    assert response.denied_response.status.code == 503
    assert [each["event"] for each in logged] == ["asker_misconfigured"]
    assert "allowed_headers" in str(logged)
    assert logged[0]["peer"] == "127.0.0.1"
    assert authz.evidence.reads == 0


async def test_the_question_of_a_tcp_filter(asker: Envoy) -> None:
    request = CheckRequest()
    request.attributes.source.address.socket_address.address = "192.0.2.7"
    assert (await asker.ask(request)).denied_response.status.code == 503


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x"])
async def test_without_the_key_nothing_is_told_and_nobody_let_in(authz: Asking, key: str) -> None:
    with capture_logs() as logged:
        response = await asked_by_envoy(authz, phone(BERT, "bert"), key)
    assert (response.status.code, response.denied_response.status.code, noted(response)) == (14, 503, {})
    assert (authz.evidence.reads, [each["event"] for each in logged]) == (0, ["asker_not_authentic"])
    assert KEY not in str(logged)
    assert authz.metrics.families["gatepost_authz_askers_refused_total"].get("key") == 1


async def test_two_keys_in_one_question(authz: Asking) -> None:
    async with envoy(await authz.for_envoy(), key="") as client:
        call = client.channel.unary_unary(METHOD)
        metadata = (("x-gatepost-key", KEY), ("x-gatepost-key", "wrong"))
        octets = await call(phone(ANNA, "anna").SerializeToString(), metadata=metadata, timeout=20)
    assert b"not_asked" not in octets
    assert questions(authz, "not_authentic") == 1


# --- what no Envoy would say


async def failure(asker: Envoy, method: str, octets: bytes, **more: object) -> grpc.StatusCode:
    """How the question failed for gRPC itself; Envoy lets nobody in then."""
    call = asker.channel.unary_unary(method)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(octets, metadata=(("x-gatepost-key", KEY),), timeout=20, **more)
    code: grpc.StatusCode = caught.value.code()
    return code


async def test_what_is_no_question(authz: Asking, asker: Envoy) -> None:
    call = asker.channel.unary_unary(METHOD)
    for octets in (b"\xff", b"\x0a\xff", b"\x0a\x02\x22\x00" * 3, b""):
        answer = await call(octets, metadata=(("x-gatepost-key", KEY),), timeout=20)
        assert effect_of(type(await asker.ask(phone(ANNA, "anna"))).FromString(answer)) is not Effect.ALLOW
    assert questions(authz, "bad_question") + questions(authz, "misconfigured") == 4


async def test_what_is_too_long_or_packed_or_another_method(authz: Asking, asker: Envoy) -> None:
    octets = phone(ANNA, "anna").SerializeToString()
    assert await failure(asker, METHOD, octets + b"\x0a" * (129 << 10)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    packed = await failure(asker, METHOD, octets, compression=grpc.Compression.Gzip)
    assert packed is grpc.StatusCode.UNIMPLEMENTED
    other = METHOD.replace("Check", "Uncheck")
    assert await failure(asker, other, octets) is grpc.StatusCode.UNIMPLEMENTED
    assert authz.evidence.reads == 0
    assert effect_of(await asker.ask(phone(ANNA, "anna"))) is Effect.ALLOW


# --- time


async def test_one_that_waits_holds_nobody_back(authz: Asking, asker: Envoy) -> None:
    """As at HAProxy it would, where answers have the order of their questions."""
    await authz.cache.load("bert@corp.example")
    await authz.cache.load("anna@corp.example")
    authz.evidence.gate = asyncio.Event()
    waiting = asyncio.create_task(asker.ask(phone(CORA, "cora")))
    await until(lambda: authz.evidence.reads >= 3)
    assert effect_of(await asker.ask(phone(BERT, "bert"))) is Effect.DENY
    assert effect_of(await asker.ask(phone(ANNA, "anna"))) is Effect.ALLOW
    assert not waiting.done()
    authz.evidence.gate.set()
    assert effect_of(await waiting) is Effect.ALLOW


async def test_what_cannot_be_read_in_time_is_deferred(tmp_path: Path) -> None:
    async with asking(tmp_path, answer_seconds=0.1) as authz:
        authz.evidence.gate = asyncio.Event()
        assert effect_of(await asked_by_envoy(authz, phone(CORA, "cora"))) is Effect.DEFER
        assert questions(authz, "late") == 1
        authz.evidence.gate.set()


async def test_an_envoy_that_gives_up(authz: Asking, asker: Envoy) -> None:
    authz.evidence.gate = asyncio.Event()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asker.ask(phone(CORA, "cora"), seconds=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    (connection,) = (each for front in authz.fronts.values() for each in front.connections)
    await until(lambda: connection.idle)
    authz.evidence.gate.set()
    assert effect_of(await asker.ask(phone(CORA, "cora"))) is Effect.ALLOW
