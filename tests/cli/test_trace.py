"""A talk as it is shown: on a terminal for people, in a pipe for tools."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from asyncnet.cli import trace
from asyncnet.delivery.handshake import Handshake
from asyncnet.delivery.trace import TraceEvent

MADE = Handshake.measured("127.0.0.1:40000", "127.0.0.1:1025", 0.0005, 0.00004)
LONG = "250-" + "words " * 40 + "end"
EVENTS = [
    TraceEvent("*", 0.001, "mx.example.test is 127.0.0.1", "RFC 1034 section 5"),
    TraceEvent("*", 0.002, MADE, "RFC 9293 section 3.5"),
    TraceEvent("<", 0.003, "220 mx.example.test ESMTP", "RFC 5321 section 3.1"),
    TraceEvent(">", 0.004, "EHLO me.example.test", "RFC 5321 section 4.1.1.1"),
    TraceEvent("<", 0.005, LONG, "RFC 5321 section 4.1.1.1"),
    TraceEvent("<", 0.006, "451 later \x1b[2J", "RFC 5321 section 4.1.1.2"),
    TraceEvent("<", 0.007, "550 no", "RFC 5321 section 4.1.1.3"),
    TraceEvent(">", 12.5, "[1000 octets of content]", "RFC 5321 section 4.1.1.4"),
]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a pipe gets."""
    out = io.StringIO()
    monkeypatch.setattr(trace, "STDERR", Console(file=out, highlight=False, soft_wrap=True))
    return out


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, highlight=False, soft_wrap=True)
    monkeypatch.setattr(trace, "STDERR", console)
    for event in EVENTS:
        trace.print_event(event)
    return out.getvalue()


def test_in_a_pipe_each_line_has_time_direction_and_section(shown: io.StringIO) -> None:
    for event in EVENTS:
        trace.print_event(event)
    lines = shown.getvalue().splitlines()
    assert len(lines) == len(EVENTS) + 2  # the handshake has three segments
    assert lines[0] == "       1.0 ms * mx.example.test is 127.0.0.1   [RFC 1034 section 5]"
    assert all(" ms " in line and line.endswith("]") for line in lines)
    assert "end   [RFC 5321 section 4.1.1.1]" in shown.getvalue()
    assert "\x1b" not in shown.getvalue()
    assert "451 later \\x1b[2J" in shown.getvalue()


def test_the_handshake_is_drawn_segment_by_segment(shown: io.StringIO) -> None:
    trace.print_event(EVENTS[1])
    assert [line.split("   [")[0] for line in shown.getvalue().splitlines()] == [
        "       1.5 ms > SYN      127.0.0.1:40000 ──▶ 127.0.0.1:1025",
        "       2.0 ms < SYN-ACK  127.0.0.1:40000 ◀── 127.0.0.1:1025"
        "   round trip 0.040 ms (TCP_INFO)",
        "       2.0 ms > ACK      127.0.0.1:40000 ──▶ 127.0.0.1:1025   connected in 0.500 ms",
    ]


def test_where_the_kernel_does_not_tell_nothing_is_made_up(shown: io.StringIO) -> None:
    silent = Handshake.measured("127.0.0.1:40000", "127.0.0.1:1025", 0.0005, None)
    trace.print_event(TraceEvent("*", 0.002, silent, "RFC 9293 section 3.5"))
    assert "round trip" not in shown.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = on_a_terminal(monkeypatch, width).splitlines()
    plain = [Text.from_ansi(line).plain.rstrip() for line in lines]
    assert max(map(cell_len, plain)) <= width
    joined = " ".join(part.strip() for part in plain)
    assert joined.count("words") == 40, "nothing is cut off"
    if width >= 80:
        assert plain[0].endswith("RFC 1034 § 5")
        assert plain[0].startswith("       1.0 ms * mx.example.test is")


def test_refusals_are_seen_by_their_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    text = on_a_terminal(monkeypatch, 120)
    line = {code: next(it for it in text.splitlines() if code in it) for code in ("451", "550")}
    assert "\x1b[33m451" in line["451"]
    assert "\x1b[31m550" in line["550"]


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = on_a_terminal(monkeypatch, 120)
    assert not {f"\x1b[{number}" for number in range(30, 38)} & set(text.split("m"))
    assert "\x1b[3" not in text
