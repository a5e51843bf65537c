"""What a refused phone is told: exact octets, read by three decoders, and never a wipe."""

import inspect
import json
from collections.abc import Callable, Iterator
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.activesync import autodiscover, refusals
from gateway.protocols.activesync.code_pages import TAGS
from gateway.protocols.activesync.commands import ROOTS, Command
from gateway.protocols.activesync.versions import Version
from gateway.protocols.activesync.wbxml import Element, decode
from gateway.protocols.answer import Answer
from gateway.protocols.wording import BLOCKED_TEXT
from tests.support.wbxml_peers import client_xml, libwbxml_xml, needs_libwbxml

HTTP_VERSIONS: tuple[Version | None, ...] = (None, Version.V2_5, Version.V12_0, Version.V12_1)
STATUS_VERSIONS = (Version.V14_0, Version.V14_1, Version.V16_0, Version.V16_1)
VERSIONS = (*HTTP_VERSIONS, *STATUS_VERSIONS)
WITHOUT_XML = (Command.GET_ATTACHMENT, Command.OPTIONS)

# command: octets of the refusal from 14.0 on (header · page · root, Status · string · ENDs), and what they say
DENIED: dict[Command, tuple[str, str]] = {
    Command.SYNC: ("03016a00 454e 03 31323900 0101", "AirSync Sync/Status"),
    Command.SEND_MAIL: ("03016a00 0015 4552 03 31323900 0101", "ComposeMail SendMail/Status"),
    Command.SMART_FORWARD: ("03016a00 0015 4652 03 31323900 0101", "ComposeMail SmartForward/Status"),
    Command.SMART_REPLY: ("03016a00 0015 4752 03 31323900 0101", "ComposeMail SmartReply/Status"),
    Command.FOLDER_SYNC: ("03016a00 0007 564c 03 31323900 0101", "FolderHierarchy FolderSync/Status"),
    Command.FOLDER_CREATE: ("03016a00 0007 534c 03 31323900 0101", "FolderHierarchy FolderCreate/Status"),
    Command.FOLDER_DELETE: ("03016a00 0007 544c 03 31323900 0101", "FolderHierarchy FolderDelete/Status"),
    Command.FOLDER_UPDATE: ("03016a00 0007 554c 03 31323900 0101", "FolderHierarchy FolderUpdate/Status"),
    Command.MOVE_ITEMS: ("03016a00 0005 454b 03 31323900 0101", "Move MoveItems/Status"),
    Command.GET_ITEM_ESTIMATE: ("03016a00 0006 454e 03 31323900 0101", "GetItemEstimate GetItemEstimate/Status"),
    Command.MEETING_RESPONSE: (
        "03016a00 0008 474a4b 03 31323900 010101",
        "MeetingResponse MeetingResponse/Result/Status",
    ),
    Command.SEARCH: ("03016a00 000f 454c 03 31323900 0101", "Search Search/Status"),
    Command.SETTINGS: ("03016a00 0012 4546 03 31323900 0101", "Settings Settings/Status"),
    Command.PING: ("03016a00 000d 4547 03 31323900 0101", "Ping Ping/Status"),
    Command.ITEM_OPERATIONS: ("03016a00 0014 454d 03 31323900 0101", "ItemOperations ItemOperations/Status"),
    Command.PROVISION: ("03016a00 000e 454b 03 31323900 0101", "Provision Provision/Status"),
    Command.RESOLVE_RECIPIENTS: ("03016a00 000a 4547 03 31323900 0101", "ResolveRecipients ResolveRecipients/Status"),
    Command.VALIDATE_CERT: ("03016a00 000b 454a 03 31323900 0101", "ValidateCert ValidateCert/Status"),
    Command.FIND: ("03016a00 0019 454a 03 31323900 0101", "Find Find/Status"),
}
WAITING_ENDED = {
    "Ping, cut": (refusals.cut(Command.PING, None), "03016a00 000d 4547 03 3700 0101", "Ping Ping/Status", "7"),
    "Ping, drained": (refusals.drained(Command.PING, None), "03016a00 000d 4547 03 3100 0101", "Ping Ping/Status", "1"),
    "Sync, cut": (
        *(refusals.cut(Command.SYNC, Version.V12_1), "03016a00 454e 03 313200 0101"),
        *("AirSync Sync/Status", "12"),
    ),
}
DOCUMENTS = [
    *(pytest.param(refusals.deny(c, Version.V14_0), *DENIED[c], "129", id=c.value) for c in DENIED),
    *(pytest.param(*row, id=name) for name, row in WAITING_ENDED.items()),
]


