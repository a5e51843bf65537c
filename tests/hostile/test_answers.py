"""Every hostile answer: what the phone gets is exact, and the next person gets her own mail.

Each comes in one piece and octet by octet, over a connection that has served somebody before. What is broken is never
taken for whole: as long as nothing of it is at the phone that is a 503, afterwards the connection is cut.
"""

import pytest

from gateway.protocols.activesync.headers import RESPONSE_HEADERS
from tests.hostile.answer_case import BROKEN, AnswerCase
from tests.hostile.answering import SECRET, Answering, answering
from tests.hostile.answers import THEMES
from tests.hostile.case import INNOCENT, usual
from tests.support.fronted import Fronted, fronted, settled, until
from tests.support.raw_http import Client, HttpAnswer

LATER_SECONDS = 4_000.0
"""Longer than a mail server is given for a Sync, which may wait there."""
MAY_PASS = {name.decode() for name in RESPONSE_HEADERS} | {"content-length", "transfer-encoding", "connection", "date"}
CASES = [pytest.param(case, id=f"{theme}: {case.name}") for theme, cases in THEMES.items() for case in cases]


def test_the_collection() -> None:
    cases = [case for theme in THEMES.values() for case in theme]
    assert len(cases) >= 60
    assert all(case.tries and case.published for case in cases)
    for theme in THEMES.values():
        assert len({case.name for case in theme}) == len(theme)


@pytest.mark.parametrize("size", [0, 1], ids=["at once", "octets"])
@pytest.mark.parametrize("case", CASES)
async def test_a_hostile_answer(case: AnswerCase, size: int) -> None:
    async with answering() as server, fronted(server.url) as gateway:
        for login in ("anna", "bert"):
            gateway.clean(login, "phone1")
            await gateway.known(login)
        server.case, server.size = case, size
        others, client = await gateway.client(), await gateway.client()
        await bert_gets_his_mail(others)
        client.write(usual())
        if case.then == "waits":
            await time_passes(gateway, server)
        answer = await client.answer()
        if case.gets == BROKEN:
            assert_broken(case, answer, at_once=size == 0)
        else:
            assert (answer.status, answer.body, answer.closed) == (case.gets, case.body, False)
            shown(case, answer)
        await server.sent.wait()
        if case.then == "waits":
            # So much later nobody's idle connection is left.
            others, client = await gateway.client(), await gateway.client()
        await the_next_person(case, gateway, server, others)
        if case.then == "waits" or not answer.closed:
            assert (await client.ask(INNOCENT)).body == b"mail for bert"


async def bert_gets_his_mail(client: Client) -> None:
    answer = await client.ask(INNOCENT)
    assert (answer.status, answer.body, answer.closed) == (200, b"mail for bert", False)


async def time_passes(gateway: Fronted, server: Answering) -> None:
    await server.sent.wait()
    await settled()
    # Once for the exchange to become an ordinary one, once for its patience to end.
    for _ in range(2):
        gateway.clock.ahead += LATER_SECONDS
        gateway.front.sweep()


def assert_broken(case: AnswerCase, answer: HttpAnswer, *, at_once: bool) -> None:
    assert (answer.status, answer.closed) == (503, False) or answer.closed
    assert SECRET not in answer.body
    assert b"HTTP" not in answer.body
    if at_once and case.then == "stays":
        assert not answer.closed, "nothing of it is at the phone: it can still be told"
    for name, _ in answer.headers:
        assert name in MAY_PASS


def shown(case: AnswerCase, answer: HttpAnswer) -> None:
    assert {name for name, _ in answer.headers} <= MAY_PASS
    for name, value in case.shows:
        assert [text for key, text in answer.headers if key == name] == ([value] if value else []), name


async def the_next_person(case: AnswerCase, gateway: Fronted, server: Answering, client: Client) -> None:
    _, number = server.asked[-1]
    if case.then == "late":
        server.unasked(number, SECRET)
        await until(lambda: server.connections[number].transport is None)
    await settled()
    await bert_gets_his_mail(client)
    assert [user for user, _ in server.asked] == ["bert", "anna", "bert"], "nothing is sent twice"
    assert (server.asked[-1][1] == number) is case.reused
    if not case.reused:
        await until(lambda: server.connections[number].transport is None)
        assert len(gateway.front.upstreams.pools[0]._open) == 1
