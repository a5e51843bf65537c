"""The payload of a push: a CloudEvent 1.0 in structured mode whose data is one inventory report.

Pure: JSON values in, ``InventoryReport`` out. Everything is checked strictly and bounded; a member that is not known is
refused, except CloudEvents extension attributes, which are ignored (CloudEvents 1.0 §3.1, "Extension Context
Attributes").
"""

import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import (
    App,
    AppOrigin,
    AppState,
    DeviceKey,
    InventoryReport,
    Ownership,
    Platform,
    ReportedApp,
    ReportKind,
    Scope,
)

FULL = "com.example.mailgateway.app-inventory.full.v1"
DELTA = "com.example.mailgateway.app-inventory.delta.v1"
APPS_AT_MOST = 5000
LARGEST_SEQUENCE = 2**53 - 1
"""Every JSON reader keeps whole numbers up to here exact (RFC 8259 §6)."""
ERRORS_SHOWN = 20
EARLIEST = datetime.fromisoformat("2010-01-01T00:00:00Z").timestamp()
"""A clock before this was never set."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)\Z", re.ASCII)


class PayloadInvalid(InvalidValue):
    """The payload has not the form it must have; ``errors`` are pairs of JSON pointer (RFC 6901) and sentence."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        pointer, sentence = errors[0]
        super().__init__(f"{pointer or 'the payload'}: {sentence}")
        self.errors = errors


def _moment(value: object) -> float:
    if not isinstance(value, str) or not _MOMENT.match(value):
        raise ValueError("a moment is written like 2026-11-20T08:17:01.250Z (RFC 3339)")
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("there is no such moment") from None


def _after_clocks_are_set(value: float) -> float:
    if value < EARLIEST:
        raise ValueError("the device's clock is not set")
    return value


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("it has control characters, or blanks at its ends")
    return value


def _shown(value: str) -> str:
    """Free text for people: whatever is not printable becomes a blank."""
    return value if value.isprintable() else "".join(each if each.isprintable() else " " for each in value)


_DATE_TIME = WithJsonSchema({"type": "string", "format": "date-time"})
Moment = Annotated[float, BeforeValidator(_moment), _DATE_TIME]
Name = Annotated[str, AfterValidator(_printable)]
Text = Annotated[str, AfterValidator(_shown)]
Sequence = Annotated[int, Field(ge=1, le=LARGEST_SEQUENCE)]


_PLATFORMS = {each.value: each for each in Platform}
_ORIGINS = {each.value: each for each in AppOrigin}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AppIn(_Strict):
    """An installed app, or with ``removed`` one that is gone."""

    platform: Literal["android", "ios", "macos", "windows", "linux", "chrome"]
    id: Name = Field(min_length=1, max_length=255)
    name: Text = Field("", max_length=255)
    version: Text = Field("", max_length=128)
    version_code: int | None = Field(None, ge=0, le=2**63 - 1)
    publisher: Text = Field("", max_length=255)
    team_id: str = Field("", pattern=r"^([A-Z0-9]{10})?$", max_length=10)
    signers: list[Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]] = Field(
        # A list that stands here would be copied deeply for each of thousands of apps.
        default_factory=list,
        max_length=8,
    )
    installer: Text = Field("", max_length=255)
    source: Literal["system", "store", "managed", "sideload", "marketplace", "unknown"] = "unknown"
    system: bool = False
    removed: bool = False

    def reported(self) -> ReportedApp:
        """The app and its state as the core knows them."""
        app = App(
            platform=_PLATFORMS[self.platform],
            id=self.id,
            name=self.name,
            version=self.version,
            version_code=self.version_code,
            publisher=self.publisher,
            team_id=self.team_id,
            signers=tuple(self.signers),
            installer=self.installer,
            origin=_ORIGINS[self.source],
            system=self.system,
        )
        return ReportedApp(app, AppState.REMOVED if self.removed else AppState.INSTALLED)


class KeyIn(_Strict):
    """One of the names of the device."""

    type: Literal["serial", "imei", "meid", "udid", "eas_device_id", "entra_device_id", "mdm_id", "cert_sha256", "user"]
    value: Name = Field(min_length=1, max_length=256)


class DeviceIn(_Strict):
    """The device and whose it is."""

    ids: list[KeyIn] = Field(min_length=1, max_length=16)
    ownership: Literal["company", "personal", "unknown"] = "unknown"


class CollectorIn(_Strict):
    """The program that made the list."""

    name: Text = Field(max_length=64)
    version: Text = Field(max_length=64)
    platform: Literal["android", "ios", "ipados", "macos", "windows", "linux", "chromeos"]
    os_version: Text = Field("", max_length=64)


