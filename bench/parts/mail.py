"""CPU time of a login by IMAP and POP3, of octets after it, and memory of a session in IDLE; side by side.

A login is a connection, TLS if any, the login and the hang-up. Octets are those of whole messages: 16 KB and 10 MB
read, 10 MB stored. Behind every proxy is the same minimal mail server (``loads.mail_server``); logins are measured
before a real Dovecot as well, if there is one, since the minimal one might be kinder to one of them.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product

import uvloop

from bench.figures import Outcome, Table, interleaved
from bench.fleet import login_of
from bench.loads.mail_client import MailClient, append, connected, fetch, imap_login, pop3_login
from bench.machine import LOAD_CORE, Missing, on_core, wait_for_quiet
from bench.mail_line_up import MAIL_NAMES, MailSite, MailTarget, chosen, mail_site
from bench.mail_rounds import Done, Shown, keep, port_of, schemes_of, table_of, together
from bench.options import Options
from bench.waiting_sessions import measure_idle
from tests.live.mail.dovecot import start_dovecot
from tests.support.phone_certificates import make_certificates

PEOPLE = 1_000
LOGINS_AT_ONCE = 16
BESIDE = "nginx-mail"
MESSAGES = {"16 KB read": (16_384, 16), "10 MB read": (10_000_000, 4), "10 MB stored": (10_000_000, 4)}
"""Octets, and sessions at once."""
DOVECOT_PEOPLE = 200
LAST_SECONDS = 0.2
"""For what is left of the last sessions, and for processes that end with them."""
LOGINS: dict[str, Callable[[MailClient, int], Awaitable[None]]] = {"imap": imap_login, "pop3": pop3_login}


def measure(options: Options) -> Outcome:
    """Logins, octets, IDLE, and the check with Dovecot."""
    outcome = Outcome()
    names = chosen(options.targets, MAIL_NAMES)
    with on_core(LOAD_CORE), mail_site(min(options.people, PEOPLE)) as place:
        targets = place.start_all(names)
        for protocol, scheme in product(LOGINS, schemes_of(options)):
            _measure_logins(place, targets, protocol, scheme, options, outcome)
        for what, scheme in product(MESSAGES, schemes_of(options)):
            _measure_octets(place, targets, what, scheme, options, outcome)
        if place.skipped:
            outcome.show(Table("Not measured", ("what", "why"), list(place.skipped.items())))
    measure_idle(names, options, outcome)
    _measure_before_dovecot(options, outcome)
    return outcome


# --- logins


def _measure_logins(
    place: MailSite, targets: Sequence[MailTarget], protocol: str, scheme: str, options: Options, outcome: Outcome
) -> None:
    taking_part = [target for target in targets if target.name != "nginx-mail-64k"]
    warm_up(place, taking_part, protocol, scheme)
    results = interleaved(
        taking_part, options.rounds, lambda target: logins(place, target, protocol, scheme, options.seconds)
    )
    shown = Shown(f"Logins: {protocol.upper()}, {scheme}", "CPU µs each", "logins/s", 1e6, 1)
    outcome.show(table_of(shown, results, BESIDE))
    keep(outcome, f"mail/logins/{protocol}/{scheme}", results, (BESIDE, "nginx-mail-server", "perdition"))


def warm_up(place: MailSite, targets: Sequence[MailTarget], protocol: str, scheme: str) -> None:
    """Each person once: records are in memory then, and who was seen first is written down."""
    for target in targets:
        logins(place, target, protocol, scheme, 0.0, len(place.allowed) if target.gateway is not None else 1)
        if target.gateway is not None:
            wait_for_quiet(target.pids)


def logins(place: MailSite, target: MailTarget, protocol: str, scheme: str, seconds: float, at_least: int = 1) -> Done:
    """As many as there can be in that time, one person after the other."""
    return uvloop.run(_logging_in(place, target, protocol, scheme, seconds, at_least))


async def _logging_in(
    place: MailSite, target: MailTarget, protocol: str, scheme: str, seconds: float, at_least: int
) -> Done:
    trust = None if scheme == "plain" else place.certificate.client()
    port, log_in, allowed = port_of(target, protocol, scheme), LOGINS[protocol], place.allowed
    done, before, began = 0, target.cpu(), time.monotonic()

    async def some() -> None:
        nonlocal done
        while time.monotonic() - began < seconds or done < at_least:
            number, done = allowed[done % len(allowed)], done + 1
            client = await connected(port, trust)
            await log_in(client, number)
            client.close()

    await together(target, (some() for _ in range(LOGINS_AT_ONCE)))
    took = time.monotonic() - began
    await asyncio.sleep(LAST_SECONDS)
    return Done(done, target.cpu() - before, took)


# --- octets after the login


def _measure_octets(
    place: MailSite, targets: Sequence[MailTarget], what: str, scheme: str, options: Options, outcome: Outcome
) -> None:
    results = interleaved(
        [target for target in targets if target.name != "nginx-mail-server"],
        options.rounds if what == "10 MB read" else max(2, options.rounds // 2),
        lambda target: uvloop.run(moved(place, target, what, scheme, options.seconds)),
    )
    shown = Shown(f"After the login: {what}, {scheme}", "CPU s/GB", "MB/s", 1e9, 1e6, 2)
    outcome.show(table_of(shown, results, BESIDE))
    keep(outcome, f"mail/{what}/{scheme}", results, (BESIDE, "nginx-mail-64k", "perdition"))


async def moved(place: MailSite, target: MailTarget, what: str, scheme: str, seconds: float) -> Done:
    """Octets of one kind of messages, as many as there can be in that time."""
    octets, at_once = MESSAGES[what]
    trust = None if scheme == "plain" else place.certificate.client()
    port, message = port_of(target, "imap", scheme), b"m" * octets
    clients = [await connected(port, trust) for _ in range(at_once)]
    for number, client in zip(place.allowed, clients, strict=False):
        await imap_login(client, number)
    octets_moved, before, began = 0, target.cpu(), time.monotonic()

    async def some(client: MailClient) -> None:
        nonlocal octets_moved
        while time.monotonic() - began < seconds:
            await (append(client, message) if what.endswith("stored") else fetch(client, octets))
            octets_moved += octets

    await together(target, (some(client) for client in clients))
    done = Done(octets_moved, target.cpu() - before, time.monotonic() - began)
    for client in clients:
        client.close()
    return done


# --- before Dovecot


def _measure_before_dovecot(options: Options, outcome: Outcome) -> None:
    names = chosen(options.targets, (BESIDE, "gatepost"))
    try:
        with on_core(LOAD_CORE), _dovecot(min(options.people, DOVECOT_PEOPLE)) as place:
            targets = place.start_all(names)
            warm_up(place, targets, "imap", "plain")
            results = interleaved(
                targets,
                max(2, options.rounds // 2),
                lambda target: logins(place, target, "imap", "plain", options.seconds),
            )
    except Missing as error:
        outcome.show(Table("Logins before Dovecot", ("not measured",), [(str(error),)]))
        return
    note = "The proxies' own time; Dovecot's is not in it."
    shown = Shown("Logins before Dovecot: IMAP, plain", "CPU µs each", "logins/s", 1e6, 1, note=note)
    outcome.show(table_of(shown, results, BESIDE))
    keep(outcome, "mail/dovecot/imap/plain", results)


@contextmanager
def _dovecot(people: int) -> Iterator[MailSite]:
    """A place before a real Dovecot."""
    if os.geteuid() != 0 or shutil.which("dovecot") is None:
        raise Missing("needs root, and Dovecot: make servers")
    with mail_site(people, {"imap": 0, "pop3": 0, "smtp": 0}) as place:
        names = [login_of(each) for each in range(people)]
        server = start_dovecot(place.directory / "dovecot", names, make_certificates(place.directory))
        place.stack.callback(server.child.stop)
        place.to.update(imap=server.ports["imap"], pop3=server.ports["pop3"])
        yield place
