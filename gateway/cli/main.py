"""The ``gatepost`` command's entry point.

``gatepost run`` is a start that phones wait for: it loads no other command. Everything else finds the whole tree.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from gateway.cli.tree import app

__all__ = ["app", "main"]


def __getattr__(name: str) -> object:
    if name == "app":
        return import_module("gateway.cli.tree").app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line of this process."""
    wanted = _run_alone() if sys.argv[1:2] == ["run"] else import_module("gateway.cli.tree").app
    wanted(prog_name="gatepost")


def _run_alone() -> "typer.Typer":
    """The tree with this one command."""
    from gateway.cli import running
    from gateway.cli.desk import command
    from gateway.cli.root import root

    alone = root()
    command(alone, "run")(running.run)
    return alone


if __name__ == "__main__":
    main()
