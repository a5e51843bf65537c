"""A PostgreSQL URL means one thing or is refused, and nothing repeats its password."""

import ssl
from pathlib import Path

import pytest

from gateway.domain.errors import InvalidValue
from gateway.storage.sql.postgres_url import PostgresTarget, postgres_target, weakness_of
from tests.support.phone_certificates import make_certificates


def test_all_parts() -> None:
    url = "postgresql://gate:s%40c%2Fret@db1.internal:5433,[2001:db8::1]:5434,db3/gate%20post?sslmode=verify-ca"
    target = postgres_target(
        url + "&sslrootcert=/etc/ca.pem&sslcert=/c.pem&sslkey=/k.pem&target_session_attrs=read-write"
    )
    assert target == PostgresTarget(
        hosts=(("db1.internal", 5433), ("2001:db8::1", 5434), ("db3", 5432)),
        database="gate post",
        user="gate",
        password="s@c/ret",
        mode="verify-ca",
        authorities="/etc/ca.pem",
        certificate="/c.pem",
        key="/k.pem",
    )
    assert target.place == "db1.internal:5433,[2001:db8::1]:5434,db3:5432/gate post"
    assert "s@c" not in repr(target)


def test_a_unix_socket() -> None:
    target = postgres_target("postgresql://gate@/gatepost?host=/run/postgresql")
    assert (target.hosts, target.password, target.mode) == ((("/run/postgresql", 5432),), None, "disable")
    assert target.place == "/run/postgresql/gatepost"
    assert target.tls() is None
    assert postgres_target("postgres:///gatepost?host=/run/pg&port=5433").place == "/run/pg:5433/gatepost"


def test_the_network_is_encrypted_and_checked_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    context = postgres_target("postgresql://db/gatepost").tls()
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    authority = make_certificates(tmp_path).authority
    expected = {
        "sslmode=disable": None,
        "sslmode=require": (ssl.CERT_NONE, False),
        f"sslmode=require&sslrootcert={authority}": (ssl.CERT_REQUIRED, False),
        f"sslmode=verify-ca&sslrootcert={authority}": (ssl.CERT_REQUIRED, False),
        f"sslrootcert={authority}": (ssl.CERT_REQUIRED, True),
        "sslrootcert=system": (ssl.CERT_REQUIRED, True),
    }
    for parameters, meaning in expected.items():
        made = postgres_target(f"postgresql://db/gatepost?{parameters}").tls()
        assert (made and (made.verify_mode, made.check_hostname)) == meaning, parameters


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("postgresql://gate:hidden@db", "names no database"),
        ("postgresql://gate:hidden@/gatepost", "names no host"),
        ("postgresql://gate:hidden@db:0/gatepost", "a port that is none"),
        ("postgresql://gate:hidden@db:99999/gatepost", "a port that is none"),
        ("postgresql://gate:hi/dden@db/gatepost", "%40"),
        ("postgresql://gate:12/dden@db", "names no database"),
        ("postgresql://gate:hid#den@db/gatepost", "%40"),
        ("postgresql://gate:hid?den@db/gatepost", "%40"),
        ("postgresql://gate:hidden@db,/gatepost", "a host without a name"),
        ("postgresql://gate:hidden@[db/gatepost", "cannot be read"),
        ("postgresql://gate:hidden@db/gatepost?hidden", "behind the \\?"),
        ("postgresql://gate:hidden@db/gatepost?hidden=1", "may stand, once each: host, port, sslmode"),
        ("postgresql://gate:hidden@db/gatepost?sslmode=disable&sslmode=require", "once each"),
        ("postgresql://gate:hidden@db/gatepost?sslmode=prefer", "disable, require, verify-ca, verify-full"),
        ("postgresql://gate:hidden@db/gatepost?target_session_attrs=any", "only be read-write"),
        ("postgresql://gate:hidden@db/gatepost?host=/run", "names hosts twice"),
        ("postgresql:///gatepost?host=/a,/b&port=1,2,3", "one port, or as many"),
        ("mysql://gate:hidden@db/gatepost", "like postgresql://user:password@host/database"),
    ],
)
def test_what_cannot_be_meant(url: str, remedy: str) -> None:
    with pytest.raises(InvalidValue, match=remedy) as caught:
        postgres_target(url)
    for piece in ("hidden", "dden", "hid#", "hid?"):
        assert piece not in str(caught.value)


def test_files_that_cannot_be_used() -> None:
    with pytest.raises(InvalidValue, match=r"sslrootcert, sslcert or sslkey cannot be used \(No such file"):
        postgres_target("postgresql://db/gatepost?sslrootcert=/nowhere.pem").tls()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://db/x?sslmode=disable", "can be read on the network"),
        ("postgresql://db/x?sslmode=require", "another server can take the database's place"),
        ("postgresql://db/x", ""),
        ("postgresql://127.0.0.1/x?sslmode=disable", ""),
        ("postgresql:///x?host=/run/postgresql", ""),
        ("sqlite:////var/lib/x.db", ""),
    ],
)
def test_what_the_network_could_do(url: str, said: str) -> None:
    assert said in weakness_of(url)
    assert bool(weakness_of(url)) is bool(said)
