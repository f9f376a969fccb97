"""Mail servers from Debian's packages, unpacked into build/peers/ and never installed.

The packages shut one another out (each wants to be the machine's mail server), and installing
one would start it.  Unpacked, all three lie side by side, and nothing of the machine changes.
`python -m tests.support.peers.fetch` brings them; the standard library is all it needs.
"""

import os
from pathlib import Path

PEERS_FOLDER = Path(__file__).parents[3] / "build" / "peers"

# libnss-wrapper lets a program find users in a file of ours: Postfix and Exim look up accounts
# that their packages would have made.
PACKAGES = {
    "postfix": ("postfix", "libnss-wrapper"),
    "exim": ("exim4-daemon-light", "libnss-wrapper"),
    "opensmtpd": ("opensmtpd",),
}
PROGRAMS = {  # those that must find their libraries
    "postfix": ("usr/sbin/smtp-source", "usr/sbin/smtp-sink", "usr/lib/postfix/sbin/master"),
    "exim": ("usr/sbin/exim4",),
    "opensmtpd": ("usr/sbin/smtpd", "usr/libexec/opensmtpd/encrypt"),
}
FETCH = "python -m tests.support.peers.fetch"


class PackageMissing(Exception):
    """It is not unpacked; str() tells how to get it."""


def tree(peer: str) -> Path:
    """The folder a peer lies in, laid out like the root of a file system.

    Raises PackageMissing.
    """
    folder = PEERS_FOLDER / peer
    if not folder.is_dir():
        raise PackageMissing(f"{peer} is not in {PEERS_FOLDER}; run: {FETCH}")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """The variables with which programs in an unpacked tree find their libraries."""
    libraries = (*folder.glob("usr/lib/**/*.so*"), *folder.glob("lib/**/*.so*"))
    folders = sorted({str(path.parent) for path in libraries})
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(folders)}


def smtp_source() -> tuple[Path, dict[str, str]]:
    """Postfix's load generator and the environment it runs in; smtp-sink lies beside it.

    Raises PackageMissing.
    """
    folder = tree("postfix")
    return folder / "usr/sbin/smtp-source", environment(folder)
