"""SMTP replies: octets in, Reply out (RFC 5321 section 4.2).  No I/O."""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from asyncnet.smtp.errors import MalformedReply

# RFC 5321 section 4.5.3.1.5 says 512 octets a line; longer ones are seen (a link to a help
# page).  No honest server comes near these bounds, and an endless one is stopped by them.
MAX_LINE_OCTETS = 4 * 1024
MAX_LINES = 256
MAX_REPLY_OCTETS = 64 * 1024

MASK = "********"

# On octets: to str.isdigit() and int() an Arabic "٢٥٠" is a number, too.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
# One whole short line, the only one of its reply.
_SHORT = re.compile(rb"([2-5][0-9][0-9]) ([^\n]{0,120})")
MAX_KNOWN = 64  # short replies remembered, word for word
# RFC 2034 section 4 puts the code before the words of every line.  Servers do say "450 5.1.1" and
# mean the 5; but a 2 beside a 4yz or 5yz, or the other way round, is a version number or a date.
_SUCCESS = re.compile(r"(2\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)", re.ASCII)
_REFUSAL = re.compile(r"([45]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
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

    def masked(self, secrets: Iterable[str]) -> "Reply":
        """The same reply with our own secrets struck out: some servers repeat a bad command."""
        lines, raw = self.lines, self.raw
        for secret in secrets:
            lines = tuple(line.replace(secret, MASK) for line in lines)
            raw = raw.replace(secret.encode(), MASK.encode())
        return Reply(self.code, lines, raw)

    def __str__(self) -> str:
        return f"{self.code} {' '.join(self.lines)}".rstrip()


class ReplyReader:
    """Cuts the server's octets into replies, however they are chopped.

    charset decodes lines that are not UTF-8 (RFC 6531 servers speak UTF-8, QQ speaks GB18030,
    the rest is best shown as latin-1).
    """

    def __init__(self, charset: str = "latin-1") -> None:
        self._charset = charset
        self._buffer = b""
        self._searched_octets = 0  # of the buffer, known to hold no LF
        self._ready: deque[Reply] = deque()  # whole ones, cut off the buffer already
        self._known: dict[bytes, Reply] = {}  # "250 2.1.5 Ok" comes again and again
        self._code: bytes | None = None  # of the reply under way
        self._lines: list[str] = []
        self._raw = bytearray()

    @property
    def pending(self) -> bool:
        """Whether octets are here that no reply was given out of yet."""
        return bool(self._buffer or self._ready or self._lines)

    def receive_data(self, octets: bytes) -> None:
        """Store what the wire gave.  Nothing is parsed before next_reply()."""
        self._buffer += octets

    def whole_replies(self, count: int) -> list[Reply] | None:
        """The next replies if so many are here already, short ones all; None takes nothing."""
        if not self._lines and len(self._ready) < count and self._buffer:
            self._cut_short_ones()
        ready = self._ready
        return [ready.popleft() for _ in range(count)] if len(ready) >= count else None

    def put_back(self, replies: list[Reply]) -> None:
        """Undo whole_replies()."""
        self._ready.extendleft(reversed(replies))

    def next_reply(self) -> Reply | None:
        """Return the next whole reply, or None while more octets are needed.

        Raises MalformedReply on a line that is none, on one of another code than the line
        before (section 4.2.1), and past the bounds.  The reader is spent then: close.
        """
        if not self._ready and self._buffer and not self._lines:
            self._cut_short_ones()
        if self._ready:
            return self._ready.popleft()
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

    def _cut_short_ones(self) -> None:
        """Take the short replies of one line off the front of the buffer, many at a time.

        Whatever is not such a line is left there, with all behind it, to be read with care.
        """
        lines = self._buffer.split(b"\r\n")
        taken_octets = 0
        for line in lines[:-1]:
            reply = self._known.get(line)
            if reply is None:
                match = _SHORT.fullmatch(line)
                if match is None:
                    break
                text = (self._decode(match[2]),)
                reply = Reply(int(match[1]), text, line + b"\r\n")
                if len(self._known) < MAX_KNOWN:
                    self._known[line] = reply
            self._ready.append(reply)
            taken_octets += len(line) + 2
        if taken_octets:
            self._buffer = self._buffer[taken_octets:]
            self._searched_octets = 0

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
