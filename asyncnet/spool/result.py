"""The result of a job as its submitter reads it: a Record in, NAME.result.json out.  No I/O."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from json.encoder import encode_basestring
from typing import Any

from asyncnet.mail.problem import Problem
from asyncnet.mailqueue.store import RecipientRecord, Record
from asyncnet.spool.earlier import LETTER, Earlier, joined

SCHEMA = 1


def result_document(record: Record) -> dict[str, Any]:
    """The result as a value; the README shows the fields, in this order."""
    return {
        "schema": SCHEMA,
        "name": record.claim.name,
        "id": record.job_id,
        "queue_id": record.claim.queue_id,
        "status": str(record.status),
        "account": record.account,
        "server": record.server,
        "tls": _tls(record.tls),
        "message_id": record.message_id,
        "size_octets": record.size_octets,
        "attempts": record.attempts,
        "claimed_at": _moment(record.claim.claimed_at),
        "finished_at": None if record.finished_at is None else _moment(record.finished_at),
        "recipients": [_recipient(recipient) for recipient in record.recipients],
        "errors": [_error(problem) for problem in record.errors],
        "warnings": list(record.warnings),
        "meta": dict(record.meta),
    }


def result_octets(
    record: Record, earlier: Earlier | None = None, letter: str | None = None
) -> bytes:
    """The result file: readable by people and by every JSON parser, UTF-8, one line end.

    earlier is the attempt whose result lay beside the job.  letter is the digest of what was
    sent, for one that may be moved back.
    """
    document = result_document(record)
    if letter is not None:
        document[LETTER] = letter
    if earlier is not None:
        document = joined(document, earlier)
    text = indented(document)
    # The server's words may hold anything; a lone surrogate must not cost the whole result.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _recipient(recipient: RecipientRecord) -> dict[str, Any]:
    verdict = recipient.verdict
    return {
        "address": recipient.address,
        "status": str(verdict.status),
        "code": verdict.code,
        "enhanced": verdict.enhanced,
        "phase": None if verdict.phase is None else str(verdict.phase),
        "class": None if verdict.kind is None else str(verdict.kind),
        "text": verdict.text,
        "hint": verdict.hint,
        "possible_duplicate": recipient.possible_duplicate,
    }


def _error(problem: Problem) -> dict[str, Any]:
    return {
        "field": problem.field,
        "line": problem.line,
        "column": problem.column,
        "problem": problem.problem,
        "suggestion": problem.suggestion,
    }


def _tls(tls: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if tls is None else dict(tls)


def _moment(seconds: float) -> str:
    """Seconds since the epoch as "2026-11-22T10:30:00.125Z"."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def indented(value: object, end: str = "\n") -> str:
    """As json.dumps(value, indent=2), at a third of its time; end: a line's, with its indent.

    All keys are text: nobody asks what they are.
    """
    if type(value) is str:
        return _quoted(value)
    if value is None:
        return "null"
    inner = end + "  "
    if isinstance(value, dict) and value:
        members = [f"{inner}{_quoted(key)}: {indented(it, inner)}" for key, it in value.items()]
        return f"{{{','.join(members)}{end}}}"
    if isinstance(value, list | tuple) and value:
        return f"[{','.join([inner + indented(it, inner) for it in value])}{end}]"
    return _encode(value)


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_quoted = encode_basestring  # as that encoder quotes text
