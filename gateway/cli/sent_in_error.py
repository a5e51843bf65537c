"""``gatepost demo --story sent-in-error`` on the terminal: what happens, and in the end a table of what was found."""

import asyncio
import os
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gateway.cli.failures import Failed
from gateway.cli.output import Rows
from gateway.cli.progress import Tick

if TYPE_CHECKING:
    from gateway.demo.sent_in_error.findings import Finding
    from gateway.demo.sent_in_error.scene import Scene
    from gateway.demo.values import Step

OPENING = (
    "Gatepost demo, the story of 10 July 2020: a large company is told that an app is no longer permitted, and hours"
    " later that this was sent in error. The gateway is the real one; the company, its phones and the mail server that"
    " takes the notices are the demo's own. Mails are counted in mailboxes, and phones at the phones."
)


class Teller(Protocol):
    """Where the story is told."""

    told_all: bool
    """Whether it has come to its end."""

    def say(self, text: str, *, style: str = "", to_copy: bool = False) -> None:
        """A remark."""

    def tell(self, step: "Step") -> None:
        """A step."""

    def table(self, name: str, rows: Rows) -> None:
        """What was found."""


async def perform(
    directory: Path, teller: Teller, people: int, tick: Tick, *, once: bool, markdown: Path | None
) -> None:
    """Tell it. Raises ``Failed`` where something does not hold, ``DemoFailed`` where the story cannot go on."""
    from gateway.demo.sent_in_error.scene import Scale, Scene
    from gateway.demo.sent_in_error.story import SentInError

    teller.say(OPENING, style="dim")
    async with Scene(directory, Scale.of(people), tick) as scene:
        story = SentInError(scene, teller.tell)
        await story.run()
        _show(teller, scene, story.findings, markdown)
        teller.told_all = True
        if not once:
            await _stay(teller, scene)
        await scene.hang_up()
        await scene.stage.gateway.stop()


def _show(teller: Teller, scene: "Scene", findings: "Sequence[Finding]", file: Path | None) -> None:
    from gateway.demo.sent_in_error.findings import COLUMNS, markdown

    teller.say("")
    teller.table("findings", Rows(COLUMNS, [each.cells for each in findings]))
    if file is not None:
        fleet = scene.fleet
        title = f"{fleet.people:,} people with {fleet.devices:,} devices, {datetime.now(UTC):%Y-%m-%d}:"
        file.write_text(markdown(title, findings, _machine()), "utf-8")
    wrong = [each.what for each in findings if not each.holds]
    if wrong:
        raise Failed(f"the story does not hold: {'; '.join(wrong)}")


def _machine() -> str:
    cores = os.cpu_count() or 1
    # What a distribution or a builder appends to the kernel's number says nothing to a reader elsewhere.
    kernel = f"{platform.system()} {platform.release().partition('-')[0]}"
    machine = f"{cores} cores ({platform.machine()}), {kernel}, Python {platform.python_version()}"
    return f"{machine}; phones, mail server and gateway share them."


async def _stay(teller: Teller, scene: "Scene") -> None:
    """Until Ctrl-C. Raises ``DemoFailed`` when the gateway ends."""
    from gateway.demo.values import DemoFailed

    gateway = scene.stage.gateway
    teller.say(f"\nThe demo stays up until Ctrl-C. The mailboxes: {scene.mailboxes.directory}", to_copy=True)
    teller.say(f"  export GATEPOST_CONFIG={shlex.quote(str(gateway.config))}", to_copy=True)
    for words in ("change list", "change show 1", "notice list", "status", "policy list"):
        teller.say(f"  gatepost {words}", to_copy=True)
    assert gateway.ended is not None
    # Waited for and not awaited: whoever breaks off must not take the news of its end along.
    await asyncio.wait({gateway.ended})
    raise await scene.stage.blamed(DemoFailed("it was not asked to"))
