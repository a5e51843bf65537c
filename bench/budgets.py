"""The promises of the project in figures, and whether they were kept in this run."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.figures import Table


@dataclass(frozen=True, slots=True)
class Budget:
    """One promise. ``must`` and ``aim`` are bounds from below with ``at_least``, else from above."""

    name: str
    what: str
    must: float | None
    aim: float | None
    unit: str = "×"
    at_least: bool = True

    def kept(self, measured: float, bound: float) -> bool:
        """Whether a figure is within a bound."""
        return measured >= bound if self.at_least else measured <= bound


BUDGETS = (
    Budget("plain/spread/auth", "requests per CPU second, beside nginx auth_request + server: any phone", 1.0, 1.3),
    Budget("plain/own/auth", "the same, each connection one phone", 1.0, 1.3),
    Budget("plain/spread/map_auth", "beside nginx auth_request to nginx itself: any phone", None, None),
    Budget("plain/own/map_auth", "the same, each connection one phone", None, None),
    Budget("plain/spread/haproxy", "beside HAProxy with a map: any phone", None, 0.9),
    Budget("plain/own/haproxy", "the same, each connection one phone", None, 0.9),
    Budget("tls/spread/auth", "over TLS, beside nginx auth_request + server: any phone", 1.0, None),
    Budget("tls/own/auth", "the same, each connection one phone", 1.0, None),
    Budget("tls/spread/haproxy", "over TLS, beside HAProxy with a map: any phone", None, 0.85),
    Budget("tls/own/haproxy", "the same, each connection one phone", None, 0.85),
    Budget("parked/plain", "memory of a parked Ping", 5.0, 3.0, "KB", at_least=False),
    Budget("parked/tls", "the same over TLS", 26.0, 20.0, "KB", at_least=False),
    Budget("cut/p99", "report accepted to parked Ping cut, 4 workers, 1,000 parked, p99", 50, 10, "ms", at_least=False),
    Budget(
        "mail/logins/imap/plain/nginx-mail", "IMAP logins per CPU second, beside nginx mail that asks itself", 1.0, 1.5
    ),
    Budget("mail/logins/imap/tls/nginx-mail", "the same over TLS", 1.0, 1.5),
    Budget("mail/logins/imap/plain/nginx-mail-server", "beside nginx mail that asks a uvloop server", None, None),
    Budget("mail/logins/imap/tls/nginx-mail-server", "the same over TLS", None, None),
    Budget(
        "mail/logins/pop3/plain/nginx-mail",
        "POP3 logins per CPU second, beside nginx mail that asks itself",
        None,
        None,
    ),
    Budget(
        "mail/10 MB read/plain/nginx-mail", "octets after an IMAP login per CPU second, beside nginx mail", 1.0, 1.5
    ),
    Budget("mail/10 MB read/tls/nginx-mail", "the same over TLS", 1.0, 1.5),
    Budget("mail/10 MB read/plain/nginx-mail-64k", "beside nginx mail with proxy_buffer 64k", None, None),
    Budget("mail/10 MB read/tls/nginx-mail-64k", "the same over TLS", None, None),
    Budget("mail/idle/plain/gatepost", "memory of an IMAP session in IDLE", None, None, "KB", at_least=False),
    Budget("mail/idle/tls/gatepost", "the same over TLS", None, None, "KB", at_least=False),
    Budget(
        "mailcut/p99", "report accepted to a mail session's end, the slowest way, p99", 50, 10, "ms", at_least=False
    ),
    Budget(
        "smtp/2 KB/plain/postfix-policy", "messages per CPU second, beside Postfix with a policy service", None, None
    ),
    Budget("askers/nginx/added", "what asking Gatepost adds at nginx, p50", None, None, "µs", at_least=False),
    Budget(
        "policy/tenth", "policy change, 4 workers, 10,000 parked, 1,000 turn: last cut", 250, 100, "ms", at_least=False
    ),
    Budget("policy/all", "the same, all 10,000 turn", 250, 100, "ms", at_least=False),
    Budget("policy/twelve/2", "the same, 2 workers, 1,200 turn", 250, 100, "ms", at_least=False),
    Budget("policy/twelve/4", "the same, 4 workers, 1,200 turn", 250, 100, "ms", at_least=False),
    Budget("policy/twelve/2/withdrawn", "withdrawn, 2 workers: last refusal", None, None, "ms", at_least=False),
    Budget("policy/twelve/4/withdrawn", "withdrawn, 4 workers: last refusal", None, None, "ms", at_least=False),
    Budget("people/memory", "memory per 100,000 people in a worker", 150, 60, "MB", at_least=False),
    Budget("reports/sqlite", "reports of 60 apps committed per second, SQLite", 200, 2000, "/s"),
    Budget("reports/postgresql", "the same, PostgreSQL", 200, 2000, "/s"),
    Budget(
        "impact/ms",
        "preview of a change, 1,000,000 devices, 59 bans: all numbers and 50 names",
        100,
        40,
        "ms",
        at_least=False,
    ),
    Budget("impact/versions/ms", "the same, five versions of each app", 100, None, "ms", at_least=False),
    Budget("start/seconds", "start to first verdict, 1,000,000 devices", 2.0, 1.0, "s", at_least=False),
)


def judged(measured: Mapping[str, float]) -> Table:
    """Each budget with what was measured."""
    rows = []
    for budget in BUDGETS:
        found = measured.get(budget.name)
        figure = "not measured" if found is None else f"{found:,.2f} {budget.unit}"
        rows.append(
            (budget.what, _bound(budget, budget.must), _bound(budget, budget.aim), figure, _word(budget, found))
        )
    return Table("What was promised", ("what", "must", "aim", "measured", "result"), rows)


def _bound(budget: Budget, bound: float | None) -> str:
    return "" if bound is None else f"{'≥' if budget.at_least else '≤'} {bound:,g} {budget.unit}"


def _word(budget: Budget, found: float | None) -> str:
    if found is None:
        return "–"
    if budget.must is not None and not budget.kept(found, budget.must):
        return "MUST MISSED"
    if budget.aim is not None and not budget.kept(found, budget.aim):
        return "aim missed" if budget.must is None else "must ok, aim missed"
    return "ok" if budget.must is not None or budget.aim is not None else "for comparison"
