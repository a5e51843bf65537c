"""Notices into Exchange by NTLM: a login bound to its connection, and one CreateItem that counts."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.notices.exchange import ExchangeDelivery
from gateway.notices.exchange_settings import ExchangeSettings
from gateway.ports.notices import DeliveryUnusable, Outcome
from tests.network.authority import Authority
from tests.notices.ews_ntlm import accounts
from tests.notices.ews_server import Act, Ews, ews_server
from tests.notices.letters import letter, yes

PASSWORD = "Secret 1"


@asynccontextmanager
async def started(authority: Authority, secret: str = PASSWORD) -> AsyncIterator[tuple[Ews, ExchangeDelivery]]:
    issued = authority.issue()
    der = ssl.PEM_cert_to_DER_cert(issued.certificate.read_text())
    with accounts(f"CORP:gatepost:{PASSWORD}"):
        async with ews_server(issued.server(), certificate=der) as ews:
            settings = ExchangeSettings(
                url=ews.url,
                mailbox="notices@corp.example",
                username="CORP\\gatepost",
                secret=secret,
                login="ntlm",
                authority=str(authority.certificate),
                connections=1,
                answer_seconds=20.0,
            )
            delivery = ExchangeDelivery(settings)
            try:
                yield ews, delivery
            finally:
                await delivery.close()
            assert ews.problems == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ntlm"))


async def test_a_notice_goes_once_by_a_login_bound_to_the_connection(authority: Authority) -> None:
    async with started(authority) as (ews, delivery):
        first = await delivery.deliver(letter(), yes)
        second = await delivery.deliver(letter("bob@corp.example"), yes)
        assert (first.outcome, second.outcome) == (Outcome.ACCEPTED, Outcome.ACCEPTED), (first, second)
        assert [each.recipient for each in ews.sent] == ["ada@corp.example", "bob@corp.example"]
        assert ews.operations().count("CreateItem") == 2
        assert set(ews.logins) == {"CORP\\gatepost"}
        assert "Sent Items" in await delivery.check()


async def test_a_lost_answer_is_uncertain_and_not_sent_again(authority: Authority) -> None:
    async with started(authority) as (ews, delivery):
        ews.script.append(Act("cut_after"))
        attempt = await delivery.deliver(letter(), yes)
        assert attempt.outcome is Outcome.UNCERTAIN
        assert len(ews.sent) == 1


async def test_a_wrong_password_is_shown_once(authority: Authority) -> None:
    async with started(authority, "wrong") as (ews, delivery):
        attempt = await delivery.deliver(letter(), yes)
        assert attempt.outcome is Outcome.CHANNEL_BROKEN, attempt
        assert len(ews.logins) == 1
        assert ews.requests == []
        with pytest.raises(DeliveryUnusable, match=r"the login as CORP\\gatepost by ntlm is refused"):
            await delivery.check()
