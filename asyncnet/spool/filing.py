"""Filing finished jobs: result files written and flushed, job files moved beside them.

For a batch, so that many share each flush:

  results written aside      under names of their own, in the folder where they will lie
  flushed                    so that no name ever shows half a result
  renamed, jobs moved        one by one; the result first
  folders flushed            from here on the store may be told

Each job stands for itself: where one cannot be filed, the others are.  All of it may be done
again.  Names are kept; where another job's result or file has the name, both of ours get
~QUEUEID; what makes a name ours is the queue id inside the result.

Blocking throughout.  Paths are plain text here, since a Path costs more than most of these calls.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.store import Record
from asyncnet.spool.earlier_files import EarlierFiles, result_in
from asyncnet.spool.files import LOCAL_FAULTS
from asyncnet.spool.flush import flush_file_system
from asyncnet.spool.folder import (
    ENVELOPE_ENDING,
    OUT_OF_REACH,
    RESULT_ENDING,
    SpoolFolder,
    companion_name,
    folder_gone,
    is_there,
    split_name,
)
from asyncnet.spool.result import result_octets

# From so many files on, all are flushed by one call for the file system.  It also waits for what
# other programs wrote there, which a few files of ours need not.
MANY = 8

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


class Filed(NamedTuple):
    """A job that was filed, and the name it has there."""

    record: Record
    name: str


class Filing:
    """on_step is told "result written" and "job moved" of each job."""

    def __init__(
        self, folder: SpoolFolder, earlier: EarlierFiles, on_step: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._earlier = earlier
        self._on_step = on_step
        self._queue, self._sent, self._failed = map(str, (folder.queue, folder.sent, folder.failed))

    def file(self, records: Sequence[Record]) -> tuple[list[Filed], str | None]:
        """Those that are filed and on the disk, and the last fault.

        Raises SpoolBroken, or OSError where the folders cannot be flushed now.
        """
        filed: list[Filed] = []
        written, fault = self._write_results(records)
        for record in written:
            try:
                filed.append(Filed(record, self._file_one(record)))
            except OSError as error:
                fault = self._told(record, error)
        # One that is gone holds up no job that has nothing there.
        targets = {self._target(it.record) for it in filed}
        if targets:
            self._folder.flush((*map(Path, sorted(targets)), self._folder.queue))
        return filed, fault

    def _write_results(self, records: Sequence[Record]) -> tuple[list[Record], str | None]:
        """Put whole results on the disk under names of their own; those written."""
        if len(records) < MANY:
            return self._write_each(records, flushed=True)
        # Open before the first octet: it is told of faults since then.
        descriptor = os.open(self._folder.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            written, fault = self._write_each(records, flushed=False)
            try:
                if flush_file_system(descriptor):
                    return written, fault
            except OSError:
                pass  # perhaps of another's file: each of ours is asked then
        finally:
            os.close(descriptor)
        return self._write_each(records, flushed=True)

    def _write_each(
        self, records: Sequence[Record], *, flushed: bool
    ) -> tuple[list[Record], str | None]:
        written: list[Record] = []
        fault = None
        for record in records:
            try:
                earlier, letter = self._earlier.read(record, self._target(record))
                octets = result_octets(record, earlier, letter)
                _write(self._aside(record), octets, flushed=flushed)
            except OSError as error:
                fault = self._told(record, error)
            else:
                written.append(record)
        return written, fault

    def _file_one(self, record: Record) -> str:
        """The name under which result and job lie in their folder now.  Raises OSError."""
        target = self._target(record)
        job_file = record.claim.job_file
        ending = split_name(job_file)[1]
        files = {ending: f"{self._queue}/{job_file}"}
        if ending.lower() == ".eml":  # the envelope goes first
            envelope = f"{self._queue}/{companion_name(job_file, ENVELOPE_ENDING)}"
            files = {ENVELOPE_ENDING: envelope, **files}
        name = _free_name(target, record, files)
        os.rename(self._aside(record), f"{target}/{name}{RESULT_ENDING}")
        self._on_step("result written")
        for its_ending, file in files.items():
            try:
                os.rename(file, f"{target}/{name}{its_ending}")
            except FileNotFoundError:
                pass  # moved before a crash, or taken away by somebody; the result stands anyway
        self._on_step("job moved")
        return name

    def _target(self, record: Record) -> str:
        return self._sent if record.status is JobStatus.SENT else self._failed

    def _told(self, record: Record, error: OSError) -> str:
        """The reason, without the job's name where it is the same for every job."""
        if error.errno in LOCAL_FAULTS:
            return error.strerror or str(error)
        target = self._target(record)
        if error.errno in OUT_OF_REACH and not os.access(target, os.W_OK | os.X_OK):
            return folder_gone(Path(target), error)
        return f"{record.claim.name}: {error.strerror}"

    def _aside(self, record: Record) -> str:
        return f"{self._target(record)}/.{record.claim.queue_id}{RESULT_ENDING}.tmp"


def _write(path: str, octets: bytes, *, flushed: bool) -> None:
    descriptor = os.open(path, _WRITE, 0o666)  # less the umask, as any program's file
    try:
        while octets:
            octets = octets[os.write(descriptor, octets) :]
        if flushed:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_name(target: str, record: Record, files: Mapping[str, str]) -> str:
    """The name for result and job in target: the old one, or NAME~QUEUEID on a clash.

    files are the job's in queue/, by their endings; some may have been moved before a crash.
    """
    name, queue_id = record.claim.name, record.claim.queue_id
    distinct = f"{name}~{queue_id}"
    if is_there(f"{target}/{distinct}{RESULT_ENDING}"):
        return distinct  # chosen before a crash; whether the clash still is does not count
    result = f"{target}/{name}{RESULT_ENDING}"
    if is_there(result):
        return name if result_in(result).get("queue_id") == queue_id else distinct
    # A job's file without a result: another's, unless ours was moved there already.
    for ending, file in files.items():
        if is_there(f"{target}/{name}{ending}") and is_there(file):
            return distinct
    return name
