"""A wall clock that a test sets, for one process: libfaketime (Debian: libfaketime)."""

from pathlib import Path

LOOK_S = 1  # how late the process may notice; a look at each call would cost more than its work


class NoFakeClock(Exception):
    """libfaketime is missing."""


class FakeClock:
    """environment is for the process; put() sets its clock, in seconds beside the real one."""

    def __init__(self, folder: Path) -> None:
        """Raises NoFakeClock."""
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
        if library is None:
            raise NoFakeClock("there is no libfaketime (Debian: apt-get install libfaketime)")
        self._file = folder / "clock"
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(LOOK_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # no setting of a clock moves that
        }
        self.put(0)

    def put(self, beside_s: int) -> None:
        aside = self._file.with_suffix(".new")
        aside.write_text(f"{beside_s:+d}\n")
        aside.rename(self._file)
