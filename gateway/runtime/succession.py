"""How a program of this process hands over to the next version of itself.

Two texts pass between versions, so they are plain JSON with a number: the **plan**, which the next version makes when
it is asked what it would run, and the **estate**, which this one leaves in a file without a name when it becomes the
next one by exec(2): the process keeps its pid, its children, its sockets and its lock. A field is only ever added, with
a default.
"""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from gateway.domain.errors import DomainError
from gateway.runtime.child import ChildSpec, LivingChild
from gateway.runtime.sockets import BoundSocket, socket_of

FORMAT = 1
SUCCESSION_VARIABLE = "GATEPOST_SUCCESSION"
PLAN = "plan:"
"""Before the name of a run in ``SUCCESSION_VARIABLE``: say what you would run under it.

Otherwise it is the number of the estate's descriptor.
"""


class NoSuccession(DomainError):  # noqa: N818
    """The next version cannot take over while this one runs; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a version would run."""

    version: str
    children: tuple[ChildSpec, ...]
    drain_seconds: float
    """What its workers need at most."""
    fixed: Mapping[str, str]
    """What cannot change without a restart, by name."""
    settings: str
    """Its settings, for the program that takes over."""


@dataclass(frozen=True, slots=True)
class Estate:
    """All that a program leaves to the next one."""

    settings: str
    version: str
    sockets: tuple[BoundSocket, ...]
    children: tuple[LivingChild, ...]
    lock_fd: int | None
    cache_pid: int | None
    began: float
    """Monotonic seconds, of the upgrade."""
    run: str = ""
    """The name of the run that goes on."""


class Successor(Protocol):
    """The next version of this program."""

    async def plan(self) -> Plan:
        """Ask it what it would run; it has prepared the database then. Raises ``NoSuccession``."""
        ...

    def become(self, plan: Plan, children: Sequence[LivingChild], began: float) -> None:
        """Become it; returns only if that fails, with ``OSError``."""
        ...


def plan_text(plan: Plan) -> str:
    """A plan as it is told."""
    return json.dumps({"format": FORMAT, **asdict(plan), "children": [_spec_row(each) for each in plan.children]})


def read_plan(text: str) -> Plan:
    """A plan that was told. Raises ``NoSuccession``."""
    try:
        row = json.loads(text)
        if row["format"] != FORMAT:
            raise NoSuccession(f"the next version hands over by format {row['format']}, this one by {FORMAT}: restart")
        return Plan(
            str(row["version"]),
            tuple(_spec(each) for each in row["children"]),
            float(row["drain_seconds"]),
            {str(name): str(value) for name, value in row["fixed"].items()},
            str(row["settings"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoSuccession("the next version does not say what it would run: restart instead") from None


def leave(estate: Estate) -> int:
    """Write the estate where the next program finds it; the descriptor, which exec(2) keeps like those it names."""
    fd = os.memfd_create("gatepost-estate", 0)
    row = {
        "format": FORMAT,
        "settings": estate.settings,
        "version": estate.version,
        "sockets": [
            {"part": each.part, "url": each.url, "worker": each.worker, "fd": each.socket.fileno()}
            for each in estate.sockets
        ],
        "children": [_living_row(each) for each in estate.children],
        "lock_fd": estate.lock_fd,
        "cache_pid": estate.cache_pid,
        "began": estate.began,
        "run": estate.run,
    }
    os.write(fd, json.dumps(row).encode())
    for kept in descriptors_of(estate):
        os.set_inheritable(kept, True)
    return fd


def descriptors_of(estate: Estate) -> list[int]:
    """All that exec(2) must keep."""
    fds = [each.socket.fileno() for each in estate.sockets]
    for child in estate.children:
        fds += [child.link_fd, child.output_fd]
    return fds if estate.lock_fd is None else [*fds, estate.lock_fd]


def take_over(fd: str) -> Estate:
    """The estate that an earlier program of this process left. Raises ``NoSuccession``."""
    try:
        with os.fdopen(int(fd), "rb") as file:
            file.seek(0)
            row = json.loads(file.read())
        if row["format"] != FORMAT:
            raise KeyError
        return Estate(
            row["settings"],
            row["version"],
            tuple(
                BoundSocket(each["part"], each["url"], socket_of(each["fd"]), each["worker"]) for each in row["sockets"]
            ),
            tuple(_living(each) for each in row["children"]),
            row["lock_fd"],
            row["cache_pid"],
            float(row["began"]),
            str(row["run"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise NoSuccession(f"{SUCCESSION_VARIABLE} is for Gatepost's own use: remove it from the environment") from None


def _bound(row: Mapping[str, Any]) -> BoundSocket:
    return BoundSocket(row["part"], row["url"], socket_of(row["fd"]), row["worker"])


def _spec_row(spec: ChildSpec) -> dict[str, Any]:
    return {**asdict(spec), "environment": dict(spec.environment)}


def _spec(row: Mapping[str, Any]) -> ChildSpec:
    return ChildSpec(
        str(row["name"]),
        tuple(map(str, row["argv"])),
        tuple(map(str, row["sockets"])),
        int(row["worker"]),
        bool(row["told_of_workers"]),
        {str(name): str(value) for name, value in row["environment"].items()},
    )


def _living_row(child: LivingChild) -> dict[str, Any]:
    return {
        "spec": _spec_row(child.spec),
        "pid": child.pid,
        "link_fd": child.link_fd,
        "unread": base64.b64encode(child.unread).decode(),
        "unsent": base64.b64encode(child.unsent).decode(),
        "output_fd": child.output_fd,
        "status": dict(child.status),
    }


def _living(row: Mapping[str, Any]) -> LivingChild:
    return LivingChild(
        _spec(row["spec"]),
        row["pid"],
        row["link_fd"],
        base64.b64decode(row["unread"]),
        base64.b64decode(row["unsent"]),
        row["output_fd"],
        row["status"],
    )
