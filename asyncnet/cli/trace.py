"""A talk on the terminal as it goes on: who says what, when, and by which section of which RFC.

One line for each event in a pipe; on a terminal coloured (NO_COLOR is respected), the section at
the right edge, long lines broken under their beginning.
"""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from asyncnet.cli.excerpt import visible
from asyncnet.delivery.handshake import Handshake
from asyncnet.delivery.trace import Direction, TraceEvent

STDERR = Console(stderr=True, highlight=False, soft_wrap=True)

_STYLES = {">": "cyan", "<": "green", "*": "magenta"}
_REFUSALS = {"4": "yellow", "5": "red"}
_TIME_COLUMNS = 16  # with the direction behind it
_MIN_TEXT_COLUMNS = 40  # with less, the section goes


def print_event(event: TraceEvent) -> None:
    """Show an event on stderr."""
    for line in lines(event):
        for text in _laid_out(line, STDERR):
            STDERR.print(text)


def lines(event: TraceEvent) -> Iterator[TraceEvent]:
    """The event as it is read: the three segments of a handshake each on a line of its own.

    The kernel tells of a handshake when it is done: that the SYN left took_s before is measured,
    that SYN-ACK and ACK are of the moment of the news is not.
    """
    made = event.text
    if not isinstance(made, Handshake):
        yield event
        return
    measured = "" if made.rtt_s is None else f"   round trip {_ms(made.rtt_s)} (TCP_INFO)"
    segments: tuple[tuple[Direction, float, str], ...] = (
        (">", made.took_s, f"SYN      {made.own} ──▶ {made.peer}"),
        ("<", 0.0, f"SYN-ACK  {made.own} ◀── {made.peer}{measured}"),
        (">", 0.0, f"ACK      {made.own} ──▶ {made.peer}   connected in {_ms(made.took_s)}"),
    )
    for direction, before_s, text in segments:
        yield TraceEvent(direction, max(0.0, event.at_s - before_s), text, event.rule)


def _laid_out(event: TraceEvent, console: Console) -> Iterator[Text]:
    style = _style(event)
    time = (f"{event.at_s * 1000:10.1f} ms ", "dim")
    direction = (f"{event.direction} ", f"bold {style}")
    said = Text(visible(event.text), style)
    if not console.is_terminal:
        yield Text.assemble(time, direction, said, f"   [{event.rule}]" if event.rule else "")
        return
    rule = event.rule.replace(" section ", " § ")
    columns = console.width - _TIME_COLUMNS
    at_the_side = columns - len(rule) - 2 >= _MIN_TEXT_COLUMNS
    first, *more = said.wrap(console, columns - (len(rule) + 2 if at_the_side else 0))
    first.rstrip()
    gap = " " * (columns - len(rule) - first.cell_len) if at_the_side else ""
    yield Text.assemble(time, direction, first, gap, (rule if at_the_side else "", "dim"))
    for part in more:
        part.rstrip()
        yield Text.assemble(" " * _TIME_COLUMNS, part)


def _style(event: TraceEvent) -> str:
    refusal = _REFUSALS.get(event.text[:1]) if event.direction == "<" else None
    return refusal or _STYLES[event.direction]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms"
