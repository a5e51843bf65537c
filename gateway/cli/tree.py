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

app = root()

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
