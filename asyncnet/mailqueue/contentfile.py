"""Large contents: files beside the database, one of them for several that come together.

To make, flush and remove a file costs more than to write a hundred thousand octets into it.  A row
tells the Place of its content.  A file is whole and flushed before the first row that speaks of it
is committed, and it is unlinked after the commit that forgets the last; so a crash can only leave a
file without a row, and open() sweeps those.
"""

import contextlib
import errno
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from asyncnet.mail.letter import BLOCK_OCTETS, Content, ContentError, Octets
from asyncnet.mailqueue.store import HELD_OCTETS, StoreBroken, StoreError

_OURS = re.compile(r"[A-Za-z0-9_-]{1,64}(?:~[0-9]{1,6})?\.msg")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR)
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Place(NamedTuple):
    """Where a content lies: the name of its file, and how many octets stand before it there."""

    file: str
    start: int

    @classmethod
    def told(cls, file: object, start: object) -> "Place":
        """What a row says.  Raises ValueError: no content of ours can lie there."""
        if not isinstance(file, str) or _OURS.fullmatch(file) is None:
            raise ValueError("content lies in a file of ours")
        if not isinstance(start, int) or start < 0:
            raise ValueError("content begins somewhere in its file")
        return cls(file, start)


@dataclass(frozen=True, slots=True)
class FileContent:
    """Content that lies in a file; it is opened when its blocks are asked for."""

    path: str
    octets: int
    start: int = 0

    def blocks(self) -> Iterator[bytes]:
        """One that may be held comes whole.

        Raises ContentError where the file is gone or too short, StoreError while this process has
        no descriptors or memory for it, and else OSError: a disk may fail for a time.
        """
        left, at = self.octets, self.start
        most = left if left <= HELD_OCTETS else BLOCK_OCTETS
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_size < at + left:
                    raise ContentError(f"{self._name} is shorter than it was")
                while left:
                    block = os.pread(descriptor, min(most, left), at)
                    if not block:
                        raise ContentError(f"{self._name} shrank while it was read")
                    left -= len(block)
                    at += len(block)
                    yield block
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in _GONE:
                raise ContentError(f"{self._name} is gone: {error.strerror}") from error
            if error.errno in _SCARCE:
                raise StoreError(f"{self._name} cannot be read: {error.strerror}") from error
            raise

    @property
    def _name(self) -> str:
        return os.path.basename(self.path)


class ContentFolder:
    """The folder of the .msg files.  Every method works on the disk: keep it off the loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = SharedFlush(self._flush_folder)

    def content(self, place: Place, octets: int) -> FileContent:
        """Raises ValueError where no file of ours can be called so."""
        return FileContent(self._path(place.file), octets, place.start)

    def write(self, queue_id: str, contents: Sequence[Content]) -> list[Place]:
        """Write a new file, called after queue_id, and flush it and its name; the contents' places.

        Raises what reading a content raised, StoreError (no room, no permission), StoreBroken (a
        flush failed: what the disk holds of anything is unknown) or ValueError (no file can be
        called so).  There is no file then.
        """
        try:
            path, descriptor = self._make(queue_id)
        except OSError as error:
            raise _not_written(self._folder, error) from error
        done = False
        try:
            starts = _write_all(descriptor, contents)
            _flush(descriptor, path)
            self._names.wait()
            done = True
        except _Unread as unread:
            raise unread.error from unread
        except OSError as error:
            raise _not_written(self._folder, error) from error
        finally:
            try:
                if not done:
                    with contextlib.suppress(OSError):  # the next start sweeps it
                        _remove(path, descriptor)
            finally:
                with contextlib.suppress(OSError):  # what was to be on the disk is there by now
                    os.close(descriptor)
        name = os.path.basename(path)
        return [Place(name, start) for start in starts]

    def discard(self, name: str) -> None:
        """Unlink a file of ours if it is there.  One that resists is left to the next sweep."""
        with contextlib.suppress(OSError, ValueError):  # a damaged row may name anything
            os.unlink(self._path(name))

    def sweep(self, wanted: Callable[[str], bool]) -> None:
        """Unlink the files that bear a name of ours which is not wanted."""
        with os.scandir(self._folder) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        for name in names:
            if _OURS.fullmatch(name) is not None and not wanted(name):
                self.discard(name)

    def _path(self, name: str) -> str:
        if _OURS.fullmatch(name) is None:
            raise ValueError(f"{name!r} cannot be a file of ours")
        return f"{self._folder}/{name}"

    def _make(self, queue_id: str) -> tuple[str, int]:
        """A new file's path and descriptor.  Raises OSError or ValueError."""
        # 0600: mail is private, whatever the umask says.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        path = self._path(f"{queue_id}.msg")
        for number in itertools.count(2):
            try:
                return path, os.open(path, flags, 0o600)
            except FileExistsError:  # the message came twice, or a crash left a file
                path = self._path(f"{queue_id}~{number}.msg")
        raise AssertionError("there is no last number")

    def _flush_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _flush(folder, self._folder)
        finally:
            os.close(folder)


