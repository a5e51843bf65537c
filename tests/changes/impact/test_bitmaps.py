"""Sets of numbers written from arrays are the sets of those numbers, whatever lies where."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from gateway.changes.impact.bitmaps import bitmap_of_mask, bitmap_of_sorted, mask_of, numbers_of

SIZE = 300_000


def numbers(seed: int, share: float) -> list[int]:
    generator = np.random.default_rng(seed)
    found: list[int] = np.flatnonzero(generator.random(SIZE) < share).tolist()
    return found


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.01, 0.0624, 0.0626, 0.5, 1.0])
def test_both_ways_for_sparse_and_dense_sets(share: float) -> None:
    expected = numbers(3, share)
    found = bitmap_of_sorted(np.array(expected, np.uint32))
    mask = np.zeros(SIZE, np.bool_)
    mask[expected] = True
    assert found == bitmap_of_mask(mask) == BitMap(expected)
    assert numbers_of(found).tolist() == expected
    assert mask_of(found, SIZE).tolist() == mask.tolist()


@pytest.mark.parametrize("count", [4095, 4096, 4097, 65_535, 65_536, 65_537])
def test_where_containers_change_their_kind(count: int) -> None:
    assert bitmap_of_sorted(np.arange(count, dtype=np.uint32)) == BitMap(range(count))
    assert bitmap_of_mask(np.ones(count, np.bool_)) == BitMap(range(count))


@given(st.sets(st.integers(0, 2**32 - 1), max_size=50))
def test_any_numbers(members: set[int]) -> None:
    found = bitmap_of_sorted(np.array(sorted(members), np.uint32))
    assert found == BitMap(members)
    assert numbers_of(found).tolist() == sorted(members)


def test_a_set_made_from_an_array_can_be_changed() -> None:
    found = bitmap_of_sorted(np.arange(5000, dtype=np.uint32))
    found.add(70_000)
    found.discard(7)
    assert len(found) == 5000
    assert 7 not in found
