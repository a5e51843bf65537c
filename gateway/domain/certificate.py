"""Client certificates: whose one says it is, which inventory device it names, and which of a person's devices that is.

A certificate comes here verified: its chain and its dates by TLS, and read by the settings, which say what field holds
the user and what field a key of the inventory device (its serial number, the MDM's id of it …). The key cannot leave a
device that keeps it in hardware, so of all that a client can show this says best which device it is. It names one of
the person's own devices or none: what is reported for others is never judged for this person.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.domain.evidence import DeviceEvidence, PersonRecord, SourceEvidence
from gateway.domain.inventory import DeviceKey

UNKNOWN_PREFIX: Final = "certificate:"
"""Begins the id of a device that a certificate names and no source reports. No ActiveSync DeviceId has a colon."""
SUBJECT: Final = "subject"
"""The source's own key of the device, under which it reports."""
KEY_TYPES: Final = frozenset({"serial", "udid", "imei", "meid", "entra_device_id", "mdm_id", "cert_sha256"})
"""The names of an inventory device that a certificate can hold."""
KEYS_MOST: Final = 16


@dataclass(frozen=True, slots=True)
class CertificateShown:
    """A client's certificate as the settings have it read."""

    id: str
    """Its serial number and whose, for logs and lists; never two alike by one authority."""
    ends_at: float
    """Epoch seconds; from then on it is worth nothing."""
    logins: tuple[str, ...] | None = None
    """Canonical logins of the user in it; None: the settings have none read."""
    device_key: str | None = None
    """The inventory device in it (``key_named``); None: the settings have none read; empty: none stands there."""

    @property
    def unknown_device(self) -> str:
        """The id of its device where no source reports one."""
        return UNKNOWN_PREFIX + (self.device_key or self.id)

    def is_of(self, logins: Iterable[str]) -> bool:
        """Whether it may be shown by a person of these logins."""
        return self.logins is None or not set(self.logins).isdisjoint(logins)


def key_named(key_type: str, value: str) -> str:
    """A name of an inventory device in the one spelling that is compared; empty for an empty one.

    Case does not count, as with serial numbers on stickers; nor do the colons in a digest.
    """
    folded = value.strip().casefold()
    if key_type == "cert_sha256":
        folded = folded.removeprefix("sha256:").replace(":", "")
    return f"{key_type}:{folded}" if folded else ""


def keys_of(keys: Iterable[DeviceKey]) -> tuple[str, ...]:
    """What a certificate may call an inventory device by, of the names that its source gives."""
    named = (key_named(key.type, key.value) for key in keys if key.type in KEY_TYPES)
    return tuple(dict.fromkeys(name for name in named if name))[:KEYS_MOST]


def devices_named(certificate: CertificateShown, record: PersonRecord) -> tuple[DeviceEvidence, ...]:
    """Those of the person's devices that the certificate names; several where sources or people disagree."""
    if not certificate.device_key:
        return ()
    everything = (*record.devices.values(), *record.unbound)
    return tuple(
        device for device in everything if any(_is_called(source, certificate.device_key) for source in device.sources)
    )


def _is_called(source: SourceEvidence, key: str) -> bool:
    return key in source.keys or key == key_named(SUBJECT, source.source_device)
