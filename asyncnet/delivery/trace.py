"""What can be watched of a talk: every step as an event, and no secret in any of them.

A command masks itself (smtp/command).  What is struck out here are the server's words: some repeat
what they did not understand, in capitals, cut off or encoded, and some long after the login.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, TypeAlias
from urllib.parse import quote

from asyncnet.smtp.command import Auth, AuthResponse, Bdat, Command, Data, Group
from asyncnet.smtp.reply import MASK, Reply

Direction: TypeAlias = Literal[">", "<", "*"]

_CHALLENGE = 334  # RFC 4954 section 4
# A shorter secret cannot be told from a syllable; nobody's provider takes one.
_MIN_SECRET = 3
# So many characters in a row of an encoded secret are no accident.
_PART = 8
_CRAM_DIGEST, _SCRAM_PROOF = " ", ",p="  # what stands before them


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """Something that can be watched.  text never holds a secret.

    direction is ">" (we sent), "<" (they sent) or "*" (we note: lookup, handshake, TLS).
    at_s counts from the start of the talk.  rule is the RFC section that rules it.
    """

    direction: Direction
    at_s: float
    text: str
    rule: str = ""


Trace = Callable[[TraceEvent], None]


class Mask:
    """Strikes secrets out of texts: as they are, in capitals, encoded, and parts of them.

    Parts, because servers cut off what they repeat; two thirds of a secret that stands as it is
    (less may be an ordinary word), any _PART characters of one that is encoded.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._parts: dict[int, set[str]] = {}  # by their length
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str) -> None:
        """Strike it out from now on."""
        if len(secret) < _MIN_SECRET:
            return
        self._note(secret, max(min(len(secret), _PART), 2 * len(secret) // 3))
        # An environment variable may hold octets that are no text: they are surrogates here.
        for encoded in _encoded(secret.encode("utf-8", "surrogateescape")):
            self.learn_encoded(encoded)

    def learn_encoded(self, encoded: str) -> None:
        """The same for what is an encoding of one already."""
        if len(encoded) >= _MIN_SECRET:
            self._note(encoded, min(len(encoded), _PART))

    def _note(self, text: str, length: int) -> None:
        folded = _folded(text)
        parts = self._parts.setdefault(length, set())
        parts.update(folded[at : at + length] for at in range(len(folded) - length + 1))

    def strike(self, text: str) -> str:
        """The text with MASK wherever a secret was seen."""
        folded = _folded(text)
        seen = [False] * len(text)
        for length, parts in self._parts.items():
            for at in range(len(folded) - length + 1):
                if folded[at : at + length] in parts:
                    seen[at : at + length] = [True] * length
        if not any(seen):
            return text
        marked = "".join("\0" if hidden else sign for hidden, sign in zip(seen, text, strict=True))
        return re.sub("\0+", MASK, marked)


class Narrator:
    """Tells the trace what happens, where there is a trace (delivery/dialogue: Watcher)."""

    def __init__(self, trace: Trace | None) -> None:
        self.active = trace is not None
        self._trace = trace
        self._begun_s = perf_counter()
        self._mask = Mask()
        self._proofs_only = False  # the login under way is one by proofs: SCRAM
        self._content_rule = Data.rule

    def note(self, text: str, rule: str) -> None:
        self._tell("*", text, rule)

    def said(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if isinstance(command, Auth | AuthResponse):
                self._learn(command)
            self._tell(">", str(command), command.rule)

    def said_lines(self, group: Group) -> None:
        """The same for commands that hold no secret, by their octets."""
        kinds, octets = group
        for kind, line in zip(kinds, octets.decode().split("\r\n"), strict=False):
            if kind in (Data, Bdat):
                self._content_rule = kind.rule
            self._tell(">", line, kind.rule)

    def content(self, octets: int) -> None:
        self._tell(">", f"[{octets} octets of content]", self._content_rule)

    def heard(self, reply: Reply, rule: str) -> None:
        if reply.code == _CHALLENGE and self._proofs_only:
            # Salt, count and the server's proof are all it takes to try passwords out at home.
            reply = Reply(reply.code, (MASK,))
        *others, last = reply.lines
        for line in others:
            self._tell("<", f"{reply.code}-{line}", rule)
        self._tell("<", f"{reply.code} {last}".rstrip(), rule)

    def _learn(self, command: Auth | AuthResponse) -> None:
        if isinstance(command, Auth):
            self._proofs_only = command.mechanism.startswith("SCRAM-")
        response = command.initial if isinstance(command, Auth) else command.response
        if response:
            self._mask.learn_encoded(b64encode(response).decode())
            text = response.decode("utf-8", "replace")
            for mark in () if command.hidden else (_SCRAM_PROOF, _CRAM_DIGEST):
                if mark in text:
                    self._mask.learn_encoded(text.rpartition(mark)[2])
        for secret in command.hidden:
            self._mask.learn(secret)

    def _tell(self, direction: Direction, text: str, rule: str) -> None:
        if self._trace is not None:
            struck = self._mask.strike(text)
            shown = text if struck == text else struck  # a text that knows more stays what it is
            self._trace(TraceEvent(direction, perf_counter() - self._begun_s, shown, rule))


def _folded(text: str) -> str:
    """In small letters, each sign in its place."""
    small = text.lower()
    if len(small) == len(text):
        return small
    return "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)


def _encoded(secret: bytes) -> Iterator[str]:
    """How else a server may write it: base64 wherever it begins in it, hexadecimal, in a URL."""
    yield secret.hex()
    yield quote(secret, safe="")
    for before in range(3):
        octets = b64encode(b"\0" * before + secret).decode()
        # Without the characters that carry bits of what stands before or behind it.
        inner = octets[(8 * before + 5) // 6 : 8 * (before + len(secret)) // 6]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")