def xml_of(said: str, status: str, page_prefix: str = "") -> str:
    """The XML that ``Page A/B/C`` stands for."""
    page, _, path = said.partition(" ")
    tags = [page_prefix + tag for tag in path.split("/")]
    opened = "".join(f"<{tag}>" for tag in tags)
    closed = "".join(f"</{tag}>" for tag in reversed(tags))
    if not page_prefix:
        opened = opened.replace(">", f' xmlns="{page}:">', 1)
    return f"{opened}{status}{closed}"


@pytest.mark.parametrize(("answer", "octets", "said", "status"), DOCUMENTS)
class TestDocuments:
    def test_octets(self, answer: Answer, octets: str, said: str, status: str) -> None:
        assert answer.body == bytes.fromhex(octets)
        assert (answer.status, answer.reason) == (200, "OK")
        assert dict(answer.headers) == {
            "Content-Type": "application/vnd.ms-sync.wbxml",
            "Cache-Control": "private, no-store",
        }

    def test_our_decoder(self, answer: Answer, octets: str, said: str, status: str) -> None:
        page, _, path = said.partition(" ")
        elements = list(walk(decode(answer.body)))
        assert "/".join(element.name for element in elements) == path
        assert {element.page_name for element in elements} == {page}
        assert elements[-1].text == status

    @needs_libwbxml
    @pytest.mark.live
    def test_libwbxml(self, answer: Answer, octets: str, said: str, status: str) -> None:
        if said.startswith("Find "):
            said = "FolderHierarchy unknown/unknown"  # that library ends at page 24: it reads the structure only
        assert libwbxml_xml(answer.body) == xml_of(said, status)


@pytest.mark.parametrize("command", sorted(set(DENIED) - {Command.MEETING_RESPONSE, Command.VALIDATE_CERT}))
def test_a_client_library_reads_refusals(command: Command) -> None:
    """It knows neither of the two pages left out."""
    octets, said = DENIED[command]
    page = said.partition(" ")[0].replace("GetItemEstimate", "ItemEstimate")
    assert client_xml(bytes.fromhex(octets)) == xml_of(said, "129", f"{page}.")


def walk(element: Element) -> Iterator[Element]:
    yield element
    for child in element.children:
        yield from walk(child)


def test_the_table_has_every_command() -> None:
    assert set(DENIED) == set(ROOTS) == set(Command) - set(WITHOUT_XML)


@pytest.mark.parametrize("version", STATUS_VERSIONS)
@pytest.mark.parametrize("command", DENIED)
def test_from_14_0_on_a_refusal_is_a_status(command: Command, version: Version) -> None:
    assert refusals.deny(command, version).body == bytes.fromhex(DENIED[command][0])


@pytest.mark.parametrize("version", HTTP_VERSIONS)
@pytest.mark.parametrize("command", Command)
def test_before_14_0_a_refusal_is_403_and_provision_is_refused_too(command: Command, version: Version | None) -> None:
    answer = refusals.deny(command, version)
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert dict(answer.headers)["Content-Type"].startswith("text/plain")
    assert "WWW-Authenticate" not in dict(answer.headers)
    assert b"blocked" in answer.body


