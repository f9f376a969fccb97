"""`asyncnet submit`: jobs put into the spool whole and at once, and their outcome awaited.

The name is reserved first (O_EXCL) and the written file renamed over the reservation, so that a
job of the same name that still waits in pickup/ is never overwritten, and none is taken half.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from asyncnet.cli import exit_codes
from asyncnet.cli.assembly import JobProblems, assemble_file, print_problems
from asyncnet.cli.settings import read_settings
from asyncnet.config import Settings
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.reader import SqliteReader
from asyncnet.mailqueue.store import Record, StoreError
from asyncnet.spool.folder import is_job_name, split_name

POLL_S = 0.05  # a person or a script waits; the daemon's work takes about that long
MAX_SAME_NAME = 10_000


def run(jobs: Sequence[Path], config: Path | None, wait_s: float | None) -> int:
    """Drop the jobs; with wait_s, wait for all outcomes. The worst is the exit code."""
    settings = read_settings(config)
    codes = [exit_codes.OK]
    dropped: list[tuple[Path, float]] = []
    for path in jobs:
        try:
            dropped.append(_drop(path, settings))
        except JobProblems as refused:
            print_problems(refused)
            codes.append(exit_codes.DATA)
        except OSError as error:
            print(f"asyncnet: {error.filename}: {error.strerror}", file=sys.stderr)
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
    """The job's place in pickup/ and when it was put there. Raises JobProblems, OSError."""
    pickup = settings.spool.dir / "pickup"
    assemble_file(path, settings, beside=pickup)  # refused here, while its writer is there
    octets = path.read_bytes()
    name = path.name if is_job_name(path.name) else f"{path.name.lstrip('._')}.yaml"
    place = _reserve(pickup, name)
    aside = place.with_name(f".{place.name}.tmp")
    try:
        with aside.open("xb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        at = time.time()
        aside.rename(place)
    except OSError:
        aside.unlink(missing_ok=True)
        place.unlink(missing_ok=True)
        raise
    return place, at


def _reserve(pickup: Path, name: str) -> Path:
    """A name in pickup/ that is nobody else's: name itself, else with a number."""
    stem, ending = split_name(name)
    for number in range(1, MAX_SAME_NAME):
        place = pickup / (f"{stem}{ending}" if number == 1 else f"{stem}-{number}{ending}")
        try:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            continue
        return place
    raise FileExistsError(17, "too many jobs of this name wait here", str(pickup / name))


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
        print(f"{place}: not taken yet; is the daemon running?")
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


def _find(stem: str, dropped_at: float, settings: Settings) -> Record | None:
    """The job as the store knows it: of that name, claimed since it was dropped."""
    try:
        with SqliteReader(settings.database) as reader:
            found = reader.find(stem)
    except StoreError:
        return None  # no daemon has ever run here
    # Ids count milliseconds, so a claim may seem one of them older than the drop.
    return next((it for it in found if it.claim.claimed_at >= dropped_at - 0.001), None)
