"""From a request's head to the question that is judged: which command, which version, who, with what."""

from typing import NamedTuple

from gateway.domain.access import AccessRequest, Protocol, strength_of
from gateway.domain.certificate import CertificateShown
from gateway.domain.errors import InvalidValue
from gateway.domain.identity import IdentityRules, canonical_login
from gateway.domain.verdict import Verdict
from gateway.protocols.activesync import refusals
from gateway.protocols.activesync.commands import Command, UnknownCommand
from gateway.protocols.activesync.headers import to_upstream
from gateway.protocols.activesync.query import EasQuery, parse_query
from gateway.protocols.activesync.requests import Credentials, Unusable, effective_version, read_authorization
from gateway.protocols.activesync.token_claims import read_claims
from gateway.protocols.activesync.versions import Version
from gateway.protocols.answer import Answer
from gateway.protocols.http.request_head import RequestHead
from gateway.protocols.wording import app_named


class Asked(NamedTuple):
    """What a request asks."""

    query: EasQuery
    version: Version | None
    credentials: Credentials | None
    """None: it has none; the mail server asks for them."""
    request: AccessRequest | None
    """What is judged; None: nothing (no credentials, or OPTIONS, which every phone is told truthfully)."""
    user_agent: bytes
    fields: list[tuple[bytes, bytes]] | None
    """Headers for the mail server; None once they are on their way."""

    def denied(self, verdict: Verdict) -> Answer:
        """The refusal in the dialect of this very request."""
        return refusals.deny(self.query.command, self.version, app_named(verdict), verdict.note)


_OPTIONS = EasQuery(Command.OPTIONS, None, "", b"", "")


def identify(
    head: RequestHead, client_address: str, rules: IdentityRules, certificate: CertificateShown | None = None
) -> Asked | Answer:
    """What is asked, or the answer to a request that cannot be asked. ``certificate``: of the client's connection."""
    try:
        return _identified(head, client_address, rules, certificate)
    except UnknownCommand:
        return refusals.unknown_command()
    except InvalidValue as error:
        sentence = str(error)
        return refusals.malformed(f"{sentence[:1].upper()}{sentence[1:]}.")


def _identified(
    head: RequestHead, client_address: str, rules: IdentityRules, certificate: CertificateShown | None
) -> Asked | Answer:
    named = head.named
    if b"content-encoding" in named:
        return refusals.coded_content()
    query = _query(head)
    version = effective_version(query, named.get(b"ms-asprotocolversion"))
    fields = to_upstream(head.fields)
    fields.append((b"X-Forwarded-For", client_address.encode("ascii", "replace")))
    user_agent = named.get(b"user-agent", b"")
    authorization = named.get(b"authorization")
    if authorization is None:
        # Nobody was judged, so nothing that a front end of the mail server might take for a log-in goes along.
        fields = [each for each in fields if each[0].lower() != b"cookie"]
        return Asked(query, version, None, None, user_agent, fields)
    credentials = read_authorization(authorization)
    if isinstance(credentials, Unusable):
        return refusals.not_authenticated("mail")
    if query.command is Command.OPTIONS:
        return Asked(query, version, credentials, None, user_agent, fields)
    login = _login(credentials, query, rules)
    if login is None:
        return refusals.not_authenticated("mail")
    request = _access(login, query, client_address, certificate)
    return Asked(query, version, credentials, request, user_agent, fields)


def _access(login: str, query: EasQuery, client_address: str, certificate: CertificateShown | None) -> AccessRequest:
    return AccessRequest(
        login,
        query.device_id,
        Protocol.ACTIVESYNC,
        strength_of(query.device_id, certificate=certificate),
        query.command,
        query.device_type,
        client_address,
        certificate=certificate,
    )


def _query(head: RequestHead) -> EasQuery:
    """The query, of OPTIONS or of a command.

    The method and ``Cmd`` must agree: what is judged by the one must not be run by the other. Raises ``InvalidValue``,
    and ``UnknownCommand`` for any other method.
    """
    if head.method == b"POST":
        query = parse_query(head.query or b"")
        if query.command is Command.OPTIONS:
            raise UnknownCommand("Options is a method and no command")
        return query
    if head.method != b"OPTIONS":
        raise UnknownCommand("ActiveSync has the methods POST and OPTIONS")
    query = _OPTIONS if not head.query else parse_query(_with_command(head.query))
    if query.command is not Command.OPTIONS:
        raise InvalidValue("the method OPTIONS has no other command")
    return query


def _with_command(query: bytes) -> bytes:
    """OPTIONS needs no ``Cmd``; with one added, the same reader serves."""
    return query if b"cmd=" in query.lower() or b"=" not in query else query + b"&Cmd=Options"


def _login(credentials: Credentials, query: EasQuery, rules: IdentityRules) -> str | None:
    """The login that the credentials prove; None: they name nobody.

    ``User`` of the query must be the same person: some back ends open the mailbox that it names.
    """
    login = login_of(credentials, rules)
    # Most phones write the same in both places.
    named = query.user
    if login is None or named is None or named == credentials.user:
        return login
    if not _same_person(canonical_login(named, rules), login):
        raise InvalidValue("the user in the URL is not the user of the credentials")
    return login


def login_of(credentials: Credentials, rules: IdentityRules) -> str | None:
    """Whose credentials these say they are; None: nobody's. Raises ``InvalidValue``."""
    if credentials.scheme != "bearer":
        return canonical_login(credentials.user, rules)
    claims = read_claims(credentials.token, owner=rules.token_claim)
    return canonical_login(claims.owner, rules) if claims is not None and claims.owner else None


def _same_person(named: str, proved: str) -> bool:
    """Phones put ``anna`` into the URL where they log in as ``anna@corp.example``."""
    if named == proved:
        return True
    local, at, _ = named.partition("@")
    proved_local, proved_at, _ = proved.partition("@")
    return local == proved_local and not (at and proved_at)