@pytest.mark.parametrize("version", VERSIONS)
def test_an_attachment_is_refused_by_http_in_every_version(version: Version | None) -> None:
    assert refusals.deny(Command.GET_ATTACHMENT, version).status == 403


def said(app: str = "", note: str = "") -> str:
    answer = refusals.deny(Command.PROVISION, Version.V12_1, app, note)
    assert dict(answer.headers)["Content-Type"] == "text/plain; charset=utf-8"
    return answer.body.decode()


def test_a_refusal_by_http_says_why() -> None:
    assert said("TikTok (com.zhiliaoapp.musically)", "Gesperrt: größer.\nBitte entfernen.") == (
        "Mail on this device is blocked by your organization because of this app: TikTok (com.zhiliaoapp.musically)\n"
        "Gesperrt: größer.\nBitte entfernen."
    )
    assert said("TikTok").splitlines()[1] == "Ask your help desk."
    assert said(note="Remove it.").splitlines() == [
        "Mail on this device is blocked by your organization",
        "Remove it.",
    ]
    assert said() == BLOCKED_TEXT
    assert said("\r\n", " ") == BLOCKED_TEXT


@given(app=st.text(), note=st.text())
def test_whatever_is_said_stays_short_and_steers_nothing(app: str, note: str) -> None:
    text = said(app, note * 200)
    assert len(text) <= refusals.TEXT_LONGEST
    assert not set(text) & set("\x00\r\x1b\x7f\x9b\u202e\u2066")
    # One line for the app, whatever it calls itself: what follows is the organization's.
    assert "blocked by your organization" in text.splitlines()[0]


def test_a_long_name_leaves_room_for_the_organizations_words() -> None:
    text = said("x" * 5000, "Remove it.")
    assert text.splitlines()[1] == "Remove it."
    assert len(text) < 400
    assert len(said("TikTok", "x" * 5000)) == refusals.TEXT_LONGEST
    assert said("\ud800").splitlines()[0].endswith(": ?")


