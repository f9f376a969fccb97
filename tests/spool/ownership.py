"""Files of several users, for tests that run as one: who owns what is told, not done.

Only root can give files away, and the tests shall prove the same for everybody.
"""

import os

import pytest

from asyncnet.spool import taking
from asyncnet.spool.folder import COMPANION_ENDINGS, JobFile, read_job_file


def seen_as(monkeypatch: pytest.MonkeyPatch, *, daemon: int, job: int, companion: int) -> None:
    """Let the daemon run as that user, and find jobs and companions of those."""

    def read(path: str, max_octets: int) -> JobFile:
        file = read_job_file(path, max_octets)
        fields = list(file.status)
        fields[4] = companion if path.endswith(COMPANION_ENDINGS) else job
        return JobFile(file.octets, os.stat_result(fields))

    monkeypatch.setattr(os, "geteuid", lambda: daemon)
    monkeypatch.setattr(taking, "read_job_file", read)
