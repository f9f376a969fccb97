"""`asyncnet check`, `render` and `schema`: jobs looked at, nothing sent."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asyncnet.cli import exit_codes
from asyncnet.cli.assembly import (
    assemble_file,
    content_of,
    is_envelope,
    is_ready,
    message_of,
    messages_for_envelopes,
)
from asyncnet.cli.excerpt import visible
from asyncnet.cli.foresight import foreseen
from asyncnet.cli.mistakes import JobProblems, print_problems
from asyncnet.cli.settings import read_providers, read_settings
from asyncnet.cli.structure import draw
from asyncnet.config.sections import Settings
from asyncnet.delivery.accounts import AccountError, resolve
from asyncnet.mail.envelope import Route, Server
from asyncnet.mail.letter import Content, ContentError
from asyncnet.mail.problem import Problem
from asyncnet.providers.presets import Catalogue
from asyncnet.spool.assemble import Outgoing
from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.folder import is_job_name
from asyncnet.spool.job import job_kind
from asyncnet.spool.job_keys import KEYS, SYNONYMS
from asyncnet.spool.job_schema import job_schema
from asyncnet.spool.json_document import read_json
from asyncnet.spool.yaml_document import read_yaml

_JOB_KEYS = frozenset(map(str.casefold, (*KEYS, *SYNONYMS)))

# A message looks the same whoever carries it.
ANYWHERE = Route(server=Server("localhost", 25, "none"))


@dataclass(frozen=True, slots=True)
class Checked:
    """One job or ready message and what it is: fit to go, or wrong."""

    path: Path
    outcome: Outgoing | JobProblems
    warnings: tuple[str, ...] = ()

    def for_programs(self) -> dict[str, Any]:
        wrong = self.outcome if isinstance(self.outcome, JobProblems) else None
        return {
            "file": str(self.path),
            "good": wrong is None,
            "errors": [asdict(problem) for problem in wrong.problems] if wrong else [],
            "warnings": self.warnings,
        }


def check(paths: Sequence[Path], config: Path | None, *, as_json: bool = False) -> int:
    """Judge every job and ready message, also those below folders.

    Mistakes and warnings go to stderr.
    """
    settings, providers = read_settings(config), read_providers(config)
    good, wrong = 0, 0
    documents = []
    for path in messages_for_envelopes(paths):
        for checked in _check(path, settings, providers):
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


def _check(path: Path, settings: Settings, providers: Catalogue) -> Iterator[Checked]:
    for file in _jobs_below(path) if path.is_dir() else [path]:
        try:
            outgoing = assemble_file(file, settings)
            content = content_of(file, outgoing)
        except JobProblems as refused:
            yield Checked(file, refused)
        except ContentError as error:
            yield Checked(file, JobProblems.of(file, Problem("", str(error))))
        else:
            by_provider = _by_provider(outgoing, content, settings, providers)
            yield Checked(file, outgoing, (*outgoing.warnings, *by_provider))


def _by_provider(
    outgoing: Outgoing, content: Content, settings: Settings, providers: Catalogue
) -> tuple[str, ...]:
    """What its account's provider is known to refuse, or why no account can be used."""
    name = outgoing.route.account
    if name is None:
        return ()
    try:
        account = resolve(name, settings.account[name], providers)
    except AccountError as error:
        return (f"it will wait: {error}",)
    return foreseen(outgoing, content, account)


def _jobs_below(folder: Path) -> Iterator[Path]:
    """The jobs and ready messages in folder and its folders, sorted.

    With them envelope files whose message is not there: the mail would go without them.
    """
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if not is_job_name(name) and not _is_envelope_alone(path):
                continue
            # Pipes and devices would block us; what is gone is told when opened.
            if path.is_file() and _is_no_job(path):
                text = f"{path}: passed over: it has none of the keys of a job"
                print(visible(text), file=sys.stderr)
            elif path.is_file() or not path.exists():
                yield path


def _is_no_job(path: Path) -> bool:
    """Whether it is something else in YAML or JSON, such as another program's settings.

    Whoever names it means a job; so does whoever wrote but one key of a job, or a broken file.
    """
    if is_ready(path) or is_envelope(path):
        return False
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_DOCUMENT_OCTETS)
    except OSError:
        return False
    try:
        document = read_json(octets) if job_kind(path.name) == "json" else read_yaml(octets)
    except JobRefused:
        return False
    keys = {key.text.casefold() for key, _ in document.root.entries}
    return bool(keys) and not document.broken and keys.isdisjoint(_JOB_KEYS)


def _is_envelope_alone(path: Path) -> bool:
    hidden = path.name.startswith((".", "_"))
    return not hidden and is_envelope(path) and message_of(path) is None


def _tell(checked: Checked) -> None:
    if isinstance(checked.outcome, JobProblems):
        print_problems(checked.outcome)
        return
    sys.stdout.flush()  # the order of both streams is the order of the files
    for warning in checked.warnings:
        print(visible(f"{checked.path}: warning: {warning}"), file=sys.stderr, flush=True)
    way = checked.outcome.route.account or str(checked.outcome.route.server)
    recipients = len(checked.outcome.envelope.recipients)
    print(visible(f"{checked.path}: good; {recipients} recipient(s), by {way}"), flush=True)


def render(path: Path, config: Path | None, *, tree: bool = False) -> int:
    """Write the message to stdout, octet by octet as it would go on the wire, or its tree."""
    settings = read_settings(config)
    (path,) = messages_for_envelopes([path])
    try:
        assembled = assemble_file(path, settings, allow_server=True, by=ANYWHERE)
        content = content_of(path, assembled)
        if tree:
            print("\n".join(draw(content)))
            return exit_codes.OK
        for block in content.blocks():
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
