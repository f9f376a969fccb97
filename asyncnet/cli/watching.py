"""A mail to watch: the dialogue line by line, and a bar for a large one."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
from rich.text import Text

from asyncnet.delivery.exchange import TraceEvent

BAR_FROM_OCTETS = 1_000_000  # below, it is over before it could be read

_STYLES = {">": "cyan", "<": "green", "*": "magenta"}
_console = Console(stderr=True, highlight=False, soft_wrap=True)


def print_event(event: TraceEvent) -> None:
    """One line on stderr: milliseconds, direction, text, and the RFC section that rules it."""
    line = Text(f"{event.at_s * 1000:9.1f} ms  ", style="dim")
    line.append(f"{event.direction} ", style=f"bold {_STYLES[event.direction]}")
    line.append(event.text, style=_STYLES[event.direction])
    if event.rule:
        line.append(f"   [{event.rule}]", style="dim")
    _console.print(line)


class Meter:
    """A progress bar on a terminal for a message of BAR_FROM_OCTETS or more, else nothing."""

    def __init__(self, octets: int) -> None:
        self._octets = octets
        self._bar: Progress | None = None

    def __enter__(self) -> "Meter":
        if self._octets >= BAR_FROM_OCTETS and sys.stderr.isatty():
            self._bar = Progress(
                "sending", BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=_console
            )
            self._task = self._bar.add_task("sending", total=self._octets)
            self._bar.start()
        return self

    def show(self, octets: int) -> None:
        """So many octets of the content have been handed over."""
        if self._bar is not None:
            self._bar.update(self._task, completed=octets)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
