"""What becomes of an authentic report: applied, repeated, late, out of order, beyond what its source may say."""

import json
from dataclasses import replace

import pytest

from gateway.domain.inventory import Scope
from gateway.inventory.answers import Refusal, RefusalKind
from gateway.inventory.sources.push.bodies import parsed
from gateway.inventory.sources.push.payload import read_report
from tests.inventory.events import GMAIL, NOW, SUBJECT, TIKTOK, delta, full, ids
from tests.inventory.receiving import Receiving, source

APPLIED, STALE = (202, "applied"), (202, "stale_ignored")


# --- idempotency


async def test_the_same_message_again_is_one(receiver: Receiving) -> None:
    first = await receiver.post(full(5), message_id="msg_1")
    assert (first.status_code, first.json()["status"]) == (202, "applied")
    sequence = await receiver.sequence()
    # A retry is signed anew, at another moment.
    receiver.now += 120
    again = await receiver.post(full(5), message_id="msg_1")
    assert (again.status_code, again.json()) == (200, {"status": "duplicate", "sequence": 5})
    assert await receiver.sequence() == sequence


async def test_a_repeated_message_undoes_nothing(receiver: Receiving) -> None:
    await receiver.post(full(1, (TIKTOK,)), message_id="msg_1")
    await receiver.post(full(2, (GMAIL,)), message_id="msg_2")
    again = await receiver.post(full(1, (TIKTOK,)), message_id="msg_1")
    # It tells where the device stands now, so that the agent can go on from there.
    assert again.json() == {"status": "duplicate", "sequence": 2}
    assert await receiver.apps() == [GMAIL]


async def test_an_id_is_used_for_one_message(receiver: Receiving) -> None:
    await receiver.post(full(1), message_id="msg_1")
    assert await receiver.status(full(2, (TIKTOK,)), message_id="msg_1") == (409, "reused_id")
    assert await receiver.apps() == [GMAIL]
    # The same content otherwise written is another body.
    assert await receiver.status(json.dumps(full(1), indent=1).encode(), message_id="msg_1") == (409, "reused_id")
    assert await receiver.status(full(1), message_id="msg_1") == (200, "duplicate")


async def test_ids_of_two_sources_are_two(receiver: Receiving) -> None:
    other = "whsec_" + "A" * 40
    await receiver.write(source("others", secrets=(other,)))
    assert await receiver.status(full(1), message_id="msg_1") == APPLIED
    assert await receiver.status(full(1, (TIKTOK,)), message_id="msg_1", secret=other) == APPLIED


async def test_what_was_refused_may_come_again_under_its_id(receiver: Receiving) -> None:
    assert await receiver.status(delta(2, 1), message_id="msg_1") == (409, "gap")
    await receiver.post(full(1))
    assert await receiver.status(delta(2, 1, added=(TIKTOK,)), message_id="msg_1") == APPLIED


# --- order


@pytest.mark.parametrize("at", [NOW - 5000, NOW - 995])
async def test_a_late_report_is_acknowledged_and_changes_nothing(receiver: Receiving, at: float) -> None:
    await receiver.post(full(5, (TIKTOK,)))
    sequence, stored = await receiver.sequence(), await receiver.inventory()
    late = await receiver.post(full(4, (GMAIL,), at=at), message_id="late")
    assert (late.status_code, late.json()["status"], late.json()["sequence"]) == (202, "stale_ignored", 5)
    assert await receiver.inventory() == stored
    assert await receiver.sequence() == sequence
    assert (await receiver.post(full(4, (GMAIL,), at=at), message_id="late")).json()["status"] == "duplicate"


async def test_the_sequence_of_an_installation_never_goes_back(receiver: Receiving) -> None:
    await receiver.post(full(5, (TIKTOK,), boot_id="a"))
    assert await receiver.status(full(5, (GMAIL,), at=NOW - 10, boot_id="a")) == STALE
    assert await receiver.status(full(1, (GMAIL,), at=NOW - 9, boot_id="a")) == STALE
    # A new installation of the agent begins anew, with a full list.
    assert await receiver.status(full(1, (GMAIL,), at=NOW - 8, boot_id="b")) == APPLIED
    assert await receiver.apps() == [GMAIL]


async def test_the_order_of_arrival_does_not_matter(receiver: Receiving) -> None:
    for sequence in (3, 1, 2, 5, 4):
        await receiver.post(full(sequence, (f"com.example.v{sequence}",)))
    assert await receiver.apps() == ["com.example.v5"]


