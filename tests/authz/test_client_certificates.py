"""The certificate of an asker's client: believed where the settings say so, and never on the asker's word alone."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.domain.verdict import Effect
from tests.network.authority import Authority, Issued
from tests.support.asking import Asking, asking, forwarded, mail_login, original, question
from tests.support.certified import Enrolment
from tests.support.envoy_asks import asked_by_envoy, effect_of, noted, phone
from tests.support.fronted import TIKTOK
from tests.support.raw_http import HttpAnswer, eas
from tests.support.spop_frames import text

ANNA = "anna@corp.example"
ACTIVESYNC = eas("FolderSync", "anna", "PHONE1")
DAV = "/SOGo/dav/anna/"
KEY = "serial:f9fxj0"


@pytest.fixture
def enrolment(tmp_path: Path) -> Enrolment:
    return Enrolment(Authority(tmp_path))


@asynccontextmanager
async def believing(directory: Path, enrolment: Enrolment, *askers: str) -> AsyncIterator[Asking]:
    """A front that believes these askers; Anna's laptop is clean and reported, her other phone is dirty."""
    async with asking(directory, enrolment.reader(), certificates_from=frozenset(askers)) as authz:
        authz.evidence.put(ANNA, "phone2", TIKTOK, keys=("serial:dirty",))
        authz.evidence.put(ANNA, "laptop", keys=(KEY,))
        authz.clean(ANNA, "phone1")
        yield authz


def pem(issued: Issued) -> str:
    return quote(issued.certificate.read_text(), safe="")


def identity(answer: HttpAnswer) -> tuple[str, str, str]:
    names = ("X-Gatepost-Verdict", "X-Gatepost-Reason", "X-Gatepost-Identity")
    verdict, reason, strength = (answer.header(name) for name in names)
    return verdict, reason, strength


async def by_nginx(authz: Asking, issued: Issued, uri: str = ACTIVESYNC, *more: str) -> HttpAnswer:
    lines = (*original(uri), f"X-Client-Cert: {pem(issued)}", *more)
    return await authz.ask(question("nginx", *lines, user="anna"))


async def test_by_nginx(tmp_path: Path, enrolment: Enrolment) -> None:
    laptop, dirty = enrolment.issue(ANNA, "F9FXJ0"), enrolment.issue(ANNA, "DIRTY")
    async with believing(tmp_path, enrolment, "nginx") as authz:
        verified = "X-Client-Cert-Verify: SUCCESS"
        assert identity(await by_nginx(authz, laptop, ACTIVESYNC, verified)) == ("allow", "clean", "client_certificate")
        assert identity(await by_nginx(authz, dirty, ACTIVESYNC, verified))[:2] == ("deny", "banned_app")
        # Without one all devices answer for a calendar; with it the laptop alone.
        assert identity(await authz.ask(question("nginx", *original(DAV), user="anna")))[1] == "banned_app"
        assert identity(await by_nginx(authz, laptop, DAV, verified)) == ("allow", "clean", "client_certificate")
        failed = "X-Client-Cert-Verify: FAILED:certificate has expired"
        assert identity(await by_nginx(authz, laptop, DAV, failed))[1] == "banned_app"


async def test_what_is_not_believed(tmp_path: Path, enrolment: Enrolment) -> None:
    laptop = enrolment.issue(ANNA, "F9FXJ0")
    async with believing(tmp_path, enrolment, "forward") as authz:
        # By default anybody can send that header.
        assert identity(await by_nginx(authz, laptop, DAV))[1:] == ("banned_app", "user_wide")
    async with believing(tmp_path, enrolment, "nginx") as authz:
        (tmp_path / "other").mkdir()
        stranger = Enrolment(Authority(tmp_path / "other")).issue(ANNA, "F9FXJ0")
        ended = enrolment.issue(ANNA, "F9FXJ0", datetime.now(UTC) - timedelta(hours=1))
        for bad in (stranger, ended, enrolment.shown):
            assert identity(await by_nginx(authz, bad, DAV))[1:] == ("banned_app", "user_wide")
        twice = await by_nginx(authz, laptop, DAV, f"X-Client-Cert: {pem(laptop)}")
        assert identity(twice)[:2] == ("defer", "misconfigured")


async def test_revoked_or_of_another_user(tmp_path: Path, enrolment: Enrolment) -> None:
    laptop, berts = enrolment.issue(ANNA, "F9FXJ0"), enrolment.issue("bert@corp.example", "F9FXJ0")
    async with believing(tmp_path, enrolment, "nginx") as authz:
        assert identity(await by_nginx(authz, berts, DAV))[:2] == ("deny", "certificate_invalid")
        lines = (*original(ACTIVESYNC), f"X-Client-Cert: {pem(berts)}")
        told = await authz.ask(question("refusal", *lines, user="anna"))
        assert (told.status, told.header("WWW-Authenticate")[:5]) == (401, "Basic")
        enrolment.revoke(laptop)
        assert authz.certificates is not None
        authz.certificates.reload(authz.decision)
        assert identity(await by_nginx(authz, laptop, DAV))[:2] == ("deny", "certificate_ended")


