"""SMTP replies: octets in, Reply out (RFC 5321 section 4.2).  No I/O."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from asyncnet.smtp.errors import MalformedReply

# RFC 5321 section 4.5.3.1.5 says 512 octets a line; longer ones are seen (a link to a help
# page).  No honest server comes near these bounds, and an endless one is stopped by them.
MAX_LINE_OCTETS = 4 * 1024
MAX_LINES = 256
MAX_REPLY_OCTETS = 64 * 1024

# Of a longer reply only the beginning is kept for each recipient of a message: there may be
# thousands.  A verdict shows 1,000 characters, and codes and blanks do not count there.
SHORT_OCTETS = 1024
KEPT_CHARACTERS = 2000

MASK = "********"

# On octets: to str.isdigit() and int() an Arabic "٢٥٠" is a number, too.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
# RFC 2034 section 4 puts the code before the words of every line.  Servers do say "450 5.1.1" and
# mean the 5; but a 2 beside a 4yz or 5yz, or the other way round, is a version number or a date.
_SUCCESS = re.compile(r"(2\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)", re.ASCII)
_REFUSAL = re.compile(r"([45]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)", re.ASCII)


# Not frozen: one is made for every message, and freezing triples what that costs.
@dataclass(slots=True, unsafe_hash=True)
class Reply:
    """One whole answer of the server; code is 200 to 599, lines bear no code and no CRLF.

    Control characters in lines are replaced: they end up on terminals and in result files.
    raw is the answer as it came, line ends included; b"" where no server sent it.
    """

    code: int
    lines: tuple[str, ...]
    raw: bytes = field(default=b"", repr=False, compare=False)

    @property
    def positive(self) -> bool:
        """Whether it is a 2yz: done as asked."""
        return 200 <= self.code <= 299

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code "5.1.1" (RFC 3463), read whether it was announced or not."""
        return self.divided()[0]

    @property
    def text(self) -> str:
        """The words alone: lines joined by spaces, enhanced codes left out."""
        return self.divided()[1]

    def divided(self) -> tuple[str | None, str]:
        """The enhanced code and the text, both in one reading."""
        pattern = _SUCCESS if self.positive else _REFUSAL
        enhanced: str | None = None
        words = []
        for line in self.lines:
            if (match := pattern.match(line)) is not None:
                enhanced = enhanced or match[1]
                line = line[match.end() :]
            if line := line.strip():
                words.append(line)
        return enhanced, " ".join(words)

    def shortened(self) -> "Reply":
        """The same reply, if it is short; else its first lines and its enhanced code, without raw.

        Lines stay whole: half a secret would not be known for one any more (delivery/trace: Mask).
        """
        if max(len(self.raw), sum(map(len, self.lines))) <= SHORT_OCTETS:
            return self
        characters, number = 0, 0
        while number < len(self.lines) and characters <= KEPT_CHARACTERS:
            characters += len(self.lines[number])
            number += 1
        short = Reply(self.code, self.lines[:number])
        enhanced = self.enhanced
        if enhanced is not None and short.enhanced is None:
            short.lines += (enhanced,)
        return short

    def masked(self, secrets: Iterable[str]) -> "Reply":
        """The same reply with our own secrets struck out: some servers repeat a bad command."""
        lines, raw = self.lines, self.raw
        for secret in secrets:
            lines = tuple(line.replace(secret, MASK) for line in lines)
            raw = raw.replace(secret.encode(), MASK.encode())
        return Reply(self.code, lines, raw)

    def __str__(self) -> str:
        return f"{self.code} {' '.join(self.lines)}".rstrip()


