"""`asyncnet submit`: jobs put into the spool whole and at once, and their outcome awaited.

Everything is written aside first.  Then the name is reserved (O_EXCL) and the written files are
renamed over the reservation, what goes with a job before the job itself: so a job of the same
name that still waits in pickup/ is never overwritten, none is taken half, and no message
leaves without its envelope, or with that of another.
"""

import contextlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from asyncnet.cli import exit_codes
from asyncnet.cli.assembly import (
    READY_ENDING,
    assemble_file,
    is_ready,
    messages_for_envelopes,
    open_message,
    read_if_there,
)
from asyncnet.cli.mistakes import JobProblems, print_problems
from asyncnet.cli.settings import read_settings
from asyncnet.config.sections import Settings
from asyncnet.config.values import size_in_words
from asyncnet.control.client import listens
from asyncnet.mail.letter import Content, ContentError, Octets
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.opening import open_reader
from asyncnet.mailqueue.store import Record, StoreError
from asyncnet.spool.folder import (
    COMPANION_ENDINGS,
    ENVELOPE_ENDING,
    companion_name,
    is_job_name,
    split_name,
)

POLL_S = 0.05  # a person or a script waits; the daemon's work takes about that long
MAX_SAME_NAME = 10_000


def run(jobs: Sequence[Path], config: Path | None, wait_s: float | None) -> int:
    """Drop the jobs; with wait_s, wait for all outcomes. The worst is the exit code."""
    settings = read_settings(config)
    pickup = settings.spool.dir / "pickup"
    if not pickup.is_dir():
        line = f"{pickup}: there is no such folder; the daemon makes it at its first start"
        raise exit_codes.CommandFailed(exit_codes.CONFIG, (line,))
    codes = [exit_codes.OK]
    dropped: list[tuple[Path, float]] = []
    for path in messages_for_envelopes(jobs):
        try:
            dropped.append(_drop(path, settings))
        except JobProblems as refused:
            print_problems(refused)
            codes.append(exit_codes.DATA)
        except ContentError as error:
            print(f"asyncnet: {path}: {error}", file=sys.stderr)
            codes.append(exit_codes.TEMPFAIL)
        except OSError as error:
            print(f"asyncnet: {error.filename or pickup}: {error.strerror}", file=sys.stderr)
            codes.append(exit_codes.TEMPFAIL)
    if wait_s is not None:
        deadline = time.monotonic() + wait_s
        codes += [_outcome(place, at, settings, deadline) for place, at in dropped]
    else:
        for place, _ in dropped:
            print(place)
    return max(codes, key=_SEVERITY.index)


_SEVERITY = [exit_codes.OK, exit_codes.TEMPFAIL, exit_codes.UNAVAILABLE, exit_codes.DATA]


def _drop(path: Path, settings: Settings) -> tuple[Path, float]:
    """The job's place in pickup/ and when it was put there.

    Raises JobProblems, ContentError, OSError; nothing is left in pickup/ then.
    """
    pickup = settings.spool.dir / "pickup"
    assemble_file(path, settings, beside=pickup)  # refused here, while its writer is there
    files = _files_of(path, settings)
    aside = pickup / f".{secrets.token_hex(8)}.tmp"
    written: list[Path] = []
    reserved: list[Path] = []
    try:
        for ending, content in files.items():
            written.append(aside.with_name(aside.name + ending))
            _write(written[-1], content)
        reserved = _reserve(pickup, _name_of(path), list(files))
        at = time.time()
        for place, source in zip(reserved, written, strict=True):
            source.rename(place)
    except BaseException:
        for left in (*written, *reserved):
            with contextlib.suppress(OSError):
                left.unlink()
        raise
    _flush(pickup)
    return reserved[-1], at


