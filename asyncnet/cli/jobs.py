"""`asyncnet check`, `render` and `schema`: jobs looked at, nothing sent."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asyncnet.cli import exit_codes
from asyncnet.cli.assembly import JobProblems, assemble_file, print_problems
from asyncnet.config import load
from asyncnet.mail.envelope import Server
from asyncnet.mail.letter import ContentError
from asyncnet.mime.message import compose
from asyncnet.spool.job import Job
from asyncnet.spool.job_schema import job_schema

NOWHERE = Server("localhost", 25, "none")  # a message looks the same whoever carries it


def check(jobs: Sequence[Path], config: Path | None) -> int:
    """Judge every job; mistakes and warnings go to stderr."""
    settings = load(config)
    wrong = 0
    for path in jobs:
        try:
            assembled = assemble_file(path, settings)
        except JobProblems as refused:
            wrong += 1
            print_problems(refused)
            continue
        for warning in assembled.warnings:
            print(f"{path}: warning: {warning}", file=sys.stderr)
        way = assembled.route.account or str(assembled.route.server)
        print(f"{path}: good; {len(assembled.envelope.recipients)} recipient(s), by {way}")
    return exit_codes.DATA if wrong else exit_codes.OK


def render(path: Path, config: Path | None) -> int:
    """Write the message to stdout, octet by octet as it would go on the wire."""
    settings = load(config)

    def anywhere(job: Job) -> Job:
        return replace(job, account=None, server=NOWHERE)

    try:
        assembled = assemble_file(path, settings, allow_server=True, change=anywhere)
        for block in compose(assembled.letter).blocks():
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
