"""Transfer-Encoding in spellings that one reader takes for chunked and another does not.

Each stands beside a length that is right, so whoever does not see a coding finds a whole request.
"""

from tests.hostile.case import SYNC, Case, bare, case, chunked, chunks, framed, usual

_BODY = chunks(SYNC)


def _beside(name: str, tries: str, published: str, *spelled: bytes, gets: str = "400 close") -> Case:
    """The spelling and a right length, the body being chunks."""
    return case(name, tries, published, framed(*spelled, b"Content-Length: %d" % len(_BODY), body=_BODY), gets)


def _alone(
    name: str, tries: str, published: str, *spelled: bytes, gets: str = "400 close", body: bytes = _BODY
) -> Case:
    return case(name, tries, published, framed(*spelled, body=body), gets)


VALUES = (
    _alone("chunked", "as it should be", "RFC 9112 §7.1; COMP-CHUNKED-BODY", b"Transfer-Encoding: chunked", gets="200"),
    _alone(
        "upper-case",
        "CHUNKED",
        "RFC 9112 §7; SMUG-TE-CASE-MISMATCH; smuggler yelling",
        b"TRANSFER-ENCODING: CHUNKED",
        gets="200",
    ),
    _alone("mixed-case", "cHuNkeD", "smuggler sarcasm; NORM-CASE-TE", b"TrAnSFer-EnCODinG: cHuNkeD", gets="200"),
    _alone(
        "tab-before-value",
        "a tab for the blank",
        "SMUG-TE-TAB-BEFORE-VALUE; smuggler tabprefix1",
        b"Transfer-Encoding:\tchunked",
    ),
    _alone(
        "no-blank",
        "no blank behind the colon",
        "RFC 9112 §5; http-request-smuggler nospace1",
        b"Transfer-Encoding:chunked",
        gets="200",
    ),
    _alone("two-blanks", "two blanks", "smuggler valueprefix1", b"Transfer-Encoding:  chunked", gets="200"),
    _alone(
        "blank-behind", "a blank behind the value", "SMUG-TE-TRAILING-SPACE", b"Transfer-Encoding: chunked ", gets="200"
    ),
    _alone("tab-behind", "a tab behind the value", "smuggler tabsuffix", b"Transfer-Encoding: chunked\t"),
    _alone(
        "unknown-coding",
        "gzip around the chunks: not understood",
        "RFC 9112 §6.1; COMP-UNKNOWN-TE-501",
        b"Transfer-Encoding: gzip, chunked",
        gets="501 close",
    ),
    _alone(
        "cow-comma",
        "an unknown coding first",
        "smuggler cowComma",
        b"Transfer-Encoding: cow, chunked",
        gets="501 close",
    ),
    _alone(
        "comma-cow",
        "chunked is not the last coding",
        "smuggler commaCow; SMUG-TE-NOT-FINAL-CHUNKED",
        b"Transfer-Encoding: chunked, cow",
    ),
    _alone(
        "chunked-twice-in-one",
        "chunked, chunked",
        "RFC 9112 §6.1; SMUG-TE-DOUBLE-CHUNKED",
        b"Transfer-Encoding: chunked, chunked",
    ),
    _alone("chunked-identity", "chunked, identity", "CVE-2021-33037 (Tomcat)", b"Transfer-Encoding: chunked, identity"),
    _alone(
        "identity",
        "identity, which is no coding any more",
        "SMUG-TE-IDENTITY; CVE-2021-33037 (Tomcat)",
        b"Transfer-Encoding: identity",
        body=SYNC,
    ),
    _alone(
        "xchunked",
        "a word that ends like it",
        "SMUG-TE-XCHUNKED; HTTP Desync Attacks (2019)",
        b"Transfer-Encoding: xchunked",
    ),
    _alone("chunk", "a word that begins like it", "smuggler lazygrep", b"Transfer-Encoding: chunk"),
    _alone(
        "chunked-with-parameter",
        "chunked;ext=val",
        "RFC 9112 §7.1; SMUG-CHUNKED-WITH-PARAMS",
        b"Transfer-Encoding: chunked;ext=val",
    ),
    _alone(
        "leading-comma",
        ", chunked",
        "SMUG-TE-LEADING-COMMA; http-garden server bug 21, proxy bugs 9 and 18",
        b"Transfer-Encoding: , chunked",
    ),
    _alone("trailing-comma", "chunked,", "SMUG-TE-TRAILING-COMMA", b"Transfer-Encoding: chunked,"),
    _alone("empty", "no value", "SMUG-TE-EMPTY-VALUE", b"Transfer-Encoding:"),
    _alone("double-quoted", '"chunked"', "smuggler quoted", b'Transfer-Encoding: "chunked"'),
    _alone("single-quoted", "'chunked'", "smuggler aposed", b"Transfer-Encoding: 'chunked'"),
    _alone("words", "cow chunked bar", "smuggler nested", b"Transfer-Encoding: cow chunked bar"),
    _alone("unknown-alone", "a coding nobody knows", "http-garden server bug 44", b"Transfer-Encoding: blegh"),
    _alone(
        "zero-minor",
        "a coding in HTTP/1.0",
        "RFC 9112 §6.1; SMUG-TE-HTTP10; CVE-2021-33037 (Tomcat)",
        b"Transfer-Encoding: chunked",
    ),
)

