"""Asking the running daemon: one question, one answer, within a deadline."""

import socket
import time
from pathlib import Path
from typing import Any

from asyncnet.control.place import address_of
from asyncnet.control.protocol import (
    MAX_ANSWER_OCTETS,
    SOCKET_NAME,
    Arguments,
    ControlError,
    Request,
    parse_answer,
)

ANSWER_S = 40.0  # longer than the daemon gives itself
LISTENS_S = 1.0
CHUNK_OCTETS = 64 * 1024


class NoDaemon(ControlError):
    """Nobody listens there."""


class Unreachable(ControlError):
    """Somebody may listen there, but cannot be asked; str() says why."""


def ask(folder: Path, verb: str, arguments: Arguments, *, answer_s: float = ANSWER_S) -> Any:
    """The answer of the daemon that works in the spool folder.

    Raises NoDaemon, Unreachable, and Refused with the daemon's words.
    """
    path = folder / SOCKET_NAME
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
            address_of(path) as address,
        ):
            connection.settimeout(answer_s)
            connection.connect(address)
            connection.sendall(Request(verb, arguments).encode())
            line = _read_line(connection, time.monotonic() + answer_s)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        raise NoDaemon(f"no daemon listens at {path}") from error
    except TimeoutError as error:
        raise Unreachable(f"{path}: the daemon did not answer within {answer_s:g} s") from error
    except PermissionError as error:
        raise Unreachable(f"{path}: permission denied; ask as the daemon's user") from error
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror or error}") from error
    if not line.endswith(b"\n"):
        raise Unreachable(f"{path}: the daemon ended before its answer")
    return parse_answer(line)


def listens(folder: Path) -> bool:
    """Whether somebody takes connections there: a daemon runs, whatever else it does."""
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
            address_of(folder / SOCKET_NAME) as address,
        ):
            connection.settimeout(LISTENS_S)
            connection.connect(address)
    except (PermissionError, TimeoutError):
        return True  # there is one, of another user or busy
    except OSError:
        return False
    return True


def _read_line(connection: socket.socket, until: float) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n") and len(line) <= MAX_ANSWER_OCTETS:
        connection.settimeout(max(0.001, until - time.monotonic()))
        octets = connection.recv(CHUNK_OCTETS)
        if not octets:
            break
        line += octets
    return bytes(line)
