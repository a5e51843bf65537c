"""Each HTTP asker's own words for ALLOW, DENY and DEFER; and what it learns without a key."""

import json
from urllib.parse import quote_plus

import pytest

from tests.support.asking import Asking, forwarded, mail_login, original, question
from tests.support.raw_http import HttpAnswer, eas

BLOCKED = bytes.fromhex("03016a000007564c03313239000101")
"""FolderSync, Status 129."""
GENERIC = b"Mail on this device is blocked by your organization. Ask your help desk."
ANNA = eas("FolderSync", "anna", "ANNAPHONE")
BERT = eas("FolderSync", "bert", "BERTPHONE")


def unavailable(authz: Asking) -> None:
    """Nothing can be read of anybody."""
    authz.evidence.unavailable = True


def facts(answer: HttpAnswer) -> tuple[int, str, str, bytes]:
    return answer.status, answer.header("X-Gatepost-Verdict"), answer.header("X-Gatepost-Reason"), answer.body


class TestNginx:
    async def test_allowed(self, authz: Asking) -> None:
        answer = await authz.ask(question("nginx", *original(ANNA), user="anna"))
        assert facts(answer) == (200, "allow", "clean", b"")
        assert answer.header("X-Gatepost-User") == "anna@corp.example"
        assert answer.header("X-Gatepost-Identity") == "device_id"
        assert int(answer.header("X-Gatepost-Valid-Until")) > authz.now()

    async def test_denied_and_told_at_the_second_address(self, authz: Asking) -> None:
        answer = await authz.ask(question("nginx", *original(BERT), user="bert"))
        assert facts(answer) == (403, "deny", "banned_app", b"")
        told = await authz.ask(question("refusal", *original(BERT), user="bert"))
        assert (told.status, told.header("Content-Type"), told.body) == (200, "application/vnd.ms-sync.wbxml", BLOCKED)
        older = await authz.ask(question("refusal", *original(BERT, version="12.1"), user="bert"))
        assert (older.status, older.body) == (403, GENERIC)

    async def test_deferred_and_told_at_the_second_address(self, authz: Asking) -> None:
        unavailable(authz)
        answer = await authz.ask(question("nginx", *original(eas("Sync", "cora", "C1")), user="cora"))
        assert facts(answer) == (403, "defer", "state_unavailable", b"")
        told = await authz.ask(question("refusal", *original(eas("Sync", "cora", "C1")), user="cora"))
        assert (told.status, told.header("Retry-After")) == (503, "30")

    async def test_allowed_by_the_time_of_the_second_question_is_no_empty_200(self, authz: Asking) -> None:
        told = await authz.ask(question("refusal", *original(ANNA), user="anna"))
        assert (told.status, told.header("Retry-After")) == (503, "1")

    async def test_who_has_no_credentials_is_left_to_the_mail_server(self, authz: Asking) -> None:
        answer = await authz.ask(question("nginx", *original(BERT)))
        assert facts(answer) == (200, "allow", "not_asked", b"")

    async def test_credentials_that_name_nobody(self, authz: Asking) -> None:
        lines = (*original(BERT), "Authorization: Negotiate YII")
        answer = await authz.ask(question("nginx", *lines))
        assert (answer.status, answer.header("WWW-Authenticate")[:5]) == (401, "Basic")

    async def test_what_phones_may_not_ask_is_denied(self, authz: Asking) -> None:
        twice = original(ANNA + "&DeviceId=BERTPHONE")
        assert facts(await authz.ask(question("nginx", *twice, user="anna"))) == (403, "deny", "not_understood", b"")
        assert (await authz.ask(question("refusal", *twice, user="anna"))).status == 400

    async def test_a_mistake_in_its_configuration_lets_nobody_in(self, authz: Asking) -> None:
        answer = await authz.ask(question("nginx", user="anna"))
        assert facts(answer) == (403, "defer", "misconfigured", b"")
        assert (await authz.ask(question("refusal", user="anna"))).status == 503


