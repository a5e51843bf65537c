"""The spellings of Transfer-Encoding that the tool "smuggler" tries in its exhaustive set, each of its 668.

They are four places of one odd octet, of 160 octets each, and 28 of their own. As there, the coding stands before a
length that covers an empty chunked body and one octet more: whoever goes by the coding finds that octet left over,
whoever goes by the length does not.
"""

from tests.hostile.case import INNOCENT, framed
from tests.hostile.hostile_client import HostileClient
from tests.hostile.receiving import receiver
from tests.support.fronted import fronted

ODD = [*range(0x01, 0x20), *range(0x7F, 0x100)]
PLACES = {
    "mid": b"Transfer-Encoding:%cchunked",
    "post": b"Transfer-Encoding%c: chunked",
    "pre": b"%cTransfer-Encoding: chunked",
    "end": b"Transfer-Encoding: chunked%c",
}
NAMED = {
    "nameprefix1": b" Transfer-Encoding: chunked",
    "tabprefix1": b"Transfer-Encoding:\tchunked",
    "tabprefix2": b"Transfer-Encoding\t:\tchunked",
    "spacejoin1": b"Transfer Encoding: chunked",
    "underjoin1": b"Transfer_Encoding: chunked",
    "smashed": b"Transfer Encoding:chunked",
    "space1": b"Transfer-Encoding : chunked",
    "valueprefix1": b"Transfer-Encoding:  chunked",
    "vertprefix1": b"Transfer-Encoding:\x0bchunked",
    "commaCow": b"Transfer-Encoding: chunked, cow",
    "cowComma": b"Transfer-Encoding: cow, chunked",
    "contentEnc": b"Content-Encoding: chunked",
    "linewrapped1": b"Transfer-Encoding:\n chunked",
    "quoted": b'Transfer-Encoding: "chunked"',
    "aposed": b"Transfer-Encoding: 'chunked'",
    "lazygrep": b"Transfer-Encoding: chunk",
    "sarcasm": b"TrAnSFer-EnCODinG: cHuNkeD",
    "yelling": b"TRANSFER-ENCODING: CHUNKED",
    "0dsuffix": b"Transfer-Encoding: chunked\r",
    "tabsuffix": b"Transfer-Encoding: chunked\t",
    "revdualchunk": b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked",
    "0dspam": b"Transfer\r-Encoding: chunked",
    "nested": b"Transfer-Encoding: cow chunked bar",
    "spaceFF": b"Transfer-Encoding:\xffchunked",
    "accentCH": b"Transfer-Encoding: ch\x96nked",
    "accentTE": b"Transf\x82r-Encoding: chunked",
    "x-rout": b"X:X\rTransfer-Encoding: chunked",
    "x-nout": b"X:X\nTransfer-Encoding: chunked",
}
MUTATIONS = NAMED | {f"{place}space-{odd:02x}": spelled % odd for place, spelled in PLACES.items() for odd in ODD}
HARMLESS = {
    # Another header than Transfer-Encoding: the length counts, the octet belongs to a body that is no Sync (400), or
    # whose coding is refused (415). The connection stays, and what is behind gets its own answer.
    "underjoin1": 400,
    "contentEnc": 415,
}


async def test_no_spelling_of_a_coding_beside_a_length_is_passed_on() -> None:
    assert len(MUTATIONS) == 668
    async with receiver() as server, fronted(server.url) as gateway:
        for login in ("anna", "bert"):
            gateway.clean(login, "phone1")
        for name, spelled in MUTATIONS.items():
            if name not in HARMLESS:
                assert await answered(gateway.url, spelled) == [400], name
        assert server.reached == []
        for name, status in HARMLESS.items():
            assert await answered(gateway.url, MUTATIONS[name]) == [status, 200]
        assert [each.user for each in server.reached] == [b"bert"] * len(HARMLESS)
        assert server.wrong == []


async def answered(url: str, spelled: bytes) -> list[int]:
    """The statuses of all answers, an innocent request standing behind: until the connection ends, at most two."""
    client = await HostileClient.connected(url)
    await client.send_in(framed(spelled, b"Content-Length: 6", body=b"0\r\n\r\nX") + INNOCENT)
    statuses: list[int] = []
    while len(statuses) < 2 and (status := (await client.answer())[0]):
        statuses.append(status)
    await client.close()
    return statuses
