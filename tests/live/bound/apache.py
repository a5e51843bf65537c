"""A web server whose logins are its connections': Apache with NTLM by gss-ntlmssp and Kerberos by a KDC of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.live.children import free_ports, run, start
from tests.support.phone_certificates import Certificates, make_certificates

MODULES = Path("/usr/lib/apache2/modules")
NTLM = Path("/etc/gss/mech.d/mech.ntlmssp.conf")
REALM = "CORP.EXAMPLE"
PASSWORD = "secret"
PLACE = "/EWS/Exchange.asmx"

HTTPD = """
ServerRoot {directory}
ServerName localhost
PidFile {directory}/pid
DefaultRuntimeDir {directory}
Listen 127.0.0.1:{port}
Listen 127.0.0.1:{tls}
{modules}
User www-data
Group www-data
ErrorLog /dev/stderr
DocumentRoot {directory}
SSLSessionCache none
<VirtualHost 127.0.0.1:{tls}>
  SSLEngine on
  SSLCertificateFile {certificate}
  SSLCertificateKeyFile {key}
</VirtualHost>
KeepAlive On
KeepAliveTimeout 60
StartServers 1
MaxRequestWorkers 40
ScriptAlias {place} {directory}/mailbox
<Location {place}>
  AuthType GSSAPI
  AuthName mail
  GssapiConnectionBound On
  GssapiAllowedMech ntlmssp
  GssapiAllowedMech krb5
  Require valid-user
</Location>
"""
MAILBOX = """#!/bin/sh
test "$REQUEST_METHOD" = POST && echo "$REMOTE_USER" >> "{directory}/done/$$"
printf 'Content-Type: text/plain\\r\\n\\r\\nmail of %s on %s' "$REMOTE_USER" "$REMOTE_PORT"
"""
KRB5 = """
[libdefaults]
default_realm = {realm}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
[realms]
{realm} = {{
  kdc = 127.0.0.1:{kdc}
}}
[domain_realm]
localhost = {realm}
"""
KDC = """
[kdcdefaults]
kdc_listen = 127.0.0.1:{kdc}
kdc_tcp_listen = 127.0.0.1:{kdc}
[realms]
{realm} = {{
  database_name = {directory}/principal
  key_stash_file = {directory}/stash
  acl_file = {directory}/acl
}}
[logging]
kdc = STDERR
"""


@dataclass(frozen=True, slots=True)
class Apache:
    """The server, and how programs log in at it. It tells whom it serves, and by which connection."""

    url: str
    tls: str
    certificates: Certificates
    directory: Path

    def done_for(self, user: str) -> int:
        """How many POSTs were run for somebody."""
        lines = [line for file in (self.directory / "done").iterdir() for line in file.read_text().splitlines()]
        return lines.count(f"CORP\\{user}")

    def curl(self, url: str, *words: str, ntlm: str = "", ticket: str = "") -> str:
        """What curl says of two POSTs on one connection, by the NTLM account or the Kerberos ticket of somebody."""
        environment = {
            "PATH": os.environ["PATH"],
            "KRB5_CONFIG": str(self.directory / "krb5.conf"),
            "KRB5CCNAME": f"FILE:{self.directory}/ticket-{ticket or 'none'}",
            "NTLM_USER_FILE": str(self.directory / f"ntlm-{ntlm or 'none'}"),
        }
        address = f"{url}{PLACE}"
        command = ("curl", "-s", "-S", "--max-time", "20", "-w", " %{http_code};", *words, "-d", "x", address, address)
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
        return done.stdout.decode() + done.stderr.decode()


def missing() -> str:
    """Why it cannot be started here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root: Apache runs as a user of its own"
    programs = ("apache2", "krb5kdc", "kdb5_util", "kadmin.local", "kinit", "curl", "setpriv")
    absent = [name for name in programs if shutil.which(name) is None]
    absent += [] if (MODULES / "mod_auth_gssapi.so").exists() else ["libapache2-mod-auth-gssapi"]
    absent += [] if NTLM.exists() else ["gss-ntlmssp"]
    return f"not installed: {', '.join(absent)} (make servers)" if absent else ""


@contextmanager
def running_apache(directory: Path, *users: str) -> Iterator[Apache]:
    """Both servers with these users, who have the same password by NTLM and by Kerberos."""
    port, tls, kdc = free_ports(3)
    certificates = make_certificates(directory)
    (directory / "done").mkdir()
    (directory / "done").chmod(0o777)
    known = {"port": port, "tls": tls, "kdc": kdc, "certificate": certificates.certificate, "key": certificates.key}
    _write(directory, known, users)
    kerberos = {"KRB5_CONFIG": str(directory / "krb5.conf"), "KRB5_KDC_PROFILE": str(directory / "kdc.conf")}
    with_kerberos = ("env", *(f"{name}={value}" for name, value in kerberos.items()))
    run((*with_kerberos, "kdb5_util", "create", "-s", "-P", "master", "-r", REALM), directory)
    asked = [f"addprinc -pw {PASSWORD} {user}" for user in users]
    for query in (*asked, "addprinc -randkey HTTP/localhost", f"ktadd -k {directory}/keytab HTTP/localhost"):
        run((*with_kerberos, "kadmin.local", "-r", REALM, "-q", query), directory)
    (directory / "keytab").chmod(0o644)
    with ExitStack() as stack:
        child = start("krb5kdc", ("krb5kdc", "-n"), directory, environment=kerberos)
        stack.callback(child.stop)
        child.until_said("starting")
        for user in users:
            kinit = (*with_kerberos, f"KRB5CCNAME=FILE:{directory}/ticket-{user}", "kinit", user)
            subprocess.run(kinit, input=f"{PASSWORD}\n".encode(), check=True, capture_output=True, timeout=30)
        accounts = {"NTLM_USER_FILE": f"{directory}/ntlm", "KRB5_KTNAME": f"{directory}/keytab"}
        command = ("apache2", "-f", str(directory / "httpd.conf"), "-DFOREGROUND")
        web = start("apache2", command, directory, environment={**kerberos, **accounts})
        stack.callback(web.stop)
        web.until_port(port)
        yield Apache(f"http://localhost:{port}", f"https://localhost:{tls}", certificates, directory)


def _write(directory: Path, served: Mapping[str, object], users: tuple[str, ...]) -> None:
    names = ("mpm_prefork", "authn_core", "authz_core", "authz_user", "alias", "cgi", "auth_gssapi", "ssl")
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names)
    known = {**served, "directory": directory, "realm": REALM, "place": PLACE, "modules": modules}
    for name, text in {"httpd.conf": HTTPD, "krb5.conf": KRB5, "kdc.conf": KDC, "mailbox": MAILBOX}.items():
        (directory / name).write_text(text.format(**known))
    (directory / "mailbox").chmod(0o755)
    for name, some in {"ntlm": users, **{f"ntlm-{user}": (user,) for user in users}}.items():
        (directory / name).write_text("".join(f"CORP:{user}:{PASSWORD}\n" for user in some))