class SingleLines:
    """Replies with these codes, one behind the other, of one short line of printable ASCII each.

    What is otherwise (UTF-8, a bare CR or LF, a line continued) is for who reads with care.
    """

    __slots__ = ("last_code", "match")

    def __init__(self, codes: Sequence[int]) -> None:
        self.last_code = codes[-1]
        # Possessive, so that what does not match costs one look at each octet.
        runs = [(code, len(list(run))) for code, run in groupby(codes[:-1])]
        others = b"".join(rb"(?:%d [ -~]{0,500}+\r\n){%d}+" % run for run in runs)
        last = rb"(%d ([ -~]{0,500}+)\r\n)" % self.last_code  # group 1 as it came, 2 its text
        self.match = re.compile(others + last).match


class ReplyReader:
    """Cuts the server's octets into replies, however they are chopped.

    charset decodes lines that are not UTF-8 (RFC 6531 servers speak UTF-8, QQ speaks GB18030,
    the rest is best shown as latin-1).
    """

    def __init__(self, charset: str = "latin-1") -> None:
        self._charset = charset
        self._buffer = b""
        self._searched_octets = 0  # of the buffer, known to hold no LF
        self._taken_octets = 0  # of the buffer, by last_if_all()
        self._code: bytes | None = None  # of the reply under way
        self._lines: list[str] = []
        self._raw = bytearray()

    @property
    def pending(self) -> bool:
        """Whether octets are here that no reply was given out of yet."""
        return len(self._buffer) > self._taken_octets or bool(self._lines)

    def receive_data(self, octets: bytes) -> None:
        """Store what the wire gave.  Nothing is parsed before next_reply()."""
        self._drop_taken()
        self._buffer += octets

    def _drop_taken(self) -> None:
        if self._taken_octets:
            self._buffer = self._buffer[self._taken_octets :]
            self._taken_octets = self._searched_octets = 0

    def last_if_all(self, expected: SingleLines) -> Reply | None:
        """The last of the expected replies, if all of them come next and are here.

        Takes them all.  None takes nothing: next_reply() reads them one by one, with all care.
        """
        match = None if self._lines else expected.match(self._buffer, self._taken_octets)
        if match is None:
            return None
        self._taken_octets = match.end()
        raw, text = match.groups()
        return Reply(expected.last_code, (text.decode(),), raw)

    def next_reply(self) -> Reply | None:
        """Return the next whole reply, or None while more octets are needed.

        Raises MalformedReply on a line that is none, on one of another code than the line
        before (section 4.2.1), and past the bounds.  The reader is spent then: close.
        """
        self._drop_taken()
        while (line := self._next_line()) is not None:
            match = _LINE.fullmatch(line.rstrip(b"\r\n"))
            if match is None:
                raise MalformedReply("not a reply", line)
            code, mark, text = match.groups()
            if self._code not in (None, code):
                raise MalformedReply("the code changed within a reply", line)
            self._code = code
            self._raw += line
            self._lines.append(self._decode(text or b""))
            if mark != b"-":
                return self._complete()
            if len(self._lines) >= MAX_LINES or len(self._raw) > MAX_REPLY_OCTETS:
                raise MalformedReply("a reply without end", line)
        return None

    def _complete(self) -> Reply:
        assert self._code is not None
        reply = Reply(int(self._code), tuple(self._lines), bytes(self._raw))
        self._code, self._lines, self._raw = None, [], bytearray()
        return reply

    def _next_line(self) -> bytes | None:
        # A bare LF passes: some servers send it, and in a reply, unlike in mail content,
        # nothing can be smuggled by it.
        end = self._buffer.find(b"\n", self._searched_octets) + 1
        if end > MAX_LINE_OCTETS or (not end and len(self._buffer) >= MAX_LINE_OCTETS):
            raise MalformedReply("a reply line too long", self._buffer[:MAX_LINE_OCTETS])
        if not end:
            self._searched_octets = len(self._buffer)
            return None
        line, self._buffer = self._buffer[:end], self._buffer[end:]
        self._searched_octets = 0
        return line

    def _decode(self, text: bytes) -> str:
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            decoded = text.decode(self._charset, "replace")
        if decoded.isprintable():
            return decoded
        return "".join(sign if sign.isprintable() or sign == "\t" else "�" for sign in decoded)
