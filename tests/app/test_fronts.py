"""The fronts of a worker live, drain and end together, whatever they speak."""

import socket
from collections.abc import Sequence

import pytest

from gateway.app import fronts
from gateway.app.fronts import Front, Fronts, Served, Shared, servers_away
from gateway.app.served import PARTS, listens_of
from gateway.decision.decision_point import DecisionPoint
from gateway.decision.device_cache import DeviceCache
from gateway.decision.sightings import SightingLog
from gateway.domain.evidence import PersonRecord
from gateway.domain.identity import IdentityRules
from gateway.domain.policy import first_policy, policy_of
from gateway.network.tls import ServerTls
from gateway.observability.metrics import Metrics
from gateway.proxies.attempts import Attempts
from gateway.runtime.sockets import DEFAULT_PORTS, BoundSocket
from gateway.settings import Settings


class Recorder:
    """A front that writes down what it is told."""

    def __init__(self, name: str, told: list[tuple[str, ...]]) -> None:
        self._name = name
        self._told = told

    async def start(self) -> None:
        self._told.append((self._name, "start"))

    async def listen(self, sock: socket.socket, tls: ServerTls | None, *, secure: bool) -> None:
        self._told.append((self._name, "listen", "secure" if secure else "plain"))

    def reload_tls(self) -> None:
        self._told.append((self._name, "reload"))

    async def drain(self, within_seconds: float, *, handed_over: bool) -> None:
        self._told.append((self._name, "drain", str(within_seconds)))

    async def close(self) -> None:
        self._told.append((self._name, "close"))

    def status(self) -> dict[str, object]:
        return {"upstreams": [{"url": f"{self._name}://one", "healthy": self._name == "http"}], "connections": 2}


async def read(login: str) -> PersonRecord:
    raise AssertionError


async def forget(rows: Sequence[bytes]) -> None:
    raise AssertionError


def shared() -> Shared:
    decision = DecisionPoint(DeviceCache(read), policy_of(first_policy(0.0)))
    return Shared(decision, IdentityRules(), SightingLog(forget), Metrics(), Attempts(), lambda: 0.0)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What two fronts were told: of phones, and of the section of the receivers in the place of another proxy."""
    told: list[tuple[str, ...]] = []

    def of(name: str) -> Served:
        def front(settings: Settings, shared: Shared) -> Front:
            return Recorder(name, told)

        return Served(name, (), front)

    monkeypatch.setattr(fronts, "SERVED", (of("http"), of("inventory")))
    return told


def bound(part: str) -> list[BoundSocket]:
    with socket.socket() as sock:
        return [BoundSocket(part, f"{scheme}://127.0.0.1:1", sock) for scheme in ("http", "imaps")]


async def test_all_are_told_of_everything(told: list[tuple[str, ...]]) -> None:
    both = Fronts(Settings(), shared())
    await both.start()
    await both.listen(bound)
    both.reload_tls()
    await both.drain(3.0, handed_over=False)
    await both.close()
    each = (("start",), ("listen", "plain"), ("listen", "secure"), ("reload",), ("drain", "3.0"), ("close",))
    for name in ("http", "inventory"):
        assert [words[1:] for words in told if words[0] == name] == list(each)


async def test_one_that_listens_nowhere_is_not_built(told: list[tuple[str, ...]]) -> None:
    settings = Settings.model_validate({"inventory": {"listen": []}})
    await Fronts(settings, shared()).start()
    assert told == [("http", "start")]


def test_what_is_off_is_no_reason_against_an_upgrade() -> None:
    nowhere: dict[str, list[str]] = {"listen": []}
    off = dict.fromkeys(PARTS, nowhere)
    assert listens_of(Settings.model_validate(off)) == {"http": []}
    imap = {"listen": ["imap://127.0.0.1:143"], "upstream": "imap://m"}
    assert list(listens_of(Settings.model_validate({**off, "imap": imap}))) == ["http", "imap"]


def test_the_supervisor_knows_every_front() -> None:
    assert tuple(each.part for each in fronts.SERVED) == PARTS


async def test_mail_servers_of_all_are_told_of(told: list[tuple[str, ...]]) -> None:
    both = Fronts(Settings(), shared())
    status = both.status()
    assert status["upstreams"] == [
        {"url": "http://one", "healthy": True},
        {"url": "inventory://one", "healthy": False},
    ]
    assert servers_away(status) == {"http://one": False, "inventory://one": True}


def test_failed_logins_are_counted_together() -> None:
    """An account is locked by failures, whichever way they came: no proxy has a bound of its own."""
    one = shared()
    made = [each.front(Settings(), one) for each in fronts.SERVED]
    assert [front.checks._attempts is one.attempts for front in made if hasattr(front, "checks")] == [True]


def test_every_scheme_that_is_served_has_its_port_and_says_whether_tls_comes_first() -> None:
    with socket.socket() as sock:
        secure = {scheme for scheme in DEFAULT_PORTS if BoundSocket("x", f"{scheme}://127.0.0.1", sock).secure}
    assert secure == {"https", "imaps", "pop3s", "smtps"}
