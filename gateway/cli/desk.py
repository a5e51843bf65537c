"""What every command has at hand: its three shared options, a client, questions and answers.

``command`` registers a function whose first argument is the ``Desk``: it adds ``--config``, ``--json`` and ``--yes``
and turns ``Failed`` into one sentence on stderr and its exit status.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from gateway.cli import output
from gateway.cli.address import admin_address
from gateway.cli.client import AdminClient
from gateway.cli.failures import Failed, Waits
from gateway.cli.terminal import on_terminal

P = ParamSpec("P")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="GATEPOST_CONFIG", metavar="FILE", readable=False, help="Settings file."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON with stable field names.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@dataclass(frozen=True, slots=True)
class Desk:
    """One run of a command."""

    config: Path | None
    as_json: bool
    yes: bool

    @contextmanager
    def api(self, waiting_for: str = "") -> Iterator[AdminClient]:
        """A client of the admin API; on a terminal it shows what is waited for."""
        with AdminClient(admin_address(self.config)) as client:
            if waiting_for and sys.stderr.isatty() and not self.as_json:
                # Here, because `gatepost run` need not wait for it.
                from rich.console import Console

                with Console(stderr=True).status(waiting_for):
                    yield client
            else:
                yield client

    def confirm(self, question: str) -> None:
        """Ask before something that hurts; ``Failed`` unless the answer is yes."""
        if self.yes:
            return
        if not self.somebody_is_there:
            raise Failed(f"{question} Nobody is here to ask: add --yes to do it")
        if not typer.confirm(question, err=True):
            raise Failed("nothing was changed")

    @property
    def somebody_is_there(self) -> bool:
        """Whether a question would be read."""
        return sys.stdin.isatty()

    def warn(self, sentence: str) -> None:
        """A word beside the answer."""
        self._aside(f"warning: {sentence}", "yellow")

    def note(self, sentence: str) -> None:
        """A remark beside the answer."""
        self._aside(sentence, "dim")

    def _aside(self, text: str, style: str) -> None:
        from rich.console import Console

        Console(stderr=True, highlight=False, soft_wrap=True).print(output.harmless(text), style=style, markup=False)

    def show(self, data: Any, *, rows: output.Rows | None = None, text: str = "") -> None:
        """The answer: ``data`` as JSON where asked for, else the table or the text."""
        if self.as_json:
            output.print_json(data)
            return
        for line in text.splitlines():
            print(output.harmless(line))
        if rows is not None:
            output.print_rows(rows)


def command(app: typer.Typer, name: str, panel: str = "") -> Callable[[Callable[Concatenate[Desk, P], None]], None]:
    """Register a command whose first argument is its ``Desk``; on a terminal it is listed under ``panel``."""

    def register(function: Callable[Concatenate[Desk, P], None]) -> None:
        signature = inspect.signature(function)
        own = list(signature.parameters.values())[1:]

        def run(**given: Any) -> None:
            desk = Desk(given.pop("config"), given.pop("as_json"), given.pop("yes"))
            try:
                function(desk, **given)  # type: ignore[call-arg]
            except Failed as error:
                _tell(desk, error)
                raise typer.Exit(error.code) from None
            except OSError as error:
                # A file or directory that nobody thought of: its name says more to an operator than where in the code.
                if error.filename is None:
                    raise
                _tell(desk, Failed(f"{error.filename} cannot be used ({error.strerror})"))
                raise typer.Exit(1) from None

        run.__signature__ = signature.replace(parameters=[*own, *_SHARED])  # type: ignore[attr-defined]
        run.__name__ = function.__name__
        run.__doc__ = function.__doc__
        app.command(name, rich_help_panel=panel or None)(run)

    return register


def _tell(desk: Desk, error: Failed) -> None:
    if isinstance(error, Waits) and desk.as_json:
        desk.show(error.answer)
    print(f"gatepost: {output.harmless(str(error))}", file=sys.stderr)
    if isinstance(error, Waits) and error.note and not desk.as_json:
        desk.note(error.note)


_SHARED = [
    inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ConfigOption),
    inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption),
    inspect.Parameter("yes", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=YesOption),
]


def group(help_text: str) -> typer.Typer:
    """A group of commands around one noun."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if on_terminal() else None,
    )
