"""The spool's four folders: names, claims, final moves, and the lock that keeps others out.

Every move is one rename inside one file system, so a file is always in exactly one folder.
The names in queue/ carry the queue id, and with it the job's identity: QUEUEID.NAME.yaml.
"""

import contextlib
import errno
import fcntl
import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from asyncnet.mailqueue.store import Claim
from asyncnet.spool.errors import SpoolBroken, SpoolError
from asyncnet.spool.files import LOCAL_FAULTS
from asyncnet.spool.queue_id import QUEUE_ID, claimed_at

ENDINGS = (".yaml", ".yml", ".json", ".eml")
PROBE = ".probe"  # no job: its name begins with a dot
ENVELOPE_ENDING = ".envelope.yaml"  # belongs to the .eml of the same name
RESULT_ENDING = ".result.json"

# What goes with a job under its own name, and is none itself.
COMPANION_ENDINGS = (ENVELOPE_ENDING, RESULT_ENDING)

# There is no such file, or there cannot be: of a long name the companion's is too long.
NO_FILE = (errno.ENOENT, errno.ENAMETOOLONG)

# A folder was taken away, or its rights: whoever did it may put it back.
OUT_OF_REACH = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)

# A file name has at most 255 octets on every file system that matters.  The longest made of a
# stem is "STEM~QUEUEID.envelope.yaml", 31 octets more.
MAX_STEM_OCTETS = 200

_JOB_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_PASSED_OVER = ("~", ".tmp", ".part", ".swp")
_CLAIMED = re.compile(rf"({QUEUE_ID.pattern})\.(.+)(\.(?:yaml|yml|json|eml))", re.I | re.S)


@dataclass(slots=True)
class JobFile:
    """A job file as it was read, and its status when that began."""

    octets: bytes
    status: os.stat_result


def is_job_name(name: str) -> bool:
    """Whether a file of this name in pickup/ is a job."""
    lower = name.lower()
    if name.startswith((".", "_")) or lower.endswith(_PASSED_OVER):
        return False
    if lower.endswith(COMPANION_ENDINGS):
        return False
    return lower.endswith(ENDINGS)


def split_name(name: str) -> tuple[str, str]:
    """Stem and ending of a job's file name, the stem as it is kept from the claim on.

    Octets that are no UTF-8 and control characters cannot be shown, stored or logged, so they
    are replaced; a stem over MAX_STEM_OCTETS is cut between two characters.
    """
    stem, dot, ending = name.rpartition(".")
    readable = stem
    if not (stem.isascii() and stem.isprintable()):
        readable = os.fsencode(stem).decode("utf-8", "replace")
        readable = "".join("_" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in readable)
    octets = readable.encode()
    if len(octets) <= MAX_STEM_OCTETS:
        return readable, dot + ending
    cut = octets[:MAX_STEM_OCTETS].decode("utf-8", "ignore")
    if f"{cut}.{ending}".lower().endswith(COMPANION_ENDINGS):
        cut = cut[:-1]  # by the cut alone: no job is called so
    return cut, dot + ending


def stem_of(name: str) -> str:
    """The stem of a job's file name, as it is."""
    return name.rpartition(".")[0]


def companion_name(name: str, ending: str) -> str:
    """How the file is called that goes with the job name, in whatever folder it lies."""
    return stem_of(name) + ending


def is_there(path: str | Path) -> bool:
    """Whether a file or link has the name.

    Raises OSError where that cannot be told: a result must not be written over, nor a job that is
    there left behind.
    """
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno in NO_FILE:
            return False
        raise
    return True


def folder_gone(folder: Path, error: OSError) -> str:
    """What is waited for where a folder is out of reach."""
    if error.errno == errno.ENOENT:
        return f"{folder} is gone"
    return f"{folder}: {error.strerror}"


