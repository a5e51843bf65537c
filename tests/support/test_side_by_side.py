"""Each process loads all files, its own share first."""

from pathlib import Path

import pytest

from tests.support.side_by_side import in_turn

FILES = [Path(f"test_{number}.py") for number in range(7)]


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_no_file_is_left_out_and_no_share_is_first_in_two_processes(count: int) -> None:
    orders = [in_turn(FILES, count, number) for number in range(count)]
    assert all(sorted(each) == FILES for each in orders)
    begun_with = [each[0] for each in orders[: len(FILES)]]
    assert len(set(begun_with)) == len(begun_with)
