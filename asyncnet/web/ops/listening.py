"""The operators' listener, put together from the settings."""

import ipaddress
import platform
import socket
from collections.abc import Iterable, Sequence

import structlog

from asyncnet.config.sections import HttpSettings, OpsSettings
from asyncnet.config.values import Endpoint
from asyncnet.web.listener import HttpListener
from asyncnet.web.ops.site import OperatorsSite
from asyncnet.web.ops.survey import Surveyor, Watched

MAX_CONNECTIONS = 100  # monitoring and a few people; whoever floods it takes no more than this


def operators_listener(
    settings: OpsSettings, watched: Watched, sockets: Sequence[socket.socket]
) -> HttpListener:
    """The listener, nothing being opened yet; sockets as for HttpListener."""
    own = platform.node()
    names = (*settings.hosts, *(it.host for it in settings.listen), own, own.partition(".")[0])
    site = OperatorsSite(Surveyor(watched), names)
    http = HttpSettings(listen=settings.listen, max_connections=MAX_CONNECTIONS)
    return HttpListener(http, site.answer, sockets=sockets)


def warn_of_others(endpoints: Iterable[Endpoint]) -> None:
    """Say it where others than this machine may read what is shown: there is no login."""
    for endpoint in endpoints:
        if not _is_loopback(endpoint.host):
            log = structlog.get_logger("asyncnet.ops")
            log.warning("other machines can read the operators' pages", listen=str(endpoint))


def _is_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
