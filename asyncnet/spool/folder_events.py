"""Folder events (Linux inotify): the names that were renamed in or closed by their writer.

Only a hint.  There are none on network file systems and bind mounts, the kernel's queue
overflows, and elsewhere than on Linux there is no inotify; the scan finds what is missed.
"""

import asyncio
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# inotify(7): struct inotify_event, and behind it the name, filled up with NUL.
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_READ_OCTETS = 65_536  # some thousand events to a system call


async def follow_events(
    folder: Path, noticed: Callable[[str], None], missed: Callable[[], None]
) -> str:
    """Call noticed with each name that is ready in folder, missed when some were lost.

    missed is called at the beginning too, when the watch stands.  Returns why there are no
    events, or no more; cancel it to end it.
    """
    if sys.platform != "linux":
        return "this system has no inotify"
    from asyncinotify import Inotify, Mask

    overflow, ignored, is_folder = Mask.Q_OVERFLOW.value, Mask.IGNORED.value, Mask.ISDIR.value
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        # The library's own reading makes an enum, a path and a watch of every event, and adds
        # and removes its descriptor for every read: a sixth of what a single job costs.
        try:
            for mask, name in _events(os.read(inotify.fd, _READ_OCTETS)):
                if mask & overflow:
                    missed()
                elif mask & ignored:
                    _end(ended, "the folder was removed")
                elif name and not mask & is_folder:
                    noticed(name)
        except OSError as error:
            _end(ended, str(error))

    try:
        with Inotify() as inotify:
            inotify.add_watch(folder, Mask.MOVED_TO | Mask.CLOSE_WRITE | Mask.ONLYDIR)
            missed()
            loop.add_reader(inotify.fd, read)
            try:
                return await ended
            finally:
                loop.remove_reader(inotify.fd)
    except OSError as error:
        return str(error)


def _events(octets: bytes) -> Iterator[tuple[int, str]]:
    """The mask and the name of each event; "" where it is about the folder itself."""
    at = 0
    while at < len(octets):
        _, mask, _, length = _EVENT.unpack_from(octets, at)
        at += _EVENT.size
        yield mask, os.fsdecode(octets[at : at + length].rstrip(b"\0"))
        at += length


def _end(ended: asyncio.Future[str], why: str) -> None:
    if not ended.done():
        ended.set_result(why)
