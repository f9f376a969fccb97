"""Request heads: bytes in, Request out (RFC 9112 sections 2 to 6).  No I/O.

Only a well-formed GET is served; a Request whose fault is not None is answered 400, whatever
the RFCs would allow to be mended.  Two judges look at a head and agree: read_plain_head takes
what one read brought, if that is a whole head of the usual kind; RequestReader takes
everything else, however the bytes are cut, and refuses at the first octet or line that is
wrong, so that a TLS ClientHello or an endless line costs a few octets and no patience.

Crash story: none; any bytes end in a Request or in "more, please", and no more than
max_head_octets are ever held.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_HEAD_OCTETS = 16_384  # Apache and nginx stop at 8 KiB a line; browsers with cookies stay below
SPEED_HEAD_OCTETS = 2_048  # longer heads are rare, and 128 of them would be memory for nothing

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"  # RFC 9110 section 5.6.2
_REGISTERED_NAME = rb"[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}"  # RFC 3986 section 3.2.2
_H16 = rb"[0-9A-Fa-f]{1,4}+"
_IPV4 = rb"(?:[0-9]{1,3}+\.){3}+[0-9]{1,3}+"
# Plausible, not proven: the groups before and behind a "::" are not counted together.
_IPV6 = (
    rb"(?:%(h16)b:){6}+(?:%(h16)b:%(h16)b|%(ipv4)b)"
    rb"|(?:%(h16)b(?::%(h16)b){0,6}+)?+::(?:(?:%(h16)b:){0,6}+(?:%(ipv4)b|%(h16)b))?+"
) % {b"h16": _H16, b"ipv4": _IPV4}
_IP_FUTURE = rb"[vV][0-9A-Fa-f]++\.[A-Za-z0-9._~!$&'()*+,;=:-]++"
# RFC 3986 lets any digits be a port, and no digit at all; beyond 65535 there is none.
_PORT = rb"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[0-5]?+[0-9]{0,4}+)"
_AUTHORITY = rb"(?:\[(?:%b|%b)\]|(?:%b)++)(?::%b)?+" % (_IPV6, _IP_FUTURE, _REGISTERED_NAME, _PORT)
# RFC 3986 forbids []\^`{|} as well, but browsers leave them unencoded (the URL standard of the
# WHATWG lets them pass, in queries above all), and they select nothing here.
_PLAIN_PATH = rb"/[!$&-;=@-_`a-~]*+"
_QUERY = rb"\?[!$-;=?@-_`a-~]*+"  # its percent signs are not judged: it is never decoded
_FIELD_VALUE = rb"[\t\x20-\x7e\x80-\xff]"  # RFC 9110 section 5.5; other controls are refused

_PLAIN_FIELDS = (
    rb"(?:(?!(?i:host|content-length|transfer-encoding):)"
    + _TOKEN
    + rb"++:"
    + _FIELD_VALUE
    + rb"*+\r\n)*+"
)
# Possessive throughout: no head, however wicked, is looked at twice.
_PLAIN_HEAD = re.compile(
    rb"GET (?P<target>(?P<path>%b)(?:%b)?+) HTTP/1\.[0-9]\r\n"
    rb"%b(?i:host):[\t ]*+(?P<host>%b)[\t ]*+\r\n%b\r\n"
    % (_PLAIN_PATH, _QUERY, _PLAIN_FIELDS, _AUTHORITY, _PLAIN_FIELDS)
)
_VERSION = re.compile(rb"HTTP/1\.([0-9])")
_PATH = rb"/(?:[!$&-;=@-_`a-~]|%[0-9A-Fa-f]{2})*+"
_TARGET = re.compile(
    rb"(?:(?i:http)://%b(?P<absolute>(?:%b)?+)|(?P<origin>%b))(?:%b)?+"
    % (_AUTHORITY, _PATH, _PATH, _QUERY)
)
_TOKENS = re.compile(_TOKEN + rb"++")
_HOST = re.compile(_AUTHORITY)
_LENGTH = re.compile(rb"[0-9]{1,19}")  # 2**63 has 19 digits; nobody means a longer one
_BEYOND_REQUEST_LINE = re.compile(rb"[^\x20-\x7e]")
_BEYOND_FIELD_LINE = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
_TOKEN_OCTETS = frozenset(octet for octet in range(128) if _TOKENS.fullmatch(bytes((octet,))))
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")
_ENCODED_CONTROL = re.compile(rb"%(?:[01][0-9A-Fa-f]|7[Ff])")
_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")
_CR, _LF = b"\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One judged request head.

    path has its unreserved octets decoded and bears no query.  method and target stand as
    they were sent (printable ASCII, for a log), empty where the bytes did not get that far.
    """

    method: bytes
    target: bytes
    path: bytes
    fault: str | None  # why the answer is 400; None: the answer is by path
    drain: bool  # a body, a second request or the rest of a refused one comes behind
    host: bytes = b""  # the field, whatever an absolute-form target says; empty: without, or fault


