"""A mail job: the octets of its file in, everything it says or everything wrong with it out.

The README's table of keys is the contract with those who write jobs.  No I/O: the files that a
job names are opened elsewhere.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from asyncnet.mail.address import Mailbox
from asyncnet.mail.envelope import Server, complete_server
from asyncnet.mail.problem import Problem
from asyncnet.spool.document import Document, TextNode
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job_files import Attachment, CalendarSource, FileSource
from asyncnet.spool.job_keys import HINTS, KEYS, SYNONYMS
from asyncnet.spool.job_values import note_unknown
from asyncnet.spool.json_document import read_json
from asyncnet.spool.yaml_document import read_simple_yaml, read_yaml

JobKind = Literal["yaml", "json"]

RECIPIENTS = ("to", "cc", "bcc")
BODIES = ("text", "text_file", "html", "html_file", "calendar", "attachments")
_NOBODY = Mailbox("", "nobody", "missing.invalid")  # in a mistaken job alone
PRIORITIES = {"high": 0, "normal": 1, "low": 2}


@dataclass(slots=True)  # not frozen, which takes ten times as long to make: nobody changes one
class Job:
    """What the writer said, checked.  None means that the key was not given.

    envelope_from "" is the null reverse-path.  priority is 0 (high), 1 or 2 (low).  places
    maps the keys that were given to line and column.
    """

    from_: Mailbox
    id: str | None = None
    account: str | None = None
    server: Server | None = None
    sender: Mailbox | None = None
    reply_to: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    envelope_from: str | None = None
    subject: str | None = None
    text: str | None = None
    text_file: FileSource | None = None
    html: str | None = None
    html_file: FileSource | None = None
    calendar: CalendarSource | None = None
    inline: tuple[Attachment, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    message_id: str | None = None
    date: datetime | None = None
    priority: int = 1
    send_at: datetime | None = None
    expires_at: datetime | None = None
    on_doubt: Literal["retry", "hold", "fail"] | None = None
    require_tls: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def problem(self, key: str, problem: str, suggestion: str | None = None) -> Problem:
        """A mistake about a key that only shows later, told at its place in the file."""
        line, column = self.places.get(key, (None, None))
        return Problem(key, problem, suggestion, line, column)


class MistakenJob(JobRefused):
    """The job is wrong; rest is what is right in it, to be judged for more mistakes.

    rest is never sent: what is mistaken or missing in the file is left out of it, and where
    that is from, nobody stands in.
    """

    def __init__(self, problems: list[Problem], rest: Job, *, unfinished: bool) -> None:
        super().__init__(in_order(problems), unfinished=unfinished)
        self.rest = rest

    def with_more(self, problems: Iterable[Problem]) -> JobRefused:
        """The same refusal with further problems, found elsewhere, at their places."""
        return JobRefused(in_order([*self.problems, *problems]), unfinished=self.unfinished)


def read_job(octets: bytes, kind: JobKind) -> Job:
    """The job that octets are.

    Raises MistakenJob with all mistakes, in the file's order, or JobRefused where the file is
    nothing that a job could be read from.
    """
    return _job_of(read_json(octets) if kind == "json" else read_yaml(octets))


def read_simple_job(octets: bytes, kind: JobKind) -> Job | None:
    """The same of a simple file, in little time; None where only read_job() can tell.

    Raises what that does.
    """
    document = read_simple_yaml(octets) if kind == "yaml" else None
    return None if document is None else _job_of(document)


def _job_of(document: Document) -> Job:
    values, places, problems = _read_keys(document)
    if not document.broken:
        _check_together(values, places, problems)
    job = _job(values, places)
    if problems:
        raise MistakenJob(problems, job, unfinished=document.unfinished)
    return job


def _job(values: dict[str, Any], places: dict[str, tuple[int, int]]) -> Job:
    values["priority"] = PRIORITIES[values.get("priority", "normal")]
    values["from_"] = values.pop("from", _NOBODY)
    tls = values.pop("tls", None)
    if "server" in values:
        host, port = values["server"]
        values["server"] = complete_server(host, port, tls)
    return Job(places=places, **values)


def job_kind(name: str) -> JobKind:
    """How a file of this name is read."""
    return "json" if name.lower().endswith(".json") else "yaml"


def _read_keys(
    document: Document,
) -> tuple[dict[str, Any], dict[str, tuple[int, int]], list[Problem]]:
    """Values, places and mistakes; a key that is mistaken has a place and no value."""
    values: dict[str, Any] = {}
    places: dict[str, tuple[int, int]] = {}
    problems = document.problems
    for key, node in document.root.entries:
        known = KEYS.get(key.text)
        if known is None:
            note_unknown(problems, "", key, KEYS, SYNONYMS, HINTS)
            continue
        if isinstance(node, TextNode) and node.is_empty:
            continue  # "cc:" with nothing behind it says as much as no cc
        places[key.text] = (node.line, node.column)
        value = known.read(node, key.text, problems)
        if value is not None:
            values[key.text] = value
    return values, places, problems


def _check_together(
    values: Mapping[str, Any], places: Mapping[str, tuple[int, int]], problems: list[Problem]
) -> None:
    """What no key shows alone."""

    def note(key: str, problem: str, advice: str | None = None) -> None:
        line, column = places.get(key, (None, None))
        problems.append(Problem(key, problem, advice, line, column))

    if "from" not in places:
        note("from", "is missing", 'write from: "Name <you@example.org>"')
    if not _any_given(RECIPIENTS, values, places):
        first = next((key for key in RECIPIENTS if key in places), "to")
        note(first, "no recipient is given", "write at least one address under to, cc or bcc")
    if not _any_given(BODIES, values, places):
        note("text", "there is nothing to send", "write text, html or attachments")
    for one, other in (("text", "text_file"), ("html", "html_file"), ("account", "server")):
        if one in places and other in places:
            later = max(one, other, key=lambda key: places[key])
            note(later, f"{one} and {other} exclude each other", "keep one of them")
    if "tls" in places and "server" not in places:
        note("tls", "belongs to server, which is not given", "the account says its own tls")
    if "send_at" in values and "expires_at" in values and values["expires_at"] <= values["send_at"]:
        note("expires_at", "is not after send_at")


def _any_given(keys: Iterable[str], values: Mapping[str, Any], places: Collection[str]) -> bool:
    """Whether one of the keys is given, mistaken or not, and no empty list."""
    for key in keys:
        if key in places and values.get(key, True) != ():
            return True
    return False


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By place; what has no place (a missing key) comes last."""
    far = (1 << 30, 0)
    return tuple(sorted(problems, key=lambda p: (p.line, p.column or 0) if p.line else far))