_OLD = framed(b"Transfer-Encoding: chunked", body=_BODY).replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)
VALUES = (*VALUES[:-1], case("http-1.0", VALUES[-1].tries, VALUES[-1].published, _OLD, "400 close"))

OBSCURED = (
    _beside(
        "vertical-tab",
        "\\x0bchunked",
        "CVE-2019-18277 (HAProxy); SMUG-TE-VTAB; smuggler vertprefix1",
        b"Transfer-Encoding: \x0bchunked",
    ),
    _beside(
        "form-feed", "\\x0cchunked", "SMUG-TE-FORMFEED; CVE-2019-16789 (Waitress)", b"Transfer-Encoding: \x0cchunked"
    ),
    _beside("nul-behind", "chunked\\0", "SMUG-TE-NULL", b"Transfer-Encoding: chunked\0"),
    _beside("cr-behind", "chunked\\r", "smuggler 0dsuffix", b"Transfer-Encoding: chunked\r"),
    _beside(
        "ff-before", "\\xffchunked", "smuggler spaceFF; http-garden server bug 46", b"Transfer-Encoding: \xffchunked"
    ),
    _beside("no-break-space", "\\xa0chunked\\xa0", "http-garden server bug 12", b"Transfer-Encoding: \xa0chunked\xa0"),
    _beside("accent", "a letter of Latin-1 within", "smuggler accentCH", b"Transfer-Encoding: ch\x96nked"),
    _beside(
        "long-s",
        "a letter that becomes another one in upper case",
        "http-request-smuggler; Node.js toLowerCase",
        "Transfer-Encoding: chunﬀed".encode(),
    ),
    _beside("kelvin", "a sign whose lower case is k", "HDiff (2022)", "Transfer-Encoding: chun\u212aed".encode()),
    _beside(
        "backslash", "chunked behind a backslash", "http-request-smuggler backslash", b"Transfer-Encoding: \\chunked"
    ),
    _beside(
        "unknown-beside-length",
        "a coding nobody knows beside a length",
        "http-garden proxy bug 15; CVE-2022-1705 (Go)",
        b"Transfer-Encoding: foo",
    ),
    _beside(
        "chunked-beside-length-and-comma",
        ",chunked beside a length",
        "SMUG-CLTE-SMUGGLED-GET-TE-LEADING-COMMA",
        b"Transfer-Encoding: ,chunked",
    ),
    _beside(
        "case-beside-length",
        "Chunked beside a length",
        "SMUG-CLTE-SMUGGLED-GET-TE-CASE-MISMATCH",
        b"Transfer-Encoding: Chunked",
    ),
    _beside(
        "blank-behind-beside-length",
        "a blank behind, beside a length",
        "SMUG-CLTE-SMUGGLED-GET-TE-TRAILING-SPACE",
        b"Transfer-Encoding: chunked ",
    ),
    _beside(
        "folded",
        "the value on the next line",
        "SMUG-TE-OBS-FOLD; smuggler linewrapped1; CVE-2022-32215 (llhttp)",
        b"Transfer-Encoding:\r\n chunked",
    ),
    _beside(
        "folded-tab",
        "the value on the next line, behind a tab",
        "SMUG-CLTE-SMUGGLED-GET-TE-OBS-FOLD; http-request-smuggler tabwrap",
        b"Transfer-Encoding:\r\n\tchunked",
    ),
    _beside(
        "folded-by-lf",
        "the value behind a bare LF and a blank",
        "smuggler linewrapped1",
        b"Transfer-Encoding:\n chunked",
    ),
    _beside(
        "folded-twice",
        "a coding, and another one on the next line",
        "CVE-2022-32215 (llhttp)",
        b"Transfer-Encoding: chunked\r\n , identity",
    ),
    _beside(
        "name-across-lines", "Transfer-<CRLF>Encoding", "http-garden server bug 37", b"Transfer-\r\nEncoding: chunked"
    ),
    _beside("cr-in-name", "Transfer\\r-Encoding", "smuggler 0dspam", b"Transfer\r-Encoding: chunked"),
    _beside("accent-in-name", "a letter of Latin-1 in the name", "smuggler accentTE", b"Transf\x82r-Encoding: chunked"),
    _beside(
        "blank-before-colon",
        "Transfer-Encoding : chunked",
        "SMUG-TE-SP-BEFORE-COLON; CVE-2019-16869 (Netty); smuggler space1",
        b"Transfer-Encoding : chunked",
    ),
    _beside(
        "tab-before-colon",
        "Transfer-Encoding<TAB>: chunked",
        "smuggler tabprefix2; CVE-2020-7238 (Netty)",
        b"Transfer-Encoding\t: chunked",
    ),
    _beside(
        "indented",
        "a blank before the name",
        "smuggler nameprefix1; CVE-2024-27982 (Node.js)",
        b" Transfer-Encoding: chunked",
    ),
    _beside("indented-by-tab", "a tab before the name", "smuggler prespace-09", b"\tTransfer-Encoding: chunked"),
    _beside("blank-in-name", "Transfer Encoding", "smuggler spacejoin1", b"Transfer Encoding: chunked"),
    _beside("smashed", "Transfer Encoding:chunked", "smuggler smashed", b"Transfer Encoding:chunked"),
    _beside(
        "behind-bare-cr",
        "X: x\\rTransfer-Encoding",
        "smuggler x-rout; CVE-2023-30589 (llhttp)",
        b"X: x\rTransfer-Encoding: chunked",
    ),
    _beside(
        "behind-bare-lf",
        "X: x\\nTransfer-Encoding",
        "smuggler x-nout; CVE-2022-32214 (llhttp)",
        b"X: x\nTransfer-Encoding: chunked",
    ),
    _beside(
        "colon-before",
        "an empty name before it",
        "http-garden server bugs 18 and 27; CVE-2023-25725 (HAProxy)",
        b":",
        b"Transfer-Encoding: chunked",
    ),
    _beside(
        "underscore",
        "Transfer_Encoding, which gateway interfaces read as Transfer-Encoding",
        "smuggler underjoin1; NORM-UNDERSCORE-TE; SMUG-TRANSFER_ENCODING",
        b"Transfer_Encoding: chunked",
        gets="400",
    ),
)