async def test_from_the_future(receiver: Receiving) -> None:
    answer = await receiver.post(full(1, at=NOW + 301), message_id="msg_1")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:gatepost:problem:future")
    assert "set the clock of the device" in answer.json()["detail"]
    assert not await receiver.remembered("msg_1")
    assert await receiver.status(full(1, at=NOW + 299)) == APPLIED


# --- deltas


async def test_deltas_follow_one_another(receiver: Receiving) -> None:
    await receiver.post(full(10, (GMAIL, TIKTOK)))
    assert await receiver.status(delta(11, 10, added=("com.example.new",), gone=(TIKTOK,))) == APPLIED
    assert await receiver.apps() == ["com.example.new", GMAIL]
    assert await receiver.status(delta(14, 11, gone=("com.example.never",))) == APPLIED
    assert await receiver.status(delta(15, 14, added=(TIKTOK,))) == APPLIED
    assert await receiver.apps() == ["com.example.new", GMAIL, TIKTOK]


@pytest.mark.parametrize("base", [8, 9, 11])
async def test_a_delta_on_another_base(receiver: Receiving, base: int) -> None:
    await receiver.post(full(10, (GMAIL,)))
    answer = await receiver.post(delta(12, base, added=(TIKTOK,)), message_id="msg_1")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:gatepost:problem:gap")
    assert answer.json()["detail"] == "this delta does not fit, the stored sequence is 10: send a full report"
    assert await receiver.apps() == [GMAIL]
    assert not await receiver.remembered("msg_1")


async def test_a_delta_about_an_app_that_it_names_twice(receiver: Receiving) -> None:
    await receiver.post(full(10, (GMAIL, TIKTOK)))
    answer = await receiver.post(delta(11, 10, added=(TIKTOK,), gone=(TIKTOK,)))
    assert answer.status_code == 409
    assert "names an app of which there are several, or leaves too many apps: send a full" in answer.json()["detail"]
    assert await receiver.apps() == [GMAIL, TIKTOK]


async def test_a_delta_for_an_unknown_device_or_installation(receiver: Receiving) -> None:
    answer = await receiver.post(delta(12, 10))
    assert answer.status_code == 409
    assert "nothing is stored for the device: send a full report" in answer.json()["detail"]
    await receiver.post(full(10, boot_id="a"))
    assert await receiver.status(delta(11, 10, boot_id="b")) == (409, "gap")
    assert await receiver.status(delta(11, 10, boot_id="a")) == APPLIED


async def test_a_delta_repeated_after_others_is_old(receiver: Receiving) -> None:
    await receiver.post(full(1, (GMAIL,)))
    await receiver.post(delta(2, 1, added=(TIKTOK,)))
    await receiver.post(delta(3, 2, gone=(TIKTOK,)))
    assert await receiver.status(delta(2, 1, added=(TIKTOK,)), message_id="again") == STALE
    assert await receiver.apps() == [GMAIL]


# --- what a source may say


@pytest.mark.parametrize(
    ("maximum", "claimed", "stored"),
    [
        (Scope.MANAGED_ONLY, "device", Scope.MANAGED_ONLY),
        (Scope.WORK_PROFILE, "device", Scope.WORK_PROFILE),
        (Scope.NONE, "managed_only", Scope.NONE),
        (Scope.DEVICE, "device", None),
        (Scope.DEVICE, "work_profile", None),
        (Scope.WORK_PROFILE, "managed_only", None),
    ],
)
async def test_no_wider_scope_than_the_source_has(
    receiver: Receiving, maximum: Scope, claimed: str, stored: Scope | None
) -> None:
    await receiver.write(source(max_scope=maximum))
    answer = await receiver.post(full(1, scope=claimed))
    assert answer.json().get("scope_capped_to") == (stored.value if stored else None)
    inventory = await receiver.inventory()
    assert inventory is not None
    assert inventory.scope is (stored or Scope(claimed))


async def test_a_delta_widens_nothing(receiver: Receiving) -> None:
    await receiver.post(full(1, scope="managed_only"))
    await receiver.post(delta(2, 1, scope="device"))
    inventory = await receiver.inventory()
    assert inventory is not None
    assert inventory.scope is Scope.MANAGED_ONLY


