"""OpenSMTPD as a peer, in a root of its own (chroot): its users and paths are compiled in.

It offers neither PIPELINING nor SMTPUTF8, AUTH under TLS only, and takes 100 messages over one
connection.  Debian 12's cannot finish any TLS handshake: see LOST_KEY.
"""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.peers.inbox import Inbox
from tests.support.peers.packages import environment
from tests.support.peers.peer import (
    DOMAIN,
    HOST,
    REFUSED,
    Account,
    Features,
    Peer,
    free_ports,
    installed,
    started,
    write_users,
)

OFFERED: frozenset[str] = frozenset()  # that could be withheld

LOST_KEY = (
    "before 7.3 OpenSMTPD loses its private key under OpenSSL 3 (its issues 1171 and 1239): it "
    "offers STARTTLS, and every handshake ends with its alert internal_error"
)

_USERS = {"opensmtpd": 64_031, "opensmtpq": 64_032}


@asynccontextmanager
async def opensmtpd(features: Features | None = None, *, extra: str = "") -> AsyncIterator[Peer]:
    """A running OpenSMTPD; extra goes before the rules in its configuration."""
    features, account = features or Features(), Account()
    with installed("opensmtpd") as root:
        async with Inbox() as inbox:
            port, tls_port = free_ports(2)
            _prepare_root(root)
            (root / "etc/accounts").write_text(f"{account.user} {_hashed(root, account)}\n")
            settings = _settings(features, (port, tls_port), inbox.port, extra)
            (root / "etc/smtpd.conf").write_text(settings)
            argv = ("chroot", str(root), "/usr/sbin/smtpd", "-d", "-v")
            async with started(argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}) as process:
                await process.said("smtp: will accept at most")  # told when it listens
                ca_file = str(root / "authority.pem")
                broken = LOST_KEY if _version(process.lines) < (7, 3) else None
                yield Peer(
                    "opensmtpd", port, tls_port, ca_file, account, inbox, process, root, broken
                )


def _version(lines: Iterable[str]) -> tuple[int, int]:
    [found] = (said for line in lines if (said := re.search(r"OpenSMTPD (\d+)\.(\d+)", line)))
    return int(found[1]), int(found[2])


def _prepare_root(root: Path) -> None:
    """All that its processes look for: libraries, users, folders, a host without a DNS."""
    for library in _libraries(root):
        place = root / library.relative_to("/")
        if not library.is_relative_to(root) and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)
    write_users(root / "etc", _USERS, _USERS)
    (root / "etc/hosts").write_text(f"{HOST} localhost\n")
    (root / "etc/resolv.conf").write_text("lookup file\n")
    for name in ("var/run", "var/spool/smtpd", "var/lib/opensmtpd/empty", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "var/spool/smtpd").chmod(0o711)


def _libraries(root: Path) -> list[Path]:
    """Those that it needs, the program loader among them; some may lie in root already."""
    said = subprocess.run(
        ("ldd", str(root / "usr/sbin/smtpd")),
        env=environment(root),
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+)", said.stdout, re.MULTILINE)]


def _hashed(root: Path, account: Account) -> str:
    done = subprocess.run(
        (str(root / "usr/libexec/opensmtpd/encrypt"),),
        env=environment(root),
        input=account.password + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _settings(features: Features, ports: tuple[int, int], inbox_port: int, extra: str) -> str:
    assert features.withheld <= OFFERED
    login = "auth <accounts>" if features.login_required else "auth-optional <accounts>"
    common = f"pki here {login} hostname opensmtpd.example.test"
    return f"""\
pki here cert "/server.pem"
pki here key "/key.pem"
table accounts file:/etc/accounts
smtp max-message-size {features.message_octets}
smtp limit max-rcpt {features.recipients}
listen on {HOST} port {ports[0]} tls {common}
listen on {HOST} port {ports[1]} smtps {common}
{extra}
action "inbox" relay host "lmtp://{HOST}:{inbox_port}"
match from any for rcpt-to "{REFUSED}" reject
match from any for domain "{DOMAIN}" action "inbox"
"""
