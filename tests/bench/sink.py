"""The C sink (sink.c) as a process: compiled at the first use, then started, asked and ended.

It needs a C compiler (Debian: gcc); there is no slower substitute, since a sink that is slower
than what is measured would be what is measured.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("sink.c")
BUILD = Path(__file__).parents[2] / "build"
COMPILERS = ("cc", "gcc", "clang")
EXTENSIONS = ("PIPELINING", "CHUNKING", "SIZE", "8BITMIME", "SMTPUTF8")
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wconversion")
END_S = 10.0


class NoCompiler(Exception):
    """There is no C compiler; str() says what was tried and what to install."""


def binary() -> Path:
    """The compiled sink; compiles it where it is missing or older than its source.

    Raises NoCompiler, or CalledProcessError when the compiler fails.
    """
    made = BUILD / "bench-sink"
    if made.exists() and made.stat().st_mtime > SOURCE.stat().st_mtime:
        return made
    BUILD.mkdir(exist_ok=True)
    # Made aside and renamed: two test processes may come at the same time.
    with tempfile.TemporaryDirectory(dir=BUILD) as aside:
        new = Path(aside) / made.name
        subprocess.run([compiler(), *FLAGS, "-o", str(new), str(SOURCE)], check=True)
        new.rename(made)
    return made


def can_be_made() -> bool:
    """Whether the sink is there now; says why not."""
    try:
        binary()
    except (NoCompiler, subprocess.CalledProcessError) as error:
        print(f"*** the sink cannot be made: {error}")
        return False
    return True


def compiler() -> str:
    """The C compiler's path.  Raises NoCompiler."""
    found = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if found is None:
        raise NoCompiler(f"no C compiler found (tried {', '.join(COMPILERS)}): install gcc")
    return found


def command(extensions: Sequence[str], delay_ms: float, *options: str) -> list[str]:
    """The sink's command line."""
    words = ["--extensions", ",".join(extensions), "--delay-ms", f"{delay_ms:g}", *options]
    return [str(binary()), *words]


class Sink:
    """A running sink; made by running_sink()."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid
        self.port = int(self._line())

    def reset(self) -> None:
        """Count anew from here on; connections stay."""
        self._order("reset")

    def counts(self) -> dict[str, Any]:
        """What was counted since reset(); the names stand in show_counts() of sink.c."""
        return self._order("count")

    def _order(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        counts: dict[str, Any] = json.loads(self._line())
        return counts

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ConnectionError("the sink is gone")
        return line


@contextmanager
def running_sink(
    extensions: Sequence[str] = EXTENSIONS, delay_ms: float = 0.0, core: int | None = None
) -> Iterator[Sink]:
    """A sink on a free port of loopback, on a processor core of its own where one is named."""
    process = subprocess.Popen(
        command(extensions, delay_ms), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield Sink(process)
    finally:
        process.communicate(timeout=END_S)  # the end of its input ends it
