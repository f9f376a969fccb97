"""What systemd hands over and wants to hear: sd_listen_fds(3) and sd_notify(3).

So that port 80 works without root: systemd binds it, and connections wait there while the daemon
comes up or starts afresh.
"""

import contextlib
import os
import socket
from collections.abc import Mapping, MutableMapping

FIRST_DESCRIPTOR = 3
NAMES = ("http", "ops")  # FileDescriptorName= of the socket units, by the section they stand for

_PASSED = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class UnusableSocket(Exception):
    """A descriptor that was passed is not what we can use; str() is one line that says why."""


def take_sockets(environment: MutableMapping[str, str]) -> dict[str, list[socket.socket]]:
    """The listening sockets passed to this very process, by name; none as a rule.

    Afterwards no child can take them for its own: the variables are gone, and the descriptors
    close on exec.  Raises UnusableSocket.
    """
    told = {name: environment.pop(name, "") for name in _PASSED}
    if told["LISTEN_PID"] != str(os.getpid()):
        return {}  # they were meant for a parent of ours
    number = told["LISTEN_FDS"]
    if not (number.isascii() and number.isdigit() and len(number) < 4):
        raise UnusableSocket(f"LISTEN_FDS is no number: {number!r}")
    descriptors = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(number))
    names = told["LISTEN_FDNAMES"].split(":") if told["LISTEN_FDNAMES"] else []
    if len(names) != len(descriptors):
        names = ["unknown"] * len(descriptors)
    taken: dict[str, list[socket.socket]] = {}
    for descriptor, name in zip(descriptors, names, strict=True):
        taken.setdefault(name, []).append(_listening(descriptor, name))
    return taken


def _listening(descriptor: int, name: str) -> socket.socket:
    place = f"descriptor {descriptor}, passed as {name!r},"
    if name not in NAMES:
        wanted = " or ".join(f"FileDescriptorName={it}" for it in NAMES)
        raise UnusableSocket(f"{place} is for nothing here; the socket unit needs {wanted}")
    try:
        os.set_inheritable(descriptor, False)
        taken = socket.socket(fileno=descriptor)
    except OSError as error:
        raise UnusableSocket(f"{place} is no socket: {error.strerror}") from error
    of_tcp = taken.family in (socket.AF_INET, socket.AF_INET6) and taken.type == socket.SOCK_STREAM
    if not of_tcp or not taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise UnusableSocket(f"{place} is no listening TCP socket; write ListenStream=ADDRESS:PORT")
    taken.setblocking(False)
    return taken


def notify(state: str, environment: Mapping[str, str]) -> None:
    """Tell systemd, if it wants to hear, "READY=1" or "STOPPING=1"."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # Linux's abstract names begin with NUL
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),  # whoever does not listen any more need not know
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier,
    ):
        notifier.connect(address)
        notifier.send(state.encode("ascii"))
