"""Opening the files that a job names, and only those it may have.

A job is written by others; its paths are requests.  A file is looked for in the folders given
and nowhere else: walked component by component from the folder's own descriptor, no link is
followed, ".." is refused, and what is found is judged on the open descriptor: a regular file
with one name, owned by the job's owner or readable by everybody, not too large.

No descriptor is held between the judgement and the reading, so that a job with 5,000 files
needs one.  The reading walks again and compares device, inode, size and time; a file that
changed in between, or while it was read, raises ContentError.  A fault of this machine (no
descriptors, no memory) stays the OSError it is: it says nothing about the file.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from asyncnet.mail.letter import BLOCK_OCTETS, ContentError
from asyncnet.spool.document import shown
from asyncnet.spool.errors import FileRefused

# Not the file's fault and not the job's: wait until it is over.
LOCAL_FAULTS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EROFS}
)
# Perhaps the disk's fault and perhaps the file's: waited for as well, but not for ever.
DISK_FAILS = errno.EIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file that was judged good, as Content: its octets as they were then, or ContentError."""

    folder: Path
    parts: tuple[str, ...]
    octets: int
    identity: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.parts[-1]

    def blocks(self) -> Iterator[bytes]:
        try:
            descriptor = _walk(self.folder, self.parts)
            try:
                self._compare(descriptor)
                left = self.octets
                while left:
                    block = os.read(descriptor, min(left, BLOCK_OCTETS))
                    if not block:
                        self._changed()
                    left -= len(block)
                    yield block
                self._compare(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in (*LOCAL_FAULTS, DISK_FAILS):
                raise
            raise ContentError(f"{shown(self.name)}: {error.strerror}") from error

    def _compare(self, descriptor: int) -> None:
        if identity(os.fstat(descriptor)) != self.identity:
            self._changed()

    def _changed(self) -> NoReturn:
        raise ContentError(f"{shown(self.name)}: the file changed while the job was taken in")


@dataclass(frozen=True, slots=True)
class AllowedFolders:
    """Where a job's files may lie, in the order of search, and how large they may be."""

    folders: tuple[Path, ...]
    max_octets: int

    def open(self, path: str, owner: int) -> FileContent:
        """Judge the file at path for a job of this owner (a user id).

        Raises FileRefused, or OSError for a local fault or a disk that fails.
        """
        for folder, parts in self._candidates(path):
            try:
                descriptor = _walk(folder, parts)
            except OSError as error:
                self._judge_failure(error, folder, parts)
                continue
            try:
                status = os.fstat(descriptor)
            finally:
                os.close(descriptor)
            self._judge(status, owner)
            return FileContent(folder, parts, status.st_size, identity(status))
        searched = ", ".join(str(folder) for folder in self.folders)
        raise FileRefused("there is no such file", f"searched in {searched}", missing=True)

    def _candidates(self, path: str) -> list[tuple[Path, tuple[str, ...]]]:
        parts = tuple(part for part in path.split("/") if part not in ("", "."))
        if ".." in parts:
            raise FileRefused("a path must not hold ..", "name the file from its folder on")
        if not parts or path.endswith("/"):
            raise FileRefused("this is no file")
        if not path.startswith("/"):
            return [(folder, parts) for folder in self.folders]
        inside = [
            (folder, parts[len(root) :])
            for folder in self.folders
            if (root := Path(os.path.abspath(folder)).parts[1:]) == parts[: len(root)]
        ]
        if not inside:
            raise FileRefused(
                "the file lies outside the allowed folders",
                "add its folder to attachment_roots, or put it beside the job",
            )
        return inside

    def _judge_failure(self, error: OSError, folder: Path, parts: Sequence[str]) -> None:
        """Return where there is nothing under this name; raise for all else."""
        if error.errno in (*LOCAL_FAULTS, DISK_FAILS):
            raise error
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _holds_link(folder, parts):
            raise FileRefused("this is a symbolic link, and none is followed", "name the file")
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise FileRefused(f"cannot be read: {error.strerror}")

    def _judge(self, status: os.stat_result, owner: int) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise FileRefused("this is no regular file")
        if status.st_nlink != 1:
            raise FileRefused("the file has more than one name (hard links)", "copy it")
        if status.st_uid != owner and not status.st_mode & stat.S_IROTH:
            raise FileRefused(
                "the file belongs to another user than the job, who keeps it private",
                "let everybody read it, or copy it",
            )
        if status.st_size > self.max_octets:
            raise FileRefused(
                f"the file has {status.st_size:,} octets; allowed are {self.max_octets:,}"
            )


def _walk(folder: Path, parts: Sequence[str]) -> int:
    """A descriptor of the file, reached from folder by real folders alone.  Raises OSError."""
    # The folder itself is the administrator's choice and may be a link.
    if len(parts) == 1:
        return os.open(f"{folder}/{parts[0]}", _FILE)
    here = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(parts[-1], _FILE, dir_fd=here)
    finally:
        os.close(here)


def _holds_link(folder: Path, parts: Sequence[str]) -> bool:
    """Whether a link lies on the way: only asked to say what is wrong, never to allow."""
    path = folder
    for part in parts:
        path = path / part
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return True
        except OSError:
            return False
    return False


def identity(status: os.stat_result) -> tuple[int, ...]:
    """What stays the same as long as a file does."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
