"""The result that lay beside a job when it was claimed: read for its new result, then removed.

One for which the job was refused, being of another letter or nothing that can be read, is no
part of the new result; it is kept as failed/QUEUEID.earlier.json.  Each step may be done twice.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog

from asyncnet.mail.letter import ContentError
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.store import Record
from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.earlier import (
    LETTER,
    MAX_RESULT_OCTETS,
    Earlier,
    may_be_joined,
    read_earlier,
    was_refused,
)
from asyncnet.spool.errors import FileRefused, JobRefused
from asyncnet.spool.files import DISK_FAILS, LOCAL_FAULTS, AllowedFolders
from asyncnet.spool.folder import (
    RESULT_ENDING,
    SpoolFolder,
    companion_name,
    is_there,
    read_job_file,
)
from asyncnet.spool.job import job_kind, read_job
from asyncnet.spool.letter_digest import digest_of_job, digest_of_octets

EARLIER_ENDING = ".earlier.json"  # of one that is kept apart in failed/

# Of them nothing was sent, or all of it: moved back they leave nobody out.
_NOTHING_LEFT = (JobStatus.SENT, JobStatus.INVALID, JobStatus.DUPLICATE)

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class EarlierFiles:
    """Those in queue/, by the queue id of the job they came with.  Blocking."""

    def __init__(self, folder: SpoolFolder) -> None:
        self._folder = folder
        self._queue, self._failed = str(folder.queue), str(folder.failed)
        self._told: dict[str, str] = {}  # in a result that was written

    def read(self, record: Record, target: str) -> tuple[Earlier | None, str | None]:
        """What the result in target tells of besides record: the attempt before, and the letter.

        The letter is the digest of what was sent, where the job may be moved back.  Raises
        OSError.
        """
        earlier = self._read(record)
        may_come_back = record.status not in _NOTHING_LEFT
        letter = self._letter(record, target) if earlier or may_come_back else None
        if earlier is not None:
            self._told[record.claim.queue_id] = self._beside(record)
            if not may_be_joined(earlier, letter):
                earlier = None
        return earlier, letter if may_come_back else None

    @property
    def some_told(self) -> bool:
        """Whether there is anything to remove."""
        return bool(self._told)

    def remove(self, queue_ids: Iterable[str]) -> None:
        """Remove those of jobs that are reported: the new results hold all that they say.

        What cannot be removed now, the next start removes.
        """
        for queue_id in queue_ids:
            path = self._told.pop(queue_id, None)
            if path is not None:
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def _read(self, record: Record) -> Earlier | None:
        path = self._beside(record)
        if not is_there(path):
            return None
        if not was_refused(record.errors):  # else unread: it may be anybody's, or no file at all
            try:
                return read_earlier(read_job_file(path, MAX_RESULT_OCTETS).octets)
            except JobRefused:
                pass  # which the job was refused for, unless somebody changed it since
        self._keep_apart(record)
        return None

    def _keep_apart(self, record: Record) -> None:
        kept = f"{record.claim.queue_id}{EARLIER_ENDING}"
        os.rename(self._beside(record), f"{self._failed}/{kept}")
        log.warning("the result beside a job is not its own", name=record.claim.name, kept=kept)

    def _beside(self, record: Record) -> str:
        return f"{self._queue}/{companion_name(record.claim.job_file, RESULT_ENDING)}"

    def _letter(self, record: Record, target: str) -> str | None:
        """The digest of what the job sends; None where that cannot be told.  Raises OSError.

        Moved before a crash, the job has its result beside it, written when it was still here.
        """
        file = record.claim.job_file
        path = f"{self._queue}/{file}"
        try:
            if file.lower().endswith(".eml"):
                owner = os.lstat(path).st_uid
                opened = AllowedFolders((self._folder.queue,), sys.maxsize).open(file, owner)
                return digest_of_octets(opened.blocks())
            octets = read_job_file(path, MAX_DOCUMENT_OCTETS).octets
            return digest_of_job(read_job(octets, job_kind(file)))
        except FileNotFoundError:
            return _letter_written(record, target)
        except (FileRefused, ContentError, JobRefused):
            return None


def _letter_written(record: Record, target: str) -> str | None:
    name, queue_id = record.claim.name, record.claim.queue_id
    for stem in (f"{name}~{queue_id}", name):
        result = result_in(f"{target}/{stem}{RESULT_ENDING}")
        letter = result.get(LETTER)
        if result.get("queue_id") == queue_id and isinstance(letter, str):
            return letter
    return None


def result_in(path: str | Path) -> dict[str, Any]:
    """What a result file holds; nothing where it is none.

    Raises OSError for a fault of this machine: whose result it is cannot be told then.
    """
    try:
        document = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError):
        return {}
    except OSError as error:
        if error.errno in (*LOCAL_FAULTS, DISK_FAILS):
            raise
        return {}
    return document if isinstance(document, dict) else {}
