"""The ``gatepost`` command with all its commands."""

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
from gateway.cli.root import root

HERE, LOOKING, POLICY, FLEET, PEOPLE = (
    "On this machine",
    "How it stands",
    "Policy and its changes",
    "Sources, devices, people",
    "Operators, notices, audit",
)
"""What a terminal lists them under."""

app = root()

command(app, "run", HERE)(running.run)
command(app, "upgrade", HERE)(running.upgrade)
command(app, "check", HERE)(running.check)
command(app, "demo", HERE)(demo.demo)
command(app, "backup", HERE)(backups.backup)
command(app, "restore", HERE)(backups.restore)
command(app, "migrate", HERE)(migrating.migrate)
command(app, "status", LOOKING)(status.status)
command(app, "why", LOOKING)(why.why)
command(app, "plan", POLICY)(planning.plan)
command(app, "apply", POLICY)(changes.apply)
command(app, "approve", POLICY)(changes.approve)
command(app, "withdraw", POLICY)(changes.withdraw)
app.add_typer(sources.app, name="source", rich_help_panel=FLEET)
app.add_typer(reports.app, name="report", rich_help_panel=FLEET)
app.add_typer(devices.app, name="device", rich_help_panel=FLEET)
app.add_typer(credentials.app, name="credential", rich_help_panel=FLEET)
app.add_typer(groups.app, name="group", rich_help_panel=FLEET)
app.add_typer(people.app, name="person", rich_help_panel=FLEET)
command(bans.app, "presets")(presets.presets)
command(bans.app, "import-preset")(presets.import_preset)
app.add_typer(bans.app, name="ban", rich_help_panel=POLICY)
app.add_typer(flags.app, name="flag", rich_help_panel=POLICY)
app.add_typer(brake.app, name="brake", rich_help_panel=POLICY)
app.add_typer(exemptions.app, name="exempt", rich_help_panel=POLICY)
app.add_typer(changes.app, name="change", rich_help_panel=POLICY)
app.add_typer(impact.app, name="impact", rich_help_panel=POLICY)
app.add_typer(operators.app, name="operator", rich_help_panel=PEOPLE)
app.add_typer(notices.app, name="notice", rich_help_panel=PEOPLE)
app.add_typer(tokens.app, name="token", rich_help_panel=PEOPLE)
command(policies.app, "export")(planning.export)
app.add_typer(policies.app, name="policy", rich_help_panel=POLICY)
app.add_typer(audit.app, name="audit", rich_help_panel=PEOPLE)
