"""From a name to a connected socket: lookup, the TCP handshake, and who is first.

The handshake of each address is ours, so that it can be timed and told (RFC 9293 section 3.5);
several addresses race one another by RFC 8305 ("Happy Eyeballs"): a broken IPv6 costs a quarter
of a second and not half a minute.
"""

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, TypeAlias

import idna

from asyncnet.delivery.errors import ConnectFailed, LookupFailed, reason

HEAD_START_S = 0.25  # before the next address is tried beside this one; RFC 8305 section 5

Address: TypeAlias = tuple[Any, ...]  # what getaddrinfo calls sockaddr


class Handshake(str):
    """A handshake that was made, as a note: its text, and what a drawing of it needs.

    rtt_s is the round trip that the kernel measured; None where it does not tell.
    """

    own: str
    peer: str
    took_s: float
    rtt_s: float | None

    @classmethod
    def measured(cls, own: str, peer: str, took_s: float, rtt_s: float | None) -> "Handshake":
        kernel = "" if rtt_s is None else f" (the kernel's round trip: {_ms(rtt_s)})"
        took = f"connected in {_ms(took_s)}{kernel}"
        note = cls(f"SYN {own} to {peer}, SYN-ACK back, ACK sent: {took}")
        note.own, note.peer, note.took_s, note.rtt_s = own, peer, took_s, rtt_s
        return note


Note = Callable[[str, str], None]  # text, RFC section
_Place: TypeAlias = tuple[int, Address]  # family, sockaddr


async def connect(
    host: str, port: int, note: Note, *, lookup_s: float, connect_s: float
) -> tuple[socket.socket, Address]:
    """A connected socket, which is the caller's to close, and the address it leads to.

    connect_s is each address's own deadline.  note is told of every step.  Raises LookupFailed
    or ConnectFailed; cancelled or failed, nothing stays open.
    """
    begun_s = perf_counter()
    places = in_turns(await look_up(host, port, lookup_s))
    shown = ", ".join(str(address[0]) for _, address in places)
    if shown != host:
        took = _ms(perf_counter() - begun_s)
        note(f"{host} is {shown}, looked up in {took}", "RFC 1034 section 5")
    race = _Race(places, connect_s, note)
    try:
        winner = await race.run()
    finally:
        await race.end()
    if winner is None:
        why = "; ".join(race.failures)
        raise ConnectFailed(f"no connection to {host} port {port} ({why})")
    return winner


def ascii_name(host: str) -> str:
    """The host in A-labels (RFC 5891).  Raises UnicodeError where it is no name."""
    return host if host.isascii() else idna.encode(host, uts46=True).decode()


async def look_up(host: str, port: int, seconds: float) -> list[_Place]:
    """The addresses of a host as (family, sockaddr), in the system's order (RFC 6724).

    An IP address is its own answer and asks nobody.  Raises LookupFailed.
    """
    try:
        name = ascii_name(host)
        found = _ask_nobody(name, port)
        if found is None:
            async with asyncio.timeout(seconds):
                found = await asyncio.get_running_loop().getaddrinfo(
                    name, port, type=socket.SOCK_STREAM
                )
    except TimeoutError as error:
        raise LookupFailed(f"no answer about {host!r} within {seconds:g} s") from error
    except (OSError, UnicodeError) as error:  # UnicodeError: no host name, idna.IDNAError too
        raise LookupFailed(f"{host!r} has no address: {reason(error)}") from error
    return [(family, address) for family, _, _, _, address in found]


def _ask_nobody(name: str, port: int) -> list[tuple[Any, Any, int, str, Address]] | None:
    """The answer where no question is needed: for an IP address (no thread, no name server)."""
    try:
        return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return None


def in_turns(places: Iterable[_Place]) -> list[_Place]:
    """The families in turns, each in its own order, beginning with the first one's.

    RFC 8305 section 4: ten dead IPv6 addresses do not stand before the one of IPv4.
    """
    queues: dict[int, deque[_Place]] = {}
    for place in dict.fromkeys(places):
        queues.setdefault(place[0], deque()).append(place)
    turns = []
    while any(queues.values()):
        turns += [queue.popleft() for queue in queues.values() if queue]
    return turns


class _Race:
    """Handshakes side by side, each begun a head start after the one before, or at its failure."""

    def __init__(self, places: Iterable[_Place], connect_s: float, note: Note) -> None:
        self.failures: list[str] = []
        self._waiting = deque(places)
        self._running: dict[asyncio.Task[socket.socket], Address] = {}
        self._connect_s = connect_s
        self._note = note

    async def run(self) -> tuple[socket.socket, Address] | None:
        """The first to come through; None where nobody did."""
        while self._waiting or self._running:
            if self._waiting:
                self._begin(*self._waiting.popleft())
            done, _ = await asyncio.wait(
                self._running,
                timeout=HEAD_START_S if self._waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    return task.result(), self._running.pop(task)
                self._failed(self._running.pop(task), error)
        return None

    async def end(self) -> None:
        """Leave nothing open of those who did not win, two who came through at once included."""
        for task, address in self._running.items():
            if not task.cancel() and task.exception() is None:
                task.result().close()
            self._note(f"SYN to {_shown(address)}: given up", "RFC 8305 section 5")
        if self._running:
            await asyncio.wait(self._running)

    def _begin(self, family: int, address: Address) -> None:
        attempt = shake_hands(family, address, self._connect_s, self._note)
        self._running[asyncio.get_running_loop().create_task(attempt)] = address

    def _failed(self, address: Address, error: BaseException) -> None:
        if not isinstance(error, OSError):
            raise error
        self.failures.append(f"{address[0]}: {reason(error) or 'no answer in time'}")
        self._note(f"SYN to {_shown(address)}: {self.failures[-1]}", "RFC 9293 section 3.5")


async def shake_hands(family: int, address: Address, seconds: float, note: Note) -> socket.socket:
    """Connect to one address.  Raises OSError, TimeoutError among them; nothing stays open."""
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        # We hand over whole groups; Nagle would hold the last part back for a round trip.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun_s = perf_counter()  # the loop's own clock may stand still within a turn
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(connection, address)
        took_s = perf_counter() - begun_s
    except BaseException:
        connection.close()
        raise
    own, peer = _shown(connection.getsockname()), _shown(address)
    made = Handshake.measured(own, peer, took_s, round_trip_s(connection))
    note(made, "RFC 9293 section 3.5")
    return connection


def round_trip_s(connection: socket.socket) -> float | None:
    """The round trip that the kernel measured in the handshake; None where it does not tell."""
    if sys.platform != "linux":
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        (rtt_us,) = struct.unpack_from("@I", info, 68)  # tcpi_rtt of linux/tcp.h
    except (OSError, struct.error):
        return None
    return float(rtt_us) / 1e6


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms"


def _shown(address: Address) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"
