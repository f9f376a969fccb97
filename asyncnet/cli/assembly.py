"""Reading jobs and ready messages outside the daemon, for check, render, send and submit.

A job's files lie beside it.  What NAME.envelope.yaml says goes with NAME.eml beside it, and
whoever names that file means the message.
"""

import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from asyncnet.cli.mistakes import JobProblems, MistakenFile, mistaken_file
from asyncnet.config.sections import Settings
from asyncnet.mail.address import Mailbox
from asyncnet.mail.envelope import Route
from asyncnet.mail.letter import Content, ContentError, Octets
from asyncnet.mail.problem import Problem
from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.message import compose
from asyncnet.spool.assemble import Assembled, Rules, assemble
from asyncnet.spool.assemble_ready import AssembledReady, assemble_ready
from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.files import AllowedFolders, FileContent, identity
from asyncnet.spool.folder import ENVELOPE_ENDING, NO_FILE, companion_name
from asyncnet.spool.job import Job, MistakenJob, in_order, job_kind, read_job
from asyncnet.spool.queue_id import RANDOM_BITS, QueueIds
from asyncnet.spool.ready_orders import Orders, read_orders

READY_ENDING = ".eml"
_ENVELOPE = "envelope"  # what problems call the file beside the message
_MISNAMED = (".envelope.yml", ".envelope.json")
_SOMEBODY = (Mailbox("", "nobody", "missing.invalid"),)  # beside a mistaken envelope alone


def is_ready(path: Path) -> bool:
    """Whether the file is a message as it is, and no job."""
    return path.name.lower().endswith(READY_ENDING)


def is_envelope(path: Path) -> bool:
    return path.name.lower().endswith(ENVELOPE_ENDING)


def message_of(envelope: Path) -> Path | None:
    """The message beside it that the envelope file goes with."""
    stem = envelope.name.removesuffix(ENVELOPE_ENDING)  # in small letters, as the daemon looks
    if stem == envelope.name:
        return None
    messages = (envelope.with_name(stem + ending) for ending in (READY_ENDING, ".EML"))
    return next((path for path in messages if os.path.lexists(path)), None)


def messages_for_envelopes(paths: Iterable[Path]) -> list[Path]:
    """The paths, with the message in place of its envelope file: once, where both are named."""
    paths = list(paths)
    meant: list[Path] = []
    for path in paths:
        message = message_of(path) if is_envelope(path) else None
        if message is None:
            meant.append(path)
        elif message not in paths and message not in meant:
            meant.append(message)
    return meant


def assemble_file(
    path: Path,
    settings: Settings,
    *,
    allow_server: bool | None = None,
    beside: Path | None = None,
    by: Route | None = None,
) -> Assembled | AssembledReady:
    """The job or ready message at path with envelope and route; by takes the place of its own.

    A job's files are looked for beside it, or in the folder beside.  Raises JobProblems.
    """
    spool = settings.spool
    folders = AllowedFolders(
        ((beside or path.parent).absolute(), *spool.attachment_roots), spool.max_message
    )
    rules = Rules(
        folders,
        settings.account,
        spool.allow_server if allow_server is None else allow_server,
        settings.queue,
    )
    _refuse_envelope(path)
    return _ready(path, rules, by) if is_ready(path) else _job(path, rules, by)


def content_of(path: Path, assembled: Assembled | AssembledReady) -> Content:
    """The message as it goes on the wire.  Raises JobProblems, ContentError."""
    if isinstance(assembled, AssembledReady):
        return assembled.content
    try:
        return compose(assembled.letter)
    except UnsafeText as error:
        raise JobProblems.of(path, Problem(error.field.lower(), error.why)) from error


def _refuse_envelope(path: Path) -> None:
    """Raises JobProblems for what is the envelope of a message, or was meant to be."""
    name = path.name
    if is_envelope(path):
        message = name[: -len(ENVELOPE_ENDING)] + READY_ENDING
        problem = Problem("", f"goes with {message}, which is not beside it", "name both alike")
        if not name.endswith(ENVELOPE_ENDING):
            problem = Problem("", f"is not noticed beside {message}", "write its ending small")
        raise JobProblems.of(path, problem)
    ending = next((it for it in _MISNAMED if name.lower().endswith(it)), None)
    if ending is not None:
        stem = name[: -len(ending)]
        if os.path.lexists(path.with_name(stem + READY_ENDING)):
            told = f"is taken for a job, not for the envelope of {stem}{READY_ENDING}"
            raise JobProblems.of(path, Problem("", told, f"call it {stem}{ENVELOPE_ENDING}"))


# Jobs.


def _job(path: Path, rules: Rules, by: Route | None) -> Assembled:
    octets = _read(path)
    now, seed = _now_and_seed()
    try:
        owner = path.stat().st_uid

        def letter(job: Job) -> Assembled:
            return assemble(_job_by(job, by), rules, owner=owner, now=now, seed=seed)

        return _judge_all(octets, path.name, letter)
    except JobRefused as error:
        problems = in_order(error.problems)
        file = mistaken_file(path, problems, Octets(octets))
        raise JobProblems(path, problems, [file]) from error
    except ContentError as error:
        raise JobProblems.of(path, Problem("", str(error))) from error
    except OSError as error:
        problem = Problem("", f"a file of the job cannot be read: {error.strerror}")
        raise JobProblems.of(path, problem) from error


