"""``gatepost flag set --global off --local``: enforcement off by a file on this machine, with everything else dead."""

import getpass
import os
import time
from pathlib import Path

from gateway.cli.address import settings_of
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed
from gateway.runtime.break_glass import GlassAct, JournalUnusable, append_act

SEEN_WITHIN = "within a second or two"


def turn_locally(desk: Desk, *, broken: bool, reason: str) -> None:
    """Break the glass, which asks nothing, or put it back."""
    if not broken:
        desk.confirm("Judge by the policy again on this machine?")
    data_dir = Path(settings_of(desk.config).gateway.data_dir).absolute()
    if not os.path.isdir(data_dir):
        raise Failed(f"there is no {data_dir}: run this on the gateway's machine, with its --config")
    act = GlassAct(broken, time.time(), _who(), reason)
    try:
        act = append_act(data_dir, act)
    except JournalUnusable as error:
        raise Failed(str(error)) from None
    told = {"data_dir": str(data_dir), "broken": broken, "by": act.by, "note": act.reason, "ends_at": _ends_at(act)}
    text = (
        f"every worker of {data_dir} enforces nothing {SEEN_WITHIN}, until {_ends_at(act)} at the latest; before "
        "that: gatepost flag set --global on --local"
        if broken
        else f"every worker of {data_dir} judges by the policy again {SEEN_WITHIN}"
    )
    if len(reason) > len(act.reason):
        text += f". The note was too long: its first {len(act.reason)} characters are kept"
    desk.show(told, text=text)


def _ends_at(act: GlassAct) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(act.ends_at if act.broken else act.at))


def _who() -> str:
    """The operating system's word for who this is."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return f"local user {name} (uid {os.getuid()})"
