"""Files that go with a job: NAME.envelope.yaml with NAME.eml, NAME.result.json with any.

The crash story of a claim of several files.  The companions go first, each by one rename into
queue/, under the queue id that their job will have; the folders are flushed; then the job
itself follows.  So a job in queue/ has its companions there, whatever the disk kept:

  companions in pickup/, job in pickup/    not ours yet
  companions in queue/, job in pickup/     the claim was cut off: the start moves the job after
                                           them; where the job is gone, it puts them back
  all in queue/                            claimed
  result in queue/, job reported           the new result holds all of it: removed

An earlier attempt's result is taken by the first claim of its name and by no later one.  One
whose job does not follow is put back to failed/: nobody thinks of it any more when the next job
of its name comes, and that would be refused for it.
"""

import contextlib
import os
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from asyncnet.mailqueue.store import Claim
from asyncnet.spool.folder import (
    COMPANION_ENDINGS,
    ENVELOPE_ENDING,
    NO_FILE,
    RESULT_ENDING,
    SpoolFolder,
    claim_of,
    companion_name,
    is_job_name,
    is_there,
    split_name,
    stem_of,
)
from asyncnet.spool.queue_id import LENGTH, QUEUE_ID

MAX_LISTED = 200  # names: as long as to look at some forty of them one by one
ALONE_S = 3600.0  # for a result in pickup/; whoever moves it has moved its job by then

_IN_QUEUE = re.compile(rf"({QUEUE_ID.pattern})\.(.+)(\.envelope\.yaml|\.result\.json)", re.S)


@dataclass(frozen=True, slots=True)
class Companion:
    """One in queue/: the claim it belongs to, and its present name there."""

    queue_id: str
    name: str
    ending: str
    file: str


def claim_companions(folder: SpoolFolder, name: str, queue_id: str) -> bool:
    """Move what lies beside the job name in pickup/ to queue/; whether there was anything.

    Raises OSError.  Flush before the job follows.
    """
    stem, _ = split_name(name)
    moved = False
    for ending in _endings(name):
        try:
            os.rename(
                folder.pickup / companion_name(name, ending),
                folder.queue / f"{queue_id}.{stem}{ending}",
            )
        except OSError as error:
            if error.errno not in NO_FILE:
                raise
            continue
        moved = True
    return moved


def return_companions(folder: SpoolFolder, name: str, queue_id: str) -> None:
    """Undo claim_companions(): the job did not follow.  Raises OSError."""
    stem, _ = split_name(name)
    for ending in _endings(name):
        _put_back(folder, f"{queue_id}.{stem}{ending}", stem_of(name), ending, queue_id)


