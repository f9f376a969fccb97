"""Rows that cannot be read as they are: what can be saved of them, and what is told of it.  No I/O.

A disk, a hand or a bug of ours may leave anything in a row.  It must not stop the other rows, so it
is mended: each column that says nothing gets a value that is safe, and the record names it.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from asyncnet.mail.problem import Problem
from asyncnet.mail.verdict import JobStatus, Kind, Phase, RecipientStatus
from asyncnet.mailqueue.store import Record

Row = tuple[Any, ...]

UNREADABLE = (ValueError, TypeError)  # what the reading of a damaged row raises

_QUEUE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_NAME = 100  # characters
_YEAR_10000 = 253_402_300_800.0

IN_DOUBT_TEXT = "the queue's record of this recipient was damaged"


def mended_job(row: Row, now: float) -> Row:
    """A row of raw_job (texts as octets), in which every column can be read.

    What was damaged stands in its errors; a status that is lost reads "failed".
    """
    job, queue_id, name, job_file, claimed_at, status, *rest = row
    (job_id, account, server, tls, message_id, reverse_path, size_octets, priority) = rest[:8]
    (attempts, due_at, expires_at, finished_at, errors, warnings, meta, note) = rest[8:]
    damaged: list[str] = []

    def saved(label: str, check: Callable[[Any], Any], value: Any, instead: Any) -> Any:
        try:
            return check(value)
        except (*UNREADABLE, RecursionError):
            damaged.append(label)
            return instead

    given_id = saved("queue id", _queue_id, queue_id, f"damaged-{job}")
    mended = (
        job,
        given_id,
        saved("name", _file_name, name, _like_a_name(name, given_id)),
        saved("file name", _file_name, job_file, f"{given_id}.damaged.yaml"),
        saved("time of claim", moment, claimed_at, now),
        saved("status", lambda it: str(JobStatus(_text(it))), status, str(JobStatus.FAILED)),
        saved("id", _text_or_none, job_id, None),
        saved("account", _text_or_none, account, None),
        saved("server", _text_or_none, server, None),
        saved("tls", _tls, tls, None),
        saved("message id", _text_or_none, message_id, None),
        saved("sender", _text_or_none, reverse_path, None),
        size_octets,
        priority,
        attempts,
        due_at,
        expires_at,
        saved("end", lambda it: None if it is None else moment(it), finished_at, now),
    )
    tail = (
        saved("warnings", _texts, warnings, "[]"),
        saved("meta", lambda it: json_text(_text(it), dict), meta, "{}"),
        saved("note", _text, note, ""),
    )
    told = json.loads(saved("errors", _problems, errors, "[]"))
    if damaged:
        told.append(["", f"the queue's record of this job was damaged: {', '.join(damaged)}"])
    return (*mended, json.dumps(told), *tail)


def mended_recipient(row: Row) -> Row:
    """A row of raw_recipients (texts as octets); a status that is lost reads "in_doubt"."""
    position, address, status, code, enhanced, phase, kind, text, hint, duplicate = row
    known = _or(lambda it: str(RecipientStatus(_text(it))), status, "")
    if not known:
        known, text = str(RecipientStatus.IN_DOUBT), IN_DOUBT_TEXT.encode()
    return (
        position,
        _or(_text, address, "(damaged)"),
        known,
        code,
        _or(_text_or_none, enhanced, None),
        _or(lambda it: it and str(Phase(_text(it))), phase, None),
        _or(lambda it: it and str(Kind(_text(it))), kind, None),
        _or(_text, text, ""),
        _or(_text_or_none, hint, None),
        duplicate,
    )


def check_file_names(record: Record) -> None:
    """Raises ValueError where a result could not be filed under the record's names."""
    _check_file_name(record.claim.name)
    _check_file_name(record.claim.job_file)
    _check_queue_id(record.claim.queue_id)


def moment(value: Any) -> float:
    """A time that can be told as a date.  Raises ValueError or TypeError."""
    if not isinstance(value, (int, float)):
        raise TypeError("a time is a number")
    if not 0.0 <= value < _YEAR_10000:
        raise ValueError("no date says this time")
    return value


def json_text(text: str, kind: type) -> str:
    """The text, if it is JSON of that kind, without numbers that JSON does not know.

    Raises ValueError or TypeError.
    """
    try:
        value = json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, kind):
        raise TypeError(f"is no {kind.__name__}")
    return text


def as_problem(values: Any) -> Problem:
    """An error as it lies in the row.  Raises TypeError."""
    problem = Problem(*values)
    if not isinstance(problem.field, str) or not isinstance(problem.problem, str):
        raise TypeError("an error is told by texts")
    return problem


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _or(check: Callable[[Any], Any], value: Any, instead: Any) -> Any:
    try:
        return check(value)
    except UNREADABLE:
        return instead


def _text(value: bytes | None) -> str:
    if value is None:
        raise TypeError("nothing is no text")
    return value.decode("utf-8", "surrogatepass")


def _text_or_none(value: bytes | None) -> str | None:
    return None if value is None else _text(value)


def _queue_id(value: bytes) -> str:
    text = _text(value)
    _check_queue_id(text)
    return text


def _check_queue_id(text: str) -> None:
    if _QUEUE_ID.fullmatch(text) is None:
        raise ValueError("no queue id")


def _file_name(value: bytes) -> str:
    text = _text(value)
    _check_file_name(text)
    return text


def _check_file_name(text: str) -> None:
    """Under that name a file can be made in any folder."""
    text.encode("utf-8", "surrogateescape")
    if not text or "/" in text or "\0" in text:
        raise ValueError("no file name")


def _like_a_name(value: bytes | None, instead: str) -> str:
    text = (value or b"").decode("utf-8", "replace")
    readable = "".join(it if it.isprintable() and it not in "/\ufffd" else "_" for it in text)
    return readable[:_MAX_NAME].strip(". ") or instead


def _texts(value: bytes) -> str:
    text = json_text(_text(value), list)
    if not all(isinstance(it, str) for it in json.loads(text)):
        raise TypeError("not all of them are texts")
    return text


def _problems(value: bytes) -> str:
    text = json_text(_text(value), list)
    for values in json.loads(text):
        as_problem(values)
    return text


def _tls(value: bytes | None) -> str | None:
    return None if value is None else json_text(_text(value), dict)
