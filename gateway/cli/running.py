"""``gatepost run``, ``upgrade`` and ``check``: what happens on this machine, without the admin API."""

import os
import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.app.asker_names import AskerName
from gateway.cli import output
from gateway.cli.address import settings_of
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed
from gateway.domain.errors import DomainError
from gateway.runtime.lock import holder_of, holds
from gateway.settings import Settings


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


def upgrade(desk: Desk) -> None:
    """Let the version that is installed now take over from the gateway that runs.

    The same as SIGUSR2 to it; nobody's request is lost. It also brings changed
    settings into force. How it ends is in the gateway's log: upgraded, or
    upgrade_given_up with the reason.

    \b
    Example:
      gatepost upgrade
    """
    settings = settings_of(desk.config)
    data_dir = Path(settings.gateway.data_dir)
    pid = holder_of(data_dir)
    if not pid.isdigit():
        raise Failed(
            f"no Gatepost with data_dir {data_dir} runs here: start it with gatepost run"
            " (to one that runs with --role gateway send SIGUSR2)"
        )
    if not holds(data_dir, int(pid)):
        raise Failed(
            f"the Gatepost with data_dir {data_dir} runs in another container or on another machine: upgrade it there"
        )
    try:
        os.kill(int(pid), signal.SIGUSR2)
    except PermissionError:
        raise Failed(f"the gateway (pid {pid}) is another user's: be that user, or root") from None
    except ProcessLookupError:
        raise Failed(f"the gateway (pid {pid}) has just ended: start it with gatepost run") from None
    told = "look into its log for upgraded, or upgrade_given_up and why"
    desk.show({"pid": int(pid)}, text=f"the gateway (pid {pid}) lets the installed version take over: {told}")


def check(
    desk: Desk,
    asker: Annotated[
        AskerName | None, typer.Option("--asker", help="Ask the running gateway as this asker would; try nothing else.")
    ] = None,
    user: Annotated[str, typer.Option("--user", metavar="USER", help="With --asker: whose mail it is about.")] = "",
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICEID", help="With --asker: of an HTTP proxy's client.")
    ] = "",
) -> None:
    """Try the settings and what they point at: files, certificates, store, upstreams.

    With --asker: what a proxy or mail server would be told of a user. The question
    is a real one: it is counted, and written down if it is refused.

    \b
    Examples:
      gatepost check
      gatepost check --config gatepost.toml --json
      gatepost check --asker dovecot --user anna@corp.example
    """
    settings = settings_of(desk.config)
    if asker is not None:
        _check_asker(desk, settings, asker, user, device)
        return
    if user or device:
        raise Failed("--user and --device belong to --asker: name whose question it is, like --asker nginx")
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


def _check_asker(desk: Desk, settings: Settings, asker: AskerName, user: str, device: str) -> None:
    from gateway.app.asker_check import check_asker

    if not user:
        raise Failed("--asker needs --user: the name by which that user logs in")
    try:
        answered = check_asker(settings, asker, user, device)
    except DomainError as error:
        raise Failed(str(error)) from None
    facts = dict(answered.facts)
    data = {
        "asker": asker.value,
        "listener": answered.listener,
        "verdict": answered.verdict,
        "sentence": answered.sentence,
        "facts": facts,
    }
    told = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    desk.show(
        data,
        text=f"{answered.verdict or 'no verdict'}: {answered.sentence}\n{asker.value} at {answered.listener}: {told}",
    )
    if not answered.verdict:
        raise typer.Exit(1)
