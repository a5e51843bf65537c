"""Example values for tests of whatever keeps them."""

import sqlite3

from gateway.domain.inventory import App, AppOrigin, DeviceKey, Inventory, Naming, Ownership, Platform, Scope
from gateway.ports.store import MailDevice, Person, Source


def app(number: int = 1) -> App:
    return App(
        platform=Platform.ANDROID,
        id=f"com.example.app{number}",
        name=f"App {number}",
        version=f"{number}.0",
        version_code=number,
        signers=("sha256:" + f"{number:064x}",),
        origin=AppOrigin.STORE,
    )


def inventory(device: str = "d1", *, apps: int = 3, source: str = "mdm", keys: tuple[DeviceKey, ...] = ()) -> Inventory:
    return Inventory(
        source_id=source,
        source_device=device,
        scope=Scope.DEVICE,
        naming=Naming.IDENTIFIER,
        generated_at=1000.5,
        received_at=1001.25,
        sequence=7,
        apps=tuple(app(number) for number in range(apps)),
        full_at=1000.5,
        boot_id="b",
        device_keys=keys or (DeviceKey("serial", f"S-{device}"), DeviceKey("login", f"{device}@corp.example")),
        ownership=Ownership.COMPANY,
        compliant=True,
        os_version="15.1",
        platform=Platform.ANDROID,
    )


def person(login: str = "ann@corp.example", *aliases: str) -> Person:
    return Person(login, aliases, frozenset({"sales", "all"}), "Ann", "de", "Europe/Berlin", "import")


def mail_device(login: str = "ann@corp.example", device_id: str = "abc1", seen: float = 10.0) -> MailDevice:
    return MailDevice(login, device_id, seen, seen + 1, "iPhone", "Apple/1", "16.1", "192.0.2.1", '{"Model":"x"}')


def source(name: str = "mdm") -> Source:
    return Source(name, "push", "*", Scope.DEVICE, 86400.0, ("whsec_b", "whsec_a"), 5.0, "root", None, "*@corp.example")


LATER_TABLES = (
    *("credentials", "change_previews", "policy_changes"),
    *("audit_entries", "audit_head", "audit_checkpoints", "audit_dropped", "audit_subjects"),
    *("notice_mailings", "notices", "notice_complaints"),
    "operators",
    "past_values",
    "fleet_brake",
)
"""What the first schema does not have."""
LATER_COLUMNS = (
    ("store_state", "compatible_since"),
    ("people", "address"),
    ("tokens", "reach"),
    ("tokens", "created_by"),
    ("store_state", "past_since"),
    ("store_state", "evidence_told"),
    ("inventory_events", "at"),
    ("inventory_events", "before"),
)


def back_to_the_first_schema(connection: sqlite3.Connection) -> None:
    """Leave of a database of now what the first version would have made of it."""
    for name in ("leases", *LATER_TABLES):
        connection.execute(f"DROP TABLE {name}")
    for table, column in LATER_COLUMNS:
        connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
