"""The root of the command's tree: what stands before any command."""

from importlib import metadata
from typing import Annotated

import typer

from gateway.cli.terminal import on_terminal


def root() -> typer.Typer:
    """``gatepost`` without its commands."""
    app = typer.Typer(
        name="gatepost",
        epilog="Settings: --config FILE or GATEPOST_CONFIG. From another machine: GATEPOST_URL and GATEPOST_TOKEN.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if on_terminal() else None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gatepost {metadata.version('gatepost')}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Gatepost lets a device have company mail only while its last app inventory shows no banned app."""
