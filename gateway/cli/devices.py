"""``gatepost device``: mail devices, what they are bound to, and an administrator's word on it."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gateway.cli.client import AdminClient, segment
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import see_that_done
from gateway.cli.output import Rows, moment, print_pairs, print_rows
from gateway.cli.values import moment_of

app = group("Mail devices: who has which, and what they are bound to.")

PAGE = 1000

User = Annotated[str, typer.Argument(help="The user, in any spelling.")]
SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="Name of the source.")]
SourceDevice = Annotated[str, typer.Argument(metavar="SOURCE_DEVICE", help="The source's own key of the device.")]
Device = Annotated[str, typer.Argument(help="ActiveSync DeviceId, in any spelling.")]


@command(app, "list")
def list_devices(
    desk: Desk,
    user: Annotated[str, typer.Argument(help="Only this user's, with bindings and evidence.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most, without a user.")] = 1000,
) -> None:
    """List mail devices that were seen.

    \b
    Examples:
      gatepost device list
      gatepost device list anna@corp.example
      gatepost device list --limit 100000 --json
    """
    if user:
        _list_of(desk, user)
        return
    with desk.api("reading the devices") as api:
        devices, more = _pages(api, limit)
    rows = [(each["user"], each["device"], each["device_type"], moment(each["last_seen_at"])) for each in devices]
    columns = ("user", "device", "type", "last seen")
    desk.show({"devices": devices, "complete": not more}, rows=Rows(columns, rows, "no device has asked for mail yet"))
    if more:
        desk.warn(f"there are more than {len(devices)}: give a higher --limit")


def _pages(api: AdminClient, limit: int) -> tuple[list[dict[str, Any]], bool]:
    devices: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None and len(devices) < limit:
        page = api.get("/devices", after=after, limit=min(PAGE, limit - len(devices)))
        devices += page["devices"]
        after = page["next_after"]
    return devices, after is not None


def _list_of(desk: Desk, user: str) -> None:
    with desk.api() as api:
        answer = api.get(f"/devices/{segment(user)}")
    rows = [
        (
            each["device"],
            each["device_type"],
            each["binding"],
            [f"{evidence['source']} {evidence['source_device']}" for evidence in each["evidence"]],
            moment(each["last_seen_at"]),
        )
        for each in answer["devices"]
    ]
    columns = ("device", "type", "binding", "inventory", "last seen")
    desk.show(answer, rows=Rows(columns, rows, f"{answer['person']} has no devices"))
    if not desk.as_json and answer["without_mail"]:
        print("\nreported for this user, without a mail device:")
        shown = [
            (each["source"], each["source_device"], moment(each["reported_at"])) for each in answer["without_mail"]
        ]
        print_rows(Rows(("source", "device", "reported"), shown))


@command(app, "show")
def show(desk: Desk, user: User, device: Device) -> None:
    """Show one device: binding, evidence, and what it says of itself.

    \b
    Example:
      gatepost device show anna@corp.example ApplDX3Q
    """
    with desk.api() as api:
        answer = api.get(f"/devices/{segment(user)}/{segment(device)}")
    if desk.as_json:
        desk.show(answer)
        return
    print_pairs(list(_lines(answer)))


def _lines(answer: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for name in ("user", "device", "binding", "platform", "ownership", "device_type", "user_agent"):
        yield name.replace("_", " "), answer[name]
    yield "protocol version", answer["protocol_version"]
    yield "last address", answer["client_address"]
    yield "first seen", moment(answer["first_seen_at"])
    yield "last seen", moment(answer["last_seen_at"])
    for each in answer["evidence"]:
        reported = f"{moment(each['reported_at'])}, {each['apps']} apps, scope {each['scope']}"
        yield "report", f"{each['source']} {each['source_device']}, {reported}"
    yield "kept hits", answer["tombstones"] or ""
    for pin in answer["pins"]:
        word = "bound to" if pin["bound"] else "never"
        yield "pin", f"{word} {pin['source']} {pin['source_device']}, by {pin['author']}, {moment(pin['at'])}"
    for name, value in answer["stated"].items():
        yield f"says {name}", value


@command(app, "apps")
def apps(
    desk: Desk,
    user: User,
    device: Annotated[str, typer.Argument(help="ActiveSync DeviceId; without it all devices of the user.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; needed, and kept by the audit log.")] = "",
    at: Annotated[
        str,
        typer.Option("--at", metavar="MOMENT", help="As it was then: 2026-01-31T08:00, by this machine's time zone."),
    ] = "",
) -> None:
    """List the apps on a user's devices, as the sources last reported them.

    \b
    Examples:
      gatepost device apps anna@corp.example --reason "ticket 4711"
      gatepost device apps anna@corp.example ApplDX3Q --reason "ticket 4711" --at 2026-11-25T10:00
    """
    with desk.api() as api:
        answer = api.get(f"/apps/{segment(user)}", device=device, reason=reason, at=moment_of(at) if at else None)
    rows = [
        (each["device"] or "(none)", each["source"], f"{app['platform']}:{app['id']}", app["version"], app["name"])
        for each in answer["lists"]
        for app in each["apps"]
    ]
    columns = ("device", "source", "app", "version", "name")
    desk.show(answer, rows=Rows(columns, rows, f"nothing is reported of {answer['person']}'s devices"))


@command(app, "bind")
def bind(desk: Desk, user: User, device: Device, source: SourceName, source_device: SourceDevice) -> None:
    """Say that a mail device is that inventory device, whatever the ids say.

    \b
    Example:
      gatepost device bind anna@corp.example ApplDX3Q mdm 00008030-001A35E11A88003A
    """
    desk.confirm(f"Judge device {device} of {user} by what {source} reports for {source_device}?")
    _put_pin(desk, user, device, {"source": source, "source_device": source_device, "bound": True})


@command(app, "unbind")
def unbind(
    desk: Desk,
    user: User,
    device: Device,
    source: SourceName,
    source_device: SourceDevice,
    by_ids: Annotated[
        bool, typer.Option("--by-ids", help="Take back what was said by hand: the ids decide again.")
    ] = False,
) -> None:
    """Say that a mail device is never that inventory device, whatever the ids say.

    \b
    Examples:
      gatepost device unbind anna@corp.example ApplDX3Q mdm 00008030-001A35E11A88003A
      gatepost device unbind anna@corp.example ApplDX3Q mdm 00008030-001A35E11A88003A --by-ids
    """
    if not by_ids:
        desk.confirm(f"Never judge device {device} of {user} by what {source} reports for {source_device}?")
        _put_pin(desk, user, device, {"source": source, "source_device": source_device, "bound": False})
        return
    with desk.api() as api:
        path = f"/devices/{segment(user)}/{segment(device)}/pins"
        answer = api.delete(path, source=source, source_device=source_device)
    see_that_done(answer)
    desk.show(answer, text=f"device {device} of {answer['person']} is bound by its ids again")


def _put_pin(desk: Desk, user: str, device: str, body: dict[str, Any]) -> None:
    with desk.api() as api:
        answer = api.put(f"/devices/{segment(user)}/{segment(device)}/pins", body)
    see_that_done(answer)
    desk.show(answer, text=f"device {answer['device']} of {answer['user']} is {answer['binding']}")


@command(app, "forget")
def forget(
    desk: Desk,
    user: User,
    device: Annotated[str, typer.Argument(help="ActiveSync DeviceId, in any spelling.")] = "",
    without_mail: Annotated[
        bool, typer.Option("--without-mail", help="What is reported for the user without a mail device, instead.")
    ] = False,
) -> None:
    """Forget all that is known of a device, its open hits included.

    The device may come again as a new one; a binding by hand stays.

    \b
    Examples:
      gatepost device forget anna@corp.example ApplDX3Q --yes
      gatepost device forget anna@corp.example --without-mail
    """
    if bool(device) is without_mail:
        raise typer.BadParameter("name a DEVICE, or give --without-mail")
    if without_mail:
        desk.confirm(f"Forget all that is reported for {user} without a mail device, open hits included?")
        with desk.api() as api:
            answer = api.delete(f"/devices/{segment(user)}", without_mail="true")
        see_that_done(answer)
        count = answer["inventories"]
        desk.show(answer, text=f"{count} reported devices of {answer['user']} without a mail device are forgotten")
        return
    desk.confirm(f"Forget all that is known of device {device} of {user}, open hits included?")
    with desk.api() as api:
        answer = api.delete(f"/devices/{segment(user)}/{segment(device)}")
    see_that_done(answer)
    desk.show(answer, text=f"device {answer['device']} of {answer['user']} is forgotten")
