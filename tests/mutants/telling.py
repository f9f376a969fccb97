"""A pytest plugin: each outcome to the file $MUTANT_OUTCOMES, at once, one a line.

At once, because a test that hangs takes the process along (pytest-timeout), and with it all that
is written at the end.
"""

import json
import os
from pathlib import Path

import pytest

import asyncnet

VARIABLE = "MUTANT_OUTCOMES"


def _tell(what: str, who: str) -> None:
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps([what, who]) + "\n")


def pytest_sessionstart() -> None:
    _tell("package", str(Path(asyncnet.__file__).parent))


def pytest_runtest_logstart(nodeid: str) -> None:
    _tell("begun", nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        _tell(report.outcome, report.nodeid)
    elif not report.passed:  # before or after the test
        _tell("skipped" if report.skipped else "error", report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _tell("not collected", report.nodeid)
