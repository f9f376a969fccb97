"""Short writes, which strace cannot make: of one write the system takes half (short_write.c).

It needs a C compiler (Debian: gcc).
"""

import mmap
import os
import struct
import subprocess
import tempfile
from pathlib import Path

from tests.bench.sink import BUILD, FLAGS, compiler

SOURCE = Path(__file__).with_name("short_write.c")
CALLS = {"write": 1, "pwrite64": 2}
_ORDER = struct.Struct("=4i")  # as in short_write.c


def library() -> Path:
    """The compiled library.  Raises NoCompiler."""
    made = BUILD / "short_write.so"
    if made.exists() and made.stat().st_mtime > SOURCE.stat().st_mtime:
        return made
    BUILD.mkdir(exist_ok=True)
    # Made aside and renamed: two processes may come at the same time.
    with tempfile.TemporaryDirectory(dir=BUILD) as aside:
        new = Path(aside) / made.name
        command = [compiler(), *FLAGS, "-shared", "-fPIC", "-o", str(new), str(SOURCE)]
        subprocess.run(command, check=True)
        new.rename(made)
    return made


class ShortWrite:
    """What a process started with environment is told.  Raises NoCompiler."""

    def __init__(self, folder: Path) -> None:
        file = folder / "short-write"
        file.write_bytes(bytes(_ORDER.size))
        descriptor = os.open(file, os.O_RDWR)
        self._order = mmap.mmap(descriptor, _ORDER.size)
        os.close(descriptor)
        self.environment = {"LD_PRELOAD": str(library()), "SHORT_WRITE": str(file)}

    def order(self, thread: int, call: str, number: int) -> None:
        """Let the number-th call of the thread from now on be a short one."""
        self._order[:] = _ORDER.pack(thread, CALLS[call], number, 0)

    def struck(self) -> bool:
        """Whether it was; nothing is ordered any more then."""
        *_, struck = _ORDER.unpack(self._order[:])
        self._order[:] = bytes(_ORDER.size)
        return bool(struck)
