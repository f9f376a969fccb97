"""The access log: one structured line for each answered request."""

import re
from dataclasses import asdict, dataclass

import structlog

from asyncnet.http1.request import Request

MAX_TARGET_OCTETS = 200  # enough to know the request again, too little to fill a disk

_TARGET_END = re.compile(rb"[ \n]|\r\n|\r\Z")


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """What is told of a request; method and target are escaped, empty where none was read."""

    method: str
    target: str
    status: int
    octets: int
    time_ms: float  # from the connection to the answer
    peer: str
    fault: str | None


def describe_access(
    request: Request, response: bytes, time_s: float, peer: object, unread: bytes = b""
) -> AccessEntry:
    """The entry for one answer; peer is what the socket calls it, None when already gone.

    unread is where the reading of a refused head stopped: a target that was not read stands there.
    """
    return AccessEntry(
        method=_escape(request.method),
        target=_escape(request.target or _target_in(request.method, unread)),
        status=int(response[9:12]),
        octets=len(response),
        time_ms=round(time_s * 1000, 3),
        peer=str(peer[0]) if isinstance(peer, tuple) else "",
        fault=request.fault,
    )


def log_access(entry: AccessEntry) -> None:
    """Write the entry as one line of the daemon's log."""
    structlog.get_logger("asyncnet.http").info("request", **asdict(entry))


def _target_in(method: bytes, unread: bytes) -> bytes:
    """The target in a request-line that was refused before its end, as far as it came."""
    start = method + b" "
    if not method or not unread.startswith(start):
        return b""
    return _TARGET_END.split(unread[len(start) :], maxsplit=1)[0]


def _escape(octets: bytes) -> str:
    """No control reaches a terminal or starts a second line of the log."""
    return octets[:MAX_TARGET_OCTETS].decode("latin-1").encode("unicode_escape").decode("ascii")
