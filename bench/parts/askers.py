"""Answers per second of a core to those who ask for verdicts, by kind; and what asking adds at a real nginx.

Each question is another person's, all of whom are in memory and may. Latencies at nginx are wrk's: with one connection
there is nothing but the way, with eight there is a queue as well; nginx and whom it asks share one core.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict

import uvloop

from bench.figures import Outcome, Table, at_share, interleaved, spread
from bench.fleet import device_of, fleet, holds_banned, login_of
from bench.gatepost import Gatepost, gatepost
from bench.line_up import TITLES, Site, Target, site
from bench.loads import asking, wrk
from bench.loads.asking import Dialect
from bench.loads.wrk import Load, Round
from bench.machine import LOAD_CORE, PROXY_CORE, Missing, cpu_seconds, need, on_core, wait_for_quiet
from bench.mail_line_up import chosen
from bench.options import Options
from bench.proxies import nginx
from tests.live.children import free_ports
from tests.support.asking import KEY, forwarded, mail_login, original, policy_request, question
from tests.support.spop_frames import HELLO, asked

PEOPLE = 1_000
CONNECTIONS = (8, 64)
AT_NGINX = (1, 8)
ANSWER_OCTETS = 1_400
NAMES = ("nginx", "nginx-map-auth", "nginx-auth", "nginx-gatepost")
_CONFIGURATION = """
[authz]
listen = ["http://127.0.0.1:0"]
key_files = ["{key}"]
mail_servers = {{ imap = "127.0.0.1:143" }}
[haproxy]
listen = ["tcp://127.0.0.1:0"]
[postfix]
listen = ["tcp://127.0.0.1:0"]
"""


def measure(options: Options) -> Outcome:
    """Both tables."""
    need("nginx", "wrk", "taskset")
    outcome = Outcome()
    people = min(options.people, PEOPLE)
    (mail,) = free_ports(1)
    with on_core(LOAD_CORE), site(people, mail) as place:
        place.stack.enter_context(nginx.mail_server(LOAD_CORE, place.directory, mail, ANSWER_OCTETS))
        gateway = _started(place, mail)
        _measure_answers(gateway, place, options, outcome)
        _measure_at_nginx(gateway, place, mail, options, outcome)
    return outcome


def _started(place: Site, mail: int) -> Gatepost:
    data_dir, key = place.directory / "var", place.directory / "key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    fleet(data_dir, place.people)
    more = _CONFIGURATION.format(key=key)
    made = gatepost(PROXY_CORE, data_dir, f"http://127.0.0.1:{mail}", place.certificate, more=more)
    running = place.stack.enter_context(made)
    running.ban()
    return running


# --- answers


def _measure_answers(gateway: Gatepost, place: Site, options: Options, outcome: Outcome) -> None:
    allowed = [number for number in range(place.people) if not holds_banned(number)]
    rows = []
    for dialect in dialects(gateway):
        questions = [dialect.question(number) for number in allowed]
        # Everybody once: in memory from then on.
        uvloop.run(asking.ask(dialect, questions, 8, 0.0, len(questions) * 2))
        wait_for_quiet(gateway.pids)
        for connections in CONNECTIONS:
            costs, latencies = [], []
            for _ in range(max(2, options.rounds // 2)):
                before = cpu_seconds(gateway.pids)
                seen = uvloop.run(asking.ask(dialect, questions, connections, options.seconds))
                costs.append((cpu_seconds(gateway.pids) - before) / seen.answers * 1e6)
                latencies += seen.latencies
            cost = spread(costs)
            shares = (f"{at_share(latencies, share) * 1e3:.2f}" for share in (0.5, 0.99))
            rows.append((dialect.title, f"{connections}", cost.text(1), f"{1e6 / cost.median:,.0f}", *shares))
            outcome.raw.append({"part": "askers", "asker": dialect.title, "connections": connections, "cpu_us": costs})
            outcome.measured[f"askers/{dialect.title}/{connections}"] = 1e6 / cost.median
    columns = ("asker", "connections", "CPU µs each", "answers/s of a core", "p50 ms", "p99 ms")
    outcome.show(Table("Answers to askers", columns, rows))


def dialects(gateway: Gatepost) -> list[Dialect]:
    """All kinds that there are."""
    http, spoe, postfix = gateway.port("authz", "http"), gateway.port("haproxy", "tcp"), gateway.port("postfix", "tcp")
    return [
        Dialect("nginx auth_request", http, _by_nginx, _has_head, b"HTTP/1.1 200"),
        Dialect("Caddy, Traefik", http, _by_forwarding, _has_head, b"HTTP/1.1 200"),
        Dialect("nginx mail auth_http", http, _by_nginx_mail, _has_head, b"Auth-Status: OK"),
        Dialect("Dovecot policy", http, _by_dovecot, lambda answer: answer.endswith(b"}"), b'"status":0'),
        Dialect("HAProxy SPOE", spoe, _by_haproxy, _has_frame, b"allow", HELLO),
        Dialect("Postfix policy", postfix, _by_postfix, lambda answer: answer.endswith(b"\n\n"), b"DUNNO"),
    ]


def _has_head(answer: bytes) -> bool:
    return answer.endswith(b"\r\n\r\n")


def _has_frame(answer: bytes) -> bool:
    return len(answer) >= 4 and len(answer) == 4 + int.from_bytes(answer[:4])


def _uri(number: int) -> str:
    names = f"User={login_of(number)}&DeviceId={device_of(number)}"
    return f"/Microsoft-Server-ActiveSync?Cmd=Sync&{names}&DeviceType=Android"


def _by_nginx(number: int) -> bytes:
    return question("nginx", *original(_uri(number)), user=login_of(number))


def _by_forwarding(number: int) -> bytes:
    return question("forward", *forwarded(_uri(number)), user=login_of(number))


def _by_nginx_mail(number: int) -> bytes:
    return question("mail", *mail_login("imap", login_of(number)))


def _by_dovecot(number: int) -> bytes:
    said = {"login": login_of(number), "user": login_of(number), "remote": "192.0.2.7", "protocol": "imap"}
    return question("dovecot?command=allow", method="POST", body=json.dumps(said).encode())


def _by_haproxy(number: int) -> bytes:
    return asked(_uri(number), login_of(number), KEY)


def _by_postfix(number: int) -> bytes:
    return policy_request(login_of(number))


# --- at nginx


def _measure_at_nginx(gateway: Gatepost, place: Site, mail: int, options: Options, outcome: Outcome) -> None:
    targets = _at_nginx(gateway, place, mail, chosen(options.targets, NAMES), outcome)
    numbers = (number for number in range(place.people) if not holds_banned(number))
    records = wrk.write_records(place.directory / "records", map(wrk.sync, numbers))
    for connections in AT_NGINX:
        load = Load(records, connections)
        results = interleaved(
            targets,
            options.rounds,
            lambda target, load=load: _at(target, load, options.seconds),  # type: ignore[misc]
        )
        outcome.show(_table(connections, results))
        outcome.raw += [
            {"part": "askers at nginx", "connections": connections, "target": target.name, **asdict(each)}
            for target, those in results.items()
            for each in those
        ]
        plain = next((those for target, those in results.items() if target.name == "nginx"), [])
        ours = next((those for target, those in results.items() if target.name == "nginx-gatepost"), [])
        if plain and ours and connections == AT_NGINX[0]:
            outcome.measured["askers/nginx/added"] = _added(ours, plain)


def _at_nginx(gateway: Gatepost, place: Site, mail: int, names: Sequence[str], outcome: Outcome) -> list[Target]:
    targets = []
    for name in names:
        try:
            if name == "nginx-gatepost":
                plain, secure = free_ports(2)
                fixed = (PROXY_CORE, place.directory, mail, (plain, secure), place.certificate)
                made = nginx.auth_request_to_gatepost(*fixed, gateway.port("authz", "http"), KEY)
                pids = (*place.stack.enter_context(made), *gateway.pids)
                targets.append(Target(name, plain, secure, pids))
            else:
                targets.append(place.start(name))
        except Missing as error:
            outcome.show(Table("Not measured", ("what", "why"), [(name, str(error))]))
    return targets


def _at(target: Target, load: Load, seconds: float) -> Round:
    done = wrk.run(load, target.url("plain"), target.pids, seconds)
    if done.errors or done.refused:
        raise SystemExit(f"{target.name}: wrong answers: {done}")
    return done


def _added(those: Sequence[Round], plain: Sequence[Round]) -> float:
    """Microseconds at the median, round by round."""
    return spread(one.p50_us - other.p50_us for one, other in zip(those, plain, strict=True)).median


def _table(connections: int, results: dict[Target, list[Round]]) -> Table:
    plain = next((those for target, those in results.items() if target.name == "nginx"), [])
    titles = {**TITLES, "nginx-gatepost": "nginx auth_request to Gatepost"}
    rows = []
    for target, those in results.items():
        rows.append(
            (
                titles[target.name],
                spread(each.p50_us for each in those).text(0),
                f"{_added(those, plain):,.0f}" if plain else "",
                f"{spread(each.p99_us for each in those).median:,.0f}",
                spread(each.cpu_us for each in those).text(1),
            )
        )
    columns = ("nginx", "p50 µs", "added", "p99 µs", "CPU µs/request")
    return Table(f"At a real nginx, {connections} connection{'s' * (connections > 1)}", columns, rows)
