"""Where the control socket lies: made private from its first moment, found by any path.

A socket file takes its mode from bind(), and a chmod() after that comes too late for whoever waits
for it.  So it is bound in a folder of its own that nobody else may enter, gets its mode there, and
only then takes its place by one rename, which also does away with the file that a killed daemon
left.
"""

import contextlib
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asyncnet.control.protocol import SOCKET_NAME

MODE = 0o600
WAITING = 16  # connections that the kernel keeps for us
# unix(7): sun_path is 108 octets on Linux, 104 elsewhere, the last one NUL.
MAX_ADDRESS_OCTETS = 103

_STAGING = ".control-"
_DESCRIPTORS = "/proc/self/fd"


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """A name for path that fits into a socket's address, while the block lasts.

    A longer path goes by way of a descriptor of its folder.  Raises OSError.
    """
    if len(os.fsencode(path)) <= MAX_ADDRESS_OCTETS:
        yield str(path)
        return
    if not os.path.isdir(_DESCRIPTORS):
        raise OSError(errno.ENAMETOOLONG, f"longer than {MAX_ADDRESS_OCTETS} octets")
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"{_DESCRIPTORS}/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def listen(folder: Path) -> socket.socket:
    """A listening socket at SOCKET_NAME in folder, in place of any that lay there.

    Only for whoever holds the folder's lock.  Raises OSError; nothing is left then.
    """
    for forgotten in folder.glob(f"{_STAGING}*"):
        shutil.rmtree(forgotten, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=folder))  # its mode is 0700
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made = staging / "s"
        with address_of(made) as address:
            listener.bind(address)
        os.chmod(made, MODE)
        listener.listen(WAITING)
        os.rename(made, folder / SOCKET_NAME)
    except BaseException:
        listener.close()
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return listener


def remove(folder: Path) -> None:
    """Take the socket's name away; who connects then learns that no daemon runs."""
    with contextlib.suppress(OSError):
        os.unlink(folder / SOCKET_NAME)
