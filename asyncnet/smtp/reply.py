"""SMTP replies: octets in, Reply out (RFC 5321 section 4.2).  No I/O."""

import re
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
# RFC 2034 section 4; the class must be that of the code, or it is a version number or a date.
_ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)")


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
        """The enhanced status code "5.1.1" (RFC 3463), read whether it was announced or not.

        One that contradicts the code ("550 2.1.0 …") is not believed.
        """
        match = _ENHANCED.match(self.lines[0]) if self.lines else None
        return match[0] if match and match[1] == str(self.code)[0] else None

    @property
    def text(self) -> str:
        """The words alone: lines joined by spaces, enhanced codes left out."""
        code = self.enhanced
        if code is None:
            return " ".join(self.lines).strip()
        return " ".join(line.removeprefix(code).strip() for line in self.lines).strip()

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
        self._buffer = bytearray()
        self._searched_octets = 0  # of the buffer, known to hold no LF
        self._code: bytes | None = None  # of the reply under way
        self._lines: list[str] = []
        self._raw = bytearray()

    @property
    def pending(self) -> bool:
        """Whether octets are here that no reply was made of yet."""
        return bool(self._buffer or self._lines)

    def receive_data(self, octets: bytes) -> None:
        """Store what the wire gave.  Nothing is parsed before next_reply()."""
        self._buffer += octets

    def next_reply(self) -> Reply | None:
        """Return the next whole reply, or None while more octets are needed.

        Raises MalformedReply on a line that is none, on one of another code than the line
        before (section 4.2.1), and past the bounds.  The reader is spent then: close.
        """
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
            raise MalformedReply("a reply line too long", bytes(self._buffer[:MAX_LINE_OCTETS]))
        if not end:
            self._searched_octets = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[:end]
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
