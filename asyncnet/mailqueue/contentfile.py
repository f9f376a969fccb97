"""Large contents: one file QUEUEID.msg each, beside the database.

The file is whole and flushed before the row that speaks of it is committed, and it is
unlinked after the commit that forgets it; so a crash can only leave a file without a row,
and open() sweeps those.
"""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from asyncnet.mail.letter import BLOCK_OCTETS, Content, ContentError
from asyncnet.mailqueue.store import StoreBroken, StoreError

_OURS = re.compile(r"([A-Za-z0-9_-]{1,64})\.msg")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR)
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class FileContent:
    """Content that lies in a file; it is opened when its blocks are asked for."""

    path: Path
    octets: int

    def blocks(self) -> Iterator[bytes]:
        """Raises ContentError where the file is gone or another, StoreError while this process has
        no descriptors or memory for it, and else OSError: a disk may fail for a time.
        """
        left = self.octets
        try:
            with open(self.path, "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != left:
                    raise ContentError(f"{self.path.name} is not {self.octets} octets long")
                while left:
                    block = file.read(min(BLOCK_OCTETS, left))
                    if not block:
                        raise ContentError(f"{self.path.name} shrank while it was read")
                    left -= len(block)
                    yield block
        except OSError as error:
            if error.errno in _GONE:
                raise ContentError(f"{self.path.name} is gone: {error.strerror}") from error
            if error.errno in _SCARCE:
                raise StoreError(f"{self.path.name} cannot be read: {error.strerror}") from error
            raise


class ContentFolder:
    """The folder of the .msg files.  Every method works on the disk: keep it off the loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = SharedFlush(self._flush_folder)

    def content(self, queue_id: str, octets: int) -> FileContent:
        return FileContent(self._path(queue_id), octets)

    def write(self, contents: Iterable[tuple[str, Content]]) -> list[Exception | None]:
        """Write and flush new files, named by queue ids, and once their names.

        For each None, or why it is not there: what reading the content raised, FileExistsError,
        or StoreError (no room, no permission).  Raises StoreBroken (a flush failed: what the
        disk holds of anything is unknown) or what is a bug; none is there then.
        """
        files = [_NewFile(self._path(queue_id), content) for queue_id, content in contents]
        done = False
        try:
            for file in files:
                file.write()
            for file in files:
                file.flush()
            self._flush_names(files)
            done = True
        finally:
            for file in files:
                file.close(keep=done)
        return [file.error for file in files]

    def discard(self, queue_id: str) -> None:
        """Unlink the file if it is there.  One that resists is left to the next sweep."""
        try:
            self._path(queue_id).unlink(missing_ok=True)
        except OSError:
            return

    def sweep(self, wanted: Callable[[str], bool]) -> None:
        """Unlink the files that bear a name of ours and a queue id that is not wanted."""
        with os.scandir(self._folder) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        for name in names:
            match = _OURS.fullmatch(name)
            if match is not None and not wanted(match[1]):
                self.discard(match[1])

    def _path(self, queue_id: str) -> Path:
        name = f"{queue_id}.msg"
        if _OURS.fullmatch(name) is None:
            raise ValueError(f"{queue_id!r} cannot name a file of ours")
        return self._folder / name

    def _flush_names(self, files: Sequence["_NewFile"]) -> None:
        try:
            self._names.wait()
        except OSError as error:
            for file in files:
                file.error = file.error or _not_written(self._folder, error)

    def _flush_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _flush(folder, self._folder)
        finally:
            os.close(folder)


class _NewFile:
    """A file on its way to the disk, step by step; error tells what became of it."""

    def __init__(self, path: Path, content: Content) -> None:
        self.error: Exception | None = None
        self._path = path
        self._content = content
        self._descriptor: int | None = None

    def write(self) -> None:
        try:
            self._write()
        except _Unread as unread:
            self.error = unread.error
        except (ContentError, FileExistsError) as error:
            self.error = error
        except OSError as error:
            self.error = _not_written(self._path.parent, error)

    def flush(self) -> None:
        """Raises StoreBroken."""
        if self.error is None and self._descriptor is not None:
            try:
                _flush(self._descriptor, self._path)
            except OSError as error:
                self.error = _not_written(self._path.parent, error)

    def close(self, *, keep: bool) -> None:
        """keep: unless there was an error."""
        if self._descriptor is None:
            return
        try:
            if not keep or self.error is not None:
                with contextlib.suppress(OSError):  # the next start sweeps it
                    self._remove(self._descriptor)
        finally:
            os.close(self._descriptor)

    def _remove(self, descriptor: int) -> None:
        # A read may have hung until the queue had its next owner, who swept our file and wrote one
        # of the same name.
        if os.path.samestat(os.fstat(descriptor), os.lstat(self._path)):
            self._path.unlink()

    def _write(self) -> None:
        # 0600: mail is private, whatever the umask says.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        written = 0
        for block in _read(self._content):
            written += len(block)
            if written > self._content.octets:
                break
            _write_all(self._descriptor, block)
        if written != self._content.octets:
            raise ContentError(f"the content is not {self._content.octets} octets long")
        # Begins to write it to the disk, and waits for nothing: of many files the first flush
        # then finds most of the work done, and its commit of the file system's log is for all.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _not_written(folder: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot write to {folder}: {error.strerror}")


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


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def _flush(descriptor: int, path: Path) -> None:
    # After a failed fsync the kernel may call the next one good although the pages are gone.
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise
        raise StoreBroken(f"cannot flush {path}: {error.strerror}") from error
