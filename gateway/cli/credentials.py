"""``gatepost credential``: credentials by which a mail program says which device it is on."""

from typing import Annotated, Any

import typer

from gateway.cli.client import segment
from gateway.cli.desk import Desk, command, group
from gateway.cli.output import Rows, moment

app = group("Device credentials: which device a mail program is on, for IMAP, POP3 and SMTP.")

PAGE = 1000


@command(app, "issue")
def issue(
    desk: Desk,
    user: Annotated[str, typer.Argument(help="The user, in any spelling.")],
    device: Annotated[str, typer.Argument(help="DeviceId of a mail device; or name a source's device.")] = "",
    source: Annotated[str, typer.Option("--source", help="Source that reports the device.")] = "",
    source_device: Annotated[str, typer.Option("--source-device", help="The source's own key of the device.")] = "",
) -> None:
    """Issue a credential for one device. The user name that holds it is printed once and kept nowhere.

    The user writes it into the mail program in place of the user name; the
    password stays the user's own.

    \b
    Examples:
      gatepost credential issue anna@corp.example ApplDX3Q
      gatepost credential issue anna@corp.example --source mdm --source-device 00008030-001A35E11A88003A
    """
    if bool(device) == bool(source) or bool(source) != bool(source_device):
        raise typer.BadParameter("name a DEVICE, or give --source and --source-device")
    body = {"user": user, "device": device, "source": source, "source_device": source_device}
    with desk.api() as api:
        answer = api.post("/credentials", body)
    desk.show(answer, text=answer["login"])
    if not desk.as_json:
        desk.note(
            f"credential {answer['id']} of {answer['user']} for device {answer['device']}; "
            "this user name is shown this once, the password stays the user's own"
        )


@command(app, "list")
def list_credentials(desk: Desk, user: Annotated[str, typer.Argument(help="Only this user's.")] = "") -> None:
    """List credentials, without their secrets.

    \b
    Examples:
      gatepost credential list
      gatepost credential list anna@corp.example
    """
    found: list[dict[str, Any]] = []
    after: str | None = ""
    with desk.api("reading the credentials") as api:
        while after is not None:
            page = api.get("/credentials", user=user, after=after, limit=PAGE)
            found += page["credentials"]
            after = page["next_after"]
    rows = [
        (
            each["id"],
            each["user"],
            f"{each['source']} {each['source_device']}" if each["source"] else each["device"],
            moment(each["issued_at"]),
            f"revoked {moment(each['revoked_at'])}" if each["revoked_at"] else "good",
        )
        for each in found
    ]
    columns = ("id", "user", "device", "issued", "state")
    desk.show({"credentials": found}, rows=Rows(columns, rows, "no credential has been issued"))


@command(app, "revoke")
def revoke(
    desk: Desk, credential_id: Annotated[str, typer.Argument(metavar="ID", help="See credential list.")]
) -> None:
    """Revoke a credential, once and for all; its sessions end.

    \b
    Example:
      gatepost credential revoke k3vq7mzd --yes
    """
    desk.confirm(f"Revoke credential {credential_id}?")
    with desk.api() as api:
        answer = api.delete(f"/credentials/{segment(credential_id)}")
    desk.show(answer, text=f"credential {answer['id']} of {answer['user']} is revoked")
