"""Exit codes, from sysexits.h; every command ends with one of these."""

from collections.abc import Sequence

OK = 0
USAGE = 64  # EX_USAGE: the command line is wrong
DATA = 65  # EX_DATAERR: the job is wrong
UNAVAILABLE = 69  # EX_UNAVAILABLE: refused, or the port or spool is taken
SOFTWARE = 70  # EX_SOFTWARE: a fault of ours
TEMPFAIL = 75  # EX_TEMPFAIL: not now; trying again may help
CONFIG = 78  # EX_CONFIG: the settings, or the place they name, cannot be used


class CommandFailed(Exception):
    """The command cannot go on: lines tell why, code is what it ends with."""

    def __init__(self, code: int, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.code = code
        self.lines = lines
