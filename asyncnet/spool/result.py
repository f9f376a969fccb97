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

# The fields and their order stand here and nowhere else; the README shows them.
_RESULT = """\
{
  "schema": %s,
  "name": %s,
  "id": %s,
  "queue_id": %s,
  "status": %s,
  "account": %s,
  "server": %s,
  "tls": %s,
  "message_id": %s,
  "size_octets": %s,
  "attempts": %s,
  "claimed_at": %s,
  "finished_at": %s,
  "recipients": %s,
  "errors": %s,
  "warnings": %s,
  "meta": %s%s
}
"""
_LETTER = f""",
  "{LETTER}": %s"""
_RECIPIENT = """\
{
      "address": %s,
      "status": %s,
      "code": %s,
      "enhanced": %s,
      "phase": %s,
      "class": %s,
      "text": %s,
      "hint": %s,
      "possible_duplicate": %s
    }"""
_ERROR = """\
{
      "field": %s,
      "line": %s,
      "column": %s,
      "problem": %s,
      "suggestion": %s
    }"""
_INNER = "\n  "  # the end of a line between the fields of a result


def result_document(record: Record) -> dict[str, Any]:
    """The result as a value."""
    document: dict[str, Any] = json.loads(_result_text(record))
    return document


def result_octets(
    record: Record, earlier: Earlier | None = None, letter: str | None = None
) -> bytes:
    """The result file: readable by people and by every JSON parser, UTF-8, one line end.

    earlier is the attempt whose result lay beside the job.  letter is the digest of what was
    sent, for one that may be moved back.
    """
    text = _result_text(record, letter)
    if earlier is not None:
        text = indented(joined(json.loads(text), earlier)) + "\n"
    # The server's words may hold anything; a lone surrogate must not cost the whole result.
    return text.encode("utf-8", "backslashreplace")


def _result_text(record: Record, letter: str | None = None) -> str:
    claim, finished_at = record.claim, record.finished_at
    return _RESULT % (
        SCHEMA,
        _quoted(claim.name),
        indented(record.job_id),
        _quoted(claim.queue_id),
        _quoted(record.status),
        indented(record.account),
        indented(record.server),
        "null" if record.tls is None else _mapping(record.tls),
        indented(record.message_id),
        indented(record.size_octets),
        indented(record.attempts),
        _moment(claim.claimed_at),
        "null" if finished_at is None else _moment(finished_at),
        _listed([_recipient(it) for it in record.recipients]),
        _listed([_error(it) for it in record.errors]),
        _listed([_quoted(it) for it in record.warnings]),
        _mapping(record.meta),
        "" if letter is None else _LETTER % _quoted(letter),
    )


def _recipient(recipient: RecipientRecord) -> str:
    verdict = recipient.verdict
    return _RECIPIENT % (
        _quoted(recipient.address),
        _quoted(verdict.status),
        indented(verdict.code),
        indented(verdict.enhanced),
        "null" if verdict.phase is None else _quoted(verdict.phase),
        "null" if verdict.kind is None else _quoted(verdict.kind),
        _quoted(verdict.text),
        indented(verdict.hint),
        "true" if recipient.possible_duplicate else "false",
    )


def _error(problem: Problem) -> str:
    return _ERROR % (
        _quoted(problem.field),
        indented(problem.line),
        indented(problem.column),
        _quoted(problem.problem),
        indented(problem.suggestion),
    )


def _listed(items: list[str]) -> str:
    return f"[\n    {_BETWEEN.join(items)}\n  ]" if items else "[]"


def _mapping(value: Mapping[str, Any]) -> str:
    return indented(dict(value), _INNER) if value else "{}"


def _moment(seconds: float) -> str:
    """Seconds since the epoch as "2026-11-22T10:30:00.125Z", quoted."""
    moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return f'"{moment.removesuffix("+00:00")}Z"'


def indented(value: object, end: str = "\n") -> str:
    """As json.dumps(value, indent=2), at a third of its time; end: a line's, with its indent.

    All keys are text: nobody asks what they are.
    """
    if type(value) is str:
        return _quoted(value)
    if value is None:
        return "null"
    if type(value) is int:
        return str(value)
    inner = end + "  "
    if isinstance(value, dict) and value:
        members = [f"{inner}{_quoted(key)}: {indented(it, inner)}" for key, it in value.items()]
        return f"{{{','.join(members)}{end}}}"
    if isinstance(value, list | tuple) and value:
        return f"[{','.join([inner + indented(it, inner) for it in value])}{end}]"
    return _encode(value)


_BETWEEN = ",\n    "
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_quoted = encode_basestring  # as that encoder quotes text
