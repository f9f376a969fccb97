"""The C load generator (http_load.c) and the C server (http_canned.c), compiled and driven."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.sink import BUILD, COMPILERS, FLAGS, NoCompiler

FOLDER = Path(__file__).parent
RUN_S = 120.0


class LoadFailed(Exception):
    """The generator ended badly, or answers were lost."""


@dataclass(frozen=True)
class Load:
    """What one run of the generator saw; times in microseconds, to the clean end of an answer."""

    took_s: float
    answered: int
    aborted: int
    refused: int
    reset: int
    status_wrong: int
    cut_short: int
    p50_us: float
    p99_us: float
    max_us: float
    cpu_s: float

    @property
    def failed(self) -> int:
        return self.refused + self.reset + self.status_wrong + self.cut_short

    @property
    def per_s(self) -> float:
        return self.answered / self.took_s


def compiled(name: str) -> Path:
    """build/NAME from NAME.c here, made anew where it is older.

    Raises NoCompiler, or CalledProcessError when the compiler fails.
    """
    source, made = FOLDER / f"{name}.c", BUILD / name
    if made.exists() and made.stat().st_mtime > source.stat().st_mtime:
        return made
    compiler = next((path for it in COMPILERS if (path := shutil.which(it))), None)
    if compiler is None:
        raise NoCompiler(f"no C compiler found (tried {', '.join(COMPILERS)}): install gcc")
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as aside:
        new = Path(aside) / name
        subprocess.run([compiler, *FLAGS, "-o", str(new), str(source)], check=True)
        new.rename(made)
    return made


def run_load(port: int, core: int | None, *options: str | int, may_fail: bool = False) -> Load:
    """One run on that core.  Raises LoadFailed where a request got no whole 200."""
    with _started(port, core, options) as process:
        said, _ = process.communicate(timeout=RUN_S)
    if process.returncode:
        raise LoadFailed(f"the generator ended with {process.returncode}")
    load = Load(**json.loads(said))
    if load.failed and not may_fail:
        raise LoadFailed(f"{load.failed} requests got no whole answer: {load}")
    return load


@contextmanager
def held(port: int, core: int | None, count: int) -> Iterator[None]:
    """So many connections with half a request each, renewed where the server closes them."""
    with _started(port, core, ("--hold", count)) as process:
        assert process.stdout is not None
        if not process.stdout.readline().startswith("held"):
            raise LoadFailed("the connections were not taken")
        yield
        process.communicate(timeout=RUN_S)  # the end of its input ends it


@contextmanager
def flood(port: int, core: int | None, *options: str | int) -> Iterator[None]:
    """A generator beside what is measured; ended with the block."""
    with _started(port, core, options) as process:
        yield
        process.kill()
        process.communicate()


@contextmanager
def _started(
    port: int, core: int | None, options: tuple[str | int, ...]
) -> Iterator["subprocess.Popen[str]"]:
    words = [str(compiled("http_load")), "--port", str(port), *map(str, options)]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