class SpoolFolder:
    """The folders below root.  prepare() makes them, lock() keeps a second daemon out, and
    try_moves() shows that they are usable.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pickup = root / "pickup"
        self.queue = root / "queue"
        self.sent = root / "sent"
        self.failed = root / "failed"
        self._claim_from, self._claim_to = str(self.pickup), str(self.queue)
        self._lock: int | None = None

    def prepare(self) -> None:
        """Make what is missing.  Raises SpoolError."""
        for folder in (self.root, self.pickup, self.queue, self.sent, self.failed):
            try:
                # Mail is private.  Who lets others drop jobs opens root and pickup by chmod.
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise SpoolError(f"{folder}: cannot be made: {error.strerror}") from error

    def try_moves(self) -> None:
        """Prove that files can be moved between all four; the caller holds the lock.

        Raises SpoolError.
        """
        place = self.pickup / PROBE
        try:
            # Perhaps of a start that was killed, or a link that somebody dropped: none is followed.
            place.unlink(missing_ok=True)
            place.touch(exist_ok=False)
            for folder in (self.queue, self.sent, self.failed):
                os.rename(place, folder / PROBE)  # in place of one that a killed start left
                place = folder / PROBE
            place.unlink()
        except OSError as error:
            with contextlib.suppress(OSError):
                place.unlink()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return  # a full disk passes; intake waits for that and says so
            if error.errno == errno.EXDEV:
                folders = "pickup, queue, sent and failed"
                raise SpoolError(
                    f"{self.root}: {folders} lie on different file systems; jobs are moved by "
                    "rename, so keep them on one"
                ) from error
            raise SpoolError(f"{place.parent}: cannot be written: {error.strerror}") from error

    def lock(self) -> None:
        """Hold the spool until unlock() or the end of the process.

        Raises SpoolError that names the holder when another process has it.
        """
        path = self.root / "lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SpoolError(f"{path}: cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 300, 0).decode("utf-8", "replace").strip()
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                who = holder or "another process"
                raise SpoolError(f"{self.root}: the spool is held by {who}") from error
            raise SpoolError(f"{path}: cannot be locked: {error.strerror}") from error
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):  # a full disk must not keep the daemon from its start
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._lock = descriptor

    def unlock(self) -> None:
        """Let others have it.  May be called twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def claim(self, name: str, queue_id: str) -> Claim:
        """Move a job from pickup/ to queue/, under its id.  Raises OSError."""
        stem, ending = split_name(name)
        job_file = f"{queue_id}.{stem}{ending}"
        os.rename(f"{self._claim_from}/{name}", f"{self._claim_to}/{job_file}")
        return Claim(queue_id, stem, job_file, claimed_at(queue_id))

    @contextlib.contextmanager
    def in_queue(self) -> Iterator[Iterator[str]]:
        """The names in queue/ in no order, read from the disk as they are asked for.

        Raises OSError.
        """
        with os.scandir(self.queue) as entries:
            yield (entry.name for entry in entries)

    def claimed(self) -> list[Claim]:
        """The job files in queue/, oldest first, told from all else there by their names."""
        found = (claim_of(name) for name in os.listdir(self.queue))
        return sorted((c for c in found if c is not None), key=lambda claim: claim.queue_id)

    def flush(self, folders: Iterable[Path]) -> None:
        """Put the renames of folders on the disk.

        Raises SpoolBroken: after a failed flush nobody knows what is there.  Raises OSError where
        none was begun, for a local fault or since the folder is out of reach: it waits for that.
        """
        for folder in folders:
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                if error.errno in LOCAL_FAULTS:
                    raise
                if error.errno in OUT_OF_REACH:
                    # Without its number: FileNotFoundError would tell of a job's file.
                    raise OSError(folder_gone(folder, error)) from error
                raise SpoolBroken(f"{folder}: cannot be opened: {error.strerror}") from error
            try:
                os.fsync(descriptor)
            except OSError as error:
                if error.errno != errno.EINVAL:  # some file systems cannot flush a folder
                    raise SpoolBroken(f"{folder}: flush failed: {error.strerror}") from error
            finally:
                os.close(descriptor)


def claim_of(job_file: str) -> Claim | None:
    """The claim that a name in queue/ stands for; None for any other file."""
    match = _CLAIMED.fullmatch(job_file)
    if (
        match is None
        or job_file.lower().endswith(COMPANION_ENDINGS)
        or not QUEUE_ID.fullmatch(match[1])
    ):
        return None
    return Claim(match[1], match[2], job_file, claimed_at(match[1]))


def read_job_file(path: str | Path, max_octets: int) -> JobFile:
    """A job file's octets, at most one more than max_octets.

    Raises OSError; ELOOP (a link) and EINVAL stand for what is no plain file.
    """
    descriptor = os.open(path, _JOB_FILE)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        octets = b""
        # Asked for what there is and an octet more: room for the most costs more than all else.
        room = min(max_octets, status.st_size) + 1
        while len(octets) < room and (more := os.read(descriptor, room - len(octets))):
            octets += more
            if len(octets) == status.st_size:
                break
            if len(octets) == room:  # it grows: its status is told as it is at the end
                room = max_octets + 1
                status = os.fstat(descriptor)
        return JobFile(octets, status)
    finally:
        os.close(descriptor)