SEVERAL = (
    _alone(
        "twice",
        "the same line twice",
        "http-garden server bug 11, proxy bug 25; CVE-2020-8287 (Node.js)",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: chunked",
    ),
    _alone(
        "cow-and-chunked",
        "an unknown one, then chunked",
        "smuggler revdualchunk; CVE-2024-1135 (gunicorn)",
        b"Transfer-Encoding: cow",
        b"Transfer-Encoding: chunked",
    ),
    _alone(
        "chunked-and-cow",
        "chunked, then an unknown one",
        "HTTP Desync Attacks (2019) TE.TE",
        b"Transfer-Encoding: chunked",
        b"Transfer-encoding: cow",
    ),
    _alone(
        "chunked-and-identity",
        "chunked, then identity",
        "HTTP Desync Attacks (2019); CVE-2020-8287 (Node.js)",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
    ),
    _alone(
        "chunked-and-empty",
        "chunked, then nothing",
        "CVE-2024-1135 (gunicorn)",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding:",
    ),
    _beside(
        "twice-beside-length",
        "two codings and a length",
        "SMUG-TE-DUPLICATE-HEADERS; SMUG-TE-DUPLICATE-HEADERS-SMUGGLED-GET",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
    ),
)

NEIGHBOURS = (
    case(
        "folded-in-options",
        "OPTIONS with a folded coding beside a length",
        "SMUG-OPTIONS-TE-OBS-FOLD; CVE-2025-32094 (Akamai)",
        bare(b"OPTIONS / HTTP/1.1", b"Transfer-Encoding:\r\n chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
        "400 close",
    ),
    case(
        "content-encoding",
        "Content-Encoding: chunked, which is no framing",
        "smuggler contentEnc",
        usual(b"Content-Encoding: chunked"),
        "415",
    ),
    case(
        "te",
        "TE: chunked says what may be answered, not what is sent",
        "RFC 9110 §10.1.4",
        usual(b"TE: chunked, trailers"),
        "200",
    ),
    case(
        "te-named-in-connection",
        "Connection: TE with TE: trailers",
        "RFC 9110 §10.1.4",
        usual(b"TE: trailers", without=b"connection"),
        "200",
    ),
    case(
        "x-transfer-encoding",
        "a header that ends like it",
        "http-request-smuggler",
        usual(b"X-Transfer-Encoding: chunked"),
        "200",
    ),
    case(
        "coding-named-in-connection",
        "Connection: Transfer-Encoding has a proxy drop the coding",
        "Abusing hop-by-hop headers (2019)",
        chunked(_BODY).replace(b"Connection: keep-alive", b"Connection: Transfer-Encoding"),
        "200",
    ),
)

CASES = VALUES + OBSCURED + SEVERAL + NEIGHBOURS
