"""No job file of up to 1 MiB is slow to judge."""

import sys
from types import FrameType

import pytest

from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import JobKind, read_job
from tests.support.hostile_jobs import HOSTILE

# A search that grows with the square of anything needs hundreds of times this; reading line
# by line, or an international domain letter by letter, stays within it.
MAX_CALLS_AN_OCTET = 20


def judge(octets: bytes, kind: JobKind) -> int:
    """How many problems there are."""
    try:
        read_job(octets, kind)
    except JobRefused as refused:
        return len(refused.problems)
    return 0


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_judged_with_bounded_work(name: str) -> None:
    kind, octets = HOSTILE[name]
    assert len(octets) <= MAX_DOCUMENT_OCTETS
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        told = judge(octets, kind)
    finally:
        sys.setprofile(None)
    assert calls <= max(MAX_CALLS_AN_OCTET * len(octets), 1_000_000)
    assert told <= 1_001
