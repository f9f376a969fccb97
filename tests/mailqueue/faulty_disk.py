"""A disk that runs full or fails to flush: SQLite's own door to the system, with faults."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import apsw

_LOG = "-wal"


@dataclass
class Disk:
    """What the write-ahead log meets; all is well until a test says otherwise."""

    room_octets: int | None = None  # the log may not grow beyond
    flushes_fail: bool = False
    flushes: int = 0


class _File(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], disk: Disk) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk = disk if path.endswith(_LOG) else Disk()
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        room = self._disk.room_octets
        if room is not None and offset + len(data) > room:
            raise apsw.FullError("no room")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._disk.flushes += 1
        if self._disk.flushes_fail:
            raise apsw.IOError("the disk does not answer")
        super().xSync(flags)


class _System(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__("faulty", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(name, flags, self._disk)


@contextmanager
def faulty_disk() -> Iterator[Disk]:
    """Connections that are opened within go through the disk that is given."""
    disk = Disk()
    system = _System(disk)
    try:
        yield disk
    finally:
        system.unregister()
