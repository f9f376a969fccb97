"""Request heads as clients and attackers send them, whole and at every cut."""

import ipaddress
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncnet.http1.request import (
    MAX_HEAD_OCTETS,
    Request,
    RequestReader,
    read_plain_head,
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def judge(*parts: bytes) -> Request | None:
    """The answer of one reader that is fed part by part and no further than its answer."""
    reader = RequestReader()
    for part in parts:
        request = reader.receive_data(part)
        if request is not None:
            return request
    return None


def judge_whole(data: bytes) -> Request | None:
    """As the listener does it: the quick judge first."""
    return read_plain_head(data) or judge(data)


def with_target(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"


def with_fields(*lines: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def with_host(value: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost:" + value + b"\r\n\r\n"


SERVED = [
    pytest.param(GET, b"/", id="the shortest of HTTP/1.1"),
    pytest.param(b"GET / HTTP/1.0\r\n\r\n", b"/", id="HTTP/1.0 without Host"),
    pytest.param(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", b"/", id="HTTP/1.0 with Host"),
    pytest.param(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", b"/", id="HTTP/1.2 is read as 1.1"),
    pytest.param(b"\r\n" + GET, b"/", id="one empty line before"),
    pytest.param(with_target(b"/page2"), b"/page2", id="a page"),
    pytest.param(with_target(b"/PAGE2"), b"/PAGE2", id="the case is kept"),
    pytest.param(with_target(b"//"), b"//", id="two slashes are two slashes"),
    pytest.param(with_target(b"/page2?a=1&b=%zz"), b"/page2", id="a query is cut off"),
    pytest.param(with_target(b"/?x[]=1|2"), b"/", id="what browsers leave unencoded"),
    pytest.param(with_target(b"/%70age2"), b"/page2", id="an encoded letter is the letter"),
    pytest.param(with_target(b"/a%2Fb"), b"/a%2Fb", id="an encoded slash is no slash"),
    pytest.param(with_target(b"/../page2"), b"/../page2", id="dot segments are not resolved"),
    pytest.param(with_target(b"/%2e%2E/page2"), b"/../page2", id="nor encoded ones"),
    pytest.param(with_target(b"http://b/page2"), b"/page2", id="absolute-form"),
    pytest.param(with_target(b"HTTP://b:80/page2"), b"/page2", id="capital scheme"),
    pytest.param(with_target(b"http://b"), b"/", id="absolute-form without a path"),
    pytest.param(with_target(b"http://b?q"), b"/", id="absolute-form with a query alone"),
    pytest.param(with_target(b"/" + b"x" * 8000), b"/" + b"x" * 8000, id="8,000 octets"),
    pytest.param(with_fields(b"X-Long: " + b"x" * 6000), b"/", id="a field of 6,000 octets"),
    pytest.param(with_fields(*[b"X: y"] * 40), b"/", id="40 fields"),
    pytest.param(with_fields(b"X:"), b"/", id="empty value"),
    pytest.param(with_fields(b"X: a\tb"), b"/", id="tab in a value"),
    pytest.param(with_fields("X: größe".encode()), b"/", id="octets above 127 in a value"),
    pytest.param(with_fields(b"Content-Length: 0"), b"/", id="length 0"),
    pytest.param(with_fields(b"Hostess: a"), b"/", id="a name that begins like Host"),
    pytest.param(b"GET / HTTP/1.1\r\nhOsT:a\r\n\r\n", b"/", id="Host in odd case, no space"),
    pytest.param(with_host(b" [::1]:8080"), b"/", id="Host IPv6"),
    *(
        pytest.param(with_host(b" " + value), b"/", id=f"Host {value.decode()}")
        for value in (
            *(b"[::]", b"[1::]:65535", b"[::ffff:192.0.2.1]", b"[1:2:3:4:5:6:7:8]:00080", b"a:0"),
            *(
                b"[1:2:3:4:5:6:192.0.2.1]",
                b"[2001:DB8::1:0]:",
                b"[v1.a:b]",
                b"[VF.~]:9",
                b"a:65499",
            ),
        )
    ),
    pytest.param(with_host(b" example.org."), b"/", id="Host with a trailing dot"),
    pytest.param(with_host(b"example.org: \t"), b"/", id="Host with a trailing colon"),
    pytest.param(with_fields(b"Expect: 100-continue"), b"/", id="Expect on a GET"),
    pytest.param(with_fields(b"Upgrade: h2c", b"Connection: upgrade"), b"/", id="Upgrade"),
]

REFUSED = [
    *(
        pytest.param(method + GET[3:], "method is not GET", id=f"method {method.decode()}")
        for method in (b"HEAD", b"POST", b"PUT", b"get", b"GETX", b"OPTIONS", b"TRACE", b"QUERY")
    ),
    pytest.param(b"CONNECT a:1 HTTP/1.1\r\n", "method is not GET", id="CONNECT"),
    *(
        pytest.param(b"GET / " + version + b"\r\n", "no request-line of HTTP/1", id=repr(version))
        for version in (
            *(b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1", b"http/1.1", b"HTTP/01.1", b"HTTP/1.10"),
            *(b"", b"HTTP/1.1 ", b"HTTP/1.1 x", b"HTTP /1.1", b"HTTP/1.x", b" HTTP/1.1"),
        )
    ),
    pytest.param(b"GET /\r\n", "no request-line of HTTP/1", id="HTTP/0.9 line"),
    pytest.param(b"GET HTTP/1.1\r\n", "no request-line of HTTP/1", id="no target"),
    pytest.param(b"GET  / HTTP/1.1\r\n", "no request-line of HTTP/1", id="two spaces"),
    pytest.param(b"GET\t/ HTTP/1.1\r\n", "control", id="tab in the request-line"),
    pytest.param(b" GET / HTTP/1.1\r\n", "does not begin with a method", id="leading space"),
    pytest.param(b"\r\n\r\n", "empty lines before the request", id="two empty lines"),
    *(
        pytest.param(with_target(target), "malformed target", id=f"target {target.decode()}")
        for target in (
            *(b"page2", b"?x", b"*", b"a:80", b"/#f", b"/?#", b"/%zz", b"/%4", b"https://a/"),
            *(
                b"http://a:65536/",
                b"http://[:::::]/",
                b"http://",
                b"http:///",
                b"http://?x",
                b"http://u@a/",
                b"ftp://a/",
                b"/<a>",
                b'/"',
            ),
        )
    ),
    pytest.param(with_target(b"/%00"), "encoded control in target", id="encoded NUL"),
    pytest.param(with_target(b"/%0d%0aX:1"), "encoded control in target", id="encoded CRLF"),
    pytest.param(b"GET /\0", "NUL", id="NUL in the target"),
    pytest.param(b"GET /\x7f", "control", id="DEL in the target"),
    pytest.param(b"GET /\xc3\xa9", "octet above 127", id="an octet above 127 in the target"),
    pytest.param(b"GET / HTTP/1.1\r\n\r\n", "no Host", id="no Host"),
    pytest.param(with_fields(b"Host: b"), "second Host", id="two Hosts"),
    pytest.param(with_fields(b"Host: a"), "second Host", id="two equal Hosts"),
    pytest.param(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n", "second Host", id="two in 1.0"),
    *(
        pytest.param(with_host(value), "malformed Host", id=f"Host {value!r}")
        for value in (
            *(
                b"",
                b"  ",
                b" a b",
                b" a/b",
                b" u@a",
                b" a:b",
                b" :80",
                b" [::1",
                b" ::1",
                b" a:1:2",
            ),
            *(b" http://a", b' "a"', b" a, b", b" %zz", b" \xff", b" a:123456"),
            *(b" a:65536", b" a:65540", b" a:66000", b" a:70000", b" [::1]:99999", b" []", b" [.]"),
            *(b" [:::::]", b" [:::]", b" [1:::2]", b" [1::2::3]", b" [1]", b" [1:2]", b" [1:2:]"),
            *(
                b" [12345::]",
                b" [1:2:3:4:5:6:7:8:9]",
                b" [::1.2]",
                b" [1.2.3.4]",
                b" [::1.2.3.4:5]",
            ),
            *(b" [::g]", b" [v1]", b" [v.a]", b" [vg.a]", b" [v1.]", b" [v1.a/b]", b" [::1]a"),
        )
    ),
    *(
        pytest.param(with_fields(line), "malformed field line", id=f"field {line!r}")
        for line in (b"X : y", b" X: y", b"\tX: y", b"X", b": y", b"X\xff: y", b"X(: y", b"a b: y")
    ),
    pytest.param(with_fields(b"X: a", b" folded"), "malformed field line", id="fold"),
    pytest.param(with_fields(b"X: a\0b"), "NUL", id="NUL in a value"),
    pytest.param(with_fields(b"X: a\rb"), "bare CR", id="bare CR in a value"),
    pytest.param(with_fields(b"X: a\x0bb"), "control", id="another control in a value"),
    pytest.param(b"\n", "does not begin with a method", id="LF alone"),
    pytest.param(b"GET / HTTP/1.1\n", "bare LF", id="bare LF after the request-line"),
    pytest.param(GET[:-2] + b"\n", "bare LF", id="bare LF at the end of the head"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: a\n", "bare LF", id="bare LF after a field"),
    *(
        pytest.param(
            with_fields(b"Content-Length:" + value), "malformed Content-Length", id=repr(value)
        )
        for value in (b"", b" +1", b" -1", b" 1, 1", b" 1 1", b" 0x1", b" 1.0", b" " + b"9" * 30)
    ),
    pytest.param(
        with_fields(b"Content-Length: 1", b"Content-Length: 2"), "two lengths", id="two lengths"
    ),
    pytest.param(
        with_fields(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        "two lengths",
        id="length behind coding",
    ),
    pytest.param(
        with_fields(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        "Transfer-Encoding out of place",
        id="coding behind length",
    ),
    pytest.param(
        with_fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        "Transfer-Encoding out of place",
        id="chunked twice",
    ),
    pytest.param(
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding out of place",
        id="coding in HTTP/1.0",
    ),
    *(
        pytest.param(
            with_fields(b"Transfer-Encoding: " + value), "unknown Transfer-Encoding", id=repr(value)
        )
        for value in (b"gzip", b"identity", b"chunked, gzip", b"chunked, chunked", b"xchunked", b"")
    ),
    pytest.param(b"GET /" + b"x" * 100_000, "head too large", id="request-line of 100 KB"),
    pytest.param(with_fields(b"X: " + b"x" * 100_000), "head too large", id="field of 100 KB"),
    pytest.param(with_fields(*[b"X: y"] * 10_000), "head too large", id="10,000 fields"),
]

STRANGERS = [
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", id="TLS ClientHello"),
    pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 preface"),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="SSH"),
    pytest.param(b"EHLO client.example\r\n", id="SMTP"),
    pytest.param(bytes(64), id="zeros"),
    pytest.param(b"\xff\xfe\xfd", id="garbage"),
    pytest.param(b'{"jsonrpc": "2.0"}', id="JSON"),
]


@pytest.mark.parametrize(("head", "path"), SERVED)
def test_a_well_formed_get_is_served(head: bytes, path: bytes) -> None:
    request = judge_whole(head)
    assert request is not None
    assert (request.fault, request.path, request.method) == (None, path, b"GET")


@pytest.mark.parametrize(("head", "fault"), REFUSED)
def test_anything_else_is_refused_and_the_reason_told(head: bytes, fault: str) -> None:
    request = judge_whole(head)
    assert request is not None
    assert (request.fault, request.path, request.drain) == (fault, b"", True)


@pytest.mark.parametrize("garbage", STRANGERS)
def test_another_protocol_is_refused_without_waiting_for_more(garbage: bytes) -> None:
    request = judge_whole(garbage)
    assert request is not None
    assert request.fault is not None


@pytest.mark.parametrize(("head", "expected"), [*SERVED, *REFUSED])
def test_every_cut_has_the_same_answer(head: bytes, expected: bytes | str) -> None:
    head = head[:700]  # the long ones have their own test of the limit
    whole = judge(head)
    for cut in range(len(head) + 1):
        assert judge(head[:cut], head[cut:]) == whole
    assert judge(*(head[at : at + 1] for at in range(len(head)))) == whole


@pytest.mark.parametrize(
    ("head", "octets_needed"),
    [
        pytest.param(b"\x16\x03\x01", 1, id="TLS: the first octet"),
        pytest.param(b"GET / HTTP/1.1\nHost: a", 15, id="bare LF: with it"),
        pytest.param(b"POST / HTTP/1.1\r\nHost", 17, id="POST: with its line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost a\r\nX: y", 24, id="bad field: with its line"),
    ],
)
def test_a_refusal_comes_as_early_as_it_can(head: bytes, octets_needed: int) -> None:
    assert judge(head[: octets_needed - 1]) is None
    assert judge(head[:octets_needed]) is not None


def test_a_head_may_fill_the_limit_and_not_exceed_it() -> None:
    padding = MAX_HEAD_OCTETS - len(with_fields(b"X: "))
    full = with_fields(b"X: " + b"x" * padding)
    over = with_fields(b"X: " + b"x" * (padding + 1))
    assert len(full) == MAX_HEAD_OCTETS
    for judgement in (judge_whole(full), judge(full), judge(full[:-1], full[-1:])):
        assert judgement is not None
        assert judgement.fault is None
    for judgement in (judge_whole(over), judge(over), judge(over[:-2], over[-2:])):
        assert judgement is not None
        assert judgement.fault == "head too large"


def test_the_limit_is_the_readers_own() -> None:
    assert read_plain_head(GET, max_head_octets=len(GET) - 1) is None
    request = RequestReader(max_head_octets=len(GET) - 1).receive_data(GET)
    assert request is not None
    assert request.fault == "head too large"


@pytest.mark.parametrize(
    ("data", "drain"),
    [
        pytest.param(GET, False, id="nothing behind"),
        pytest.param(GET + GET, True, id="a second request"),
        pytest.param(with_fields(b"Content-Length: 5"), True, id="a body to come"),
        pytest.param(with_fields(b"Content-Length: 5") + b"hello", True, id="a body"),
        pytest.param(with_fields(b"Content-Length: 000"), False, id="a body of nothing"),
        pytest.param(with_fields(b"Content-Length: 0") + b"G", True, id="and one octet behind"),
        pytest.param(with_fields(b"Transfer-Encoding: Chunked"), True, id="chunks to come"),
    ],
)
def test_what_comes_behind_is_told(data: bytes, drain: bool) -> None:
    request = judge_whole(data)
    assert request is not None
    assert (request.fault, request.drain) == (None, drain)


def test_a_head_that_ends_too_soon_names_what_was_seen() -> None:
    reader = RequestReader()
    assert reader.receive_data(b"HEAD /page2 HTT") is None
    assert reader.refuse("too slow") == Request(b"HEAD", b"/page2", b"", "too slow", True)


def test_head_is_known_however_wrong_its_line_is() -> None:
    for line in (b"HEAD /\0", b"HEAD / HTTP/3\r\n", b"HEAD\t", b"HEAD / \n"):
        request = judge(line)
        assert request is not None
        assert request.fault is not None
        assert request.method == (b"" if line == b"HEAD\t" else b"HEAD")


# Bytes near the grammar: random ones would hardly ever get behind the first octet.
pieces = st.sampled_from(
    [
        *(b"GET", b"HEAD", b" ", b"/", b"/page2", b"%70", b"%", b"?", b"#", b"http://a", b"*"),
        *(b" HTTP/1.1", b" HTTP/1.0", b" HTTP/1.", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\0"),
        *(
            b"Host: a",
            b"Host:",
            b"hOST:\t[::1]:80 ",
            b"X: y",
            b"X:\xff",
            b":",
            b"\t",
            b"1",
            b"\x7f",
        ),
        *(b"Content-Length: 1", b"Transfer-Encoding: chunked", GET, GET[:-2]),
    ]
)
heads = st.lists(pieces | st.binary(max_size=3), max_size=12).map(b"".join)


@given(data=heads, cuts=st.lists(st.integers(0, 200), max_size=6))
@example(data=GET + GET, cuts=[len(GET)])
def test_any_cuts_have_the_same_answer(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    cut = judge(*(data[start:end] for start, end in itertools.pairwise(edges)))
    whole = judge(data)
    if whole is None or cut is None:
        assert whole is cut
        return
    # A reader that has its answer is not told what comes behind, so drain may be smaller.
    assert (cut.method, cut.target, cut.path, cut.fault) == (
        *(whole.method, whole.target, whole.path),
        whole.fault,
    )
    assert whole.drain or not cut.drain


@given(data=heads)
@example(data=with_fields(b"Accept: */*"))
def test_the_quick_judge_agrees_with_the_slow_one(data: bytes) -> None:
    quick = read_plain_head(data)
    assert quick is None or quick == judge(data)


@given(st.ip_addresses(v=6), st.integers(0, 65_535))
def test_any_ipv6_address_and_port_is_a_host(address: ipaddress.IPv6Address, port: int) -> None:
    for written in (str(address), address.exploded, address.exploded.upper()):
        head = with_host(b" [%b]:%d" % (written.encode(), port))
        request = read_plain_head(head)
        assert request is not None
        assert request == judge(head)


@given(
    path=st.text("!$&'()*+,-./:;=@_~abzAZ09[]|", max_size=30),
    values=st.lists(st.binary(max_size=20).map(lambda v: v.replace(b"\r\n", b"-")), max_size=4),
)
def test_the_quick_judge_takes_every_usual_head(path: str, values: list[bytes]) -> None:
    lines = (b"X-%d: " % at + value for at, value in enumerate(values))
    head = b"GET /" + path.encode() + b" HTTP/1.1\r\nHost: a\r\n" + b"\r\n".join([*lines, b"\r\n"])
    usual = all(octet == 9 or octet >= 32 for value in values for octet in value)
    usual = usual and not any(0x7F in value for value in values)
    assert (read_plain_head(head) is not None) == usual


@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_request_or_ask_for_more(data: bytes) -> None:
    request = judge_whole(data)
    assert request is None or isinstance(request, Request)
