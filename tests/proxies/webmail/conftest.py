"""What the tests of logins that are a connection's share."""

from collections.abc import AsyncIterator

import pytest

from gateway.proxies.webmail.exposure import VERDICT
from tests.proxies.webmail.bound_site import opened
from tests.support.fronted import Fronted
from tests.support.scripted_origin import Origin


@pytest.fixture
async def judging(origin: Origin) -> AsyncIterator[Fronted]:
    async with opened(origin, VERDICT) as gateway:
        yield gateway
