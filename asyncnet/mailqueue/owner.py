"""Whose jobs they are, where several machines share a queue: a name that outlives restarts."""

import os
import secrets
import socket
from pathlib import Path

from asyncnet.mailqueue.store import StoreError

NAME_FILE = "queue.owner"  # in the spool folder, as its jobs are
_RANDOM_OCTETS = 8


def random_owner() -> str:
    """A name for a process that takes no job in."""
    return f"{socket.gethostname()}-{secrets.token_hex(_RANDOM_OCTETS)}"


def owner_of(folder: Path) -> str:
    """The name that the folder bears, given to it now if it has none.

    The host's name in it is for persons; what counts is that no two folders have the same.
    Raises StoreError.
    """
    place = folder / NAME_FILE
    try:
        name = _read(place)
        if not name:
            _write(place, random_owner())
            name = _read(place)
    except (OSError, UnicodeError) as error:
        raise StoreError(f"{place}: {getattr(error, 'strerror', error)}") from error
    if not name.isprintable() or not 0 < len(name) <= 300:
        raise StoreError(f"{place} is damaged; restore it, or its jobs' results are never filed")
    return name


def _read(place: Path) -> str:
    try:
        return place.read_text("utf-8").strip()
    except FileNotFoundError:
        return ""


def _write(place: Path, name: str) -> None:
    # Whole and on the disk before the first job bears the name.
    aside = place.with_name(f".{place.name}.tmp")
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(aside, "w", encoding="utf-8") as file:
        file.write(f"{name}\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(aside, place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
