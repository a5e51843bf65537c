"""Every route of the API for every role: refused exactly where the matrix says so."""

import re

import httpx
import pytest

from gateway.admin.api.actions import ROUTES
from gateway.domain.operator import Action, Role, may, not_allowed
from tests.support.control import Control


async def routes(control: Control) -> dict[str, tuple[str, str]]:
    """Method and address of each route that needs a token, by its name."""
    transport = httpx.ASGITransport(control.api())
    async with httpx.AsyncClient(transport=transport, base_url="http://gatepost") as api:
        paths = (await api.get("/api/v1/openapi.json")).json()["paths"]
    return {
        operation["operationId"]: (method.upper(), re.sub(r"\{[^}]+\}", "1", path))
        for path, methods in paths.items()
        for method, operation in methods.items()
        if path.startswith("/api/")
    }


async def test_every_route_has_its_action_and_no_other_is_named(control: Control) -> None:
    assert sorted(await routes(control)) == sorted(ROUTES)


@pytest.mark.parametrize("role", Role)
async def test_what_a_role_may(control: Control, role: Role) -> None:
    """Nothing is named that is there, so that what is allowed fails for another reason."""
    wrong = []
    async with await control.client("rita", exactly=role) as api:
        for name, (method, path) in (await routes(control)).items():
            answer = await api.request(method, f"http://gatepost{path}")
            refused = answer.status_code == 403
            if refused is may({role}, ROUTES[name]):
                wrong.append((name, answer.status_code))
            if refused:
                assert answer.json()["detail"] == not_allowed("rita", ROUTES[name])
    assert wrong == []


async def test_turning_down_is_for_three_roles_and_more_enforcement_for_one(control: Control) -> None:
    async with await control.client("olga", exactly=Role.OPERATOR) as olga:
        off = await olga.put("/flags/global", json={"on": False})
        assert off.status_code == 200, off.text
        on = await olga.put("/flags/global", json={"on": True})
        assert (on.status_code, on.json()["detail"]) == (403, not_allowed("olga", Action.EDIT_POLICY))
