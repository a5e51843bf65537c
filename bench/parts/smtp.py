"""CPU time of a submitted message, of 2 KB and 1 MB, plain and TLS: Gatepost in front of a mail server, and Postfix.

They are not the same: Postfix queues what it accepts and delivers it, Gatepost passes it on at once. So Postfix is
measured alone and with a policy service, once a minimal one and once Gatepost's; and Gatepost before a minimal mail
server, which is what it costs, and before that Postfix, both together.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import uvloop

from bench.figures import Outcome, Table, interleaved
from bench.fleet import login_of
from bench.loads.mail_client import connected, message_of, smtp_login, submit
from bench.machine import LOAD_CORE, Missing, on_core, wait_for_quiet
from bench.mail_line_up import SMTP_FRONT, MailSite, MailTarget, chosen, mail_site
from bench.mail_rounds import Done, Shown, keep, port_of, schemes_of, table_of, together, until_quiet
from bench.options import Options
from bench.proxies.postfix import Postfix, postfix

PEOPLE = 200
AT_ONCE = 8
BESIDE = "postfix-policy"
TITLES = {
    "postfix": "Postfix alone",
    "postfix-policy": "Postfix + minimal policy service",
    "postfix-gatepost": "Postfix, asks Gatepost",
    "gatepost": "Gatepost before a minimal server",
    "gatepost-postfix": "Gatepost before Postfix, both",
}
_ASKED = """
[postfix]
listen = ["unix://{socket}?mode=0666"]
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a session brings."""

    title: str
    octets: int
    messages: int = 1
    """In one session."""


KINDS = (Kind("2 KB", 2_000), Kind("2 KB, 20 in a session", 2_000, 20), Kind("1 MB", 1_000_000))


def measure(options: Options) -> Outcome:
    """Each kind in interleaved rounds."""
    outcome = Outcome()
    with on_core(LOAD_CORE), mail_site(min(options.people, PEOPLE)) as place:
        targets = _targets(place, chosen(options.targets, tuple(TITLES)), outcome)
        # Gatepost inline first: at Postfix a record that is not in memory yet might take longer than Postfix may wait.
        for target in sorted(targets, key=lambda each: each.name != "gatepost"):
            if target.gateway is not None:
                uvloop.run(_submitting(place, target, "plain", KINDS[0], 0.0, len(place.allowed)))
                wait_for_quiet(target.pids)
        for kind, scheme in product(KINDS, schemes_of(options)):
            results = interleaved(
                targets,
                max(2, options.rounds // 2),
                lambda target, kind=kind, scheme=scheme: uvloop.run(  # type: ignore[misc]
                    _submitting(place, target, scheme, kind, options.seconds, 1)
                ),
            )
            note = (
                "Postfix's time holds queueing and throwing away; that of whoever checks its passwords is not counted."
            )
            shown = Shown(f"Messages: {kind.title}, {scheme}", "CPU µs each", "messages/s", 1e6, 1, 0, note)
            outcome.show(table_of(shown, results, BESIDE))
            keep(outcome, f"smtp/{kind.title}/{scheme}", results, ("postfix", BESIDE))
    return outcome


def _targets(place: MailSite, names: Sequence[str], outcome: Outcome) -> list[MailTarget]:
    """Those that can be started."""
    asked = place.directory / "asked.sock"
    made = place.gatepost(SMTP_FRONT.format(**place.to) + _ASKED.format(socket=asked), ("smtp",), TITLES["gatepost"])
    found = {"gatepost": made}
    try:
        server = place.stack.enter_context(
            postfix(place.directory / "postfix", map(login_of, place.allowed), asked, place.certificate)
        )
        found |= _with_postfix(place, server, made)
    except Missing as error:
        outcome.show(Table("Not measured", ("what", "why"), [("Postfix", str(error))]))
    return [found[name] for name in names if name in found]


def _with_postfix(place: MailSite, server: Postfix, asked: MailTarget) -> dict[str, MailTarget]:
    before = place.gatepost(SMTP_FRONT.format(smtp=server.ports[""]["smtp"]), ("smtp",), TITLES["gatepost-postfix"])
    by_name = {
        "postfix": (server.ports[""], (server.root,), None),
        "postfix-policy": (server.ports["policy"], (server.root, server.policy), None),
        "postfix-gatepost": (server.ports["gatepost"], (server.root, *asked.roots), asked.gateway),
        "gatepost-postfix": (before.ports, (server.root, *before.roots), before.gateway),
    }
    return {
        name: MailTarget(name, TITLES[name], ports, roots, gateway) for name, (ports, roots, gateway) in by_name.items()
    }


async def _submitting(
    place: MailSite, target: MailTarget, scheme: str, kind: Kind, seconds: float, at_least: int
) -> Done:
    trust = None if scheme == "plain" else place.certificate.client()
    port, allowed, message = port_of(target, "smtp", scheme), place.allowed, message_of(kind.octets)
    begun = done = 0
    before, began = target.cpu(), time.monotonic()

    async def some() -> None:
        nonlocal begun, done
        while time.monotonic() - began < seconds or begun < at_least:
            number, begun = allowed[begun % len(allowed)], begun + 1
            client = await connected(port, trust)
            await smtp_login(client, number)
            for _ in range(kind.messages):
                await submit(client, number, message)
                done += 1
            await client.ask(b"QUIT\r\n", b"221 ")
            client.close()

    await together(target, (some() for _ in range(AT_ONCE)))
    took = time.monotonic() - began
    # What was queued is thrown away only then.
    await until_quiet(target)
    return Done(done, target.cpu() - before, took)
