"""SMTP replies: bytes in, Reply out (RFC 5321 section 4.2).  No I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer of the server; code is 200 to 599, lines bear no code and no CRLF."""

    code: int
    lines: tuple[str, ...]
