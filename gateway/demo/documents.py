"""ActiveSync documents as the demo's phone and mailbox server write and read them ([MS-ASCMD] 2.2.1).

A writer for five code pages, which are all that reading mail takes. Provision is not among them, so neither end of the
demo can ask for a wipe or be asked for one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.domain.errors import InvalidValue
from gateway.protocols.activesync.code_pages import TAGS
from gateway.protocols.activesync.wbxml import END, HAS_CONTENT, STR_I, SWITCH_PAGE, Element

PAGES = frozenset({"AirSync", "AirSyncBase", "Email", "FolderHierarchy", "Ping"})

_HEADER = b"\x03\x01\x6a\x00"


@dataclass(frozen=True, slots=True)
class Tag:
    """An element to be written, by its page and name."""

    page: str
    name: str
    content: tuple["Tag | str", ...] = ()


def tag(name: str, *content: Tag | str) -> Tag:
    """An element; ``name`` is like ``AirSync:SyncKey``. Raises ``InvalidValue`` for any other page."""
    page, _, word = name.partition(":")
    if page not in PAGES or (page, word) not in TAGS:
        raise InvalidValue(f"the demo has no element {name}")
    return Tag(page, word, content)


def written(root: Tag) -> bytes:
    """The document as octets."""
    octets = bytearray(_HEADER)
    _write(root, 0, octets)
    return bytes(octets)


def _write(element: Tag, page: int, octets: bytearray) -> int:
    """Append an element; the page in force behind it."""
    wanted, token = TAGS[element.page, element.name]
    if wanted != page:
        octets += bytes((SWITCH_PAGE, wanted))
    octets.append(token | (HAS_CONTENT if element.content else 0))
    page = wanted
    for child in element.content:
        if isinstance(child, Tag):
            page = _write(child, page, octets)
        else:
            octets += bytes((STR_I,)) + child.replace("\0", "").encode() + b"\0"
    if element.content:
        octets.append(END)
    return page


def every(element: Element, name: str) -> Iterator[Element]:
    """Every element of that name below ``element``, in order."""
    page, _, word = name.partition(":")
    place = TAGS[page, word]
    for child in element.children:
        if (child.page, child.tag) == place:
            yield child
        yield from every(child, name)


def text(element: Element, name: str) -> str:
    """The characters of the first element of that name; empty when there is none."""
    return next((found.characters() for found in every(element, name)), "")
