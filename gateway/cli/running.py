"""``gatepost run`` and ``check``: what happens on this machine, without the admin API."""

import os
import time
from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.address import settings_of
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed
from gateway.domain.errors import DomainError


class RoleName(StrEnum):
    """Which processes this start brings up."""

    ALL = "all"
    GATEWAY = "gateway"
    CONTROL = "control"


def run(
    desk: Desk,
    role: Annotated[RoleName, typer.Option("--role", help="all, or one kind of process per container.")] = RoleName.ALL,
) -> None:
    """Run the gateway until it is told to end.

    SIGTERM drains, SIGHUP reads certificates again, SIGUSR2 lets the version take
    over that is installed now, without losing a request.

    \b
    Examples:
      gatepost run
      gatepost run --config /etc/gatepost/gatepost.toml
      GATEPOST_HTTP__UPSTREAM=https://mail.internal gatepost run
    """
    # Here, because the servers need not be loaded for every other command.
    from gateway.app import whole
    from gateway.runtime.succession import PLAN, SUCCESSION_VARIABLE, take_over

    asked = os.environ.pop(SUCCESSION_VARIABLE, "")
    try:
        if asked.startswith(PLAN):
            print(whole.plan(settings_of(desk.config), role.value, asked.removeprefix(PLAN)))
            return
        if asked:
            code = whole.go_on(take_over(asked), desk.config, role.value)
        else:
            code = whole.run(settings_of(desk.config), desk.config, role.value)
    except DomainError as error:
        raise Failed(str(error)) from None
    if code:
        raise typer.Exit(code)


def check(desk: Desk) -> None:
    """Try the settings and what they point at: files, certificates, store, upstreams.

    \b
    Examples:
      gatepost check
      gatepost check --config gatepost.toml --json
    """
    settings = settings_of(desk.config)
    # Here, because the servers need not be loaded for every other command.
    from gateway.app.checks import check as look_at

    found = look_at(settings, time.time())
    rows = [(row.what, row.state, row.sentence) for row in found]
    failed = sum(1 for row in found if row.state == "failed")
    data = {
        "ok": not failed,
        "checks": [{"what": what, "state": state, "sentence": sentence} for what, state, sentence in rows],
    }
    desk.show(data, rows=output.Rows(("what", "state", "found"), rows))
    if failed:
        raise typer.Exit(1)