def read_plain_head(data: bytes, max_head_octets: int = MAX_HEAD_OCTETS) -> Request | None:
    """The Request when data begins with a whole head of the usual kind.

    None says nothing about the head: hand the same bytes to a RequestReader.
    """
    if len(data) <= SPEED_HEAD_OCTETS <= max_head_octets:
        return _remembered(data)
    return _match_plain_head(data, max_head_octets)


def _match_plain_head(data: bytes, max_head_octets: int) -> Request | None:
    match = _PLAIN_HEAD.match(data)
    if match is None or match.end() > max_head_octets:
        return None
    target, path, host = match.group("target", "path", "host")
    return Request(b"GET", target, path, None, match.end() != len(data), host)


@lru_cache(maxsize=128)
def _remembered(data: bytes) -> Request | None:
    # A browser that reloads and a probe that polls send the same head again and again.
    return _match_plain_head(data, SPEED_HEAD_OCTETS)


class RequestReader:
    """Judges one head line by line, however the bytes are cut."""

    # Thousands of half-sent heads may be held at a time: without a dict each.
    __slots__ = (
        *("_buffer", "_empty_lines", "_fields", "_line_start", "_max_head_octets", "_method"),
        *("_path", "_received_octets", "_scanned", "_target"),
    )

    def __init__(self, max_head_octets: int = MAX_HEAD_OCTETS) -> None:
        self._max_head_octets = max_head_octets
        self._buffer = bytearray()
        self._received_octets = 0  # what did not fit into the buffer included
        self._line_start = 0
        self._scanned = 0  # nothing before it needs a second look
        self._empty_lines = 0
        self._method = b""
        self._target = b""
        self._fields: _Fields | None = None  # None: the request-line is still to come
        self._path = b""

    def receive_data(self, data: bytes) -> Request | None:
        """The Request, or None while more bytes are needed.  Spent once it has answered."""
        self._received_octets += len(data)
        self._buffer += data[: self._max_head_octets - len(self._buffer)]
        buffer = self._buffer
        while True:
            if self._begins_badly():
                return self._refuse("does not begin with a method", self._line_start)
            beyond = _BEYOND_REQUEST_LINE if self._fields is None else _BEYOND_FIELD_LINE
            found = beyond.search(buffer, self._scanned)
            end = len(buffer) if found is None else found.start()
            if end == len(buffer) or (buffer[end] == _CR and end + 1 == len(buffer)):
                self._scanned = end
                break
            if buffer[end] != _CR or buffer[end + 1] != _LF:
                return self._refuse(_name_octet(buffer[end]), end)
            line = bytes(buffer[self._line_start : end])
            self._line_start = self._scanned = end + 2
            request = self._take_line(line)
            if request is not None:
                return request
        if len(buffer) == self._max_head_octets:
            return self._refuse("head too large", end)
        return None

    def refuse(self, fault: str) -> Request:
        """The Request for a head that will not be completed: too slow, or ended too soon."""
        return self._refuse(fault, len(self._buffer))

    @property
    def unread(self) -> bytes:
        """Any octets that came, up to the limit, while no request-line was taken; else none."""
        return b"" if self._method else bytes(self._buffer[self._line_start :])

    def _begins_badly(self) -> bool:
        """True when the first octet of the request-line can begin none."""
        if self._fields is not None or self._line_start >= len(self._buffer):
            return False
        octet = self._buffer[self._line_start]
        return octet not in _TOKEN_OCTETS and octet != _CR

    def _take_line(self, line: bytes) -> Request | None:
        if self._fields is not None:
            if not line:
                return self._finish(self._fields)
            fault = self._fields.take(line)
        elif line:
            fault = self._take_request_line(line)
        else:
            # RFC 9112 section 2.2: old clients sent CRLF behind a POST's body.  One, no more.
            self._empty_lines += 1
            fault = "empty lines before the request" if self._empty_lines > 1 else None
        return None if fault is None else self._refuse(fault, self._line_start)

    def _take_request_line(self, line: bytes) -> str | None:
        words = line.split(b" ")
        self._method = words[0]
        self._target = words[1] if len(words) > 1 else b""
        version = _VERSION.fullmatch(words[2]) if len(words) == 3 else None
        target = _TARGET.fullmatch(self._target)
        if version is None:
            return "no request-line of HTTP/1"
        if self._method != b"GET":  # method before path: POST to an unknown path is 400
            return "method is not GET"
        if target is None:
            return "malformed target"
        path = target["origin"] or target["absolute"] or b"/"  # http://host alone means its root
        self._path = _decode(path)
        self._fields = _Fields(version[1] == b"0")
        # No page is named by controls; whoever encodes one wants to fool somebody.
        return "encoded control in target" if _ENCODED_CONTROL.search(path) else None

    def _finish(self, fields: "_Fields") -> Request:
        if fields.host is None and not fields.of_http_1_0:
            return self._refuse("no Host", self._line_start)
        drain = fields.announces_body or self._received_octets > self._line_start
        return Request(self._method, self._target, self._path, None, drain, fields.host or b"")

    def _refuse(self, fault: str, end: int) -> Request:
        # A HEAD must get no content even when the rest of its line is wrong.
        method, target = self._method, self._target
        if not method:
            words = bytes(self._buffer[self._line_start : end]).split(b" ")
            method = words[0] if len(words) > 1 else b""
            target = words[1] if len(words) > 2 else b""
        return Request(method, target, b"", fault, True)


