"""Answers per second of a core to those who ask for verdicts, by kind; what asking adds at nginx, Traefik and Envoy.

Each question is another person's, all of whom are in memory and may. Latencies at a server are wrk's: with one
connection there is nothing but the way, with eight there is a queue as well; a server and whom it asks share one core.
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
from bench.proxies import envoy, nginx, traefik
from tests.live.children import free_ports
from tests.support.asking import KEY, forwarded, mail_login, original, policy_request, question
from tests.support.spop_frames import HELLO, asked

PEOPLE = 1_000
CONNECTIONS = (8, 64)
AT_SERVERS = (1, 8)
ANSWER_OCTETS = 1_400
FAMILIES = {
    "nginx": ("nginx", "nginx-map-auth", "nginx-auth", "nginx-gatepost"),
    "Traefik": ("traefik", "traefik-gatepost"),
    "Envoy": ("envoy", "envoy-gatepost", "envoy-grpc-gatepost"),
}
"""What stands side by side; the first one of each asks nobody."""
NAMES = tuple(name for names in FAMILIES.values() for name in names)
_TITLES = {
    **TITLES,
    "nginx-gatepost": "nginx auth_request to Gatepost",
    "traefik": "Traefik, no judging",
    "traefik-gatepost": "Traefik ForwardAuth to Gatepost",
    "envoy": "Envoy, no judging",
    "envoy-gatepost": "Envoy ext_authz over HTTP to Gatepost",
    "envoy-grpc-gatepost": "Envoy ext_authz over gRPC to Gatepost",
}
_CONFIGURATION = """
[authz]
listen = ["http://127.0.0.1:0"]
key_files = ["{key}"]
mail_servers = {{ imap = "127.0.0.1:143" }}
[haproxy]
listen = ["tcp://127.0.0.1:0"]
[postfix]
listen = ["tcp://127.0.0.1:0"]
[envoy]
listen = ["grpc://127.0.0.1:0"]
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
        for family, names in FAMILIES.items():
            wanted = [name for name in names if name in chosen(options.targets, NAMES)]
            _measure_at(family, gateway, place, options, outcome, wanted)
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


# --- at real servers


def _measure_at(
    family: str, gateway: Gatepost, place: Site, options: Options, outcome: Outcome, names: Sequence[str]
) -> None:
    targets = _started_at(gateway, place, names, outcome)
    if not targets:
        return
    numbers = (number for number in range(place.people) if not holds_banned(number))
    records = wrk.write_records(place.directory / "records", map(wrk.sync, numbers))
    for connections in AT_SERVERS:
        load = Load(records, connections)
        results = interleaved(
            targets,
            options.rounds,
            lambda target, load=load: _at(target, load, options.seconds),  # type: ignore[misc]
        )
        outcome.show(_table(family, connections, results))
        outcome.raw += [
            {"part": f"askers at {family}", "connections": connections, "target": target.name, **asdict(each)}
            for target, those in results.items()
            for each in those
        ]
        plain = next((those for target, those in results.items() if target.name == FAMILIES[family][0]), [])
        for target, those in results.items():
            if plain and target.name.endswith("-gatepost") and connections == AT_SERVERS[0]:
                outcome.measured[f"askers/{target.name.removesuffix('-gatepost')}/added"] = _added(those, plain)


def _started_at(gateway: Gatepost, place: Site, names: Sequence[str], outcome: Outcome) -> list[Target]:
    targets = []
    for name in names:
        try:
            targets.append(_start(name, gateway, place))
        except Missing as error:
            outcome.show(Table("Not measured", ("what", "why"), [(name, str(error))]))
    return targets


def _start(name: str, gateway: Gatepost, place: Site) -> Target:
    """Raises ``Missing``."""
    plain, secure = free_ports(2)
    asked = gateway.port("authz", "http")
    fixed = (PROXY_CORE, place.directory, place.mail)
    match name:
        case "nginx-gatepost":
            made = nginx.auth_request_to_gatepost(*fixed, (plain, secure), place.certificate, asked, KEY)
        case "traefik":
            made = traefik.traefik(*fixed, plain)
        case "traefik-gatepost":
            made = traefik.traefik(*fixed, plain, asked, KEY)
        case "envoy":
            made = envoy.envoy(*fixed, plain)
        case "envoy-gatepost":
            made = envoy.envoy(*fixed, plain, asked, KEY)
        case "envoy-grpc-gatepost":
            made = envoy.envoy(*fixed, plain, gateway.port("envoy", "grpc"), KEY, grpc=True)
        case _:
            return place.start(name)
    pids = place.stack.enter_context(made)
    return Target(name, plain, secure, (*pids, *gateway.pids) if name.endswith("-gatepost") else pids)


def _at(target: Target, load: Load, seconds: float) -> Round:
    done = wrk.run(load, target.url("plain"), target.pids, seconds)
    if done.errors or done.refused:
        raise SystemExit(f"{target.name}: wrong answers: {done}")
    return done


def _added(those: Sequence[Round], plain: Sequence[Round]) -> float:
    """Microseconds at the median, round by round."""
    return spread(one.p50_us - other.p50_us for one, other in zip(those, plain, strict=True)).median


def _table(family: str, connections: int, results: dict[Target, list[Round]]) -> Table:
    plain = next((those for target, those in results.items() if target.name == FAMILIES[family][0]), [])
    rows = []
    for target, those in results.items():
        rows.append(
            (
                _TITLES[target.name],
                spread(each.p50_us for each in those).text(0),
                f"{_added(those, plain):,.0f}" if plain else "",
                f"{spread(each.p99_us for each in those).median:,.0f}",
                spread(each.cpu_us for each in those).text(1),
            )
        )
    columns = (family, "p50 µs", "added", "p99 µs", "CPU µs/request")
    return Table(f"At a real {family}, {connections} connection{'s' * (connections > 1)}", columns, rows)
