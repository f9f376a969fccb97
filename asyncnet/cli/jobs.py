"""`asyncnet check`, `render` and `schema`: jobs looked at, nothing sent."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from asyncnet.cli import exit_codes
from asyncnet.cli.assembly import JobProblems, assemble_file, print_problems
from asyncnet.cli.excerpt import visible
from asyncnet.cli.settings import read_settings
from asyncnet.cli.structure import draw
from asyncnet.config import Settings
from asyncnet.mail.envelope import Server
from asyncnet.mail.letter import ContentError
from asyncnet.mail.problem import Problem
from asyncnet.mime.message import compose
from asyncnet.spool.assemble import Assembled
from asyncnet.spool.folder import is_job_name
from asyncnet.spool.job import Job
from asyncnet.spool.job_schema import job_schema

NOWHERE = Server("localhost", 25, "none")  # a message looks the same whoever carries it
READY = ".eml"  # a message as it is, no job to be checked


@dataclass(frozen=True, slots=True)
class Checked:
    """One job file and what it is: a letter, or wrong."""

    path: Path
    outcome: Assembled | JobProblems

    def for_programs(self) -> dict[str, Any]:
        wrong = self.outcome if isinstance(self.outcome, JobProblems) else None
        return {
            "file": str(self.path),
            "good": wrong is None,
            "errors": [asdict(problem) for problem in wrong.problems] if wrong else [],
            "warnings": [] if isinstance(self.outcome, JobProblems) else self.outcome.warnings,
        }


def check(paths: Sequence[Path], config: Path | None, *, as_json: bool = False) -> int:
    """Judge every job, also those below folders; mistakes and warnings go to stderr."""
    settings = read_settings(config)
    good, wrong = 0, 0
    documents = []
    for path in paths:
        for checked in _check(path, settings):
            good += not isinstance(checked.outcome, JobProblems)
            wrong += isinstance(checked.outcome, JobProblems)
            if as_json:
                documents.append(checked.for_programs())
            else:
                _tell(checked)
    if as_json:
        print(json.dumps(documents, indent=2, ensure_ascii=False))
    elif good + wrong != 1:
        print(f"{good} good, {wrong} wrong")
    return exit_codes.DATA if wrong else exit_codes.OK


def _check(path: Path, settings: Settings) -> Iterator[Checked]:
    for file in _jobs_below(path) if path.is_dir() else [path]:
        try:
            yield Checked(file, _letter(file, settings))
        except JobProblems as refused:
            yield Checked(file, refused)


def _letter(path: Path, settings: Settings) -> Assembled:
    if path.name.lower().endswith(READY):
        advice = "drop it; its envelope is judged then"
        raise JobProblems(path, (Problem("", "a ready message is no job", advice),))
    return assemble_file(path, settings)


def _jobs_below(folder: Path) -> Iterator[Path]:
    """The job files in folder and its folders, sorted; pipes and devices would block us."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if is_job_name(name) and not name.lower().endswith(READY):
                if path.is_file() or not path.exists():  # what is gone is told when opened
                    yield path


def _tell(checked: Checked) -> None:
    if isinstance(checked.outcome, JobProblems):
        print_problems(checked.outcome)
        return
    sys.stdout.flush()  # the order of both streams is the order of the files
    for warning in checked.outcome.warnings:
        print(visible(f"{checked.path}: warning: {warning}"), file=sys.stderr, flush=True)
    way = checked.outcome.route.account or str(checked.outcome.route.server)
    recipients = len(checked.outcome.envelope.recipients)
    print(visible(f"{checked.path}: good; {recipients} recipient(s), by {way}"), flush=True)


def render(path: Path, config: Path | None, *, tree: bool = False) -> int:
    """Write the message to stdout, octet by octet as it would go on the wire, or its tree."""
    settings = read_settings(config)

    def anywhere(job: Job) -> Job:
        return replace(job, account=None, server=NOWHERE)

    try:
        assembled = assemble_file(path, settings, allow_server=True, change=anywhere)
        message = compose(assembled.letter)
        if tree:
            print("\n".join(draw(message)))
            return exit_codes.OK
        for block in message.blocks():
            sys.stdout.buffer.write(block)
    except JobProblems as refused:
        print_problems(refused)
        return exit_codes.DATA
    except ContentError as error:
        print(f"asyncnet: {path}: {error}", file=sys.stderr)
        return exit_codes.TEMPFAIL
    sys.stdout.buffer.flush()
    return exit_codes.OK


def schema() -> int:
    """Write the JSON Schema to stdout."""
    print(json.dumps(job_schema(), indent=2, ensure_ascii=False))
    return exit_codes.OK
