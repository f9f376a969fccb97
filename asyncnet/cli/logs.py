"""Logs: one line per event, for people on a terminal, JSON elsewhere; always on stderr.

A busy daemon writes thousands of lines a second, so lines cost little here: they are composed by
one function, and those of some milliseconds leave in one write, by a thread: a log whose reader is
slow holds up no mail.  From a warning on, and outside of a loop, a line leaves at once, and those
before it; a process that is killed loses the lines of its last moment.
"""

import asyncio
import atexit
import contextlib
import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, TextIO

import structlog

from asyncnet.config.sections import LogSettings

MOST_WAITING = 10_000  # lines: some 2 MB
TOGETHER_S = 0.02  # to wake a thread for each line costs more than the line


class Lines:
    """What structlog hands finished lines to: a logger with a method for each level."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        # Appended to and taken from by several threads, which a deque bears without a lock.
        self._waiting: deque[str] = deque()
        self._writing = threading.Lock()
        self._starting = threading.Lock()
        self._due_soon = False
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        atexit.register(self.flush)

    def later(self, line: str) -> None:
        """Write the line, a moment later where a loop runs in this thread."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.now(line)
            return
        self._waiting.append(line)
        if not self._due_soon:
            self._due_soon = True
            loop.call_later(TOGETHER_S, self._write_apart)
        elif len(self._waiting) > MOST_WAITING:
            self.flush()  # the reader stands still: so do we, since lines are not thrown away

    def now(self, line: str) -> None:
        """Write it, behind those that wait."""
        self._waiting.append(line)
        self.flush()

    def flush(self) -> None:
        """Write what waits; returns when it has left."""
        with self._writing:
            if waiting := [self._waiting.popleft() for _ in range(len(self._waiting))]:
                # A log that cannot be written, its disk being full or its reader gone, stops no
                # mail.  What does not fit into the file's own buffer is lost.
                with contextlib.suppress(OSError):
                    self._file.write("\n".join(waiting) + "\n")
                    self._file.flush()

    def _write_apart(self) -> None:
        self._due_soon = False
        with self._starting:  # the pages have a loop of their own, and lines of their own
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_writing, name="log", daemon=True)
                self._thread.start()
        self._due.set()

    def _keep_writing(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            self.flush()

    msg = debug = info = later
    warning = warn = error = err = exception = critical = fatal = failure = now


def configure(settings: LogSettings) -> None:
    """Set up structlog for this process."""
    as_console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    lines = Lines(sys.stderr)
    logger = structlog.make_filtering_bound_logger(
        logging.getLevelNamesMapping()[settings.level.upper()]
    )
    structlog.configure(
        processors=_for_people() if as_console else [],
        wrapper_class=logger if as_console else _in_json(logger),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )


def _in_json(logger: type[Any]) -> type[Any]:
    """The logger, its lines composed by json_line() alone: a chain of processors costs as much."""

    class JsonLogger(logger):  # type: ignore[misc]
        def _proxy_to_logger(self, method_name: str, event: str | None = None, **told: Any) -> None:
            if self._context:
                told = {**self._context, **told}
            told["event"] = event
            getattr(self._logger, method_name)(json_line(method_name, told))

    return JsonLogger


def json_line(level: str, told: MutableMapping[str, Any]) -> str:
    """What is told in JSON, its level and time."""
    if "exc_info" in told:
        told = structlog.processors.format_exc_info(None, level, told)
    # Nearly all is text, and an encoder for the whole costs more than all its members.
    line = "{"
    for key, value in told.items():
        kind = type(value)
        said = _quoted(value) if kind is str else value if kind is int else _encode(value)
        line += f'"{key}": {said}, '
    level = "error" if level == "exception" else level
    return f'{line}"level": "{level}", "timestamp": "{_now()}"}}'


def _now() -> str:
    """As structlog's own: microseconds, UTC."""
    second, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_second(second)}.{microseconds:06}Z"


@lru_cache(maxsize=1)
def _second(second: int) -> str:
    """Most lines are of the same second as the one before."""
    return datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00")


def _for_people() -> list[structlog.typing.Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        # Locals stay out of tracebacks: they may hold a password.
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _told(value: object) -> object:
    """What JSON has no word for."""
    return repr(value)


# Made once: json.dumps() makes one for each call that asks for anything of its own.
_encode = json.JSONEncoder(ensure_ascii=False, default=_told).encode
_quoted = encode_basestring  # as that encoder quotes text