async def by_forward(authz: Asking, *lines: str, path: str = "forward") -> tuple[int, str]:
    answer = await authz.ask(question(path, *forwarded(DAV), *lines, user="anna"))
    return answer.status, answer.header("X-Gatepost-Identity")


async def test_no_header_of_the_client_s_own_is_taken_for_a_certificate(tmp_path: Path, enrolment: Enrolment) -> None:
    """A certificate is no secret: its owner has it in the laptop, and could send it along from the refused phone."""
    laptop = enrolment.issue(ANNA, "F9FXJ0")
    spellings = (pem(laptop), quote("".join(laptop.certificate.read_text().split("-----")[2].split())))
    forged = ("X-Client-Cert", "X-Forwarded-Tls-Client-Cert", "Auth-SSL-Cert")
    own = {"nginx": {"X-Client-Cert"}, "forward": {"X-Client-Cert"}, "traefik": {"X-Forwarded-Tls-Client-Cert"}}
    for asker, names in own.items():
        async with believing(tmp_path, enrolment, asker) as authz:
            for header in (f"{name}: {each}" for name in forged if name not in names for each in spellings):
                if asker == "nginx":
                    said = await authz.ask(question("nginx", *original(DAV), header, user="anna"))
                    assert identity(said)[1:] == ("banned_app", "user_wide"), header
                else:
                    assert await by_forward(authz, header, path=asker) == (403, ""), header


async def test_by_caddy_traefik_and_nginx_mail(tmp_path: Path, enrolment: Enrolment) -> None:
    laptop = enrolment.issue(ANNA, "F9FXJ0")
    base64 = "".join(laptop.certificate.read_text().split("-----")[2].split())
    caddys, traefiks = f"X-Client-Cert: {base64}", f"X-Forwarded-Tls-Client-Cert: {quote(base64)}"
    async with believing(tmp_path, enrolment, "forward", "traefik", "nginx_mail") as authz:
        assert await by_forward(authz, traefiks, path="traefik") == (200, "client_certificate")
        # Traefik leaves what clients send under this name as it is, and Caddy does so with the other one.
        assert await by_forward(authz, caddys, path="traefik") == (403, "")
        assert await by_forward(authz, caddys) == (200, "client_certificate")
        assert await by_forward(authz, traefiks) == (403, "")
        empty = "X-Client-Cert: {http.request.tls.client.certificate_der_base64}"
        assert (await authz.ask(question("forward", *forwarded(DAV), empty, user="anna"))).status == 403
        login = mail_login("imap", "anna")
        assert (await authz.ask(question("mail", *login))).header("Auth-Status").startswith("[CONTACTADMIN]")
        shown = ("Auth-SSL-Verify: SUCCESS", f"Auth-SSL-Cert: {quote(laptop.certificate.read_text(), safe='+/=')}")
        assert (await authz.ask(question("mail", *login, *shown))).header("Auth-Status") == "OK"
        berts = enrolment.issue("bert@corp.example", "F9FXJ0")
        answer = await authz.ask(question("mail", *login, f"Auth-SSL-Cert: {pem(berts)}"))
        assert answer.header("Auth-Status").startswith("[AUTHENTICATIONFAILED]")


async def test_by_envoy_over_grpc(tmp_path: Path, enrolment: Enrolment) -> None:
    laptop = enrolment.issue(ANNA, "F9FXJ0")
    for askers, effect in (((), Effect.DENY), (("envoy",), Effect.ALLOW)):
        async with believing(tmp_path, enrolment, *askers) as authz:
            asked = phone(DAV, "anna", method="PROPFIND")
            assert effect_of(await asked_by_envoy(authz, asked)) is Effect.DENY
            asked.attributes.source.certificate = pem(laptop)
            response = await asked_by_envoy(authz, asked)
            assert effect_of(response) is effect
            assert noted(response)["identity"] == ("client_certificate" if askers else "user_wide")


async def test_by_haproxy(tmp_path: Path, enrolment: Enrolment) -> None:
    dirty = ssl.PEM_cert_to_DER_cert(enrolment.issue(ANNA, "DIRTY").certificate.read_text())
    # Octets, as HAProxy writes ssl_c_der (SPOE.txt §3.1).
    binary = b"\x09" + text(dirty)
    for askers, verdict in (((), "allow"), (("haproxy",), "refuse")):
        async with believing(tmp_path, enrolment, *askers) as authz:
            assert (await authz.variables(ACTIVESYNC, "anna", cert=binary))["verdict"] == verdict
