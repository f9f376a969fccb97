"""A bar for a large mail that is being sent."""

import sys
from types import TracebackType

from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from asyncnet.cli.trace import STDERR

BAR_FROM_OCTETS = 1_000_000  # below, it is over before it could be read


class Meter:
    """A progress bar on a terminal for a message of BAR_FROM_OCTETS or more, else nothing."""

    def __init__(self, octets: int) -> None:
        self._octets = octets
        self._bar: Progress | None = None

    def __enter__(self) -> "Meter":
        if self._octets >= BAR_FROM_OCTETS and sys.stderr.isatty():
            self._bar = Progress(
                "sending", BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=STDERR
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
