"""What can go wrong with a connection, from its lookup to its last octet."""

import os
import socket
import ssl


class WireError(Exception):
    """The connection cannot be had, or is no more.  Nothing stays open."""


class LookupFailed(WireError):
    """The name has no address, or nobody could tell."""


class ConnectFailed(WireError):
    """None of the addresses took the connection."""


class TlsFailed(WireError):
    """No TLS, or not with the one we wanted to talk to."""


class ConnectionLost(WireError):
    """The connection ended while we needed it."""


class DeadlinePassed(ConnectionLost):
    """The server took too long; the connection was cut by us."""


def reason(error: BaseException) -> str:
    """An error in the system's words: asyncio replaces them, "Connect call failed (…)"."""
    if not isinstance(error, OSError):
        return str(error)
    own_numbers = isinstance(error, socket.gaierror | ssl.SSLError)
    return os.strerror(error.errno) if error.errno and not own_numbers else error.strerror or ""
