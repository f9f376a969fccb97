"""Postfix as a peer: the master daemon in the foreground, with all folders in one of its own."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.peers.dovecot_auth import DovecotAuth
from tests.support.peers.inbox import Inbox
from tests.support.peers.packages import environment
from tests.support.peers.peer import (
    DOMAIN,
    HOST,
    REFUSED,
    WRAPPED,
    Account,
    Features,
    Peer,
    free_ports,
    installed,
    started,
    wrapped,
    write_users,
)

OFFERED = frozenset(
    (
        "PIPELINING",
        "8BITMIME",
        "SMTPUTF8",
        "DSN",
        "CHUNKING",
        "STARTTLS",
        "SIZE",
        "ENHANCEDSTATUSCODES",
    )
)

_USER, _DROP_GROUP = 64_011, 64_012
_QUEUE_FOLDERS = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush"),
    *("hold", "incoming", "private", "saved", "trace"),
)
# service, type, private, unprivileged, chroot, wakeup, at most, command
_SERVICES = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@asynccontextmanager
async def postfix(features: Features | None = None, *, extra: str = "") -> AsyncIterator[Peer]:
    """A running Postfix; extra is for main.cf, after everything else."""
    features, account = features or Features(), Account()
    with installed("postfix") as folder:
        async with Inbox() as inbox, DovecotAuth(account.user, account.password) as auth:
            port, tls_port = free_ports(2)
            _prepare_folders(folder)
            main = _main(folder, features, inbox.port, auth.port)
            _write_old(folder / "etc/postfix/main.cf", f"{main}{extra}\n")
            _write_old(folder / "etc/postfix/master.cf", _master(port, tls_port))
            variables = wrapped(folder, environment(folder)) | {"MAIL_LOGTAG": "postfix"}
            master = str(folder / "usr/lib/postfix/sbin/master")
            argv = (master, "-c", str(folder / "etc/postfix"), "-s")
            async with started(argv, variables) as process:
                await process.said("daemon started")
                ca_file = str(folder / "authority.pem")
                yield Peer("postfix", port, tls_port, ca_file, account, inbox, process, folder)


def _prepare_folders(folder: Path) -> None:
    """What the package's installation and `postfix check` would have made."""
    write_users(folder, {"postfix": _USER}, {"postfix": _USER, "postdrop": _DROP_GROUP})
    queue = folder / "queue"
    queue.mkdir(mode=0o755)
    (queue / "pid").mkdir(mode=0o755)
    for path in (*(queue / name for name in _QUEUE_FOLDERS), folder / "state"):
        path.mkdir(mode=0o700)
        os.chown(path, _USER, 0)
    for name, mode in (("public", 0o710), ("maildrop", 0o730)):
        (queue / name).mkdir()
        (queue / name).chmod(mode)
        os.chown(queue / name, _USER, _DROP_GROUP)


def _write_old(path: Path, text: str) -> None:
    """Postfix waits two seconds for a file that was changed just now to stay as it is."""
    path.write_text(text)
    os.utime(path, (0, 0))


def _main(folder: Path, features: Features, inbox_port: int, auth_port: int) -> str:
    assert features.withheld <= OFFERED
    client = "permit_sasl_authenticated, reject" if features.login_required else ""
    return f"""\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/state
daemon_directory = {folder}/usr/lib/postfix/sbin
command_directory = {folder}/usr/sbin
meta_directory = {folder}/etc/postfix
shlib_directory = no
import_environment = MAIL_CONFIG MAIL_LOGTAG {" ".join(WRAPPED)}
maillog_file = /dev/stdout
myhostname = postfix.example.test
inet_interfaces = {HOST}
inet_protocols = ipv4
disable_dns_lookups = yes
smtpd_peername_lookup = no
in_flow_delay = 0

mydestination =
alias_maps =
alias_database =
local_header_rewrite_clients =
relay_domains = {DOMAIN}
relay_transport = lmtp:inet:{HOST}:{inbox_port}
lmtp_destination_recipient_limit = 10000
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
    check_recipient_access inline:{{ {{ {REFUSED} = 550 5.1.1 nobody of that name }} }}
smtpd_client_restrictions = {client}
message_size_limit = {features.message_octets}
smtpd_recipient_limit = {features.recipients}
smtpd_discard_ehlo_keywords = {", ".join(sorted(features.withheld))}

smtpd_tls_security_level = may
smtpd_tls_cert_file = {folder}/server.pem
smtpd_tls_key_file = {folder}/key.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:{HOST}:{auth_port}
"""


def _master(port: int, tls_port: int) -> str:
    return f"""\
{HOST}:{port} inet n - n - - smtpd
{HOST}:{tls_port} inet n - n - - smtpd
    -o smtpd_tls_wrappermode=yes
{_SERVICES}"""