class ReportIn(_Strict):
    """One inventory report, version 1."""

    kind: Literal["full", "delta"]
    scope: Literal["device", "managed_only", "work_profile", "user"]
    generated_at: Annotated[Moment, AfterValidator(_after_clocks_are_set)]
    sequence: Sequence
    base_sequence: Sequence | None = None
    boot_id: Name = Field("", max_length=64)
    collector: CollectorIn | None = None
    device: DeviceIn
    app_count: int = Field(ge=0, le=APPS_AT_MOST)
    apps: list[AppIn] = Field(max_length=APPS_AT_MOST)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.app_count != len(self.apps):
            raise ValueError(f"app_count is {self.app_count} but {len(self.apps)} apps are listed: the list was cut")
        if self.kind == "delta" and self.base_sequence is None:
            raise ValueError("a delta names its base_sequence")
        if self.kind == "full" and self.base_sequence is not None:
            raise ValueError("a full report has no base_sequence")
        if self.kind == "full" and any(app.removed for app in self.apps):
            raise ValueError("a full report lists what is there: only a delta has removed apps")
        return self


class EventIn(BaseModel):
    """The CloudEvent around it."""

    model_config = ConfigDict(extra="ignore", strict=True)

    specversion: Literal["1.0"]
    id: Name = Field(min_length=1, max_length=128)
    source: Name = Field(min_length=1, max_length=512)
    type: Literal["com.example.mailgateway.app-inventory.full.v1", "com.example.mailgateway.app-inventory.delta.v1"]
    subject: Name = Field("", max_length=256)
    time: Moment
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str = Field("", max_length=512)
    sequence: str = Field("", pattern=r"^([0-9]{20})?$", max_length=20)
    data: ReportIn

    @model_validator(mode="after")
    def _agrees_with_its_data(self) -> Self:
        if self.type != (FULL if self.data.kind == "full" else DELTA):
            raise ValueError("type and data.kind disagree")
        if self.sequence and int(self.sequence) != self.data.sequence:
            raise ValueError("sequence and data.sequence disagree")
        if not self.subject and all(key.type == "user" for key in self.data.device.ids):
            # Two phones of one person must never be taken for one device.
            raise ValueError("nothing names the device: give subject, or an id other than user")
        return self


def read_report(value: object, source_id: str, received_at: float, apps_at_most: int = APPS_AT_MOST) -> InventoryReport:
    """The report within a parsed payload; raises ``PayloadInvalid``."""
    try:
        event = EventIn.model_validate(value)
    except ValidationError as error:
        raise PayloadInvalid(_errors(error)) from None
    data = event.data
    if len(data.apps) > apps_at_most:
        raise PayloadInvalid([("/data/apps", f"List should have at most {apps_at_most} items, not {len(data.apps)}")])
    apps = tuple(app.reported() for app in data.apps)
    return InventoryReport(
        source_id=source_id,
        source_device=event.subject or _key_of(data.device),
        kind=ReportKind(data.kind),
        scope=Scope(data.scope),
        generated_at=data.generated_at,
        received_at=received_at,
        apps=apps,
        sequence=data.sequence,
        base_sequence=data.base_sequence,
        boot_id=data.boot_id,
        device_keys=tuple(dict.fromkeys(DeviceKey(key.type, key.value) for key in data.device.ids)),
        ownership=Ownership(data.device.ownership),
        os_version=data.collector.os_version if data.collector else "",
        platform=_platform(data.collector, apps),
    )


_KEY_ORDER = ("mdm_id", "serial", "udid", "imei", "meid", "entra_device_id", "cert_sha256", "eas_device_id")


def _key_of(device: DeviceIn) -> str:
    """The device's key where the event has no subject: its steadiest name."""
    own = [key for key in device.ids if key.type in _KEY_ORDER]
    first = min(own, key=lambda key: _KEY_ORDER.index(key.type))
    return f"{first.type}/{first.value}"


_PLATFORM_OF = {"ipados": Platform.IOS, "chromeos": Platform.CHROME}


def _platform(collector: CollectorIn | None, apps: tuple[ReportedApp, ...]) -> Platform | None:
    if collector is not None:
        return _PLATFORM_OF.get(collector.platform) or Platform(collector.platform)
    platforms = {reported.app.platform for reported in apps}
    return platforms.pop() if len(platforms) == 1 else None


def _errors(error: ValidationError) -> list[tuple[str, str]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        ("".join(f"/{_pointer_part(part)}" for part in each["loc"]), each["msg"].removeprefix("Value error, "))
        for each in found[:ERRORS_SHOWN]
    ]


def _pointer_part(part: int | str) -> str:
    return str(part)[:64].replace("~", "~0").replace("/", "~1")
