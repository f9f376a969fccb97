"""Tests against a copy of the tree, mutated or not: what failed, and whether that counts.

A mutant is caught by a test that fails.  A test that hangs, a file that cannot be imported, a
fixture that breaks or a test that is left out proves nothing and is told apart.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.telling import VARIABLE

REPOSITORY = Path(__file__).parent.parent.parent
COPIED = ("asyncnet", "tests", "config", "pyproject.toml")
TEST_S = 60.0  # for one test, as in .ci
TRIAL_S = 420.0  # for all of a trial
SHOWN_LINES = 40  # of pytest's output where a trial proves nothing


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a run of pytest came to; hung is the test that it ended in."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    errors: tuple[str, ...]
    left_out: tuple[str, ...]
    hung: str | None
    seconds: float
    said: str  # the end of the output

    @property
    def green(self) -> bool:
        """All went well; what this machine cannot try may have been left out."""
        return bool(self.passed) and not (self.failed or self.errors or self.hung is not None)

    def __str__(self) -> str:
        """What is to be told of it in one line."""
        if self.failed:
            return self.failed[0]
        if self.hung is not None:
            return f"hangs: {self.hung}"
        if self.errors:
            return f"error, no failure: {self.errors[0]}"
        left_out = f", {len(self.left_out)} left out" if self.left_out else ""
        return f"{len(self.passed)} tests passed{left_out}"


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """A folder with all that the tests need; it goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="asyncnet-mutant-"))
    try:
        for name in COPIED:
            source = REPOSITORY / name
            if source.is_dir():
                # With the compiled files: they know their sources by time and size, and a
                # mutated source has a time of its own.
                shutil.copytree(source, folder / name)
            else:
                shutil.copy2(source, folder / name)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def try_mutant(mutant: Mutant, tests: Sequence[str]) -> Outcomes:
    """Run tests against the mutant, up to the first failure.  Raises BadPatch."""
    with copy_of_the_tree() as folder:
        mutant.apply(folder)
        return run_tests(folder, [*tests, "--exitfirst"])


def try_unmutated(tests: Collection[str]) -> Outcomes:
    """Run all of tests against the tree as it is."""
    with copy_of_the_tree() as folder:
        return run_tests(folder, sorted(tests))


def run_tests(folder: Path, arguments: Sequence[str]) -> Outcomes:
    """pytest in a copy of the tree."""
    told = folder / "outcomes"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "tests.mutants.telling", "--ignore", "tests/mutants"]
    command += ["--timeout", f"{TEST_S:g}", "--tb", "short", *arguments]
    # Before all else, or an editable install would win and the tree itself be tried.
    environment = {**os.environ, "PYTHONPATH": str(folder), VARIABLE: str(told)}
    begun = time.monotonic()
    said = _output(command, folder, environment)
    seconds = time.monotonic() - begun
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    return _outcomes(folder, [json.loads(line) for line in lines], seconds, said)


def _output(command: Sequence[str], folder: Path, environment: dict[str, str]) -> str:
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=TRIAL_S)
        except subprocess.TimeoutExpired:
            said = f"no end within {TRIAL_S:g} s"
        finally:
            # Whatever it started belongs to its session: a daemon of a test that was cut off.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return "\n".join(said.splitlines()[-SHOWN_LINES:])


def _outcomes(folder: Path, told: Sequence[tuple[str, str]], seconds: float, said: str) -> Outcomes:
    """Raises AssertionError where another package than the copy's was tried."""
    found: dict[str, list[str]] = {}
    for what, who in told:
        found.setdefault(what, []).append(who)
    package = found.get("package", [])
    assert package in ([], [str(folder / "asyncnet")]), f"not the copy was tried: {package}"
    passed, failed, left_out = (found.get(it, []) for it in ("passed", "failed", "skipped"))
    errors = found.get("error", []) + found.get("not collected", [])
    begun = found.get("begun", [])
    over = {*passed, *failed, *left_out, *errors}
    hung = begun[-1] if begun and begun[-1] not in over else None
    if not told:
        errors.append("pytest did not begin")
    return Outcomes(
        tuple(passed), tuple(failed), tuple(errors), tuple(left_out), hung, seconds, said
    )
