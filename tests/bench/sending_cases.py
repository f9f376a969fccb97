"""What the sending benchmark measures, and what must come of it: cases, senders and goals.

Numbers of messages are such that a run takes about half a second of a sender's time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.bench import peers
from tests.bench.peers import Program

OURS, WINDOW, COMPOSING = "asyncnet", "asyncnet, window 8", "asyncnet, composing"
C_TOOL = "smtp-source (C)"
AIOSMTPLIB, AIOSMTPLIB_EMAIL = "aiosmtplib", "aiosmtplib + email"
SMTPLIB, SMTPLIB_EMAIL = "smtplib", "smtplib + email"
NODEMAILER = "nodemailer, composing"


@dataclass(frozen=True)
class Sender:
    source: Callable[[], Program]
    compose: bool = False
    window: int = 1


SENDERS: Mapping[str, Sender] = {
    OURS: Sender(peers.asyncnet),
    WINDOW: Sender(peers.asyncnet, window=8),
    COMPOSING: Sender(peers.asyncnet, compose=True),
    C_TOOL: Sender(peers.smtp_source),
    AIOSMTPLIB: Sender(peers.aiosmtplib),
    AIOSMTPLIB_EMAIL: Sender(peers.aiosmtplib, compose=True),
    SMTPLIB: Sender(peers.smtplib),
    SMTPLIB_EMAIL: Sender(peers.smtplib, compose=True),
    NODEMAILER: Sender(peers.nodemailer, compose=True),
}


@dataclass(frozen=True)
class Case:
    """messages: how many each sender sends; warm: by each connection, beforehand."""

    name: str
    messages: Mapping[str, int]
    connections: int = 1
    delay_ms: float = 0.0
    recipients: int = 1
    file_octets: int = 0
    warm: int = 20


SMALL_1 = Case(
    "1 KB, 1 connection",
    {
        OURS: 5000,
        WINDOW: 12000,
        COMPOSING: 4000,
        C_TOOL: 2500,
        AIOSMTPLIB: 1000,
        AIOSMTPLIB_EMAIL: 200,
        SMTPLIB: 1500,
        SMTPLIB_EMAIL: 200,
        NODEMAILER: 400,
    },
    warm=100,
)
SMALL_16 = Case(
    "1 KB, 16 connections",
    {
        OURS: 12000,
        WINDOW: 24000,
        COMPOSING: 8000,
        C_TOOL: 12000,
        AIOSMTPLIB: 2000,
        AIOSMTPLIB_EMAIL: 250,
        SMTPLIB: 2500,
        SMTPLIB_EMAIL: 250,
        NODEMAILER: 800,
    },
    connections=16,
)
ATTACHMENT = {COMPOSING: 1600, C_TOOL: 2500, AIOSMTPLIB_EMAIL: 50, SMTPLIB_EMAIL: 50}
MIDDLE_1 = Case(
    "100 KB attachment, 1 connection", {**ATTACHMENT, NODEMAILER: 120}, file_octets=100_000
)
MIDDLE_16 = Case(
    "100 KB attachment, 16 connections",
    {**ATTACHMENT, NODEMAILER: 160},
    connections=16,
    file_octets=100_000,
    warm=5,
)
LARGE = Case(
    "25 MB attachment, 1 connection",
    {COMPOSING: 16, C_TOOL: 16, AIOSMTPLIB_EMAIL: 1, SMTPLIB_EMAIL: 1, NODEMAILER: 3},
    file_octets=25_000_000,
)
_SLOW = {AIOSMTPLIB: 6, SMTPLIB: 6, C_TOOL: 6}
FAR_1 = Case(
    "1 KB, 40 ms round trip, 1 connection",
    {OURS: 30, WINDOW: 240, **_SLOW, NODEMAILER: 12},
    delay_ms=40,
    warm=1,
)
FAR_16 = Case(
    "1 KB, 40 ms round trip, 16 connections",
    {OURS: 400, WINDOW: 2400, **dict.fromkeys(_SLOW, 80), NODEMAILER: 160},
    connections=16,
    delay_ms=40,
    warm=1,
)
FAR_50 = Case(
    "1 KB to 50 recipients, 40 ms round trip, 1 connection",
    {OURS: 30, **dict.fromkeys(_SLOW, 1), NODEMAILER: 4},
    delay_ms=40,
    recipients=50,
    warm=1,
)
CASES = (SMALL_1, SMALL_16, MIDDLE_1, MIDDLE_16, LARGE, FAR_1, FAR_16, FAR_50)


@dataclass(frozen=True)
class Goal:
    """must and goal are ratios of rates, ours to theirs; theirs None: megabytes at most.

    note: what limits it.
    """

    case: Case
    ours: str
    theirs: str | None
    must: float
    goal: float
    note: str = field(default="", compare=False)


# 4 round trips against 1, or 53 against 1, less the one that the first message needs alone.
_ONE_TRIP, _ONE_TRIP_50 = (3.8, 4.0), (45.0, 50.0)
_NODEMAILER_NOTE = (
    "nodemailer pipelines, too, and takes two round trips: 2 is all there is to win from it"
    " without a window"
)
GOALS = (
    Goal(SMALL_1, OURS, C_TOOL, 1.0, 1.5),
    Goal(SMALL_16, OURS, C_TOOL, 1.0, 1.5),
    Goal(SMALL_1, WINDOW, C_TOOL, 3, 5),
    Goal(SMALL_16, WINDOW, C_TOOL, 3, 5),
    Goal(SMALL_1, OURS, AIOSMTPLIB, 4, 8),
    Goal(SMALL_16, OURS, AIOSMTPLIB, 4, 8),
    Goal(SMALL_1, COMPOSING, AIOSMTPLIB_EMAIL, 20, 40),
    Goal(SMALL_16, COMPOSING, AIOSMTPLIB_EMAIL, 20, 40),
    Goal(MIDDLE_1, COMPOSING, SMTPLIB_EMAIL, 15, 30),
    Goal(MIDDLE_16, COMPOSING, SMTPLIB_EMAIL, 15, 30),
    Goal(MIDDLE_1, COMPOSING, NODEMAILER, 8, 16),
    Goal(MIDDLE_16, COMPOSING, NODEMAILER, 8, 16),
    Goal(LARGE, COMPOSING, C_TOOL, 0.6, 1.0, "smtp-source encodes nothing: its octets are ready"),
    Goal(LARGE, COMPOSING, None, 16, 4),
    *(Goal(FAR_1, OURS, theirs, *_ONE_TRIP) for theirs in _SLOW),
    Goal(FAR_1, OURS, NODEMAILER, *_ONE_TRIP, note=_NODEMAILER_NOTE),
    *(Goal(FAR_50, OURS, theirs, *_ONE_TRIP_50) for theirs in _SLOW),
    Goal(FAR_50, OURS, NODEMAILER, *_ONE_TRIP_50, note=_NODEMAILER_NOTE),
    *(Goal(FAR_1, WINDOW, theirs, 25, 32) for theirs in (C_TOOL, AIOSMTPLIB)),
)
