"""A control process without processes: workers that say what they are told, and an API over a store in memory."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import httpx
from fastapi import FastAPI

from gateway.admin.api import ApiDeps, BodyLimits, create_api
from gateway.admin.auth import new_token
from gateway.admin.bold_bindings import performers
from gateway.admin.guarded import Performers
from gateway.admin.operators import approval_stands, logins_of, operators_count
from gateway.changes.apply import InForceResult, ensure_first_policy
from gateway.changes.applying import Applier, Rules
from gateway.changes.desk import ChangeDesk
from gateway.changes.fleet_brake import FleetBrake
from gateway.changes.fleet_previews import previewed
from gateway.changes.impact.fleet import Fleet
from gateway.changes.impact.index import ImpactIndex
from gateway.changes.impact.people import people_with
from gateway.changes.impact.verifying import Verified
from gateway.changes.previews import NotReadyYet, Previewed
from gateway.changes.short_form import ShortForm
from gateway.changes.telling import Telling
from gateway.domain.dated import Pair
from gateway.domain.evidence import PersonRecord
from gateway.domain.identity import identity_rules
from gateway.domain.operator import NamedOperator, Role
from gateway.domain.policy import Policy, PolicyVersion, first_policy, policy_of
from gateway.inventory.bindings import Bindings
from gateway.inventory.consequences import Evidence
from gateway.inventory.credentials import Credentials
from gateway.inventory.erasing import Eraser
from gateway.inventory.ingest import Forgotten
from gateway.inventory.people import People
from gateway.inventory.records import load_record
from gateway.notices.desk import NoticeDesk
from gateway.ports.past import EvidenceReading
from gateway.ports.store import Change, Store, Writing
from gateway.storage.memory import MemoryStore

RULES = identity_rules("corp.example", {"CORP": "corp.example"})
NOW = 1_700_000_000.0


@dataclass(slots=True)
class Workers:
    """Workers by name; the silent ones never follow."""

    names: tuple[str, ...] = ("worker-1",)
    silent: tuple[str, ...] = ()
    waited_for: list[int] = field(default_factory=list)
    rows: list[dict[str, object]] = field(default_factory=lambda: [{"name": "worker-1", "alive": True}])
    """What they tell of themselves."""

    async def wait(self, version: int, timeout_seconds: float) -> InForceResult:
        """At once."""
        self.waited_for.append(version)
        return InForceResult(len(self.names), len(self.names) - len(self.silent), 0.01, self.silent)


@dataclass(slots=True)
class Control:
    """What stands behind the API in a test."""

    store: Store = field(default_factory=MemoryStore)
    workers: Workers = field(default_factory=Workers)
    records: dict[str, PersonRecord] = field(default_factory=dict)
    published: list[Change] = field(default_factory=list)
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    """Whom the cache was told to forget."""
    is_alive: bool = True
    is_ready: bool = True
    checks: dict[str, object] = field(default_factory=dict)
    """What readiness looked at; empty: the store, as it is ready."""
    warnings: list[str] = field(default_factory=list)
    now: float = NOW
    rules: Rules = field(default_factory=Rules)
    """Who may apply what alone."""
    policy: Policy = field(default_factory=lambda: policy_of(first_policy(NOW)))

    notices: NoticeDesk | None = None
    limits: BodyLimits = field(default_factory=BodyLimits)
    """Of requests."""
    not_ready: str = ""
    """Why no preview can be made yet."""
    telling: Telling | None = None

    async def publish(self, changes: Sequence[Change]) -> None:
        """Remember what would go to the workers."""
        self.published.extend(changes)
        async with self.store.read() as reading:
            version = await reading.policy()
        if version is not None:
            self.policy = policy_of(version)

    async def load_record(self, reading: EvidenceReading, login: str) -> PersonRecord:
        """The record that the test laid down, else the one that follows from the store."""
        return self.records.get(login) or await load_record(reading, login, RULES)

    async def forget_within(
        self, writing: Writing, person_id: str, device_id: str, author: str, *, alone: bool = False
    ) -> Forgotten:
        """Remember which."""
        self.forgotten.append((person_id, device_id))
        return Forgotten(inventories=1, tombstones=2)

    async def of(
        self, before: PolicyVersion, after: PolicyVersion, *, dated: Sequence[Pair] = (), brief: bool = False
    ) -> Previewed:
        """A preview, by an index that is built for it."""
        if self.not_ready:
            raise NotReadyYet(self.not_ready)
        index = await ImpactIndex.built(self.store, self.load_record)
        others = [(policy_of(one), policy_of(other)) for one, other in dated]
        impact = await index.preview(policy_of(before), policy_of(after), self.now, dated=others)
        return previewed(impact, after, before, 20.0)

    async def people_with(self, marks: Collection[int]) -> Sequence[str]:
        """Whose devices these are, by an index that is built for it."""
        index = await ImpactIndex.built(self.store, self.load_record)
        return people_with(index.view(), marks)

    async def verify(self, policy: Policy, sample: int) -> Verified:
        """What is held against the decision, by an index that is built for it."""
        index = await ImpactIndex.built(self.store, self.load_record)
        return await index.verify(policy, self.now, sample)

    async def erase(self, logins: Sequence[str]) -> int:
        """Remember whom the cache would forget."""
        self.erased.extend(logins)
        return len(logins)

    async def rewrite(self) -> bool:
        """There is no saved index."""
        return True

    async def fleet(self) -> Fleet | None:
        """Everybody, by an index that is built for it."""
        return (await ImpactIndex.built(self.store, self.load_record)).view()

    def api(self) -> FastAPI:
        """The application."""
        bindings = Bindings(Evidence(self.store, RULES, self.publish, lambda: self.policy))
        guarded = Performers(performers(bindings, self, lambda: self.now), lambda: self.now)
        telling = self.telling or Telling(now=lambda: self.now)
        desk = ChangeDesk(self.store, self, lambda: self.now, operators=operators_count)
        applier = Applier(
            self.store,
            self,
            self.publish,
            self.workers,
            lambda: self.now,
            rules=lambda: self.rules,
            perform=guarded.perform,
            stands=approval_stands,
            logins_of=logins_of,
            telling=telling,
        )
        return create_api(
            ApiDeps(
                store=self.store,
                desk=desk,
                applier=applier,
                verify=self.verify,
                brake=FleetBrake(self.store, self.fleet, lambda: self.now),
                editor=ShortForm(self.store, desk, applier, lambda: self.now),
                guarded=guarded,
                ingest=self,
                people=People(Evidence(self.store, RULES, self.publish, lambda: self.policy)),
                bindings=bindings,
                credentials=Credentials(Evidence(self.store, RULES, self.publish, lambda: self.policy)),
                eraser=Eraser(
                    Evidence(self.store, RULES, self.publish, lambda: self.policy), self, self.rewrite, lambda: self.now
                ),
                rules=RULES,
                publish=self.publish,
                load_record=self.load_record,
                status=lambda: {"workers": self.workers.rows, "warnings": self.warnings},
                metrics=lambda: "# HELP gatepost_up Up.\ngatepost_up 1\n",
                alive=lambda: (self.is_alive, {"hanging": ["worker-1"]}),
                ready=lambda: (self.is_ready, self.checks or {"store": self.is_ready}),
                now=lambda: self.now,
                notices=self.notices,
                telling=telling,
                names=self,
                limits=self.limits,
            )
        )

    async def token(self, operator: str = "anna", role: Role = Role.EDITOR, *, exactly: Role | None = None) -> str:
        """A token of an operator, who is an editor or a viewer of old, or has one role ``exactly``."""
        role = exactly or role
        text, token = new_token(operator, role, self.now)

        async def work(writing: Writing) -> None:
            if exactly is not None:
                await writing.put_operator(NamedOperator(operator, frozenset({role})))
            await writing.put_token(token)

        await self.store.write(work)
        return text

    async def client(
        self, operator: str = "anna", role: Role = Role.EDITOR, *, exactly: Role | None = None
    ) -> httpx.AsyncClient:
        """A client of the API as that operator."""
        await ensure_first_policy(self.store, self.publish, self.now)
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.api(), raise_app_exceptions=False),
            base_url="http://gatepost/api/v1",
            headers={"Authorization": f"Bearer {await self.token(operator, role, exactly=exactly)}"},
        )