class Names:
    """The names in a folder at one moment, to ask after many: listed once where they are few."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: frozenset[str] | None = None  # all of them, where they were listed
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            some = [entry.name for entry in islice(entries, MAX_LISTED + 1)]
            self._names = frozenset(some) if len(some) <= MAX_LISTED else None

    def __contains__(self, name: object) -> bool:
        if self._names is None:
            return os.path.lexists(f"{self._folder}/{name}")
        return name in self._names


def may_follow(folder: SpoolFolder, name: str, failed: Container[str]) -> bool:
    """Whether a companion is missing that may be on its way.

    failed are the names in that folder, at a moment when the job had come.  Asked before pickup/
    is read: what lay in neither place then was not on its way between them.
    "mv NAME.* pickup/" brings hello.eml before hello.envelope.yaml, and hello.json, out of
    failed/, before hello.result.json: taken at once, it would go to the wrong people.
    """
    if name.lower().endswith(".eml") and not _lies(folder, name, ENVELOPE_ENDING):
        return True
    if companion_name(name, RESULT_ENDING) not in failed:
        return False
    return not os.path.lexists(folder.failed / name) and not _lies(folder, name, RESULT_ENDING)


def repair(folder: SpoolFolder, alone: Iterable[Companion]) -> list[Claim]:
    """Finish claims that a crash cut off; those finished.

    alone are companions in queue/ without their job, which has no row either: with one they were
    the reporter's.  Those that are gone are passed over.  Raises OSError.
    """
    finished: list[Claim] = []
    waiting = [name for name in os.listdir(folder.pickup) if is_job_name(name)]
    for companion in alone:
        if any(claim.queue_id == companion.queue_id for claim in finished):
            continue  # the second of one claim
        for name in sorted(waiting):
            if _belongs(folder, companion, name):
                waiting.remove(name)
                finished.append(folder.claim(name, companion.queue_id))
                break
        else:
            _put_back(folder, companion.file, companion.name, companion.ending, companion.queue_id)
    return finished


def companion_of(file: str) -> Companion | None:
    """The companion that a name in queue/ stands for; None for any other file."""
    if not file.endswith(COMPANION_ENDINGS):  # nearly all: a hundred thousand may lie there
        return None
    match = _IN_QUEUE.fullmatch(file)
    return None if match is None else Companion(match[1], match[2], match[3], file)


def companions_alone(folder: SpoolFolder) -> list[Companion]:
    """Companions in queue/ whose job is not there, in the order of their names.

    Raises OSError.  They are few, and only their jobs are looked for.
    """
    with folder.in_queue() as listing:
        found = [it for file in listing if (it := companion_of(file)) is not None]
    ids = {it.queue_id for it in found}
    if not ids:
        return []
    with folder.in_queue() as listing:
        for file in listing:
            if file[:LENGTH] in ids and (claim := claim_of(file)) is not None:
                ids.discard(claim.queue_id)
    return sorted((it for it in found if it.queue_id in ids), key=lambda it: it.file)


def set_aside_alone(folder: SpoolFolder, now: float) -> list[tuple[str, str]]:
    """Put results back to failed/ that came ALONE_S ago, and no job; their names before and now.

    Only for the one that writes to failed/: nothing there is overwritten.  Raises OSError.
    """
    moved = []
    names = os.listdir(folder.pickup)
    stems = {stem_of(name) for name in names if is_job_name(name)}
    for name in sorted(names):
        stem = name.removesuffix(RESULT_ENDING)
        if stem == name or not stem or stem in stems:
            continue
        with contextlib.suppress(FileNotFoundError):  # its owner took it away
            came_at = os.lstat(folder.pickup / name).st_ctime  # a rename sets it
            if now - came_at >= ALONE_S:
                kept = _free(folder.failed, stem)
                os.rename(folder.pickup / name, folder.failed / kept)
                moved.append((name, kept))
    return moved


def _free(folder: Path, stem: str) -> str:
    name, number = f"{stem}{RESULT_ENDING}", 1
    while os.path.lexists(folder / name):
        number += 1
        name = f"{stem}~{number}{RESULT_ENDING}"
    return name


def _belongs(folder: SpoolFolder, companion: Companion, name: str) -> bool:
    """Whether companion was claimed for the job name, which still lies in pickup/."""
    return (
        split_name(name)[0] == companion.name
        and companion.ending in _endings(name)
        and not _lies(folder, name, companion.ending)
    )


def _endings(name: str) -> tuple[str, ...]:
    is_message = name.lower().endswith(".eml")
    return (ENVELOPE_ENDING, RESULT_ENDING) if is_message else (RESULT_ENDING,)


def _lies(folder: SpoolFolder, name: str, ending: str) -> bool:
    return os.path.lexists(folder.pickup / companion_name(name, ending))


def _put_back(folder: SpoolFolder, file: str, stem: str, ending: str, queue_id: str) -> None:
    """Rename, and overwrite nothing: another of this name may have come meanwhile."""
    place = folder.pickup / f"{stem}{ending}"
    if is_there(place):
        place = folder.pickup / f"{stem}~{queue_id}{ending}"
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder.queue / file, place)
