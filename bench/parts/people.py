"""Memory of the people whose records a real worker holds: its own memory before and after each was served once."""

import uvloop

from bench.figures import Outcome, Table
from bench.line_up import site
from bench.machine import LOAD_CORE, free_ports, need, on_core, private_kb, wait_for_quiet
from bench.options import Options
from bench.phones import seen_once
from bench.proxies.nginx import mail_server


def measure(options: Options) -> Outcome:
    """One row."""
    need("nginx")
    (mail,) = free_ports(1)
    with on_core(LOAD_CORE), site(options.people, mail) as place:
        place.stack.enter_context(mail_server(LOAD_CORE, place.directory, mail))
        target = place.start("gatepost")
        gateway = target.gateway
        assert gateway is not None
        with gateway.api() as api:
            # Refused phones have a record as well, but asking the mail server for each would take long.
            api.put("/flags/bans/TikTok", json={"flag": "report-only"}).raise_for_status()
        uvloop.run(seen_once(gateway.http, range(min(64, options.people))))
        wait_for_quiet(target.pids)
        before, loaded = private_kb(gateway.workers), gateway.metric("gatepost_cached_people")
        uvloop.run(seen_once(gateway.http, range(options.people)))
        wait_for_quiet(target.pids)
        after, people = private_kb(gateway.workers), gateway.metric("gatepost_cached_people") - loaded
    kb = (after - before) / people
    outcome = Outcome(measured={"people/memory": kb * 100_000 / 1024})
    row = (f"{people:,.0f}", f"{before / 1024:.1f}", f"{after / 1024:.1f}", f"{kb:.2f}", f"{kb * 100_000 / 1024:.1f}")
    columns = ("people", "worker before, MB", "after, MB", "KB each", "MB per 100,000")
    outcome.show(Table("People in a worker's memory (60 apps each of 20,000)", columns, [row]))
    outcome.raw.append({"part": "people", "people": people, "before_kb": before, "after_kb": after})
    return outcome
