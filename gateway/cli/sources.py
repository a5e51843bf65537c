"""``gatepost source``: systems that report app inventories."""

from typing import Annotated, Any

import typer

from gateway.cli.client import segment
from gateway.cli.desk import Desk, command, group
from gateway.cli.failures import see_that_done
from gateway.cli.output import Rows, moment
from gateway.cli.values import seconds_of
from gateway.domain.inventory import Scope

app = group("Systems that report app inventories.")

ANY_USER = (
    "without --user it may name every user, whatever --devices says: who has its secret can call anybody's phone clean "
    "or dirty. Add it with --user GLOB if it is for some users only"
)

Name = Annotated[str, typer.Argument(help="Name of the source.")]


@command(app, "add")
def add(
    desk: Desk,
    name: Name,
    kind: Annotated[str, typer.Option("--kind", help="How it reports.")] = "push",
    devices: Annotated[str, typer.Option("--devices", metavar="GLOB", help="Device keys it may report for.")] = "*",
    scope: Annotated[Scope, typer.Option("--scope", help="The widest it may claim to see.")] = Scope.DEVICE,
    max_age: Annotated[str, typer.Option("--max-age", metavar="LENGTH", help="Then its lists are stale.")] = "1d",
    user: Annotated[str, typer.Option("--user", metavar="GLOB", help="Users it may name; any without it.")] = "",
    public_key: Annotated[
        str, typer.Option("--public-key", metavar="whpk_…", help="It signs by ed25519; no secret is made.")
    ] = "",
) -> None:
    """Add a source and print its secret, this once.

    One for any device ("*") takes a second person where there is one who may
    approve; its secret is then made by source rotate, once it is applied. The exit
    status is 3 while it waits.

    \b
    Examples:
      gatepost source add agents --kind push --devices "*"
      gatepost source add kiosk --devices "kiosk-*" --user "*@corp.example" --scope managed_only
    """
    body: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "devices": devices,
        "scope": scope.value,
        "max_age_seconds": seconds_of(max_age),
        "user": user,
        "public_key": public_key,
    }
    with desk.api() as api:
        answer = api.post("/sources", body)
    see_that_done(answer, f". Then: gatepost source rotate {answer['name']}")
    _show_secret(desk, answer, f"source {answer['name']} added; it may report for {answer['devices']}")
    if not answer["user"]:
        desk.warn(ANY_USER)


def _show_secret(desk: Desk, answer: dict[str, Any], sentence: str) -> None:
    if answer["secret"]:
        desk.show(answer, text=answer["secret"])
        sentence += "; the secret is shown this once"
    else:
        desk.show(answer, text="")
    if not desk.as_json:
        desk.note(sentence)


@command(app, "list")
def list_sources(desk: Desk) -> None:
    """List all sources.

    \b
    Example:
      gatepost source list
    """
    with desk.api() as api:
        answer = api.get("/sources")
    rows = [
        (
            each["name"],
            each["kind"],
            each["devices"],
            each["user"] or "any",
            each["scope"],
            f"{each['max_age_seconds'] / 3600:g} h",
            each["secrets"],
            moment(each["created_at"]),
            each["created_by"],
        )
        for each in answer["sources"]
    ]
    columns = ("name", "kind", "devices", "users", "scope", "stale after", "secrets", "added", "by")
    desk.show(answer, rows=Rows(columns, rows, "no sources yet: gatepost source add NAME --devices '*'"))


@command(app, "rotate")
def rotate(
    desk: Desk,
    name: Name,
    finish: Annotated[bool, typer.Option("--finish", help="Accept the newest secret only from now on.")] = False,
    public_key: Annotated[str, typer.Option("--public-key", metavar="whpk_…", help="A new ed25519 key instead.")] = "",
) -> None:
    """Make a further secret; older ones are accepted until the rotation is finished.

    \b
    Examples:
      gatepost source rotate agents            # give the new secret to the agents
      gatepost source rotate agents --finish   # then drop the old one
    """
    if finish:
        desk.confirm(f"Refuse reports of {name} that are signed with an older secret?")
    with desk.api() as api:
        answer = api.post(f"/sources/{segment(name)}/rotate", {"finish": finish, "public_key": public_key})
    count = answer["secrets"]
    _show_secret(desk, answer, f"source {name} accepts {count} secret{'s' if count > 1 else ''} now")


@command(app, "remove")
def remove(
    desk: Desk,
    name: Name,
    with_evidence: Annotated[
        bool, typer.Option("--with-evidence", help="What it said, hits included, counts for nothing any more.")
    ] = False,
) -> None:
    """Remove a source: its reports are refused; its lists go stale, its hits stay.

    With --with-evidence all that it ever said counts no more, at once and for good:
    for a source whose secret is in the wrong hands. That may free or cut everybody
    of whom it has spoken, so it takes a second person where there is one who may
    approve; remove it without first, and its reports are refused from then on.

    \b
    Examples:
      gatepost source remove agents --yes
      gatepost source remove agents --with-evidence
    """
    words = " with all it has said, hits included (this cannot be taken back)" if with_evidence else ""
    desk.confirm(f"Remove source {name}{words}?")
    with desk.api() as api:
        answer = api.delete(f"/sources/{segment(name)}", with_evidence="true" if with_evidence else "")
    see_that_done(answer)
    desk.show(answer, text=f"source {answer['name']} is removed{', with all it has said' if with_evidence else ''}")