def _files_of(path: Path, settings: Settings) -> dict[str, Content]:
    """The files to be dropped by their endings, "" for the job's own, which comes last."""
    if not is_ready(path):
        return {"": Octets(path.read_bytes())}
    files: dict[str, Content] = {}
    envelope = read_if_there(path.with_name(companion_name(path.name, ENVELOPE_ENDING)))
    if envelope is not None:
        files[ENVELOPE_ENDING] = Octets(envelope)
    files[""] = open_message(path, settings.spool.max_message)
    return files


def _name_of(path: Path) -> str:
    """What the job is called in pickup/: as it is, unless it would be passed over there."""
    name = path.name.lstrip("._")
    if is_job_name(name):
        return name
    return (name or "job") + (READY_ENDING if is_ready(path) else ".yaml")


def _write(place: Path, content: Content) -> None:
    with place.open("xb") as file:
        for block in content.blocks():
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """The names too outlast a power cut, where the file system can promise that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reserve(pickup: Path, name: str, endings: Sequence[str]) -> list[Path]:
    """Places in pickup/ that are nobody else's, for the endings: name's own, else with a number.

    Nothing of others lies beside that the daemon would take for a part of this job.
    """
    stem, own = split_name(name)
    for number in range(1, MAX_SAME_NAME):
        job = f"{stem}{own}" if number == 1 else f"{stem}-{number}{own}"
        if any(os.path.lexists(pickup / companion_name(job, it)) for it in COMPANION_ENDINGS):
            continue
        places = [pickup / (companion_name(job, it) if it else job) for it in endings]
        if _take(list(reversed(places))):  # the job's first: an empty one waits for its writer
            return places
    raise FileExistsError(17, "too many jobs of this name wait here", str(pickup / name))


def _take(places: Sequence[Path]) -> bool:
    """Make all of them, empty, or none."""
    for number, place in enumerate(places):
        try:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            for taken in places[:number]:
                taken.unlink(missing_ok=True)
            return False
    return True


def _outcome(place: Path, dropped_at: float, settings: Settings, deadline: float) -> int:
    """Wait until the job is finished, print what became of it, return the exit code."""
    stem = split_name(place.name)[0]
    record: Record | None = None
    while time.monotonic() < deadline:
        record = _find(stem, dropped_at, settings)
        if record is not None and record.status.final:
            break
        time.sleep(POLL_S)
    if record is None:
        print(f"{place}: not taken yet; {_why_not_taken(settings)}")
        return exit_codes.TEMPFAIL
    print(f"{stem}: {record.status} ({record.claim.queue_id})")
    for it in record.recipients:
        words = " ".join(filter(None, (str(it.verdict.code or ""), it.verdict.text)))
        print(f"  {it.address}: {it.verdict.status} {words}".rstrip())
    for error in record.errors:
        print(f"  {error}")
    if record.status in (JobStatus.SENT, JobStatus.DUPLICATE):
        return exit_codes.OK
    if record.status is JobStatus.INVALID:
        return exit_codes.DATA
    return exit_codes.UNAVAILABLE if record.status.final else exit_codes.TEMPFAIL


def _why_not_taken(settings: Settings) -> str:
    """What keeps a job in pickup/, as far as it can be seen from here."""
    folder = settings.spool.dir
    if not listens(folder):
        return "no daemon runs"
    with contextlib.suppress(OSError):
        if shutil.disk_usage(folder).free < settings.spool.min_free:
            least = size_in_words(settings.spool.min_free)
            why = f"its disk has less than {least} free ([spool] min_free)"
            return f"the daemon runs and waits for room: {why}"
    return "the daemon runs and has not come to it; its log may tell why"


def _find(stem: str, dropped_at: float, settings: Settings) -> Record | None:
    """The job as the store knows it: of that name, claimed since it was dropped."""
    try:
        with open_reader(settings.queue, settings.database) as reader:
            found = reader.find(stem)
    except StoreError:
        return None  # no daemon has ever run here
    # Ids count milliseconds, so a claim may seem one of them older than the drop.
    return next((it for it in found if it.claim.claimed_at >= dropped_at - 0.001), None)
