"""Filing many jobs at once: few flushes, and each job for itself where something fails."""

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.store import Claim, Record
from asyncnet.spool import filing, flush
from asyncnet.spool.earlier_files import EarlierFiles
from asyncnet.spool.filing import MANY, Filing
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.queue_id import QueueIds
from asyncnet.spool.result import indented

IDS = QueueIds()


def sent(folder: SpoolFolder, name: str) -> Record:
    """A job that was sent, its file in queue/."""
    queue_id = IDS.next(1_795_348_800.0, 0)
    claim = Claim(queue_id, name, f"{queue_id}.{name}.yaml", 1_795_348_800.0)
    (folder.queue / claim.job_file).write_text(name)
    return Record(
        claim=claim,
        status=JobStatus.SENT,
        job_id=None,
        account="work",
        server=None,
        tls=None,
        message_id="<m@example.org>",
        envelope_from="a@example.org",
        size_octets=1,
        priority=1,
        attempts=1,
        due_at=None,
        expires_at=None,
        finished_at=1_795_348_800.0,
        recipients=(),
        errors=(),
        warnings=(),
        meta={},
    )


def filer(folder: SpoolFolder) -> Filing:
    return Filing(folder, EarlierFiles(folder), lambda step: None)


def all_filed(folder: SpoolFolder, records: list[Record]) -> bool:
    names = [record.claim.name for record in records]
    expected = sorted(f"{name}{end}" for name in names for end in (".yaml", ".result.json"))
    return sorted(os.listdir(folder.sent)) == expected and not os.listdir(folder.queue)


class Flushes:
    """Counts what is flushed: files alone, and whole file systems."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: OSError | None = None) -> None:
        self.files = 0
        self.systems = 0
        self._fault = fault
        self._fsync, self._syncfs = os.fsync, flush.flush_file_system
        monkeypatch.setattr(os, "fsync", self._count_file)
        monkeypatch.setattr(filing, "flush_file_system", self._count_system)

    def _count_file(self, descriptor: int) -> None:
        self.files += Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_file()
        self._fsync(descriptor)

    def _count_system(self, descriptor: int) -> bool:
        self.systems += 1
        if self._fault is not None:
            raise self._fault
        return self._syncfs(descriptor)


def test_a_batch_takes_one_flush_for_all_its_results(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [sent(folder, f"job-{number}") for number in range(100)]
    flushes = Flushes(monkeypatch)
    filed, fault = filer(folder).file(records)
    assert (len(filed), fault) == (100, None)
    assert all_filed(folder, records)
    assert (flushes.systems, flushes.files) == (1, 0)


def test_a_few_results_do_not_wait_for_what_others_wrote(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [sent(folder, f"job-{number}") for number in range(MANY - 1)]
    flushes = Flushes(monkeypatch)
    filer(folder).file(records)
    assert (flushes.systems, flushes.files) == (0, MANY - 1)


def test_where_the_file_system_reports_a_fault_each_result_is_flushed_for_itself(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [sent(folder, f"job-{number}") for number in range(MANY)]
    flushes = Flushes(monkeypatch, OSError(errno.EIO, "Input/output error"))
    filed, fault = filer(folder).file(records)
    assert (len(filed), fault) == (MANY, None)
    assert (flushes.systems, flushes.files) == (1, MANY)


def test_a_system_without_the_call_flushes_each(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [sent(folder, f"job-{number}") for number in range(MANY)]
    flushes = Flushes(monkeypatch)
    monkeypatch.setattr(filing, "flush_file_system", lambda descriptor: False)
    filer(folder).file(records)
    assert flushes.files == MANY
    assert all_filed(folder, records)


def test_no_result_has_its_name_before_it_is_flushed(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [sent(folder, f"job-{number}") for number in range(MANY)]

    def look(descriptor: int) -> bool:
        names = os.listdir(folder.sent)
        assert len(names) == MANY
        assert all(name.startswith(".") for name in names)
        return flush.flush_file_system(descriptor)

    monkeypatch.setattr(filing, "flush_file_system", look)
    filer(folder).file(records)
    assert all_filed(folder, records)


def test_one_that_cannot_be_written_stops_no_other(folder: SpoolFolder) -> None:
    records = [sent(folder, f"job-{number}") for number in range(MANY)]
    (folder.sent / f".{records[3].claim.queue_id}.result.json.tmp").mkdir()
    filed, fault = filer(folder).file(records)
    assert [it.record for it in filed] == records[:3] + records[4:]
    assert fault == "job-3: Is a directory"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=JSON)
def test_results_are_written_as_the_standard_library_would(value: object) -> None:
    finite = json.dumps(value)
    if "Infinity" in finite:
        return
    assert indented(value) == json.dumps(value, ensure_ascii=False, indent=2)
