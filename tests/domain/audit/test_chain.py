"""The chain and the tree over the entries."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.audit.chain import AuditHead, GrowingLog, beginning_of, chained, head_before, leaf_of, root_of


def plain_root(leaves: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + plain_root(leaves[:split]) + plain_root(leaves[split:])).digest()


@given(st.integers(0, 300))
def test_the_root_is_that_of_rfc_9162(size: int) -> None:
    entries = [str(number).encode() for number in range(size)]
    log = GrowingLog(head_before("log"))
    for entry in entries:
        log.add(entry)
    assert log.root == plain_root([leaf_of(entry) for entry in entries])
    assert log.size == size
    assert len(log.head().frontier) == bin(size).count("1")


@given(st.integers(0, 70), st.integers(0, 70))
def test_a_head_is_all_that_is_needed_to_go_on(first: int, second: int) -> None:
    whole = GrowingLog(head_before("log"))
    for number in range(first + second):
        whole.add(str(number).encode())
    begun = GrowingLog(head_before("log"))
    for number in range(first):
        begun.add(str(number).encode())
    went_on = GrowingLog(begun.head())
    for number in range(first, first + second):
        went_on.add(str(number).encode())
    assert went_on.head() == whole.head()
    assert went_on.head().root == root_of(whole.head().frontier)


def test_the_chain_hangs_on_the_name_and_on_every_entry_in_its_place() -> None:
    assert beginning_of("one") != beginning_of("other")
    assert AuditHead("one", 0, beginning_of("one")) == head_before("one")
    log = GrowingLog(head_before("one"))
    a, b = log.add(b"a"), log.add(b"b")
    start = beginning_of("one")
    assert log.chain == chained(chained(start, a), b)
    assert log.chain != chained(chained(start, b), a)
