"""Which request gets which answer: the rules, each with requests that stand for it.

tests/web/test_answers.py sends every one of them to the running listener: whole, octet by octet,
and, where a rule says `at once`, no further than the octet that decides.  A rule about what
happens on a connection rather than about octets names the tests that prove it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PAGES = (b"/", b"/page2", b"/page3")
HOST = b"Host: localhost:8080\r\n"
LENGTH_5 = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
EXPECT = b"Expect: 100-continue\r\n"


def get(target: bytes = b"/page2", fields: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET " + target + b" " + version + b"\r\n" + HOST + fields + b"\r\n"


def ask(method: bytes, target: bytes = b"/", fields: bytes = b"") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + fields + b"\r\n"


def with_host(line: bytes) -> bytes:
    return b"GET /page2 HTTP/1.1\r\n" + line + b"\r\n"


@dataclass(frozen=True)
class Rule:
    """requests are answered with status; at_once are beginnings that are refused already.

    why names the sections that ask for it, or says that it is a decision of ours.
    """

    says: str
    why: str
    status: int = 0  # 0: the rule is about connections
    requests: Mapping[str, bytes] = field(default_factory=dict)
    at_once: Mapping[str, bytes] = field(default_factory=dict)
    tests: tuple[str, ...] = ()  # "module::function"


RULES = (
    Rule(
        "the three pages",
        "the promise",
        200,
        {f"GET {page.decode()}": get(page) for page in PAGES},
    ),
    Rule(
        "an unknown path; case and slashes count",
        "RFC 9110 section 4.2.3",
        404,
        {
            "unknown path": get(b"/nothing"),
            "capital letters": get(b"/PAGE2"),
            "trailing slash": get(b"/page2/"),
            "two slashes": get(b"//"),
            "two slashes before a page": get(b"//page2"),
            "favicon": get(b"/favicon.ico"),
        },
    ),
    Rule(
        "any other method, before the path is looked at",
        "the promise; RFC 9110 section 9.1: methods are case-sensitive",
        400,
        {
            **{
                f"method {method.decode()}": ask(method)
                for method in (
                    *(b"POST", b"PUT", b"DELETE", b"TRACE", b"PATCH", b"QUERY", b"PROPFIND"),
                    *(b"get", b"Get", b"GETX", b"G", b"GE", b"!#$%&'*+-.^_`|~"),
                )
            },
            "POST to an unknown path": ask(b"POST", b"/nothing"),
            "POST with a body": ask(b"POST", fields=LENGTH_5) + b"hello",
            "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            "OPTIONS *": ask(b"OPTIONS", b"*"),
        },
        {
            "POST": b"POST / HTTP/1.1\r\n",
            "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n",
            "no letter": b"(GET",
        },
    ),
    Rule(
        "HEAD: no content, whatever is wrong with it",
        "RFC 9110 section 9.3.2",
        tests=("test_answers::test_a_head_gets_400_without_a_body",),
    ),
    Rule(
        "Expect with a POST: the 400 and no 100",
        "RFC 9110 section 10.1.1",
        400,
        {"POST with Expect": ask(b"POST", fields=LENGTH_5 + EXPECT)},
        tests=("test_answers::test_no_100_comes_before_the_answer",),
    ),
    Rule(
        "HTTP/1.0, with or without Host and keep-alive: answered and closed",
        "RFC 9112 sections 2.3 and 3.2",
        200,
        {
            "HTTP/1.0 without Host": b"GET /page2 HTTP/1.0\r\n\r\n",
            "HTTP/1.0 with Host": get(version=b"HTTP/1.0"),
            "with keep-alive": get(version=b"HTTP/1.0", fields=b"Connection: keep-alive\r\n"),
        },
    ),
    Rule(
        "HTTP/1.2 and above are read as 1.1",
        "RFC 9110 section 2.5",
        200,
        {"HTTP/1.2": get(version=b"HTTP/1.2"), "HTTP/1.9": get(version=b"HTTP/1.9")},
    ),
    Rule(
        "any other version",
        "RFC 9112 section 2.3; 505 there, 400 by our promise",
        400,
        {
            f"version {version.decode()}": get(version=version)
            for version in (
                *(b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1", b"http/1.1", b"HTTP/01.1", b"HTTP/1.10"),
                *(b"HTTP/1.", b"HTTP/1,1", b"HTTP/11", b"HTTP", b"HTTPS/1.1", b"HTTP/1.1.1"),
            )
        },
        {"HTTP/2.0": b"GET / HTTP/2.0\r\n", "HTTP/1.10": b"GET / HTTP/1.10\r\n"},
    ),
    Rule(
        "a request-line of other than three words",
        "RFC 9112 section 3; HTTP/0.9 is gone",
        400,
        {
            "HTTP/0.9 line": b"GET /\r\n",
            "the method alone": b"GET\r\n",
            "no target": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
            "fourth word": get(version=b"HTTP/1.1 x"),
            "space in the target": get(b"/pa ge2"),
        },
        {
            "HTTP/0.9 line": b"GET /\r\n",
            "no target": b"GET HTTP/1.1\r\n",
            "fourth word": b"GET / HTTP/1.1 x\r\n",
            "space in the target": b"GET /a b HTTP/1.1\r\n",
        },
    ),
    Rule(
        "white space other than the two spaces of the request-line",
        "RFC 9112 section 3 allows leniency; we are strict",
        400,
        {
            "two spaces": get(b" /page2"),
            "two spaces before the version": get(version=b" HTTP/1.1"),
            "trailing space": get(version=b"HTTP/1.1 "),
            "leading space": b" " + get(),
            "tab for a space": b"GET\t/page2 HTTP/1.1\r\n" + HOST + b"\r\n",
            "tab before the version": b"GET /page2\tHTTP/1.1\r\n" + HOST + b"\r\n",
        },
        {
            "two spaces": b"GET  / HTTP/1.1\r\n",
            "trailing space": b"GET / HTTP/1.1 \r\n",
            "leading space": b" ",
            "tab for a space": b"GET\t",
        },
    ),
    Rule(
        "one empty line before the request is ignored",
        "RFC 9112 section 2.2",
        200,
        {"an empty line before": b"\r\n" + get()},
    ),
    Rule(
        "more than one is not",
        "decision",
        400,
        {"two empty lines before": b"\r\n\r\n" + get()},
        {"two empty lines": b"\r\n\r\n"},
    ),
    Rule(
        "absolute-form of http counts as origin-form, its authority is ignored as Host is",
        "RFC 9112 section 3.2.2",
        200,
        {
            "with a path": get(b"http://localhost:8080/page2"),
            "without a path": get(b"http://localhost:8080"),
            "without a path, with a query": get(b"http://localhost:8080?page3"),
            "capital scheme": get(b"HTTP://localhost/page3"),
            "another Host": get(b"http://example.org/page2"),
            "IPv6": get(b"http://[::1]:8080/page2"),
        },
    ),
    Rule(
        "absolute-form of http with an unknown path",
        "RFC 9112 section 3.2.2",
        404,
        {"with an unknown path": get(b"http://localhost:8080/nothing")},
    ),
    Rule(
        "every other form of target",
        "RFC 9110 section 7.4, RFC 9112 sections 3.2.1, 3.2.3 and 3.2.4",
        400,
        {
            "https": get(b"https://localhost/page2"),
            "another scheme": get(b"ftp://localhost/page2"),
            "http without a host": get(b"http:///page2"),
            "http with a user": get(b"http://user@localhost/page2"),
            "asterisk-form": get(b"*"),
            "authority-form": get(b"localhost:8080"),
            "no leading slash": get(b"page2"),
            "backslash": get(b"\\page2"),
        },
        {"asterisk-form": b"GET * HTTP/1.1\r\n", "https": b"GET https://a/ HTTP/1.1\r\n"},
    ),
    Rule(
        "fragment, NUL, control or octet above 127 in the target",
        "RFC 9112 section 3.2, RFC 9110 section 4.1",
        400,
        {
            "fragment": get(b"/page2#x"),
            "empty fragment": get(b"/page2#"),
            "fragment behind a query": get(b"/page2?#"),
            "NUL": get(b"/\0"),
            "octet above 127": get(b"/\xe9"),
            "UTF-8": get("/é".encode()),
            "control": get(b"/\x01"),
            "DEL": get(b"/\x7f"),
            "in the query": get(b"/?\x80"),
        },
        {"NUL": b"GET /\0", "octet above 127": b"GET /\xe9", "control": b"GET /\x01"},
    ),
    Rule(
        "a query chooses nothing",
        "decision; RFC 3986 section 3.4",
        200,
        {
            "a query": get(b"/page2?x=1&y=/../"),
            "an empty query": get(b"/page2?"),
            "two question marks": get(b"/page2??"),
            "percent signs in a query": get(b"/page2?%zz%00"),
        },
    ),
    Rule(
        "a query chooses nothing: an unknown path stays unknown",
        "decision; RFC 3986 section 3.4",
        404,
        {"unknown path with a query": get(b"/nothing?page2")},
    ),
    Rule(
        "an unreserved letter means the same encoded",
        "RFC 9110 section 4.2.3",
        200,
        {
            "an encoded letter": get(b"/%70age2"),
            "all encoded": get(b"/%70%61%67%65%32"),
            "in absolute-form": get(b"http://localhost/%70age2"),
        },
    ),
    Rule(
        "broken encoding, encoded controls",
        "RFC 3986 section 2.1; whoever encodes a control wants to fool somebody",
        400,
        {
            "%zz": get(b"/%zz"),
            "a lone percent sign": get(b"/page2%"),
            "half an encoding": get(b"/%4"),
            "%00": get(b"/%00"),
            "%0d%0a": get(b"/%0d%0aX:%20y"),
            "%7F": get(b"/page2%7F"),
        },
        {"%zz": b"GET /%zz HTTP/1.1\r\n", "%00": b"GET /%00 HTTP/1.1\r\n"},
    ),
    Rule(
        "dot segments, plain or encoded, lead nowhere",
        "nothing exists outside the three pages",
        404,
        {
            "dot segments": get(b"/x/../page2"),
            "dot segments at the root": get(b"/../page2"),
            "a single dot": get(b"/./page2"),
            "encoded dot segments": get(b"/%2e%2e/page2"),
            "to a file": get(b"/../../etc/passwd"),
            "encoded slash": get(b"/%2Fpage2"),
            "encoded backslash": get(b"/%5Cpage2"),
        },
    ),
    Rule(
        "a target of 8,000 octets is read",
        "RFC 9112 section 3 asks for that many",
        404,
        {"8,000 octets": get(b"/" + b"x" * 7_999)},
    ),
    Rule(
        "a request-line without end, refused before its end",
        "RFC 9112 section 3: 414 there, 400 by our promise",
        tests=("test_answers::test_an_oversized_head_is_refused_before_its_end",),
    ),
    Rule(
        "long and many fields",
        "RFC 6585 section 5 leaves the bound to us: 16 KiB for the head",
        200,
        {
            "a field of 6,000 octets": get(fields=b"X-Long: " + b"x" * 6000 + b"\r\n"),
            "40 fields": get(fields=b"X-Many: y\r\n" * 40),
        },
    ),
    Rule(
        "a field of 100 KB, 10,000 fields, fields without end: refused in bounded memory",
        "RFC 6585 section 5: 431 there, 400 by our promise",
        tests=(
            "test_answers::test_an_oversized_head_is_refused_before_its_end",
            "test_answers::test_a_client_that_never_ends_its_head_still_reads_its_400",
            "test_staying_up::test_heads_without_end_are_held_up_to_the_limit",
        ),
    ),
    Rule(
        "Host missing in HTTP/1.1, double, malformed or empty",
        "RFC 9112 section 3.2, RFC 9110 section 4.2.1",
        400,
        {
            "no Host": with_host(b""),
            "no Host in HTTP/1.2": b"GET /page2 HTTP/1.2\r\n\r\n",
            "two Hosts": with_host(b"Host: a\r\nHost: b\r\n"),
            "two equal Hosts": with_host(b"Host: a\r\nHost: a\r\n"),
            "two Hosts, one in odd case": with_host(b"Host: a\r\nhOST: a\r\n"),
            "two Hosts in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            "a bad Host in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
            "a space in it": with_host(b"Host: a b\r\n"),
            "a path in it": with_host(b"Host: a/b\r\n"),
            "a user in it": with_host(b"Host: u@a\r\n"),
            "a list": with_host(b"Host: a, b\r\n"),
            "a letter for a port": with_host(b"Host: a:b\r\n"),
            "a bare port": with_host(b"Host: :80\r\n"),
            "an open bracket": with_host(b"Host: [::1\r\n"),
            "colons in brackets": with_host(b"Host: [:::::]\r\n"),
            "a dot in brackets": with_host(b"Host: [.]\r\n"),
            "a port above 65535": with_host(b"Host: a:99999\r\n"),
            "above 127": with_host(b"Host: \xe9\r\n"),
            "empty Host": with_host(b"Host:\r\n"),
            "Host of white space": with_host(b"Host: \t \r\n"),
        },
        {
            "malformed": b"GET / HTTP/1.1\r\nHost: a b\r\n",
            "double": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
            "empty": b"GET / HTTP/1.1\r\nHost:\r\n",
        },
    ),
    Rule(
        "Host as it may be written",
        "RFC 9110 sections 5.1 and 7.2",
        200,
        {
            "odd case": with_host(b"hOST: localhost\r\n"),
            "no space": with_host(b"Host:localhost\r\n"),
            "tabs around": with_host(b"Host:\tlocalhost\t\r\n"),
            "IPv4": with_host(b"Host: 127.0.0.1:8080\r\n"),
            "IPv6": with_host(b"Host: [::1]:8080\r\n"),
            "IPvFuture": with_host(b"Host: [v1.a:b]:65535\r\n"),
            "trailing dot": with_host(b"Host: localhost.:8080\r\n"),
            "trailing colon": with_host(b"Host: localhost:\r\n"),
            "behind other fields": with_host(b"X: y\r\nHost: localhost\r\n"),
        },
    ),
    Rule(
        "a field line that is none",
        "RFC 9112 sections 5.1, 5.2 and 2.2, RFC 9110 section 5.6.2",
        400,
        {
            "space before the colon": get(fields=b"X : y\r\n"),
            "tab before the colon": get(fields=b"X\t: y\r\n"),
            "fold": get(fields=b"X: y\r\n z\r\n"),
            "fold by a tab": get(fields=b"X: y\r\n\tz\r\n"),
            "leading space": with_host(b" X: y\r\nHost: a\r\n"),
            "no colon": get(fields=b"X\r\n"),
            "empty name": get(fields=b": y\r\n"),
            "bad name": get(fields=b"X@: y\r\n"),
            "name above 127": get(fields=b"\xe9: y\r\n"),
        },
        {
            "space before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n",
            "no colon": b"GET / HTTP/1.1\r\nHost\r\n",
            "fold": b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n",
        },
    ),
    Rule(
        "NUL, bare CR or another control in a value",
        "RFC 9110 section 5.5, RFC 9112 section 2.2; other controls: decision",
        400,
        {
            "NUL": get(fields=b"X: a\0b\r\n"),
            "bare CR": get(fields=b"X: a\rb\r\n"),
            "bare CR before the end": get(fields=b"X: a\r\r\n"),
            "control": get(fields=b"X: a\x08b\r\n"),
            "escape": get(fields=b"X: \x1b[31m\r\n"),
            "DEL": get(fields=b"X: \x7f\r\n"),
        },
        {
            "NUL": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0",
            "bare CR": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb",
        },
    ),
    Rule(
        "octets above 127, tabs, empty values and repeated fields",
        "RFC 9110 sections 5.5 and 5.3",
        200,
        {
            "octets above 127": get(fields="X: größe\r\n".encode()),
            "tab": get(fields=b"X: a\tb\r\n"),
            "empty value": get(fields=b"X:\r\n"),
            "value of white space": get(fields=b"X: \t\r\n"),
            "repeated field": get(fields=b"X: a\r\nX: a\r\n"),
        },
    ),
    Rule(
        "bare LF anywhere in the head",
        "RFC 9112 section 2.2 allows it; two readers of one head are how requests are smuggled",
        400,
        {
            "LF after the request-line": b"GET /page2 HTTP/1.1\n" + HOST + b"\r\n",
            "LF after a field": b"GET /page2 HTTP/1.1\r\nHost: a\n\r\n",
            "LF for the empty line": get()[:-2] + b"\n",
            "LF alone": get().replace(b"\r\n", b"\n"),
            "LF before the request": b"\n" + get(),
        },
        {
            "after the request-line": b"GET /page2 HTTP/1.1\n",
            "after a field": b"GET /page2 HTTP/1.1\r\nHost: a\n",
            "for the empty line": get()[:-2] + b"\n",
            "first of all": b"\n",
        },
    ),
    Rule(
        "Content-Length 0",
        "RFC 9112 section 6.3",
        200,
        {
            "0": get(fields=b"Content-Length: 0\r\n"),
            "000": get(fields=b"Content-Length: 000\r\n"),
        },
    ),
    Rule(
        "a GET with a body, late or absent: answered without waiting, the body drained",
        "RFC 9110 section 9.3.1",
        200,
        {
            "a body that comes": get(fields=LENGTH_5) + b"hello",
            "a body that never comes": get(fields=LENGTH_5),
            "a longer body than was said": get(fields=LENGTH_5) + b"hello" * 100,
            "a chunked body": get(fields=CHUNKED) + b"5\r\nhello\r\n0\r\n\r\n",
            "a chunked body that never comes": get(fields=CHUNKED),
            "a body that is no chunk": get(fields=CHUNKED) + b"hello",
        },
    ),
    Rule(
        "a length that is none, a list, or two",
        "RFC 9112 section 6.3, RFC 9110 section 8.6; equal ones and 30 digits: decision",
        400,
        {
            **{
                f"length {value!r}": get(fields=b"Content-Length: " + value + b"\r\n")
                for value in (b"x", b"+5", b"-5", b"5, 5", b"5 5", b"", b"0x5", b"5.0", b"1_0")
            },
            "thirty digits": get(fields=b"Content-Length: " + b"1" * 30 + b"\r\n"),
            "two lengths": get(fields=LENGTH_5 + b"Content-Length: 6\r\n"),
            "two equal lengths": get(fields=LENGTH_5 * 2),
        },
        {"signed": get()[:-2] + b"Content-Length: +5\r\n"},
    ),
    Rule(
        "Transfer-Encoding with a length, in HTTP/1.0, unknown, chunked not last or twice",
        "RFC 9112 sections 6.1 and 6.3; 501 there for unknown ones, 400 by our promise",
        400,
        {
            "coding and length": get(fields=CHUNKED + LENGTH_5),
            "length and coding": get(fields=LENGTH_5 + CHUNKED),
            "in HTTP/1.0": get(fields=CHUNKED, version=b"HTTP/1.0"),
            "unknown": get(fields=b"Transfer-Encoding: gzip\r\n"),
            "identity": get(fields=b"Transfer-Encoding: identity\r\n"),
            "empty": get(fields=b"Transfer-Encoding:\r\n"),
            "disguised": get(fields=b"Transfer-Encoding: xchunked\r\n"),
            "with a vertical tab": get(fields=b"Transfer-Encoding: \x0bchunked\r\n"),
            "chunked not last": get(fields=b"Transfer-Encoding: chunked, gzip\r\n"),
            "chunked twice": get(fields=CHUNKED * 2),
            "chunked twice in one line": get(fields=b"Transfer-Encoding: chunked, chunked\r\n"),
        },
        {
            "both": get()[:-2] + LENGTH_5 + CHUNKED,
            "unknown": get()[:-2] + b"Transfer-Encoding: a\r\n",
        },
    ),
    Rule(
        "Expect with a GET, known or not",
        "RFC 9110 section 10.1.1; unknown ones: decision",
        200,
        {
            "100-continue": get(fields=EXPECT),
            "with a body to come": get(fields=EXPECT + LENGTH_5),
            "unknown expectation": get(fields=b"Expect: miracles\r\n"),
        },
        tests=("test_answers::test_no_100_comes_before_the_answer",),
    ),
    Rule(
        "fields that choose nothing here",
        "RFC 9110 sections 7.8, 14.2, 13.1 and 12.5",
        200,
        {
            "Upgrade": get(fields=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
            "Upgrade to HTTP/2": get(
                fields=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n"
            ),
            "Range": get(fields=b"Range: bytes=0-1\r\n"),
            "If-Range": get(fields=b'Range: bytes=0-1\r\nIf-Range: "a"\r\n'),
            "If-Modified-Since": get(
                fields=b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            ),
            "If-None-Match": get(fields=b'If-None-Match: "a"\r\n'),
            "If-None-Match *": get(fields=b"If-None-Match: *\r\n"),
            "If-Match": get(fields=b'If-Match: "a"\r\n'),
            "Accept nothing of ours": get(fields=b"Accept: image/png\r\n"),
            "Accept-Encoding": get(fields=b"Accept-Encoding: gzip, br, zstd, identity;q=0\r\n"),
            "keep-alive": get(fields=b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n"),
            "cookies": get(fields=b"Cookie: a=b; c=d\r\nAuthorization: Basic eDp5\r\n"),
        },
    ),
    Rule(
        "requests in one go: the first is answered, the rest drained, the end is clean",
        "one request for each connection; RFC 9112 section 9.6",
        200,
        {
            "two requests at once": get() + get(b"/page3"),
            "a good one and a bad one at once": get() + b"\0",
            "a hundred requests at once": get() * 100,
        },
    ),
    Rule(
        "requests in one go: a bad one and then a good one",
        "one request for each connection",
        400,
        {"a bad one and a good one at once": ask(b"POST") + get()},
    ),
    Rule(
        "octet by octet, split anywhere: as whole",
        "TCP has no borders",
        tests=(
            "test_answers::test_octet_by_octet_the_answer_is_the_same",
            "test_answers::test_split_anywhere_the_answer_is_the_same",
        ),
    ),
    Rule(
        "half-closed behind the request, inside the head, or without an octet",
        "RFC 9112 sections 9.6 and 8",
        tests=(
            "test_answers::test_half_closing_after_the_request_does_no_harm",
            "test_answers::test_half_closing_inside_the_head_is_refused",
            "test_answers::test_a_connection_without_a_request_is_closed_and_not_counted",
        ),
    ),
    Rule(
        "another protocol, at its first octet or line",
        "a client that waits for a banner must not wait in vain",
        400,
        {
            "TLS ClientHello": bytes.fromhex("16030100c8010000c40303") + bytes(range(64)),
            "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "SSH": b"SSH-2.0-OpenSSH_9.2p1\r\n",
            "SMTP": b"EHLO client.example\r\n",
            "RDP": bytes.fromhex("030000130ee000000000000100080003000000"),
            "zeros": bytes(100),
            "garbage": b"\xde\xad\xbe\xef",
        },
        {"TLS": b"\x16", "zeros": b"\0", "HTTP/2": b"PRI * HTTP/2.0\r\n", "SSH": b"SSH-2.0-a\r\n"},
    ),
    Rule(
        "a silent client is closed by the deadline without an answer, an unfinished or dripping"
        " head with its 400",
        "decision: 10 s for the whole head; 408 by the RFC",
        tests=(
            "test_listener::test_a_silent_client_is_closed_by_the_deadline_without_an_answer",
            "test_listener::test_an_unfinished_head_is_refused_at_the_deadline",
            "test_listener::test_dripping_does_not_put_the_deadline_off",
        ),
    ),
    Rule(
        "a client that goes on sending behind its 400: drained up to a bound, then closed",
        "RFC 9112 section 9.6",
        tests=(
            "test_answers::test_an_upload_never_loses_its_400_to_a_reset",
            "test_listener::test_a_flood_behind_a_400_is_dropped_up_to_the_bound",
            "test_listener::test_a_client_that_goes_on_dripping_after_its_400_is_cut_off",
        ),
    ),
    Rule(
        "every response: status line, Server, Date, exact length, type, both Connection lines",
        "the promise; RFC 9112 section 4, RFC 9110 section 6.6.1",
        tests=(
            "test_answers::test_a_request_gets_its_answer",
            "test_answers::test_the_status_line_has_both_spaces",
            "test_answers::test_the_standard_librarys_client_is_content",
        ),
    ),
    Rule(
        "the counter: one more for each 200 and 400, not for 404 nor for empty connections",
        "the promise",
        tests=(
            "test_answers::test_a_request_gets_its_answer",
            "test_answers::test_a_connection_without_a_request_is_closed_and_not_counted",
            "test_counter::test_sixteen_clients_at_once_see_each_number_once",
            "test_counter::test_ten_thousand_gets_and_aborted_ones_leave_no_gap",
        ),
    ),
    Rule(
        "nothing of a request is repeated in its answer",
        "decision",
        tests=("test_answers::test_nothing_of_the_request_is_repeated",),
    ),
)
