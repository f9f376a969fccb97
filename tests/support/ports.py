"""Ports where nobody listens, and which stay so while they are used."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refusing_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port where connections are refused.  It is held meanwhile: given back, it may be the next
    that a server of another test gets.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as held:
        held.bind((host, 0))
        port: int = held.getsockname()[1]
        yield port