class SharedFlush:
    """One flush for all threads that asked before it began; never two at a time.

    After StoreBroken it is not tried again: the system may have dropped what it could not write,
    and would call the next flush a good one.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._counting = Lock()
        self._flushing = Lock()
        self._asked = 0
        self._served = 0
        self._broken: StoreBroken | None = None

    def wait(self) -> None:
        """Return after a flush that began after this call.  Raises what it raises."""
        with self._counting:
            self._asked += 1
            number = self._asked
        with self._flushing:
            if self._broken is not None:
                # One of its own for each: a traceback grows with every raise.
                raise StoreBroken(str(self._broken)) from self._broken
            if self._served >= number:
                return
            with self._counting:
                served = self._asked
            try:
                self._flush()
            except StoreBroken as error:
                self._broken = error
                raise
            self._served = served


class _Unread(Exception):
    """The content could not be read: no fault of what is written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _read(content: Content) -> Iterator[bytes]:
    blocks = content.blocks()
    while True:
        try:
            block = next(blocks, None)
        except OSError as error:
            raise _Unread(error) from error
        if block is None:
            return
        yield block


def joined(content: Content) -> bytes:
    """The whole content, for a small one.  Raises ContentError."""
    octets = b"".join(content.blocks())
    if len(octets) != content.octets:
        raise ContentError(f"the content is not {content.octets} octets long")
    return octets


def _write_all(descriptor: int, contents: Sequence[Content]) -> list[int]:
    """Write them one behind another; how many octets stand before each.

    Raises _Unread, what else reading raises, or OSError.
    """
    starts = list(itertools.accumulate((it.octets for it in contents), initial=0))
    held = [it.data for it in contents if isinstance(it, Octets)]
    if len(held) == len(contents):
        _write(descriptor, held)
        return starts[:-1]
    for content in contents:
        written = 0
        for block in _read(content):
            written += len(block)
            if written > content.octets:
                break
            _write(descriptor, [block])
        if written != content.octets:
            raise ContentError(f"the content is not {content.octets} octets long")
    return starts[:-1]


def _write(descriptor: int, octets: Sequence[bytes]) -> None:
    written = os.writev(descriptor, octets)
    if written < sum(map(len, octets)):  # the disk is full, or a signal came
        rest = memoryview(b"".join(octets))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _remove(path: str, descriptor: int) -> None:
    # A read may have hung until the queue had its next owner, who swept our file and wrote one
    # of the same name.
    if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
        os.unlink(path)


def _not_written(folder: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot write to {folder}: {error.strerror}")


def _flush(descriptor: int, path: str | Path) -> None:
    # After a failed fsync the kernel may call the next one good although the pages are gone.
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        raise StoreBroken(f"cannot flush {path}: {error.strerror}") from error
