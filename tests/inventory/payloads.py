"""Reports that are wrong in one place each, and what is told of it."""

from typing import Any

from tests.inventory.events import full


def changed(**members: Any) -> dict[str, Any]:
    """A report with members at ``a__b__0__c`` replaced, or with None taken out."""
    event = full(7)
    for path, value in members.items():
        *outer, last = path.split("__")
        target = event
        for name in outer:
            target = target[int(name)] if isinstance(target, list) else target[name]
        if value is None:
            del target[last]
        else:
            target[last] = value
    return event


PAYLOADS: list[tuple[dict[str, Any], str]] = [
    ({"data__app_count": 2}, "app_count is 2 but 1 apps are listed: the list was cut"),
    ({"data__app_count": 0}, "app_count is 0 but 1 apps are listed"),
    ({"data__app_count": None}, "/data/app_count"),
    ({"data__apps": None}, "/data/apps"),
    ({"data__kind": "delta"}, "a delta names its base_sequence"),
    ({"data__base_sequence": 6}, "a full report has no base_sequence"),
    ({"data__apps__0__removed": True}, "only a delta has removed apps"),
    ({"type": "com.example.mailgateway.app-inventory.delta.v1"}, "type and data.kind disagree"),
    ({"type": "com.example.other"}, "/type"),
    ({"sequence": "0" * 19 + "8"}, "sequence and data.sequence disagree"),
    ({"sequence": "7"}, "/sequence"),
    ({"specversion": "0.3"}, "/specversion"),
    ({"specversion": 1.0}, "/specversion"),
    ({"id": ""}, "/id"),
    ({"id": "a\u0007"}, "/id"),
    ({"id": "x" * 129}, "/id"),
    ({"subject": " x"}, "/subject"),
    ({"subject": "x" * 257}, "/subject"),
    ({"datacontenttype": "application/xml"}, "/datacontenttype"),
    ({"time": "yesterday"}, "/time"),
    ({"time": 1795162630}, "/time"),
    ({"data__generated_at": "2026-11-20 08:17:01Z"}, "/data/generated_at"),
    ({"data__generated_at": "2026-11-20T08:17:01"}, "/data/generated_at"),
    ({"data__generated_at": "2026-02-30T08:17:01Z"}, "there is no such moment"),
    ({"data__generated_at": "2026-11-20T08:17:01+99:00"}, "there is no such moment"),
    ({"data__generated_at": "0001-01-01T00:00:00Z"}, "the device's clock is not set"),
    ({"data__generated_at": "1970-01-01T00:00:00Z"}, "the device's clock is not set"),
    ({"data__sequence": 0}, "/data/sequence"),
    ({"data__sequence": -1}, "/data/sequence"),
    ({"data__sequence": 2**53}, "/data/sequence"),
    ({"data__sequence": 1.0}, "/data/sequence"),
    ({"data__sequence": "7"}, "/data/sequence"),
    ({"data__sequence": True}, "/data/sequence"),
    ({"data__scope": "everything"}, "/data/scope"),
    ({"data__scope": "none"}, "/data/scope"),
    ({"data__more": 1}, "/data/more"),
    ({"data__device__ids": []}, "/data/device/ids"),
    ({"data__device__ids": [{"type": "login", "value": "x"}]}, "/data/device/ids/0/type"),
    ({"data__device__ids": [{"type": "eas", "value": "x"}]}, "/data/device/ids/0/type"),
    ({"data__device__ids": [{"type": "user", "value": ""}]}, "/data/device/ids/0/value"),
    ({"data__device__ids": [{"type": "user", "value": "a"}] * 17}, "/data/device/ids"),
    ({"data__device__ids": [{"type": "user", "value": "a"}], "subject": None}, "nothing names the device"),
    ({"data__apps__0__id": ""}, "/data/apps/0/id"),
    ({"data__apps__0__id": "a\nb"}, "/data/apps/0/id"),
    ({"data__apps__0__id": "x" * 256}, "/data/apps/0/id"),
    ({"data__apps__0__platform": "symbian"}, "/data/apps/0/platform"),
    ({"data__apps__0__version_code": -1}, "/data/apps/0/version_code"),
    ({"data__apps__0__version_code": 2**63}, "/data/apps/0/version_code"),
    ({"data__apps__0__version_code": 1.5}, "/data/apps/0/version_code"),
    ({"data__apps__0__system": "yes"}, "/data/apps/0/system"),
    ({"data__apps__0__signers": ["sha256:" + "A" * 64]}, "/data/apps/0/signers/0"),
    ({"data__apps__0__signers": "sha256:" + "a" * 64}, "/data/apps/0/signers"),
    ({"data__apps__0__team_id": "short"}, "/data/apps/0/team_id"),
    ({"data__apps__0__more~/": 1}, "/data/apps/0/more~0~1"),
    ({"data__apps": {}}, "/data/apps"),
    ({"data": None}, "/data"),
    ({"data": []}, "/data"),
    ({"source": None}, "/source"),
]
