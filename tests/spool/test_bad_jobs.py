"""Every bad job of the table is refused with exactly what the table says."""

import pytest

from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import read_job
from tests.support.bad_jobs import BAD_JOBS, BadJob


@pytest.mark.parametrize("bad", BAD_JOBS, ids=lambda bad: f"{bad.kind}: {bad.name}")
def test_a_bad_job_is_told_what_is_wrong_and_where(bad: BadJob) -> None:
    with pytest.raises(JobRefused) as caught:
        read_job(bad.octets, bad.kind)
    assert tuple(map(str, caught.value.problems)) == bad.told


@pytest.mark.parametrize(
    "bad",
    [bad for bad in BAD_JOBS if bad.unfinished is not None],
    ids=lambda bad: f"{bad.kind}: {bad.name}",
)
def test_only_a_file_that_breaks_off_may_be_unfinished(bad: BadJob) -> None:
    with pytest.raises(JobRefused) as caught:
        read_job(bad.octets, bad.kind)
    assert caught.value.unfinished is bad.unfinished


@pytest.mark.parametrize("bad", BAD_JOBS, ids=lambda bad: f"{bad.kind}: {bad.name}")
def test_no_message_acts_on_a_terminal(bad: BadJob) -> None:
    with pytest.raises(JobRefused) as caught:
        read_job(bad.octets, bad.kind)
    for problem in caught.value.problems:
        assert str(problem).isprintable()


def test_the_table_is_large_and_has_no_row_twice() -> None:
    assert len(BAD_JOBS) >= 150
    assert len({(bad.kind, bad.octets) for bad in BAD_JOBS}) == len(BAD_JOBS)
