"""Queue ids sort by time and never repeat."""

import re

from hypothesis import given
from hypothesis import strategies as st

from asyncnet.spool.queue_id import QUEUE_ID, QueueIds, claimed_at

NOON = 1_795_348_800.125


def test_an_id_tells_its_time() -> None:
    first = QueueIds().next(NOON, 0)
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{16}", first)
    assert claimed_at(first) == NOON


def test_too_much_randomness_changes_no_time() -> None:
    assert claimed_at(QueueIds().next(NOON, 2**40 - 1)) == NOON


def test_ids_of_two_processes_sort_by_time() -> None:
    ids = [QueueIds().next(NOON + step / 1000, 2**30 - 1 - step) for step in range(50)]
    assert ids == sorted(ids)


@given(st.lists(st.tuples(st.floats(0, 1e11), st.integers(0, 2**40)), min_size=2))
def test_ids_grow_whatever_the_clock_does(claims: list[tuple[float, int]]) -> None:
    ids = QueueIds()
    made = [ids.next(now, random) for now, random in claims]
    assert made == sorted(set(made))
    assert all(QUEUE_ID.fullmatch(queue_id) for queue_id in made)
