"""What NAME.envelope.yaml says of a ready message: who gets it, by which way, when.  No I/O.

Its keys are those of a job that are not about the letter, read by the same readers.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from asyncnet.mail.address import Mailbox
from asyncnet.mail.envelope import complete_server
from asyncnet.mail.problem import Problem
from asyncnet.spool.document import Document, TextNode, shown
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import PRIORITIES, Job, in_order
from asyncnet.spool.job_keys import KEYS
from asyncnet.spool.yaml_document import read_yaml

ORDER_KEYS = (
    *("envelope_from", "to", "id", "account", "server", "tls", "priority"),
    *("send_at", "expires_at", "on_doubt", "require_tls", "meta"),
)
MAX_SUGGESTIONS = 50


@dataclass(frozen=True, slots=True)
class Orders:
    """The values by the names of Job's fields; none where there is no such file."""

    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def id(self) -> str | None:
        job_id: str | None = self.values.get("id")
        return job_id

    @property
    def meta(self) -> Mapping[str, Any]:
        meta: Mapping[str, Any] = self.values.get("meta", {})
        return meta

    def job(self, author: Mailbox, **known: Any) -> Job:
        """A job that says this and nothing of the letter; known is what the header told."""
        return Job(from_=author, places=self.places, **{**known, **self.values})


def read_orders(octets: bytes) -> Orders:
    """The orders that octets are.  Raises JobRefused with all mistakes, in the file's order."""
    try:
        document = read_yaml(octets)
        values, places = _read_keys(document)
    except JobRefused as refused:
        problems = tuple(map(of_envelope, refused.problems))
        raise JobRefused(problems, unfinished=refused.unfinished) from None
    tls = values.pop("tls", None)
    if "server" in values:
        host, port = values["server"]
        values["server"] = complete_server(host, port, tls)
    if "priority" in values:
        values["priority"] = PRIORITIES[values["priority"]]
    return Orders(values, places)


def _read_keys(document: Document) -> tuple[dict[str, Any], dict[str, tuple[int, int]]]:
    values: dict[str, Any] = {}
    places: dict[str, tuple[int, int]] = {}
    found = document.problems
    for key, node in document.root.entries:
        if key.text not in ORDER_KEYS:
            found.append(_unknown(key, search=len(found) <= MAX_SUGGESTIONS))
        elif not (isinstance(node, TextNode) and node.is_empty):
            places[key.text] = (node.line, node.column)
            value = KEYS[key.text].read(node, key.text, found)
            if value is not None:
                values[key.text] = value
    if not document.broken:
        _check_together(values, places, found)
    if found:
        raise JobRefused(in_order(found), unfinished=document.unfinished)
    return values, places


def _unknown(key: TextNode, *, search: bool) -> Problem:
    advice = None
    if key.text in KEYS:
        advice = "the message itself says this"
    elif search and len(key.text) <= 30:
        near = difflib.get_close_matches(key.text.lower(), ORDER_KEYS, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(ORDER_KEYS)}"
    return Problem(shown(key.text), "unknown key", advice, key.line, key.column)


def _check_together(
    values: Mapping[str, Any], places: Mapping[str, tuple[int, int]], found: list[Problem]
) -> None:
    def note(key: str, problem: str, advice: str | None = None) -> None:
        found.append(Problem(key, problem, advice, *places[key]))

    if values.get("to") == ():
        note("to", "no recipient is given", "leave it out to take them from the header")
    if "account" in places and "server" in places:
        note("server", "account and server exclude each other", "keep one of them")
    if "tls" in places and "server" not in places:
        note("tls", "belongs to server, which is not given", "the account says its own tls")
    if "send_at" in values and "expires_at" in values and values["expires_at"] <= values["send_at"]:
        note("expires_at", "is not after send_at")


def of_envelope(problem: Problem) -> Problem:
    """The same, told as one of the file beside the message."""
    field = f"envelope.{problem.field}" if problem.field else "envelope"
    return replace(problem, field=field)
