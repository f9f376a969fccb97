"""Which message a job is, whoever gets it: a digest of what it says of the letter.  No I/O.

A result names by it what its recipients accepted, so that it is never taken for that of another
job of the same name.  Recipients, account, times and the like are left out: who moves a job back
puts the wrong address right first, and it is the same letter still.  Of files the paths count:
what was in them is not known any more.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from asyncnet.mail.address import Mailbox
from asyncnet.spool.job import Job
from asyncnet.spool.job_files import Attachment, CalendarSource, FileSource

LETTER_KEYS = (
    *("from_", "sender", "reply_to", "subject", "text", "text_file", "html", "html_file"),
    *("calendar", "inline", "attachments", "headers", "message_id", "date"),
)


def digest_of_job(job: Job) -> str:
    """SHA-256 in hexadecimal, the same however the job is written.

    A key that was not given does not enter, so that a later version with more keys agrees.
    """
    values = ((key, getattr(job, key)) for key in LETTER_KEYS)
    said = {key: _plain(value) for key, value in values if value is not None and value != ()}
    return digest_of_octets([json.dumps(said, sort_keys=True).encode()])


def digest_of_octets(blocks: Iterable[bytes]) -> str:
    """SHA-256 of a ready message.  Raises what blocks raises."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """What the value says, without the place where it stands."""
    match value:
        case tuple():
            return [_plain(item) for item in value]
        case bytes():
            return digest_of_octets([value])
        case datetime():
            return value.isoformat()
        case Mailbox():
            return [value.name, value.addr_spec]
        case FileSource():
            return {"path": value.path}
        case CalendarSource():
            return [value.method, value.source.path]
        case Attachment():
            return [_plain(value.source), value.name, value.media_type, value.cid]
    return value
