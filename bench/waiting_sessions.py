"""Memory of a mail program's session that waits in IDLE (RFC 2177), by proxy, each started afresh for it."""

from collections.abc import Sequence
from itertools import product

import uvloop

from bench.figures import Outcome, Table
from bench.loads.mail_client import MailClient, connected, idle, imap_login
from bench.machine import LOAD_CORE, Missing, on_core
from bench.mail_line_up import MAIL_TITLES, MailSite, MailTarget, mail_site
from bench.mail_rounds import port_of, schemes_of, together, until_quiet
from bench.options import Options

PEOPLE = 1_000
WAITING_MOST = 4_000
PROCESSES_MOST = 200
"""Of perdition, which has one for each."""
AT_ONCE = 16
SAME = ("nginx-mail-64k", "nginx-mail-server")
"""They wait as nginx does."""


def measure_idle(names: Sequence[str], options: Options, outcome: Outcome) -> None:
    """A row per proxy and scheme."""
    rows: list[tuple[str, ...]] = []
    for name, scheme in product([each for each in names if each not in SAME], schemes_of(options)):
        count = min(options.parked, PROCESSES_MOST if name == "perdition" else WAITING_MOST)
        try:
            with on_core(LOAD_CORE), mail_site(min(options.people, PEOPLE)) as place:
                kb = uvloop.run(_idling(place, place.start(name), scheme, count))
        except Missing as error:
            rows.append((MAIL_TITLES[name], scheme, str(error), ""))
            continue
        rows.append((MAIL_TITLES[name], scheme, f"{count:,}", f"{kb:.2f}"))
        outcome.raw.append({"part": "mail/idle", "target": name, "scheme": scheme, "waiting": count, "kb": kb})
        outcome.measured[f"mail/idle/{scheme}/{name}"] = kb
    outcome.show(Table("Sessions in IDLE", ("proxy", "scheme", "waiting", "KB each"), rows))


async def _idling(place: MailSite, target: MailTarget, scheme: str, count: int) -> float:
    """Kilobytes of one, by the memory of all the proxy's processes after and before."""
    if target.gateway is not None:
        # Everybody once: what is remembered of a person is no session's.
        await _in_idle(place, target, scheme, len(place.allowed), stay=False)
    await until_quiet(target)
    before = target.memory_kb()
    clients = await _in_idle(place, target, scheme, count, stay=True)
    await until_quiet(target)
    after = target.memory_kb()
    if any(client.ended_at for client in clients):
        raise SystemExit(f"{target.title} did not keep all sessions")
    for client in clients:
        client.close()
    return (after - before) / count


async def _in_idle(place: MailSite, target: MailTarget, scheme: str, count: int, *, stay: bool) -> list[MailClient]:
    trust = None if scheme == "plain" else place.certificate.client()
    port, allowed, clients = port_of(target, "imap", scheme), place.allowed, list[MailClient]()
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            client = await connected(port, trust)
            await imap_login(client, allowed[number % len(allowed)])
            await idle(client)
            if stay:
                clients.append(client)
            else:
                client.close()

    await together(target, (some() for _ in range(AT_ONCE)))
    return clients