def _job_by(job: Job, by: Route | None) -> Job:
    """The job sent another way, whose mistakes are no longer those of its lines."""
    if by is None:
        return job
    places = {key: place for key, place in job.places.items() if key not in ("account", "server")}
    return replace(job, account=by.account, server=by.server, places=places)


def _judge_all(octets: bytes, name: str, letter: Callable[[Job], Assembled]) -> Assembled:
    """The letter, or JobRefused with the mistakes of the job and of the files it names."""
    try:
        job = read_job(octets, job_kind(name))
    except MistakenJob as mistaken:
        try:
            letter(mistaken.rest)
        except JobRefused as refused:
            raise mistaken.with_more(refused.problems) from None
        raise
    return letter(job)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_OCTETS + 1)
    except OSError as error:
        raise JobProblems.of(path, _unreadable(error)) from error


# Ready messages.


def _ready(path: Path, rules: Rules, by: Route | None) -> AssembledReady:
    message = open_message(path, rules.folders.max_octets)
    beside = path.with_name(companion_name(path.name, ENVELOPE_ENDING))
    envelope = read_if_there(beside)
    if envelope is None:
        _refuse_misnamed_beside(path)
    problems: tuple[Problem, ...] = ()
    try:
        orders = Orders() if envelope is None else read_orders(envelope)
    except JobRefused as refused:
        problems, orders = refused.problems, Orders({"to": _SOMEBODY})
    try:
        assembled = _assemble_ready(message, _orders_by(orders, by), rules)
    except JobRefused as refused:
        # Of an envelope that is wrong, its own mistakes say it all.
        problems += tuple(it for it in refused.problems if not (problems and _of_envelope(it)))
    except ContentError as error:
        problems += (Problem("", str(error)),)
    if not problems:
        return assembled
    files = _files_of(path, message, beside, envelope, problems)
    raise JobProblems(path, problems, files)


def _refuse_misnamed_beside(path: Path) -> None:
    """Raises JobProblems: without what its writer wrote there, it would go to the wrong people."""
    for ending in _MISNAMED:
        other = companion_name(path.name, ending)
        if os.path.lexists(path.with_name(other)):
            name = companion_name(path.name, ENVELOPE_ENDING)
            problem = f"{other} beside it would not be noticed"
            raise JobProblems.of(path, Problem("", problem, f"call it {name}"))


def _assemble_ready(message: FileContent, orders: Orders, rules: Rules) -> AssembledReady:
    now, seed = _now_and_seed()
    assembled = assemble_ready(message, orders, rules, now=now, seed=seed)
    if assembled.content.octets > rules.folders.max_octets:
        raise JobRefused((_too_large(assembled.content.octets, rules.folders.max_octets),))
    return assembled


def _orders_by(orders: Orders, by: Route | None) -> Orders:
    if by is None:
        return orders
    places = {key: at for key, at in orders.places.items() if key not in ("account", "server")}
    return Orders({**orders.values, "account": by.account, "server": by.server}, places)


def _files_of(
    path: Path,
    message: Content,
    beside: Path,
    envelope: bytes | None,
    problems: tuple[Problem, ...],
) -> list[MistakenFile]:
    """The problems under the file that they are in, as that file names its fields."""
    own = [replace(it, field=_own_field(it)) if _of_envelope(it) else it for it in problems]
    if envelope is None:
        return [mistaken_file(path, tuple(own), message)]
    inside = [_of_envelope(problem) for problem in problems]
    of_message = in_order(it for it, other in zip(own, inside, strict=True) if not other)
    of_envelope = in_order(it for it, here in zip(own, inside, strict=True) if here)
    return [
        mistaken_file(path, of_message, message),
        mistaken_file(beside, of_envelope, Octets(envelope)),
    ]


def _of_envelope(problem: Problem) -> bool:
    """Whether it is about the envelope file; fields of a header begin with a capital."""
    return problem.field == _ENVELOPE or problem.field.startswith(f"{_ENVELOPE}.")


def _own_field(problem: Problem) -> str:
    return problem.field[len(_ENVELOPE) + 1 :]


def open_message(path: Path, max_octets: int) -> FileContent:
    """The message file as it is now, whatever links lead to it.  Raises JobProblems."""
    try:
        folder, name = os.path.split(os.path.realpath(path, strict=True))
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise JobProblems.of(path, _unreadable(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise JobProblems.of(path, Problem("", "is no regular file"))
    if status.st_size > max_octets:
        raise JobProblems.of(path, _too_large(status.st_size, max_octets))
    return FileContent(Path(folder), (name,), status.st_size, identity(status))


def read_if_there(path: Path) -> bytes | None:
    """The octets of a small file, None where there is none.  Raises JobProblems."""
    try:
        return _read(path)
    except JobProblems as refused:
        cause = refused.__cause__
        if isinstance(cause, OSError) and cause.errno in NO_FILE:
            return None
        raise


def _too_large(octets: int, max_octets: int) -> Problem:
    problem = f"the message has {octets:,} octets; allowed are {max_octets:,}"
    return Problem("", problem, "[spool] max_message sets the limit")


def _unreadable(error: OSError) -> Problem:
    return Problem("", f"cannot be read: {error.strerror}")


def _now_and_seed() -> tuple[float, str]:
    now = time.time()
    return now, QueueIds().next(now, secrets.randbits(RANDOM_BITS))
