"""Ready responses: status, page and policy in, octets out (RFC 9112 section 4).  No I/O.

Every response says that the connection ends with it, and may be shown by a browser but
neither kept, nor sniffed, nor framed.  The Date comes in from outside, once a second.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

SERVER = "asyncnet"  # no version: RFC 9110 section 10.2.4 warns of telling attackers

# What a page may load when it says nothing else: nothing at all.
STRICT_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# "Closed" is the word our users were promised, "close" the token of RFC 9110 section 7.6.1.
# With the first alone, keep-alive clients (node, aiohttp, wrk) reuse the connection and fail;
# with two lines none does, and a reader that joins them finds both.
_HEAD = (
    "HTTP/1.1 {status} {reason}\r\n"
    "Server: {server}\r\n"
    "Date: {date}\r\n"
    "Content-Length: {length}\r\n"
    "Content-Type: {content_type}\r\n"
    "Connection: Closed\r\n"
    "Connection: close\r\n"
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Content-Security-Policy: {policy}\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "\r\n"
)
_SLOT = "\0"  # stands for the date; no field may hold it


@dataclass(frozen=True, slots=True)
class ReadyResponse:
    """A whole response but for its Date."""

    before_date: bytes
    after_date: bytes

    def octets(self, date: bytes) -> bytes:
        """What goes on the wire; date is an IMF-fixdate (RFC 9110 section 5.6.7)."""
        return self.before_date + date + self.after_date


def compose(
    status: HTTPStatus,
    body: bytes,
    *,
    policy: str = STRICT_POLICY,
    content_type: str = "text/html",
) -> ReadyResponse:
    """The response with this body; policy is its Content-Security-Policy."""
    head = _HEAD.format(
        status=int(status),
        reason=status.phrase,
        server=SERVER,
        date=_SLOT,
        length=len(body),
        content_type=content_type,
        policy=policy,
    )
    before_date, after_date = head.encode("ascii").split(_SLOT.encode("ascii"))
    return ReadyResponse(before_date, after_date + body)


def format_date(epoch_s: int) -> bytes:
    """The IMF-fixdate of a POSIX time, in English whatever the locale says."""
    date = datetime.fromtimestamp(epoch_s, UTC)
    day, month = _DAYS[date.weekday()], _MONTHS[date.month - 1]
    return f"{day}, {date:%d} {month} {date:%Y %H:%M:%S} GMT".encode("ascii")
