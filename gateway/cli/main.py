"""The ``gatepost`` command: the tree of commands and its entry point."""

from importlib import metadata
from typing import Annotated

import typer

from gateway.cli import (
    audit,
    backups,
    bans,
    brake,
    changes,
    credentials,
    demo,
    devices,
    exemptions,
    flags,
    groups,
    impact,
    migrating,
    notices,
    operators,
    output,
    people,
    planning,
    policies,
    presets,
    reports,
    running,
    sources,
    status,
    tokens,
    why,
)
from gateway.cli.desk import command

app = typer.Typer(
    name="gatepost",
    epilog="Settings: --config FILE or GATEPOST_CONFIG. From another machine: GATEPOST_URL and GATEPOST_TOKEN.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if output.on_terminal() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gatepost {metadata.version('gatepost')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Gatepost lets a device have company mail only while its last app inventory shows no banned app."""


command(app, "run")(running.run)
command(app, "upgrade")(running.upgrade)
command(app, "check")(running.check)
command(app, "demo")(demo.demo)
command(app, "backup")(backups.backup)
command(app, "restore")(backups.restore)
command(app, "migrate")(migrating.migrate)
command(app, "status")(status.status)
command(app, "why")(why.why)
command(app, "plan")(planning.plan)
command(app, "apply")(changes.apply)
command(app, "approve")(changes.approve)
command(app, "withdraw")(changes.withdraw)
app.add_typer(sources.app, name="source")
app.add_typer(reports.app, name="report")
app.add_typer(devices.app, name="device")
app.add_typer(credentials.app, name="credential")
app.add_typer(groups.app, name="group")
app.add_typer(people.app, name="person")
command(bans.app, "presets")(presets.presets)
command(bans.app, "import-preset")(presets.import_preset)
app.add_typer(bans.app, name="ban")
app.add_typer(flags.app, name="flag")
app.add_typer(brake.app, name="brake")
app.add_typer(exemptions.app, name="exempt")
app.add_typer(changes.app, name="change")
app.add_typer(impact.app, name="impact")
app.add_typer(operators.app, name="operator")
app.add_typer(notices.app, name="notice")
app.add_typer(tokens.app, name="token")
command(policies.app, "export")(planning.export)
app.add_typer(policies.app, name="policy")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="gatepost")


if __name__ == "__main__":
    main()
