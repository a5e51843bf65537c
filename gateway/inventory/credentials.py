"""Device credentials: issued for one device of one person, and revoked.

One stands for a mail device by its DeviceId, or for an inventory device that no mail device is known for; that gets an
id of its own (``credential:ID``) and a pin, so what binds, conflicts and outlives its evidence does so by the same
rules. What is issued or revoked is in the person's record, so workers hear of it as of any other evidence: a revoked
credential ends its sessions.
"""

import secrets
from dataclasses import dataclass, replace

from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.entry import GATEPOST
from gateway.domain.binding import claimed_logins
from gateway.domain.credential import ALPHABET, ID_LENGTH, SECRET_LENGTH, device_known_by, digest_of
from gateway.domain.errors import InvalidValue
from gateway.inventory.consequences import Evidence, person_id_of
from gateway.inventory.records import load_record
from gateway.ports.store import Conflict, IssuedCredential, PinnedBinding, Reading, Writing

GOOD_AT_MOST = 50
"""Credentials of one person that are good at a time: all of them are in the record."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """For which device one is issued: a mail device, or an inventory device of a source."""

    login: str
    device_id: str = ""
    source_id: str = ""
    source_device: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """A credential with what stands behind the user name; that is shown once and kept nowhere."""

    credential: IssuedCredential
    suffix: str

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Issued({self.credential!r})"


class Credentials:
    """Issues and revokes; one for the whole control process."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    async def issue(self, wanted: Wanted, author: str, now: float) -> Issued:
        """A new credential.

        Raises ``InvalidValue`` where the device is not known as one of the person's, or the person has too many;
        ``Conflict``, ``StoreUnavailable``.
        """
        credential_id, secret = _random(ID_LENGTH), _random(SECRET_LENGTH)
        digest = digest_of(credential_id, secret)

        async def work(writing: Writing) -> IssuedCredential:
            if await writing.credential(credential_id) is not None:
                raise Conflict("the ID is in use already: try again")
            person_id = await person_id_of(writing, wanted.login)
            record = await load_record(writing, person_id, self._evidence.rules)
            if len(record.credentials) >= GOOD_AT_MOST:
                raise InvalidValue(f"{person_id} has {GOOD_AT_MOST} credentials already: revoke one of them first")
            if not wanted.source_id and wanted.device_id not in record.devices:
                raise InvalidValue(
                    f"{person_id} has no device {wanted.device_id}: gatepost device list USER shows those known"
                )
            device_id = device_known_by(credential_id) if wanted.source_id else wanted.device_id
            issued = IssuedCredential(
                credential_id, person_id, device_id, digest, wanted.source_id, wanted.source_device, author, now
            )
            await self._check_inventory(writing, issued, record.logins)
            await self._put(writing, issued, revoked=False)
            await writing.log_audit(_told(AuditKind.CREDENTIAL_ISSUED, issued, author))
            return issued

        return Issued(await self._evidence.write(work), f"%{credential_id}-{secret}")

    async def revoke(self, credential_id: str, now: float, author: str = GATEPOST) -> IssuedCredential | None:
        """End a credential, once and for all; None: there is none. Raises ``StoreUnavailable``."""

        async def work(writing: Writing) -> IssuedCredential | None:
            issued = await writing.credential(credential_id)
            if issued is None or issued.revoked_at is not None:
                return issued
            ended = replace(issued, revoked_at=now)
            await self._put(writing, ended, revoked=True)
            await writing.log_audit(_told(AuditKind.CREDENTIAL_REVOKED, ended, author))
            return ended

        return await self._evidence.write(work)

    async def _check_inventory(self, reading: Reading, issued: IssuedCredential, logins: tuple[str, ...]) -> None:
        """Whether the inventory device, if it is for one, can be the person's."""
        if not issued.source_id:
            return
        inventory = await reading.inventory(issued.source_id, issued.source_device)
        if inventory is None:
            raise InvalidValue(
                f"source {issued.source_id} has reported no device {issued.source_device}: "
                "gatepost device list USER shows what was reported for a user"
            )
        owners = claimed_logins(inventory, self._evidence.rules)
        if owners and set(owners).isdisjoint(logins):
            raise InvalidValue(
                f"source {issued.source_id} reports device {issued.source_device} for {owners[0]} and not for "
                f"{issued.person_id}: a credential is for a device of the user's own"
            )

    async def _put(self, writing: Writing, issued: IssuedCredential, *, revoked: bool) -> None:
        """Store it with its pin, and announce everybody whose record is another one then."""

        async def change() -> None:
            await writing.put_credential(issued)
            if issued.source_id and revoked:
                await writing.delete_pin(issued.person_id, issued.device_id, issued.source_id, issued.source_device)
            elif issued.source_id:
                key = issued.person_id, issued.device_id, issued.source_id, issued.source_device
                await writing.put_pin(PinnedBinding(*key, True, issued.author, issued.issued_at))

        inventory = await writing.inventory(issued.source_id, issued.source_device) if issued.source_id else None
        concerned = await self._evidence.concerned(writing, inventory)
        await self._evidence.announced(writing, dict.fromkeys((issued.person_id, *concerned)), change)


def _told(kind: AuditKind, issued: IssuedCredential, author: str) -> AuditEntry:
    """What the audit log is told of a credential."""
    subject = Subject(issued.person_id, issued.source_device or issued.device_id)
    return AuditEntry(kind, author, (subject,), {"credential": issued.id, "source": issued.source_id})


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
