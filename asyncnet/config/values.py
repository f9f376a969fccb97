"""Values as the settings write them: durations, sizes, rates, addresses, pins.  No I/O.

Durations are seconds (float), sizes octets (int); in the file both are written with units, "90s"
or "200MB".
"""

import binascii
import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_DURATION_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_RATE = re.compile(r"([1-9][0-9]{0,5})\s*/\s*(s|min|h|d)", re.ASCII)
_RATE_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_HTTPS = re.compile(r"https://[!-~]+")
_SIZE = re.compile(r"(\d+)\s*([kMGT]?)(i?)B", re.IGNORECASE)


def parse_duration(value: object) -> object:
    """Turn "1h30m" into 5400.0 seconds.  Numbers are refused: a bare 30 says no unit."""
    if not isinstance(value, str):
        raise ValueError('a duration is a text with a unit, such as "90s", "20m" or "2d"')
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError(f'{value!r} is no duration; write it as "90s", "20m" or "2d"')
    return sum(float(number) * _DURATION_UNITS_S[unit] for number, unit in parts)


def parse_size(value: object) -> object:
    """Turn "25MB" into 25,000,000 octets and "25MiB" into 26,214,400."""
    if not isinstance(value, str):
        raise ValueError('a size is a text with a unit, such as "64kB" or "25MB"')
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f'{value!r} is no size; write it as "64kB", "25MB" or "1GiB"')
    number, scale, binary = match.groups()
    return int(number) * (1024 if binary else 1000) ** " kmgt".index(scale.lower() or " ")


def size_in_words(octets: int) -> str:
    """A size as a person says it: "1.5 MB", "74 GB", "900 GB"."""
    number, unit = (octets / 1e9, "GB") if octets >= 1e9 else (octets / 1e6, "MB")
    return f"{number:.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many messages within so many seconds."""

    messages: int
    seconds: float


def parse_rate(value: object) -> object:
    """Read "30/min" (or /s, /h, /d) as Rate(30, 60.0)."""
    if isinstance(value, Rate):
        return value
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is no rate; write it as "30/min", "2/s", "500/h" or "2000/d"')
    return Rate(int(match[1]), _RATE_UNITS_S[match[2]])


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host (name or IP address, without brackets) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(value: object, default_port: int | None = None) -> Endpoint:
    """Read "127.0.0.1:8080", "[::1]:8080" or "localhost:8080".

    The port may be left out where default_port is given.  Raises ValueError.
    """
    if isinstance(value, Endpoint):
        return value
    if not isinstance(value, str):
        raise ValueError('an address is a text such as "127.0.0.1:8080" or "[::1]:8080"')
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.%\w]+)\](?::([0-9]{1,5}))?", value)
    plain = re.fullmatch(r"([^\s:\[\]/@]+)(?::([0-9]{1,5}))?", value)
    match = bracketed or plain
    if match is None:
        raise ValueError(f'{value!r} is no address; write "127.0.0.1:8080" or "[::1]:8080"')
    if match[2] is None and default_port is None:
        if re.fullmatch(r"[0-9]{1,5}", value):
            raise ValueError(f'{value!r} is a port alone; write "127.0.0.1:{value}", say')
        raise ValueError(f'{value!r} has no port; write "{value}:8080", say')
    port = int(match[2]) if match[2] is not None else default_port
    assert port is not None
    if not 0 <= port <= 65535:
        raise ValueError(f"port {port} is outside 0 to 65535")
    return Endpoint(match[1], port)


def _endpoints(value: object) -> object:
    """One address or a list of them; an empty text or list means none."""
    if value in ("", [], ()):
        return ()
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(parse_endpoint(item) for item in values)


def _texts(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _pin(value: str) -> str:
    """A pin as RFC 7469 section 2.4 writes it: the base64 of a SHA-256."""
    try:
        digest = binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ValueError(f"{value!r} is no pin: the base64 of a SHA-256 has 44 characters")
    return value


def _host(value: str) -> str:
    bare = _unbracketed(value)
    if ":" in bare and not _is_ip_address(bare):
        raise ValueError(f"{value!r} is no host; a port is written as port = 587")
    if not bare or not bare.isprintable() or " " in bare:
        raise ValueError(f"{value!r} is no host")
    return bare


def _unbracketed(value: str) -> str:
    return value[1:-1] if value.startswith("[") and value.endswith("]") else value


def _is_ip_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _ip_address(value: str) -> str:
    address = _unbracketed(value)
    if not _is_ip_address(address):
        raise ValueError(f"{value!r} is no IP address; a name is written as host")
    return address


def _queue_url(value: str) -> str:
    """Not shown in any error: there may be a password in it."""
    if re.match(r"sqlite:.", value):
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("postgresql", "postgres") and value.isprintable()
    except ValueError:
        good = False
    if not good:
        raise ValueError('a queue is written as "sqlite:FILE" or "postgresql://HOST/DATABASE"')
    return value


def _https(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.hostname and (parts.port or 443) and parts.username is None
    except ValueError:
        good = False
    if not good or not _HTTPS.fullmatch(value):
        # Not shown: somebody may have written a password into it.
        raise ValueError('a token server is written as "https://host/path", without user name')
    return value


Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Listen = Annotated[tuple[Endpoint, ...], BeforeValidator(_endpoints)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Pins = Annotated[tuple[Annotated[str, AfterValidator(_pin)], ...], BeforeValidator(_texts)]
RateText = Annotated[Rate, BeforeValidator(parse_rate)]
HostName = Annotated[str, AfterValidator(_host)]
IpAddress = Annotated[str, AfterValidator(_ip_address)]
QueueUrl = Annotated[str, AfterValidator(_queue_url)]
HttpsUrl = Annotated[str, AfterValidator(_https)]
