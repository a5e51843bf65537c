"""``gatepost demo``: a story on this machine, told on the terminal as it happens."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli import output, progress, sent_in_error
from gateway.cli.desk import Desk
from gateway.cli.failures import Failed
from gateway.cli.terminal import on_terminal

if TYPE_CHECKING:
    from gateway.demo.stage import Stage
    from gateway.demo.values import Step

_STYLES = {"plain": "", "good": "green", "refused": "bold red"}
_OPENING = (
    "Gatepost demo: a whole gateway on this machine, with a small mailbox server behind it and a simulated phone in"
    " front of it. Both are the demo's own; the gateway is the real one. Every figure is measured as it happens."
)


class Told(StrEnum):
    """The stories that there are."""

    BANNED_APP = "banned-app"
    SENT_IN_ERROR = "sent-in-error"


def demo(
    desk: Desk,
    once: Annotated[bool, typer.Option("--once", help="End after the story instead of staying up.")] = False,
    story: Annotated[Told, typer.Option("--story", help="Which one.")] = Told.BANNED_APP,
    people: Annotated[
        int, typer.Option("--people", min=500, max=2_000_000, help="Of sent-in-error: how large the company is.")
    ] = 840_000,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Of sent-in-error: write what was found there, too."),
    ] = None,
) -> None:
    """Show a phone that is banned, cut off and let in again, by a whole gateway on free ports of this machine.

    It needs neither root nor settings, and leaves nothing behind. After the story it stays up, with addresses and
    commands to try, until Ctrl-C. Exit 1 with one sentence when anything does not come out as told.

    The story sent-in-error is that of a large company: a change that cuts a tenth of it, refused, approved, applied,
    told, and taken back. As it comes it has 840,000 people: some 3 GB of disk and many minutes.

    \b
    Examples:
      gatepost demo
      gatepost demo --once
      gatepost demo --once --json
      gatepost demo --story sent-in-error --people 20000 --once
    """
    if desk.config is not None:
        desk.note(f"the demo has settings of its own; {desk.config} is not used")
    # Here, because no other command needs phones and mailboxes.
    from gateway.demo.values import DemoFailed

    directory = Path(tempfile.mkdtemp(prefix="gatepost-demo-"))
    teller, kept = _Teller(desk.as_json), False
    try:
        if story is Told.SENT_IN_ERROR:
            with progress.shown(desk) as tick:
                asyncio.run(_perform_large(directory, teller, people, tick, once=once, markdown=markdown))
        else:
            asyncio.run(_perform(directory, teller, once=once))
    except DemoFailed as failure:
        kept = True
        if story is Told.SENT_IN_ERROR:
            # The log says why; gigabytes of an invented fleet say nothing.
            shutil.rmtree(directory / "data", ignore_errors=True)
        raise Failed(f"the demo failed: {failure}; the gateway's log is {directory / 'gateway.log'}") from None
    except BrokenPipeError:
        # Nobody reads any more; typer knows how to end then.
        raise
    except OSError as error:
        raise Failed(f"the demo failed: {error}") from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        if not teller.told_all:
            raise Failed("the demo was broken off in the middle of its story") from None
    finally:
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)


async def _perform(directory: Path, teller: "_Teller", *, once: bool) -> None:
    from gateway.demo.afterwards import Afterwards
    from gateway.demo.stage import Stage
    from gateway.demo.story import Story

    _end_on_sigterm()
    with teller.waiting():
        teller.say(_OPENING, style="dim")
        async with Stage(directory) as stage:
            story = Story(stage, teller.tell)
            phone = await story.run()
            if once:
                await story.end()
                teller.told_all = True
                return
            teller.told_all = True
            teller.invite(stage)
            await Afterwards(stage, phone, teller.tell).watch()


async def _perform_large(
    directory: Path, teller: "_Teller", people: int, tick: progress.Tick, *, once: bool, markdown: Path | None
) -> None:
    _end_on_sigterm()
    await sent_in_error.perform(directory, teller, people, tick, once=once, markdown=markdown)


def _end_on_sigterm() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


class _Teller:
    """Prints: lines in a pipe, colours and a sign of life on a terminal, or JSON."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(highlight=False) if on_terminal() and not as_json else None
        self.told_all = False
        """Whether the story has come to its end."""

    def waiting(self) -> AbstractContextManager[object]:
        """While something is waited for, a terminal shows that the demo lives."""
        return nullcontext() if self._console is None else self._console.status("")

    def tell(self, step: "Step") -> None:
        """One step."""
        text = output.harmless(step.text)
        if self._as_json:
            self._line(json.dumps(asdict(step), ensure_ascii=False))
        elif self._console is None:
            self._line(f"{step.at:7.2f} s  {step.who:<7}  {text}")
        else:
            row = Table.grid(padding=(0, 2, 0, 0))
            row.add_column(width=9, justify="right", style="dim")
            row.add_column(width=7, style="bold")
            row.add_column()
            row.add_row(f"{step.at:.2f} s", step.who.value, Text(text, style=_STYLES[step.tone]))
            self._console.print(row)

    def say(self, text: str, *, style: str = "", to_copy: bool = False) -> None:
        """A remark of the demo's own, not part of JSON; ``to_copy``: without line breaks of ours."""
        if self._as_json:
            return
        if self._console is None:
            self._line(text)
        else:
            self._console.print(Text(text, style=style), soft_wrap=to_copy)

    def table(self, name: str, rows: output.Rows) -> None:
        """What was found."""
        if self._as_json:
            found = [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]
            self._line(json.dumps({name: found}, ensure_ascii=False))
        else:
            output.print_rows(rows)
            sys.stdout.flush()

    def invite(self, stage: "Stage") -> None:
        """Where everything is, and what to try."""
        from gateway.demo.afterwards import addresses, trials

        config, account, found = str(stage.gateway.config), stage.account, addresses(stage)
        commands = [(shlex.join((*_program(), *trial.words)), trial.purpose) for trial in trials(stage)]
        if self._as_json:
            words = [command for command, _ in commands]
            login = {"user": account.user, "password": account.password}
            self._line(json.dumps({"config": config, "addresses": found, "login": login, "commands": words}))
            return
        self.say(
            "\nThe demo stays up until Ctrl-C; the phone goes on syncing, and what changes is told. What is where:"
        )
        for name, url in found.items():
            self.say(f"  {name:<15} {url}", to_copy=True)
        self.say(f"  {'account':<15} {account.user}, password {account.password}", to_copy=True)
        self.say("To try in another terminal:")
        if os.environ.get("GATEPOST_URL"):
            self.say("  unset GATEPOST_URL GATEPOST_TOKEN", to_copy=True)
        self.say(f"  export GATEPOST_CONFIG={shlex.quote(config)}", to_copy=True)
        width = max(len(command) for command, _ in commands)
        for command, purpose in commands:
            self.say(f"  {command:<{width}}  # {purpose}", to_copy=True)

    @staticmethod
    def _line(text: str) -> None:
        # At once: whoever reads a pipe follows the story too.
        print(text, flush=True)


def _program() -> tuple[str, ...]:
    """How this command is called here."""
    called = Path(sys.argv[0])
    if called.name != "gatepost":
        return (sys.executable, "-m", "gateway.cli.main")
    found = shutil.which("gatepost")
    same = found is not None and Path(found).resolve() == called.resolve()
    return ("gatepost",) if same else (str(called.absolute()),)
