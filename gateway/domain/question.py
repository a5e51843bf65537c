"""Which devices a request is about, and the rule for Outlook on phones.

Outlook for iOS and Android asks from a cloud with one DeviceId for all phones of a user, which no inventory names. Its
rule stands in for that of unmatched devices only (docs/decisions/outlook-mobile.md): a type is what the client says,
so it frees no DeviceId that evidence exists for.
"""

from collections.abc import Iterable
from dataclasses import replace

from gateway.domain.access import AccessRequest
from gateway.domain.certificate import devices_named
from gateway.domain.evidence import UNKNOWN_DEVICE, BindingState, DeviceEvidence, PersonRecord
from gateway.domain.policy import OutlookMobile, PolicyVersion, Setting
from gateway.domain.verdict import Cause

_OUTLOOK_DEVICE_TYPE = "outlook"
_OUTLOOK_SETTING = {
    OutlookMobile.ALLOW: Setting.ALLOW,
    OutlookMobile.REPORT_ONLY: Setting.REPORT_ONLY,
    OutlookMobile.DENY: Setting.DENY,
}
_STRICTNESS = {Setting.ALLOW: 0, Setting.REPORT_ONLY: 1, Setting.DENY: 2}


def is_user_wide(request: AccessRequest, record: PersonRecord, version: PolicyVersion) -> bool:
    """Whether all devices of the person answer for the request."""
    if not request.device_id:
        return request.certificate is None or not devices_named(request.certificate, record)
    by_rule = version.outlook_mobile is OutlookMobile.USER_WIDE
    return by_rule and _is_outlook_mobile(request, _identified(request, record))


def devices_in_question(
    request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> tuple[DeviceEvidence, ...]:
    """The identified device, or all of the person's when identity is user-wide; and the one that a certificate names.

    A certificate adds its device to that of a DeviceId or credential, so it makes no verdict milder. It stands alone
    where nothing else names a device; if no source reports the one that it names, it identifies nothing, and an unknown
    device answers beside whichever would without it.
    """
    asked = _without_certificate(request, record, version)
    certificate = request.certificate
    if certificate is None or certificate.device_key is None:
        return asked
    named = devices_named(certificate, record)
    if not named:
        return (*asked, replace(UNKNOWN_DEVICE, device_id=certificate.unknown_device))
    if not request.device_id:
        return named
    if is_user_wide(request, record, version):
        return asked
    return (*asked, *(each for each in named if each.device_id != request.device_id))


def _without_certificate(
    request: AccessRequest, record: PersonRecord, version: PolicyVersion
) -> tuple[DeviceEvidence, ...]:
    """The cloud's own DeviceId is none of the person's phones: it is left out as long as nothing is known of it."""
    if request.device_id and not is_user_wide(request, record, version):
        return (_identified(request, record),)
    everything = (*record.devices.values(), *record.unbound)
    if not request.device_id:
        return everything
    return tuple(each for each in everything if each.device_id != request.device_id or _has_evidence(each))


def nobody_reported(
    request: AccessRequest, record: PersonRecord, devices: Iterable[DeviceEvidence], version: PolicyVersion
) -> bool:
    """Whether all devices of a person should answer and no source reports any of them.

    Mail devices that nobody knows are no evidence: asking once with an invented DeviceId must not change the answer.
    """
    return is_user_wide(request, record, version) and all(each.binding is BindingState.UNMATCHED for each in devices)


def setting_for(cause: Cause, request: AccessRequest, device: DeviceEvidence, version: PolicyVersion) -> Setting:
    """What the policy does where ``cause`` keeps a device from being judged."""
    setting = version.unknowns.of(cause).of(request.protocol, device.platform)
    said = _OUTLOOK_SETTING.get(version.outlook_mobile)
    if said is None or not _is_outlook_mobile(request, device):
        return setting
    # Hits left behind and claims for others make nothing milder, and stating the type does not either.
    return max(setting, said, key=_STRICTNESS.__getitem__) if _has_evidence(device) else said


def is_outlook(device_type: str) -> bool:
    """Whether a device says that it is Outlook for iOS or Android."""
    return device_type.lower() == _OUTLOOK_DEVICE_TYPE


def _identified(request: AccessRequest, record: PersonRecord) -> DeviceEvidence:
    return record.devices.get(request.device_id) or replace(UNKNOWN_DEVICE, device_id=request.device_id)


def _is_outlook_mobile(request: AccessRequest, device: DeviceEvidence) -> bool:
    """Whether a device speaks from the cloud; being unmatched is then all that keeps it from being judged."""
    return (
        device.binding is BindingState.UNMATCHED
        and device.device_id == request.device_id
        and is_outlook(request.device_type)
    )


def _has_evidence(device: DeviceEvidence) -> bool:
    return bool(device.sources or device.tombstones)
