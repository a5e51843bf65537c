"""What was noted is known under the latest policy versions, and never of more than so many."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.decision.noted import VERSIONS, Noted


def test_what_was_noted_is_known_under_its_own_policy_version() -> None:
    noted = Noted()
    noted.add(3, 1)
    assert (noted.has(3, 1), noted.has(3, 2), noted.has(4, 1)) == (True, False, False)


def test_where_there_is_much_versions_that_nobody_is_judged_by_are_forgotten() -> None:
    noted = Noted(of_all_versions=40)
    for version in range(1000):
        for key in range(20):
            noted.add(version, key)
    assert len(noted) == VERSIONS * 20
    assert [version for version in range(1000) if noted.has(version, 5)] == [997, 998, 999]


def test_what_is_told_late_is_known_where_there_is_little() -> None:
    """A worker that could not tell for six edits tells of them behind another that has told."""
    noted = Noted()
    for version in range(4, 10):
        noted.add(version, 1)
    assert all(noted.has(version, 1) for version in range(4, 10))


def test_a_version_that_goes_back_is_the_latest() -> None:
    """After a restore."""
    noted = Noted(of_all_versions=3)
    for version in (7, 8, 9, 2):
        noted.add(version, 1)
    assert [version for version in range(10) if noted.has(version, 1)] == [2, 8, 9]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=100), st.integers(1, 40))
def test_never_more_than_so_many_and_what_comes_of_a_new_version_is_known(
    added: list[tuple[int, int]], most: int
) -> None:
    noted = Noted(most, of_all_versions=20)
    for place, (version, key) in enumerate(added):
        noted.add(version, key)
        assert len(noted) <= most
        if all(version != earlier for earlier, _ in added[:place]):
            assert noted.has(version, key)
        assert len(noted) == sum(noted.has(*each) for each in {*added})