@pytest.mark.parametrize(
    ("devices", "subject", "allowed"),
    [
        ("*", SUBJECT, True),
        ("android/*", SUBJECT, True),
        ("ANDROID/*", SUBJECT, False),
        ("kiosk-*", SUBJECT, False),
        ("kiosk-*", "kiosk-7", True),
        ("kiosk-?", "kiosk-77", False),
        (SUBJECT, SUBJECT, True),
        (SUBJECT, SUBJECT + "0", False),
    ],
)
async def test_devices_outside_the_source_set(receiver: Receiving, devices: str, subject: str, allowed: bool) -> None:
    await receiver.write(source(devices=devices))
    answer = await receiver.post(full(1, subject=subject))
    assert answer.status_code == (202 if allowed else 403)
    if not allowed:
        assert answer.json()["detail"] == f"the source agents may report for devices {devices}, not for {subject}"
        assert await receiver.inventory(subject) is None
        assert await receiver.sequence() == 0


async def test_the_device_set_counts_for_devices_without_subject_too(receiver: Receiving) -> None:
    await receiver.write(source(devices="serial/S*"))
    assert await receiver.status(full(1, subject="", device=ids(serial="X1"))) == (403, "device_not_allowed")
    assert await receiver.status(full(1, subject="", device=ids(serial="S1"))) == APPLIED
    # The steadiest of its names is the key.
    assert await receiver.status(full(2, subject="", device=ids(serial="S1", mdm_id="m1"))) == (
        403,
        "device_not_allowed",
    )


@pytest.mark.parametrize(
    ("users", "named", "allowed"),
    [
        ("", "anybody@elsewhere.example", True),
        ("*@example.com", "ann@example.com", True),
        ("*@example.com", "EXAMPLE\\Ann", True),
        ("*@example.com", "ann", True),
        ("*@example.com", "ann@example.com.evil.example", False),
        ("ann@example.com", "bob@example.com", False),
        ("ann@example.com", "ANN@EXAMPLE.COM", True),
    ],
)
async def test_users_outside_the_source_set(receiver: Receiving, users: str, named: str, allowed: bool) -> None:
    await receiver.write(source(user=users))
    assert await receiver.status(full(1, device=ids(named))) == (APPLIED if allowed else (403, "user_not_allowed"))
    assert (await receiver.inventory() is not None) is allowed


async def test_one_user_outside_the_set_is_enough(receiver: Receiving) -> None:
    await receiver.write(source(user="ann@example.com"))
    both = [*ids("ann@example.com"), {"type": "user", "value": "boss@example.com"}]
    assert await receiver.status(full(1, device=both)) == (403, "user_not_allowed")


async def test_names_that_bind_to_nothing_are_told(receiver: Receiving) -> None:
    answer = await receiver.post(full(1, device=ids("two@at@signs", "not a device id", serial="S1")))
    assert answer.json()["ignored_ids"] == ["user", "eas_device_id"]


async def test_a_source_that_is_removed_while_its_report_is_read(receiver: Receiving) -> None:
    report = read_report(parsed(json.dumps(full()).encode()), "agents", NOW)
    known = source()
    await receiver.write(replace(known, removed_at=NOW))
    answer = await receiver.ingest.receive(known, "msg_1", "0" * 64, report)
    assert isinstance(answer, Refusal)
    assert answer.kind is RefusalKind.SOURCE_REMOVED
    assert await receiver.inventory() is None


# --- lists that are not believed


async def test_a_list_that_shrinks_unbelievably(receiver: Receiving) -> None:
    many = [f"com.example.app{number}" for number in range(20)]
    await receiver.post(full(1, [*many, TIKTOK]))
    answer = await receiver.post(full(2, (GMAIL,)))
    assert (answer.json()["suspicious"], answer.json()["next_report_seconds"]) == (True, 300)
    assert await receiver.apps() == sorted([*many, TIKTOK, GMAIL])
    believable = await receiver.post(full(3, many))
    assert "suspicious" not in believable.json()
    assert await receiver.apps() == sorted(many)


async def test_an_empty_phone_is_not_believed(receiver: Receiving) -> None:
    answer = await receiver.post(full(1, ()))
    assert answer.json()["suspicious"] is True
    assert "suspicious" not in (await receiver.post(full(1, (), subject="other", scope="managed_only"))).json()


@pytest.mark.parametrize(("max_age", "seconds"), [(3600.0, 1800), (86400.0, 43200), (30 * 86400.0, 86400)])
async def test_when_the_next_full_list_is_due(receiver: Receiving, max_age: float, seconds: int) -> None:
    await receiver.write(source(max_age=max_age))
    assert (await receiver.post(full(1))).json()["next_report_seconds"] == seconds
