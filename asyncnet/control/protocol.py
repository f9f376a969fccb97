"""What is said over the control socket: one line of JSON asks, one line answers.  No I/O.

  > {"asyncnet": 1, "verb": "account.hold", "arguments": {"name": "work"}}
  < {"asyncnet": 1, "answer": …}
  < {"asyncnet": 1, "refusal": {"kind": "unknown", "text": "there is no account 'wrok'"}}

One connection, one question.  A new verb is one more entry in the table that the supervisor hands
to the listener; only a change of what stands above is another version.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

VERSION = 1
SOCKET_NAME = "control.sock"

MAX_REQUEST_OCTETS = 64 * 1024  # a few thousand names
MAX_ANSWER_OCTETS = 64 * 1024 * 1024  # the longest list that anybody reads

Arguments = Mapping[str, Any]
Verb = Callable[[Arguments], Awaitable[object]]  # gives what JSON can say, or raises Refused


class RefusalKind(StrEnum):
    """What whoever asked may do about it."""

    USAGE = "usage"  # ask in another way
    UNKNOWN = "unknown"  # name something that is there
    UNAVAILABLE = "unavailable"  # ask again later
    VERSION = "version"  # start the daemon afresh, or use the command that belongs to it
    FAULT = "fault"  # a fault of ours; the daemon's log tells


class ControlError(Exception):
    """Root of this room."""


class Refused(ControlError):
    """The answer to a question that cannot be answered; str() is for the person who asked."""

    def __init__(self, kind: RefusalKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Unreadable(ControlError):
    """The line is none of this protocol."""


@dataclass(frozen=True, slots=True)
class Request:
    verb: str
    arguments: Arguments = field(default_factory=dict)

    def encode(self) -> bytes:
        return _line({"verb": self.verb, "arguments": self.arguments})


def parse_request(line: bytes) -> Request:
    """Read a question.  Raises Refused."""
    try:
        document = _document(line)
    except Unreadable as error:
        raise Refused(RefusalKind.USAGE, str(error)) from error
    version = document.get("asyncnet")
    if version != VERSION:
        raise Refused(
            RefusalKind.VERSION,
            f"the daemon speaks version {VERSION} of the control protocol, not {version!r}: it "
            "is older or newer than this command; restart it",
        )
    verb, arguments = document.get("verb"), document.get("arguments", {})
    if not isinstance(verb, str) or not isinstance(arguments, dict):
        raise Refused(RefusalKind.USAGE, "a request has a verb and a map of arguments")
    return Request(verb, arguments)


def answer_line(answer: object) -> bytes:
    return _line({"answer": answer})


def refusal_line(refused: Refused) -> bytes:
    return _line({"refusal": {"kind": refused.kind, "text": str(refused)}})


def parse_answer(line: bytes) -> Any:
    """What was answered.  Raises Refused where it was refused, and Unreadable."""
    document = _document(line)
    refusal = document.get("refusal")
    if isinstance(refusal, dict):
        known = set(RefusalKind)
        kind = refusal.get("kind")
        raise Refused(
            RefusalKind(kind) if kind in known else RefusalKind.FAULT, str(refusal.get("text"))
        )
    if document.get("asyncnet") != VERSION or "answer" not in document:
        raise Unreadable("what answers at the control socket is no asyncnet of this version")
    return document["answer"]


def _line(document: dict[str, object]) -> bytes:
    text = json.dumps({"asyncnet": VERSION, **document}, allow_nan=False)
    return text.encode("ascii") + b"\n"


def _document(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unreadable("the line is no JSON") from error
    if not isinstance(document, dict):
        raise Unreadable("the line is no JSON object")
    return document
