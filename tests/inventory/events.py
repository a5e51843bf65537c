"""Reports as agents write them, and the samples of the contract."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"
NOW = 1_795_162_630.0
"""A few seconds after the sample report was generated."""
SUBJECT = "android/3f5a1c9b2d7e4a60"
USER = "jonas.brandt@example.com"
DEVICE_ID = "gw3f5a1c9b2d7e4a60"
"""The canonical DeviceId of the samples."""
TIKTOK = "com.zhiliaoapp.musically"
GMAIL = "com.google.android.gm"

Event = dict[str, Any]


def sample(name: str) -> Any:
    """A sample as JSON."""
    return json.loads((SAMPLES / name).read_bytes())


def moment(at: float) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ids(user: str = USER, eas: str = DEVICE_ID, **more: str) -> list[dict[str, str]]:
    """A device's names; empty ones are left out."""
    named = {"user": user, "eas_device_id": eas, **more}
    return [{"type": key, "value": value} for key, value in named.items() if value]


def full(
    sequence: int = 1,
    apps: Sequence[str] = (GMAIL,),
    *,
    at: float | None = None,
    subject: str = SUBJECT,
    device: list[dict[str, str]] | None = None,
    **inner: object,
) -> Event:
    """A full report; ``inner`` replaces or adds members of its data, ``at`` follows from the sequence."""
    generated_at = moment(NOW - 1000 + sequence if at is None else at)
    event = {
        "specversion": "1.0",
        "id": f"event-{subject}-{sequence}",
        "source": "https://agent.example/fleet",
        "type": "com.example.mailgateway.app-inventory.full.v1",
        "subject": subject,
        "time": generated_at,
        "data": {
            "kind": "full",
            "scope": "device",
            "generated_at": generated_at,
            "sequence": sequence,
            "device": {"ids": ids() if device is None else device},
            "app_count": len(apps),
            "apps": [{"platform": "android", "id": name} for name in apps],
            **inner,
        },
    }
    return event if subject else {name: value for name, value in event.items() if name != "subject"}


def delta(sequence: int, base: int, *, added: Sequence[str] = (), gone: Sequence[str] = (), **more: Any) -> Event:
    """A delta on the sequence ``base``."""
    event = full(sequence, added, **more)
    event["type"] = "com.example.mailgateway.app-inventory.delta.v1"
    data = event["data"]
    data["kind"], data["base_sequence"] = "delta", base
    data["apps"] += [{"platform": "android", "id": name, "removed": True} for name in gone]
    data["app_count"] = len(data["apps"])
    return event