class TestForward:
    async def test_allowed(self, authz: Asking) -> None:
        answer = await authz.ask(question("forward", *forwarded(ANNA), user="anna"))
        assert facts(answer) == (200, "allow", "clean", b"")

    async def test_denied_is_never_a_200(self, authz: Asking) -> None:
        """The type tells Caddy that the status may be made a 200 on its way to the phone."""
        answer = await authz.ask(question("forward", *forwarded(BERT), user="bert"))
        assert facts(answer) == (403, "deny", "", BLOCKED)
        assert answer.header("Content-Type") == "application/vnd.ms-sync.wbxml"
        older = await authz.ask(question("forward", *forwarded(BERT, version="2.5"), user="bert"))
        assert facts(older) == (403, "deny", "", GENERIC)

    async def test_deferred(self, authz: Asking) -> None:
        unavailable(authz)
        answer = await authz.ask(question("forward", *forwarded(eas("Sync", "cora", "C1")), user="cora"))
        assert (answer.status, answer.header("X-Gatepost-Verdict"), answer.header("Retry-After")) == (
            503,
            "defer",
            "30",
        )

    async def test_the_key_may_stand_in_the_path(self, authz: Asking) -> None:
        """Traefik cannot send a constant header."""
        key = authz.key_file.read_text().strip()
        right = question(f"forward/{key}", *forwarded(ANNA), user="anna", key="")
        assert (await authz.ask(right)).status == 200
        wrong = question(f"forward/{key}x", *forwarded(ANNA), user="anna", key="")
        assert (await authz.ask(wrong)).status == 403

    async def test_a_query_of_the_client_chooses_nothing(self, authz: Asking) -> None:
        answer = await authz.ask(question("forward?Cmd=Options&DeviceId=X", *forwarded(BERT), user="bert"))
        assert facts(answer)[:2] == (403, "deny")

    async def test_all_that_another_protocol_brings_is_judged_by_all_devices(self, authz: Asking) -> None:
        allowed = await authz.ask(question("forward", *forwarded("/dav/anna/", "PROPFIND"), user="anna"))
        denied = await authz.ask(question("forward", *forwarded("/dav/bert/", "PROPFIND"), user="bert"))
        assert (allowed.status, facts(denied)) == (200, (403, "deny", "", GENERIC))


class TestTraefik:
    async def test_what_takes_a_200_is_asked_for_in_a_second_question(self, authz: Asking) -> None:
        """By a status of nobody else's: Traefik takes each 200 for "allowed", and mail servers say 403 themselves."""
        allowed = await authz.ask(question("traefik", *forwarded(ANNA), user="anna"))
        assert facts(allowed) == (200, "allow", "clean", b"")
        denied = await authz.ask(question("traefik", *forwarded(BERT), user="bert"))
        assert facts(denied) == (470, "deny", "", b"")
        told = await authz.ask(page(BERT))
        assert (told.status, told.header("Content-Type"), told.body) == (200, "application/vnd.ms-sync.wbxml", BLOCKED)

    async def test_what_is_told_by_its_status_goes_to_the_client_at_once(self, authz: Asking) -> None:
        older = await authz.ask(question("traefik", *forwarded(BERT, version="12.1"), user="bert"))
        assert facts(older) == (403, "deny", "", GENERIC)
        unavailable(authz)
        deferred = await authz.ask(question("traefik", *forwarded(eas("Sync", "cora", "C1")), user="cora"))
        assert (deferred.status, deferred.header("Retry-After")) == (503, "30")

    async def test_the_second_question_is_not_judged(self, authz: Asking) -> None:
        """Traefik makes a 200 of its answer, so none may be empty: that would be a message sent."""
        for target in (ANNA, BERT, "/Microsoft-Server-ActiveSync", "/x", "no path", ""):
            told = await authz.ask(page(target))
            assert told.body in (BLOCKED, GENERIC), target
        # Whatever is known of a phone.
        told = await authz.ask(page(eas("SendMail", "bert", "CLEANPHONE")))
        assert (told.status, len(told.body)) == (200, 15)
        assert authz.evidence.reads == 0

    async def test_a_mistake_in_its_configuration_lets_nobody_in(self, authz: Asking) -> None:
        assert facts(await authz.ask(question("traefik", user="anna")))[:2] == (503, "defer")
        assert (await authz.ask(question("blocked"))).body == GENERIC


def page(target: str) -> bytes:
    """What Traefik's error pages ask, with the client's headers and its URL in the query."""
    return question(
        f"blocked?url={quote_plus('https://mail.example' + target)}", "MS-ASProtocolVersion: 14.1", user="bert"
    )


async def test_envoy(authz: Asking) -> None:
    allowed = await authz.ask(question(f"envoy{ANNA}", user="anna", method="POST"), "POST")
    denied = await authz.ask(question(f"envoy{BERT}", "MS-ASProtocolVersion: 14.1", user="bert", method="POST"), "POST")
    assert (allowed.status, facts(denied)) == (200, (403, "deny", "", BLOCKED))


