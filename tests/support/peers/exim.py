"""Exim as a peer: the daemon in the foreground, with its spool in a folder of its own."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

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

_USER = 64_021
# The option that names the hosts to whom a keyword is offered.
_OFFERS = {
    "PIPELINING": "pipelining_advertise_hosts",
    "CHUNKING": "chunking_advertise_hosts",
    "SMTPUTF8": "smtputf8_advertise_hosts",
    "DSN": "dsn_advertise_hosts",
    "STARTTLS": "tls_advertise_hosts",
}
OFFERED = frozenset(_OFFERS)


@asynccontextmanager
async def exim(features: Features | None = None, *, extra: str = "") -> AsyncIterator[Peer]:
    """A running Exim; extra is for the main section of its configuration."""
    features, account = features or Features(), Account()
    with installed("exim") as folder:
        async with Inbox() as inbox:
            port, tls_port = free_ports(2)
            _prepare_folders(folder)
            main = _main(folder, features, (port, tls_port))
            parts = (main, extra, _access(features), _delivery(inbox.port), _logins(account))
            (folder / "exim.conf").write_text("\n".join(parts))
            argv = (str(folder / "usr/sbin/exim4"), "-C", str(folder / "exim.conf"), "-bdf")
            async with started(argv, wrapped(folder, environment(folder))) as process:
                await process.wrote(folder / "run/exim.pid")  # it listens then
                ca_file = str(folder / "authority.pem")
                with _log_shown(folder):
                    yield Peer("exim", port, tls_port, ca_file, account, inbox, process, folder)


@contextmanager
def _log_shown(folder: Path) -> Iterator[None]:
    """Show its log where the test failed: it goes to files only."""
    try:
        yield
    except BaseException:
        print(*(log.read_text() for log in sorted(folder.glob("log/*"))))
        raise


def _prepare_folders(folder: Path) -> None:
    write_users(folder, {"Debian-exim": _USER}, {"Debian-exim": _USER})
    for name in ("spool", "log", "run"):
        (folder / name).mkdir(mode=0o750)
        os.chown(folder / name, _USER, _USER)
    os.chown(folder / "key.pem", _USER, _USER)


def _main(folder: Path, features: Features, ports: tuple[int, int]) -> str:
    assert features.withheld <= OFFERED
    offers = (
        f"{option} = {'' if keyword in features.withheld else '*'}"
        for keyword, option in _OFFERS.items()
    )
    return f"""\
primary_hostname = exim.example.test
exim_path = {folder}/usr/sbin/exim4
spool_directory = {folder}/spool
log_file_path = {folder}/log/%s
pid_file_path = {folder}/run/exim.pid
keep_environment = {" : ".join(WRAPPED)}
deliver_drop_privilege
disable_ipv6
local_interfaces = {HOST}
daemon_smtp_ports = {ports[0]} : {ports[1]}
tls_on_connect_ports = {ports[1]}
tls_certificate = {folder}/server.pem
tls_privatekey = {folder}/key.pem
{chr(10).join(offers)}
message_size_limit = {features.message_octets}
recipients_max = {features.recipients}
smtp_accept_max = 200
# Deliver at once, however many messages came over one connection: there is no queue runner.
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
check_spool_space = 0
rfc1413_query_timeout = 0s
host_lookup =
acl_smtp_mail = check_mail
acl_smtp_rcpt = check_rcpt
"""


def _access(features: Features) -> str:
    login = "  deny message = log in first\n       !authenticated = *\n"
    return f"""\
begin acl
check_mail:
{login if features.login_required else ""}  accept
check_rcpt:
  deny message = 5.1.1 nobody of that name
       recipients = {REFUSED}
  accept domains = {DOMAIN}
  deny message = 5.7.1 not for this domain
"""


def _delivery(inbox_port: int) -> str:
    return f"""\
begin routers
inbox:
  driver = manualroute
  route_list = * {HOST}
  self = send
  transport = inbox
begin transports
inbox:
  driver = smtp
  protocol = lmtp
  port = {inbox_port}
  allow_localhost
  max_rcpt = 0
  hosts_avoid_tls = *
begin retry
* * F,1h,1m
"""


def _logins(account: Account) -> str:
    def condition(user: str, password: str) -> str:
        same_user = f"{{eq{{${user}}}{{{account.user}}}}}"
        return f"${{if and{{{same_user}{{eq{{${password}}}{{{account.password}}}}}}}}}"

    return f"""\
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = {condition("auth2", "auth3")}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = {condition("auth1", "auth2")}
  server_set_id = $auth1
"""
