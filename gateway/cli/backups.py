"""``gatepost backup`` and ``restore``: on this machine, without the admin API."""

import os.path
import time
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import output, progress
from gateway.cli.address import settings_of
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed
from gateway.cli.restore_words import afterwards, as_data, before, iso
from gateway.domain.errors import DomainError

SECRETS = "the file holds source secrets in clear, digests of tokens and personal data: keep it as safe as the database"
LEFT_OUT = ("audit-key", "notice-key")
"""Files of data_dir: who has a backup can forge neither the audit log nor the links in notices."""


def backup(
    desk: Desk,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; made whole or not at all.")],
) -> None:
    """Write everything the database holds to a file, while the gateway runs or not.

    One consistent moment, compressed, with a checksum; any kind of database can be
    restored from it. The file is for its owner only (mode 0600): it holds secrets.

    \b
    Examples:
      gatepost backup /backup/gatepost-2026-01-31.backup
      gatepost backup gatepost.backup --yes --json
    """
    settings = settings_of(desk.config)
    if os.path.exists(file):
        desk.confirm(f"{file} is there already. Replace it?")
    # Here, because the database need not be loaded for every other command.
    from gateway.app.backups import backup as write

    try:
        with progress.shown(desk) as tick:
            written = write(settings, file, time.time(), lambda done, whole: tick("writing the backup", done, whole))
    except DomainError as error:
        raise Failed(str(error)) from None
    header = written.header
    data = {
        "file": str(file),
        "octets": written.octets,
        "taken_at": iso(header.taken_at),
        "schema": header.schema,
        "policy_version": header.policy_version,
        "sequence": header.sequence,
        "counts": header.counts,
        "holds_secrets": True,
        "left_out": LEFT_OUT,
    }
    rows = sum(header.counts.values())
    what = f"{rows} rows of schema {header.schema}, policy version {header.policy_version}"
    text = f"wrote {file}: {what}, {written.octets} octets"
    desk.show(data, text=text)
    desk.note(SECRETS)
    desk.note(f"the keys {' and '.join(LEFT_OUT)} of data_dir are not in it: keep a copy of them elsewhere")


def restore(
    desk: Desk,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that gatepost backup wrote.")],
    keep_enforcing: Annotated[
        bool, typer.Option("--keep-enforcing", help="Enforce at once what was enforced then, on the evidence of then.")
    ] = False,
    no_comparison: Annotated[
        bool, typer.Option("--no-comparison", help="Do not judge every device to say whose answer changes.")
    ] = False,
) -> None:
    """Put a backup in the place of the database; no gateway may run on it.

    Says first what is lost and for whom the answer changes, and asks. The present
    database is kept beside it. The restored one starts with enforcement off,
    since its evidence is old: everybody has mail until it is switched on again.

    \b
    Examples:
      gatepost restore /backup/gatepost-2026-01-31.backup
      gatepost restore gatepost.backup --keep-enforcing --yes
    """
    settings = settings_of(desk.config)
    # Here, because the database need not be loaded for every other command.
    from gateway.app.restoring import Restoring

    now = time.time()
    try:
        with Restoring(settings, file, keep_enforcing=keep_enforcing, now=now) as restoring:
            with progress.shown(desk) as tick:
                restoring.prepare(tick)
                preview = restoring.preview(tick, with_fleet=not no_comparison)
            if not desk.as_json:
                for line in before(preview, now):
                    print(output.harmless(line))
            desk.confirm("Restore?")
            with progress.shown(desk) as tick:
                kept = restoring.carry_out(tick)
    except DomainError as error:
        raise Failed(str(error)) from None
    desk.show(as_data(preview, kept, now), text="\n".join(afterwards(preview, kept)))