class TestNginxMail:
    async def test_allowed_goes_on_to_the_mail_server(self, authz: Asking) -> None:
        answer = await authz.ask(question("mail", *mail_login("imap", "anna")))
        assert (answer.status, answer.header("Auth-Status")) == (200, "OK")
        assert (answer.header("Auth-Server"), answer.header("Auth-Port")) == ("192.0.2.1", "143")

    @pytest.mark.parametrize(
        ("protocol", "begins", "code"),
        [("imap", "[CONTACTADMIN] ", ""), ("pop3", "[SYS/PERM] ", ""), ("smtp", "Mail ", "550 5.7.1")],
    )
    async def test_denied(self, authz: Asking, protocol: str, begins: str, code: str) -> None:
        answer = await authz.ask(question("mail", *mail_login(protocol, "bert")))
        assert (answer.status, answer.header("Auth-Error-Code"), answer.header("Auth-Server")) == (200, code, "")
        assert answer.header("Auth-Status").startswith(begins)
        assert "TikTok" not in str(answer)

    async def test_deferred(self, authz: Asking) -> None:
        unavailable(authz)
        answer = await authz.ask(question("mail", *mail_login("imap", "cora")))
        assert (answer.status, answer.header("Auth-Status")[:13]) == (200, "[UNAVAILABLE]")

    async def test_by_http_1_0_and_a_connection_each(self, authz: Asking) -> None:
        asked = question("mail", *mail_login("imap", "anna")).replace(b"HTTP/1.1", b"HTTP/1.0")
        answer = await authz.ask(asked)
        assert (answer.header("Auth-Status"), answer.header("Connection")) == ("OK", "close")

    async def test_a_mechanism_that_hides_the_password(self, authz: Asking) -> None:
        lines = [each.replace("plain", "cram-md5") for each in mail_login("imap", "anna")]
        assert (await authz.ask(question("mail", *lines))).header("Auth-Status")[:13] == "[UNAVAILABLE]"

    async def test_a_name_that_is_none_is_a_wrong_login(self, authz: Asking) -> None:
        answer = await authz.ask(question("mail", *mail_login("imap", "a@b@c")))
        assert answer.header("Auth-Status").startswith("[AUTHENTICATIONFAILED]")


def policy(authz: Asking, user: str, command: str = "allow", **more: object) -> bytes:
    said = {"login": user, "user": user, "protocol": "imap", "remote": "192.0.2.7", **more}
    return question(f"dovecot?command={command}", method="POST", body=json.dumps(said).encode())


class TestDovecot:
    async def test_the_three_verdicts(self, authz: Asking) -> None:
        allowed = await authz.ask(policy(authz, "anna"), "POST")
        denied = await authz.ask(policy(authz, "bert"), "POST")
        assert (allowed.status, json.loads(allowed.body)["status"]) == (200, 0)
        assert (denied.status, json.loads(denied.body)["status"]) == (200, -1)
        unavailable(authz)
        deferred = json.loads((await authz.ask(policy(authz, "cora"), "POST")).body)
        assert (deferred["status"], deferred["msg"][:34]) == (-1, "The mail gateway cannot answer now")

    async def test_reports_are_counted(self, authz: Asking) -> None:
        for success in (True, False):
            answer = await authz.ask(policy(authz, "bert", "report", success=success), "POST")
            assert json.loads(answer.body)["status"] == 0
        assert authz.answered("dovecot", "reported_success") == 1
        assert authz.answered("dovecot", "reported_failure") == 1

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"user":"a@b@c"}', b'{"x":1}', b" " * 20_000])
    async def test_what_is_not_understood_lets_nobody_in(self, authz: Asking, body: bytes) -> None:
        """Whatever Dovecot does not understand itself, it takes for a yes."""
        answer = await authz.ask(question("dovecot?command=allow", method="POST", body=body), "POST")
        assert (answer.status, json.loads(answer.body)["status"]) == (200, -1)

    async def test_another_command_lets_nobody_in(self, authz: Asking) -> None:
        answer = await authz.ask(policy(authz, "anna", "allow&command=report"), "POST")
        assert (answer.status, json.loads(answer.body)["status"]) == (200, -1)


STRANGERS = [
    (question("nginx", *original(ANNA), user="anna", key="wrong" * 5), 403, ""),
    (question("nginx", *original(ANNA), user="anna", key=""), 403, ""),
    (question("refusal", *original(BERT), user="bert", key=""), 403, ""),
    (question("forward", *forwarded(ANNA), user="anna", key=""), 403, ""),
    (question("traefik", *forwarded(ANNA), user="anna", key=""), 403, ""),
    (question("blocked?url=%2Fx", user="anna", key=""), 403, ""),
    (question(f"envoy{ANNA}", user="anna", key=""), 403, ""),
    (question("mail", *mail_login("imap", "anna"), key=""), 200, "[UNAVAILABLE]"),
    (question("dovecot?command=allow", key="", method="POST", body=b'{"user":"anna"}'), 200, '"status":-1'),
]


@pytest.mark.parametrize(("asked", "status", "within"), STRANGERS)
async def test_without_the_key_nothing_is_told_and_nobody_let_in(
    authz: Asking, asked: bytes, status: int, within: str
) -> None:
    answer = await authz.ask(asked)
    assert answer.status == status
    assert answer.header("X-Gatepost-Verdict") == ""
    assert within in str(answer.headers) + answer.body.decode()
    assert authz.evidence.reads == 0


async def test_nothing_else_is_served(authz: Asking) -> None:
    for path in ("", "nginx/", "other", "../v1/nginx", "envoy", "forwardx", "blockedx"):
        assert (await authz.ask(question(path))).status == 404
