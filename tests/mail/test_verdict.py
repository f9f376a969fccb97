"""The status of a job, from those of its recipients."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.verdict import JobStatus, RecipientStatus, job_status

ACCEPTED = RecipientStatus.ACCEPTED
REJECTED = RecipientStatus.REJECTED
EXPIRED = RecipientStatus.EXPIRED
IN_DOUBT = RecipientStatus.IN_DOUBT
CANCELED = RecipientStatus.CANCELED
FINAL = [ACCEPTED, REJECTED, EXPIRED, IN_DOUBT, CANCELED]


@pytest.mark.parametrize(
    ("recipients", "status"),
    [
        ([ACCEPTED], JobStatus.SENT),
        ([ACCEPTED, ACCEPTED], JobStatus.SENT),
        ([ACCEPTED, REJECTED], JobStatus.PARTIAL),
        ([ACCEPTED, EXPIRED], JobStatus.PARTIAL),
        ([ACCEPTED, IN_DOUBT], JobStatus.PARTIAL),
        ([ACCEPTED, CANCELED], JobStatus.PARTIAL),
        ([REJECTED], JobStatus.FAILED),
        ([EXPIRED, EXPIRED], JobStatus.EXPIRED),
        ([CANCELED, CANCELED], JobStatus.CANCELED),
        ([EXPIRED, CANCELED], JobStatus.FAILED),
        ([REJECTED, EXPIRED], JobStatus.FAILED),
        ([IN_DOUBT], JobStatus.IN_DOUBT),
        ([IN_DOUBT, REJECTED, EXPIRED, CANCELED], JobStatus.IN_DOUBT),
        ([], JobStatus.FAILED),
    ],
)
def test_the_status_tells_the_truth(recipients: list[RecipientStatus], status: JobStatus) -> None:
    assert job_status(recipients) is status


@given(st.lists(st.sampled_from(FINAL), min_size=1))
def test_sent_means_that_every_recipient_was_accepted(recipients: list[RecipientStatus]) -> None:
    status = job_status(recipients)
    assert status.final
    assert (status is JobStatus.SENT) == all(one is ACCEPTED for one in recipients)
    assert (status is JobStatus.PARTIAL) == (
        ACCEPTED in recipients and any(one is not ACCEPTED for one in recipients)
    )


def test_only_those_that_wait_are_not_final() -> None:
    assert [one for one in RecipientStatus if not one.final] == [
        RecipientStatus.PENDING,
        RecipientStatus.DEFERRED,
    ]
    assert [one for one in JobStatus if not one.final] == [
        JobStatus.QUEUED,
        JobStatus.DEFERRED,
        JobStatus.HELD,
    ]