class _Fields:
    """The fields that decide something: Host, Content-Length, Transfer-Encoding."""

    __slots__ = ("_coded", "_length", "host", "of_http_1_0")

    def __init__(self, of_http_1_0: bool) -> None:
        self.of_http_1_0 = of_http_1_0
        self.host: bytes | None = None
        self._length: bytes | None = None
        self._coded = False

    @property
    def announces_body(self) -> bool:
        return self._coded or bool(self._length and self._length.strip(b"0"))

    def take(self, line: bytes) -> str | None:
        """Why the line is wrong, or None."""
        name, colon, value = line.partition(b":")
        if not colon or _TOKENS.fullmatch(name) is None:
            return "malformed field line"  # a fold and a space before the colon included
        value = value.strip(b" \t")
        match name.lower():
            case b"host":
                return self._take_host(value)
            case b"content-length":
                return self._take_length(value)
            case b"transfer-encoding":
                return self._take_coding(value)
        return None

    def _take_host(self, value: bytes) -> str | None:
        if self.host is not None:
            return "second Host"
        self.host = value
        return None if _HOST.fullmatch(value) else "malformed Host"

    def _take_length(self, value: bytes) -> str | None:
        if self._length is not None or self._coded:
            return "two lengths"  # equal ones too: RFC 9110 section 8.6 lets us choose
        self._length = value
        return None if _LENGTH.fullmatch(value) else "malformed Content-Length"

    def _take_coding(self, value: bytes) -> str | None:
        if self._length is not None or self._coded or self.of_http_1_0:
            return "Transfer-Encoding out of place"  # RFC 9112 section 6.1: request smuggling
        self._coded = True
        return None if value.lower() == b"chunked" else "unknown Transfer-Encoding"


def _decode(path: bytes) -> bytes:
    """Decode unreserved octets alone: only they mean the same encoded (RFC 3986 section 2.3)."""
    return _ENCODED.sub(_decode_octet, path) if b"%" in path else path


def _decode_octet(encoded: re.Match[bytes]) -> bytes:
    octet = bytes((int(encoded[1], 16),))
    return octet if _UNRESERVED.fullmatch(octet) else encoded[0]


def _name_octet(octet: int) -> str:
    """What is wrong with an octet that no line may hold."""
    names = {0x0A: "bare LF", 0x0D: "bare CR", 0x00: "NUL"}
    return names.get(octet, "control" if octet < 0x80 else "octet above 127")
