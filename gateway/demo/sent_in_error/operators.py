"""The operators of the story, each a client of the admin API with a token of the person's own.

An answer that refuses is what the story wants to see at some places: ``refused`` hands it back as it is worded, and
``Administrator``'s own calls turn it into ``DemoFailed`` everywhere else.
"""

from dataclasses import dataclass
from typing import Any

from gateway.demo.control import Administrator
from gateway.demo.values import DemoFailed

NEEDS_APPROVAL = "urn:gatepost:problem:needs_approval"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the API would not do."""

    status: int
    kind: str
    sentence: str
    change: int
    """The change that waits for a second person; 0: none."""
    guards: tuple[str, ...]
    """What stopped it, a sentence each."""


class Operator(Administrator):
    """One person at the desk."""

    async def refused(self, method: str, path: str, body: dict[str, Any] | None = None) -> Refusal:
        """Ask for what the API is to refuse. Raises ``DemoFailed`` where it does not."""
        response = await self._http.request(method, path, json=body)
        try:
            told: dict[str, Any] = response.json()
        except ValueError:
            raise DemoFailed(f"the admin API answered {method} {path} with {response.status_code}, no JSON") from None
        if response.is_success:
            raise DemoFailed(f"the admin API did not refuse {method} {path}: {str(told)[:200]}")
        guards = tuple(str(each["detail"]) for each in told.get("guards", ()))
        return Refusal(response.status_code, told["type"], told["detail"], int(told.get("change") or 0), guards)

    async def second_token(self, name: str) -> str:
        """Make another operator, who may approve, and a token in that person's name."""
        answer = await self._ask("POST", "/tokens", {"operator": name, "role": "approver"})
        return str(answer["token"])

    async def change(self, number: int) -> dict[str, Any]:
        """A change with its preview."""
        return await self._ask("GET", f"/changes/{number}")

    async def approve(self, number: int, digest: str) -> dict[str, Any]:
        """Say yes to a preview."""
        return await self._ask("POST", f"/changes/{number}/approve", {"digest": digest})

    async def apply(self, number: int) -> dict[str, Any]:
        """Bring it into force."""
        return await self._ask("POST", f"/changes/{number}/apply", {})

    async def withdraw(self, number: int, reason: str) -> dict[str, Any]:
        """Take it back."""
        return await self._ask("POST", f"/changes/{number}/withdraw", {"reason": reason})

    async def plan_notices(self, number: int, kind: str) -> dict[str, Any]:
        """Have everybody told whom a change cuts, at whatever time of the day it is."""
        return await self._ask("POST", f"/notices/{number}", {"kind": kind, "urgent": True})

    async def mailing(self, number: int, kind: str) -> dict[str, Any]:
        """How the notices of a kind about a change stand; without any an empty one."""
        answer = await self._ask("GET", "/notices", query={"change": str(number)})
        found = [each for each in answer["mailings"] if each["kind"] == kind]
        return found[0] if found else {"state": "", "notices": {}}

    async def verified(self, sample: int) -> dict[str, Any]:
        """Hold the index of the fleet against the decision."""
        return await self._ask("GET", "/impact/verify", query={"sample": str(sample)})