@pytest.mark.parametrize("version", STATUS_VERSIONS)
def test_a_status_has_no_room_for_words(version: Version) -> None:
    assert refusals.deny(Command.SYNC, version, "TikTok", "Remove it.") == refusals.deny(Command.SYNC, version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("command", sorted(set(Command) - {Command.PING, Command.SYNC}))
def test_what_does_not_wait_is_denied_or_deferred(command: Command, version: Version | None) -> None:
    assert refusals.cut(command, version) == refusals.deny(command, version)
    assert refusals.drained(command, version, 7) == refusals.defer(7)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_waiting_ping_ends_alike_in_every_version(version: Version | None) -> None:
    assert refusals.cut(Command.PING, version).body == bytes.fromhex("03016a00000d45470337000101")
    assert refusals.drained(Command.PING, version).body == bytes.fromhex("03016a00000d45470331000101")


@pytest.mark.parametrize("version", VERSIONS)
def test_sync_waits_from_12_1_on(version: Version | None) -> None:
    cut, drained = refusals.cut(Command.SYNC, version), refusals.drained(Command.SYNC, version)
    if version is None or version < Version.V12_1:
        assert cut == refusals.deny(Command.SYNC, version)
        assert drained.status == 503
    else:
        assert cut.body == bytes.fromhex("03016a00454e033132000101")
        assert (drained.status, drained.body) == (200, b"")
        assert "Content-Type" not in dict(drained.headers)


@pytest.mark.parametrize(("asked", "told"), [(30, "30"), (1, "1"), (0, "1"), (-5, "1")])
def test_deferring_names_a_time(asked: int, told: str) -> None:
    answer = refusals.defer(asked)
    assert answer.status == 503
    assert dict(answer.headers)["Retry-After"] == told


def test_a_challenge_for_missing_credentials() -> None:
    assert challenges(refusals.not_authenticated("mail")) == ['Basic realm="mail", charset="UTF-8"']
    assert challenges(refusals.not_authenticated("mail", bearer=True))[1] == 'Bearer realm="mail"'


@given(st.text())
def test_a_realm_cannot_leave_its_quotes(realm: str) -> None:
    (challenge,) = challenges(refusals.not_authenticated(realm))
    assert challenge.isascii()
    assert challenge.isprintable()
    inside = challenge.removeprefix('Basic realm="').removesuffix('", charset="UTF-8"')
    assert '"' not in inside.replace("\\\\", "").replace('\\"', "")


def challenges(answer: Answer) -> list[str]:
    assert answer.status == 401
    return [value for name, value in answer.headers if name == "WWW-Authenticate"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (refusals.malformed("the query is empty"), 400),
        (refusals.mismatch(), 400),
        (refusals.no_such_path(), 404),
        (refusals.content_too_large(), 413),
        (refusals.coded_content(), 415),
        (refusals.unknown_command(), 501),
    ],
)
def test_protocol_errors_are_plain_text(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert dict(answer.headers)["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.body.decode().isprintable()


# --- a wipe cannot be said -------------------------------------------------------------------------------------------

WIPES = {TAGS["Provision", "RemoteWipe"], TAGS["Provision", "AccountOnlyRemoteWipe"]}
BUILDERS: dict[str, Callable[..., Answer]] = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for module in (refusals, autodiscover)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and get_type_hints(function).get("return") is Answer
}
NASTY = st.one_of(st.text(), st.sampled_from(["140", "\x0c", "\x00\x0e\x4c", "<RemoteWipe/>", "&#12;\x01"]))
ARGUMENTS: dict[object, st.SearchStrategy[object]] = {
    Command: st.sampled_from(Command),
    Version | None: st.sampled_from(VERSIONS),
    int: st.one_of(st.integers(), st.sampled_from([140, 449, 12, 0x3B])),
    str: NASTY,
    bool: st.booleans(),
}


def test_wipe_tags_are_the_ones_of_the_standard() -> None:
    assert sorted(WIPES) == [(14, 0x0C), (14, 0x3B)]


def test_every_builder_is_covered() -> None:
    public = {name.rpartition(".")[2] for name in BUILDERS if not name.rpartition(".")[2].startswith("_")}
    assert {"deny", "defer", "cut", "drained", "not_authenticated", "malformed", "v2_answer"} <= public


@pytest.mark.parametrize("builder", [name for name in BUILDERS if "._" not in name])
@given(data=st.data())
def test_no_function_can_say_wipe(builder: str, data: st.DataObject) -> None:
    function = BUILDERS[builder]
    hints = get_type_hints(function)
    given_arguments = {name: data.draw(ARGUMENTS[hints[name]], name) for name in inspect.signature(function).parameters}
    assert_harmless(function(**given_arguments))


@given(command=st.sampled_from(sorted(ROOTS)), status=st.sampled_from(refusals._Status))
def test_not_even_the_private_writer_can_say_wipe(command: Command, status: refusals._Status) -> None:
    assert_harmless(refusals._document(command, status))


def test_140_is_no_status() -> None:
    assert sorted(int(status.value) for status in refusals._Status) == [1, 7, 12, 129]
    with pytest.raises(ValueError, match="140"):
        refusals._Status(b"140")


def assert_harmless(answer: Answer) -> None:
    """Neither a wipe nor a nudge to provision, which a back end may answer with a wipe of its own."""
    assert answer.status in (200, 400, 401, 403, 404, 413, 415, 501, 503)
    kind = dict(answer.headers).get("Content-Type", "").partition(";")[0]
    if kind == "application/json":
        assert isinstance(json.loads(answer.body), dict)
        return
    if kind != "application/vnd.ms-sync.wbxml":
        assert kind in ("", "text/plain", "text/xml")
        return
    for element in walk(decode(answer.body)):
        assert (element.page, element.tag) not in WIPES
        assert element.characters() in ("", "1", "7", "12", "129")
