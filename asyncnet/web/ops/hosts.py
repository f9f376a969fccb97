"""By which names the operators' pages may be asked for.  No I/O.

A page elsewhere can have its own name point to 127.0.0.1 and then read what listens here, as if
it came from itself (DNS rebinding).  Its name gives it away: an address cannot be made to point
elsewhere, and the names taken here are this machine's own.
"""

import ipaddress
from collections.abc import Iterable


class Hosts:
    """The names that are taken, besides addresses and localhost."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {"localhost", *(_plain(name) for name in names)}

    def takes(self, host: bytes) -> bool:
        """Whether a Host field is one of ours.  An empty one is: every browser sends a name."""
        text = host.decode("latin-1")
        if not text or text.startswith("["):  # the reading has let IPv6 addresses alone in there
            return True
        name = _plain(text.partition(":")[0])
        return name in self._names or _is_ipv4_address(name)


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_ipv4_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
