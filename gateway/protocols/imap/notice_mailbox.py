"""A mailbox with one message that says why there is no mail, for a client whose login a verdict refuses.

It is spoken in the place of the mail server, which knows nothing of it: whatever a client does changes nothing there.
What a client would change here stays with it: flags hold for the session, whatever would add, move or take away mail
is refused, so that the client keeps it for later (RFC 5530 §3, NOPERM). INBOX is selected READ-WRITE, since programs
give up at READ-ONLY, and has a UIDVALIDITY of its own (``notice_message``). No extension is offered that remembers
anything.
"""

import re
from collections.abc import Callable
from typing import Final

from gateway.protocols.imap import notice_fetch
from gateway.protocols.imap.commands import BadCommand, Head, arguments_of, head_of, read_id, tag_of, without_arguments
from gateway.protocols.imap.framing import Announced, CommandFramer, Framed
from gateway.protocols.imap.notice_message import UIDVALIDITY, Notice
from gateway.protocols.imap.sequence_set import holds
from gateway.protocols.lines import Unframeable
from gateway.protocols.login import Ended, Said

CAPABILITIES: Final = b"IMAP4rev1 ID IDLE NAMESPACE UNSELECT"
BAD_COMMANDS_MOST: Final = 20
_RELEASED: Final = b"* BYE Mail on this device is allowed again. Connect anew.\r\n"
_REFUSED: Final = "Mail on this device is blocked. See the message in the Inbox."
_SELF: Final = b'* ID ("name" "Gatepost")\r\n'
_KEPT: Final = (b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Draft")
"""Flags that a client may set; they hold for the session."""
_CHANGES: Final = frozenset((b"APPEND", b"COPY", b"MOVE", b"CREATE", b"DELETE", b"RENAME"))
_NAMES: Final = frozenset((b"SELECT", b"EXAMINE", b"STATUS", b"LIST", b"LSUB", b"XLIST", b"SUBSCRIBE", b"UNSUBSCRIBE"))
"""Commands in which a literal is of use."""
_STORE: Final = re.compile(rb"([0-9:,*]{1,4096}+) ++([+-]?)(FLAGS)(\.SILENT)? ++\(?([^()]{0,500}+)\)?\Z", re.IGNORECASE)
_SET: Final = re.compile(rb"([0-9:,*]{1,4096}+) ++(.++)\Z", re.DOTALL)
_FALSE: Final = frozenset((b"NEW", b"RECENT", b"DELETED", b"DRAFT"))
_FLAG_KEYS: Final = {b"SEEN": b"\\Seen", b"ANSWERED": b"\\Answered", b"FLAGGED": b"\\Flagged"}
_PATTERN_LONGEST: Final = 64


class NoticeMailbox:
    """One session, from the answer to its login on."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._framer = CommandFramer(passes_over=True)
        self._flags: set[bytes] = set()
        self._selected = False
        self._writable = False
        self._idle = b""
        """The tag of the IDLE that is under way."""
        self._bad = 0
        self._over = False
        self._overrun = False

    def logged_in(self, tag: bytes) -> bytes:
        """The answer to the login."""
        return b"%b OK [CAPABILITY %b] Logged in; mail is blocked.\r\n" % (tag, CAPABILITIES)

    def receive(self, octets: bytes) -> None:
        """Octets of the client; then take events until there is none."""
        try:
            self._framer.receive(octets)
        except Unframeable:
            self._overrun = True

    @property
    def crowded(self) -> bool:
        """Whether nothing more may be received until something was taken."""
        return self._framer.crowded

    @property
    def released(self) -> bytes:
        """What is said unasked when mail is allowed again; an answer of ours is never half sent."""
        return _RELEASED

    @property
    def at_rest(self) -> bool:
        """Whether no command is half sent."""
        return self._framer.empty

    def next(self) -> Said | Ended | None:
        """What is to be said next; None: nothing until more octets have come."""
        if self._over:
            return None
        if self._overrun:
            return self._end(b"* BYE Too much was sent at once.\r\n", "too_much_waiting")
        try:
            return self._step()
        except Unframeable as error:
            return self._end(b"* BYE The command is too long or malformed.\r\n", error.reason)

    def _step(self) -> Said | Ended | None:
        if self._idle:
            line = self._framer.line()
            return None if line is None else self._done(line)
        command = self._framer.next()
        if command is None:
            return None
        line = command.line if isinstance(command, Announced) else command.lines[0]
        head = head_of(line)
        if head is None:
            if isinstance(command, Announced):
                self._framer.drop()
            return self._bad_command(tag_of(line), "There is no such command.")
        if isinstance(command, Announced):
            return self._announced(command, head)
        try:
            return self._answer(head, command)
        except BadCommand:
            return self._bad_command(head.tag, "The arguments are malformed.")

    def _announced(self, announced: Announced, head: Head) -> Said | Ended:
        """A literal that is not asked for does not come (RFC 9051 §4.3): of a large message not one octet."""
        if head.verb in _NAMES and announced.allowed:
            self._framer.go_on()
            return Said(b"+ OK\r\n")
        self._framer.drop()
        if head.verb in _CHANGES:
            return self._refused(head.tag)
        return self._bad_command(head.tag, "No literal is expected here.")

    def _done(self, line: bytes) -> Said | Ended:
        tag, self._idle = self._idle, b""
        if line.upper() == b"DONE":
            return Said(b"%b OK IDLE completed.\r\n" % tag)
        return self._bad_command(tag, "DONE is expected.")

    # --- commands

    def _answer(self, head: Head, command: Framed) -> Said | Ended:
        tag, verb = head
        if verb == b"LOGOUT":
            without_arguments(command)
            return self._end(b"* BYE Logging out.\r\n%b OK LOGOUT completed.\r\n" % tag, "logout")
        if verb in _CHANGES:
            return self._refused(tag)
        if verb == b"UID":
            return self._by_uid(tag, command)
        if verb in _IN_A_MAILBOX:
            if not self._selected:
                return self._bad_command(tag, "No mailbox is selected.")
            return _IN_A_MAILBOX[verb](self, tag, _words(command), False)
        found = _ANYWHERE.get(verb)
        return self._bad_command(tag, "There is no such command.") if found is None else found(self, tag, command)

    def _by_uid(self, tag: bytes, command: Framed) -> Said | Ended:
        arguments = arguments_of(command)
        arguments.blanks()
        verb = arguments.word()
        if verb in _CHANGES:
            return self._refused(tag)
        found = _IN_A_MAILBOX.get(verb)
        if found is None or not self._selected or verb in (b"CHECK", b"CLOSE", b"UNSELECT"):
            return self._bad_command(tag, "There is no such command, or no mailbox is selected.")
        return found(self, tag, arguments.rest(), True)

    def _capability(self, tag: bytes, command: Framed) -> Said:
        without_arguments(command)
        return self._completed(tag, b"CAPABILITY", b"* CAPABILITY %b\r\n" % CAPABILITIES)

    def _id(self, tag: bytes, command: Framed) -> Said:
        read_id(command)
        return self._completed(tag, b"ID", _SELF)

    def _noop(self, tag: bytes, command: Framed) -> Said:
        without_arguments(command)
        return self._completed(tag, b"NOOP")

    def _enable(self, tag: bytes, command: Framed) -> Said:
        return self._completed(tag, b"ENABLE", b"* ENABLED\r\n")

    def _namespace(self, tag: bytes, command: Framed) -> Said:
        without_arguments(command)
        return self._completed(tag, b"NAMESPACE", b'* NAMESPACE (("" "/")) NIL NIL\r\n')

    def _start_idle(self, tag: bytes, command: Framed) -> Said:
        without_arguments(command)
        self._idle = tag
        return Said(b"+ idling\r\n")

    def _list(self, tag: bytes, command: Framed) -> Said:
        arguments = arguments_of(command)
        verb = (head_of(command.lines[0]) or Head(b"", b"LIST")).verb
        arguments.blanks()
        reference = arguments.astring()
        arguments.blanks()
        pattern = arguments.astring()
        arguments.end()
        found = b""
        if not pattern and verb == b"LIST":
            # The hierarchy's delimiter is asked for (RFC 9051 §6.3.9).
            found = b'* LIST (\\Noselect) "/" ""\r\n'
        elif _matches_inbox(reference + pattern):
            found = b'* %b (\\HasNoChildren) "/" INBOX\r\n' % verb
        return self._completed(tag, verb, found)

    def _subscribe(self, tag: bytes, command: Framed) -> Said:
        _name(command)
        return self._completed(tag, b"SUBSCRIBE")

    def _status(self, tag: bytes, command: Framed) -> Said | Ended:
        arguments = arguments_of(command)
        arguments.blanks()
        if arguments.astring().upper() != b"INBOX":
            return Said(b"%b NO [NONEXISTENT] %b\r\n" % (tag, _REFUSED.encode()))
        arguments.blanks()
        asked = arguments.rest()
        if not (asked.startswith(b"(") and asked.endswith(b")")):
            raise BadCommand("a list is wanted")
        figures = {
            b"MESSAGES": 1,
            b"RECENT": 0,
            b"UIDNEXT": self._notice.uid + 1,
            b"UIDVALIDITY": UIDVALIDITY,
            b"UNSEEN": int(b"\\Seen" not in self._flags),
            b"DELETED": 0,
            b"SIZE": len(self._notice.octets),
        }
        words = [word for word in asked[1:-1].upper().split() if word in figures]
        said = b" ".join(b"%b %d" % (word, figures[word]) for word in words)
        return self._completed(tag, b"STATUS", b"* STATUS INBOX (%b)\r\n" % said)

    def _select(self, tag: bytes, command: Framed) -> Said | Ended:
        verb = (head_of(command.lines[0]) or Head(b"", b"SELECT")).verb
        self._selected = False
        if _name(command).upper() != b"INBOX":
            return Said(b"%b NO [NONEXISTENT] %b\r\n" % (tag, _REFUSED.encode()))
        self._selected, self._writable = True, verb == b"SELECT"
        said = (
            b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n"
            b"* OK [PERMANENTFLAGS ()] Flags hold for this session.\r\n"
            b"* 1 EXISTS\r\n* 0 RECENT\r\n"
            b"* OK [UIDVALIDITY %d] Of the notice.\r\n* OK [UIDNEXT %d] Next.\r\n"
        ) % (UIDVALIDITY, self._notice.uid + 1)
        # Python's imaplib, and whatever is built on it, gives up where SELECT says READ-ONLY.
        mode = b"READ-WRITE" if self._writable else b"READ-ONLY"
        return Said(said + b"%b OK [%b] %b completed.\r\n" % (tag, mode, verb))

    # --- in a mailbox

    def _check(self, tag: bytes, words: bytes, by_uid: bool) -> Said:
        return self._completed(tag, b"CHECK")

    def _expunge(self, tag: bytes, words: bytes, by_uid: bool) -> Said:
        # Nothing can be marked as deleted.
        return self._completed(tag, b"EXPUNGE")

    def _close(self, tag: bytes, words: bytes, by_uid: bool) -> Said:
        self._selected = False
        return self._completed(tag, b"CLOSE")

    def _fetch(self, tag: bytes, words: bytes, by_uid: bool) -> Said:
        found = _SET.match(words)
        if found is None:
            raise BadCommand("a set and items are wanted")
        items = notice_fetch.items_of(found[2])
        if not self._holds(found[1], by_uid=by_uid):
            return self._completed(tag, b"FETCH")
        names = [item.name for item in items]
        if by_uid and b"UID" not in names:
            items.insert(0, *notice_fetch.items_of(b"UID"))
        if self._writable and b"\\Seen" not in self._flags and any(item.sees for item in items):
            self._flags.add(b"\\Seen")
            if b"FLAGS" not in names:
                items += notice_fetch.items_of(b"FLAGS")
        answered = notice_fetch.answered(self._notice, items, self._listed_flags())
        return self._completed(tag, b"FETCH", b"* 1 FETCH (%b)\r\n" % answered)

    def _store(self, tag: bytes, words: bytes, by_uid: bool) -> Said:
        found = _STORE.match(words)
        if found is None:
            raise BadCommand("a set and flags are wanted")
        flags = {_KNOWN_FLAGS.get(flag.lower(), b"") for flag in found[5].split()}
        if b"\\Deleted" in flags and found[2] != b"-":
            return self._refused(tag)
        if not self._writable:
            return Said(b"%b NO [NOPERM] The mailbox is open for reading.\r\n" % tag)
        if not self._holds(found[1], by_uid=by_uid):
            return self._completed(tag, b"STORE")
        kept = flags & set(_KEPT)
        self._flags = {b"+": self._flags | kept, b"-": self._flags - kept}.get(found[2], kept)
        uid = b"UID %d " % self._notice.uid if by_uid else b""
        told = b"" if found[4] else b"* 1 FETCH (%bFLAGS %b)\r\n" % (uid, self._listed_flags())
        return self._completed(tag, b"STORE", told)

    def _search(self, tag: bytes, words: bytes, by_uid: bool) -> Said:
        keys = words.upper().split()
        if keys[:1] == [b"CHARSET"]:
            keys = keys[2:]
        if not keys or keys[0] == b"RETURN":
            raise BadCommand("criteria are wanted, and no options")
        hit = b" %d" % (self._notice.uid if by_uid else 1) if self._meets(keys) else b""
        return self._completed(tag, b"SEARCH", b"* SEARCH%b\r\n" % hit)

    def _meets(self, keys: list[bytes]) -> bool:
        """Whether the message meets what is asked for, as far as it is by flags and numbers; it meets all the rest."""
        if any(key.startswith((b"(", b"NOT", b"OR")) for key in keys):
            return True
        for at, key in enumerate(keys):
            flag = _FLAG_KEYS.get(key.removeprefix(b"UN"))
            if key in _FALSE or (flag is not None and (flag in self._flags) == key.startswith(b"UN")):
                return False
            number_set = re.fullmatch(rb"[0-9:,*]+", key) is not None
            if number_set and at and keys[at - 1] == b"UID":
                if not self._holds(key, by_uid=True):
                    return False
            elif number_set and not at and not self._holds(key, by_uid=False):
                return False
        return True

    def _holds(self, numbers: bytes, *, by_uid: bool) -> bool:
        return holds(numbers, self._notice.uid if by_uid else 1)

    def _listed_flags(self) -> bytes:
        return b"(%b)" % b" ".join(flag for flag in _KEPT if flag in self._flags)

    # --- answers

    def _completed(self, tag: bytes, verb: bytes, said: bytes = b"") -> Said:
        return Said(b"%b%b OK %b completed.\r\n" % (said, tag, verb))

    def _refused(self, tag: bytes) -> Said:
        return Said(b"%b NO [NOPERM] %b\r\n" % (tag, _REFUSED.encode()))

    def _bad_command(self, tag: bytes, sentence: str) -> Said | Ended:
        self._bad += 1
        answer = b"%b BAD %b\r\n" % (tag, sentence.encode())
        if self._bad >= BAD_COMMANDS_MOST:
            return self._end(answer + b"* BYE Too many invalid commands.\r\n", "too_many_bad_commands")
        return Said(answer)

    def _end(self, octets: bytes, reason: str) -> Ended:
        self._over = True
        self._framer.rest()
        return Ended(octets, reason)


_KNOWN_FLAGS: Final = {flag.lower(): flag for flag in (*_KEPT, b"\\Deleted")}


def _words(command: Framed) -> bytes:
    """What stands behind a command's name."""
    return arguments_of(command).rest()


def _name(command: Framed) -> bytes:
    """The mailbox that is a command's one argument; parameters of extensions are left out (RFC 4466 §2.1)."""
    arguments = arguments_of(command)
    arguments.blanks()
    name = arguments.astring()
    if not arguments.follows(b" ("):
        arguments.end()
    return name


def _matches_inbox(pattern: bytes) -> bool:
    """Whether a name with wildcards is met by INBOX (RFC 9051 §6.3.9)."""
    if len(pattern) > _PATTERN_LONGEST:
        return False
    bare = re.sub(rb"[*%]+", b"*", pattern.upper())
    return re.fullmatch(re.escape(bare).replace(rb"\*", b".*"), b"INBOX") is not None


_ANYWHERE: Final[dict[bytes, Callable[[NoticeMailbox, bytes, Framed], Said | Ended]]] = {
    b"CAPABILITY": NoticeMailbox._capability,
    b"ENABLE": NoticeMailbox._enable,
    b"EXAMINE": NoticeMailbox._select,
    b"ID": NoticeMailbox._id,
    b"IDLE": NoticeMailbox._start_idle,
    b"LIST": NoticeMailbox._list,
    b"LSUB": NoticeMailbox._list,
    b"NAMESPACE": NoticeMailbox._namespace,
    b"NOOP": NoticeMailbox._noop,
    b"SELECT": NoticeMailbox._select,
    b"STATUS": NoticeMailbox._status,
    b"SUBSCRIBE": NoticeMailbox._subscribe,
    b"UNSUBSCRIBE": NoticeMailbox._subscribe,
    b"XLIST": NoticeMailbox._list,
}
_IN_A_MAILBOX: Final[dict[bytes, Callable[[NoticeMailbox, bytes, bytes, bool], Said]]] = {
    b"CHECK": NoticeMailbox._check,
    b"CLOSE": NoticeMailbox._close,
    b"EXPUNGE": NoticeMailbox._expunge,
    b"FETCH": NoticeMailbox._fetch,
    b"SEARCH": NoticeMailbox._search,
    b"STORE": NoticeMailbox._store,
    b"UNSELECT": NoticeMailbox._close,
}
