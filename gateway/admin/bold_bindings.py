"""A word on a binding that may free a banned phone: a guarded action.

Which words are bold says ``Bindings.why_bold``: on a phone with an open hit, or by what is reported for somebody else;
and to forget a device with an open hit. When the change is applied what is there then is bound, or it is refused.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.admin.guarded import Performer
from gateway.domain.change import GuardedAction
from gateway.inventory.bindings import Bindings
from gateway.inventory.ingest import Forgotten
from gateway.ports.store import PinnedBinding, Writing

PIN_DEVICE = "pin_device"
UNPIN_DEVICE = "unpin_device"
FORGET_DEVICE = "forget_device"


class Forgetter(Protocol):
    """The part of the ingest that is used here."""

    async def forget_within(
        self, writing: Writing, person_id: str, device_id: str, author: str, *, alone: bool = False
    ) -> Forgotten:
        """Forget a device inside a unit of work; ``alone``: it has an open hit, and nobody else could approve."""
        ...


def pin_action(pin: PinnedBinding) -> GuardedAction:
    """That a pin is put."""
    return GuardedAction(PIN_DEVICE, {**_values(pin), "bound": "yes" if pin.bound else "no"})


def unpin_action(pin: PinnedBinding) -> GuardedAction:
    """That a pin is taken away."""
    return GuardedAction(UNPIN_DEVICE, _values(pin))


def forget_action(person_id: str, device_id: str) -> GuardedAction:
    """That a device is forgotten; ``device_id`` empty: the person's inventory devices without a mail device."""
    return GuardedAction(FORGET_DEVICE, {"person": person_id, "device": device_id})


def _values(pin: PinnedBinding) -> dict[str, str]:
    return {
        "person": pin.person_id,
        "device": pin.device_id,
        "source": pin.source_id,
        "source_device": pin.source_device,
    }


def performers(bindings: Bindings, ingest: Forgetter, now: Callable[[], float]) -> dict[str, Performer]:
    """Do these actions inside the unit of work of their change."""

    def pin_of(values: Mapping[str, str], author: str) -> PinnedBinding:
        ends = (values["person"], values["device"], values["source"], values["source_device"])
        return PinnedBinding(*ends, values.get("bound") == "yes", author, now())

    async def pin(writing: Writing, values: Mapping[str, str], author: str, alone: bool) -> None:
        await bindings.put(writing, pin_of(values, author), alone=alone)

    async def unpin(writing: Writing, values: Mapping[str, str], author: str, alone: bool) -> None:
        await bindings.remove(writing, pin_of(values, author), alone=alone)

    async def forget(writing: Writing, values: Mapping[str, str], author: str, alone: bool) -> None:
        await ingest.forget_within(writing, values["person"], values["device"], author, alone=alone)

    return {PIN_DEVICE: pin, UNPIN_DEVICE: unpin, FORGET_DEVICE: forget}
