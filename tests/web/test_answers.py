"""Which request gets which answer, on raw sockets against the running listener.

Every case is sent whole and octet by octet; the refusals that need no more bytes must come
while the connection is still open for sending.
"""

import email.utils
import http.client
import re
import socket

import pytest

from tests.web.serving import Served

PAGES = (b"/", b"/page2", b"/page3")
HOST = b"Host: localhost:8080\r\n"
LENGTH_5 = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def get(target: bytes = b"/page2", fields: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET " + target + b" " + version + b"\r\n" + HOST + fields + b"\r\n"


def with_host(line: bytes) -> bytes:
    return b"GET /page2 HTTP/1.1\r\n" + line + b"\r\n"


CASES = {
    200: {
        **{f"GET {page.decode()}": get(page) for page in PAGES},
        "HTTP/1.0 without Host": b"GET /page2 HTTP/1.0\r\n\r\n",
        "HTTP/1.0 with Host": get(version=b"HTTP/1.0"),
        "HTTP/1.0 with keep-alive": get(version=b"HTTP/1.0", fields=b"Connection: keep-alive\r\n"),
        "HTTP/1.2": get(version=b"HTTP/1.2"),
        "an empty line before": b"\r\n" + get(),
        "absolute-form": get(b"http://localhost:8080/page2"),
        "absolute-form without a path": get(b"http://localhost:8080"),
        "absolute-form, capital scheme": get(b"HTTP://localhost/page3"),
        "absolute-form, another Host": get(b"http://example.org/page2"),
        "a query": get(b"/page2?x=1&y=/../"),
        "an encoded letter": get(b"/%70age2"),
        "a field of 6,000 octets": get(fields=b"X-Long: " + b"x" * 6000 + b"\r\n"),
        "40 fields": get(fields=b"X-Many: y\r\n" * 40),
        "Host in odd case": with_host(b"hOST: localhost\r\n"),
        "Host without a space": with_host(b"Host:localhost\r\n"),
        "Host IPv6": with_host(b"Host: [::1]:8080\r\n"),
        "Host with a trailing dot": with_host(b"Host: localhost.:8080\r\n"),
        "Host with a trailing colon": with_host(b"Host: localhost:\r\n"),
        "octets above 127 in a value": get(fields="X: größe\r\n".encode()),
        "tab in a value": get(fields=b"X: a\tb\r\n"),
        "empty value": get(fields=b"X:\r\n"),
        "repeated field": get(fields=b"X: a\r\nX: a\r\n"),
        "Content-Length 0": get(fields=b"Content-Length: 0\r\n"),
        "a body that comes": get(fields=LENGTH_5) + b"hello",
        "a body that never comes": get(fields=LENGTH_5),
        "a chunked body": get(fields=CHUNKED) + b"5\r\nhello\r\n0\r\n\r\n",
        "a chunked body that never comes": get(fields=CHUNKED),
        "Expect: 100-continue": get(fields=b"Expect: 100-continue\r\n"),
        "Upgrade": get(fields=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        "Range": get(fields=b"Range: bytes=0-1\r\n"),
        "If-Modified-Since": get(fields=b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        "If-None-Match": get(fields=b'If-None-Match: "a"\r\n'),
        "Accept nothing of ours": get(fields=b"Accept: image/png\r\n"),
        "Accept-Encoding": get(fields=b"Accept-Encoding: gzip, br, zstd, identity;q=0\r\n"),
        "two requests at once": get() + get(b"/page3"),
        "a hundred requests at once": get() * 100,
    },
    404: {
        "unknown path": get(b"/nothing"),
        "capital letters": get(b"/PAGE2"),
        "trailing slash": get(b"/page2/"),
        "two slashes": get(b"//"),
        "unknown path with a query": get(b"/nothing?page2"),
        "dot segments": get(b"/x/../page2"),
        "encoded dot segments": get(b"/%2e%2e/page2"),
        "encoded slash": get(b"/%2Fpage2"),
        "favicon": get(b"/favicon.ico"),
        "8,000 octets": get(b"/" + b"x" * 8000),
    },
    400: {
        **{
            f"method {method.decode()}": method + b" / HTTP/1.1\r\n" + HOST + b"\r\n"
            for method in (b"POST", b"PUT", b"DELETE", b"TRACE", b"PATCH", b"get", b"GETX", b"G")
        },
        "POST to an unknown path": b"POST /nothing HTTP/1.1\r\n" + HOST + b"\r\n",
        "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
        "POST with Expect": b"POST / HTTP/1.1\r\n"
        + HOST
        + LENGTH_5
        + b"Expect: 100-continue\r\n\r\n",
        **{
            f"version {version.decode()}": get(version=version)
            for version in (b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1", b"http/1.1", b"HTTP/01.1")
        },
        "version HTTP/1.10": get(version=b"HTTP/1.10"),
        "HTTP/0.9 line": b"GET /\r\n",
        "no target": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
        "fourth word": get(version=b"HTTP/1.1 x"),
        "space in the target": get(b"/pa ge2"),
        "two spaces": get(b" /page2"),
        "trailing space": get(version=b"HTTP/1.1 "),
        "tab for a space": b"GET\t/page2 HTTP/1.1\r\n" + HOST + b"\r\n",
        "absolute-form https": get(b"https://localhost/page2"),
        "asterisk-form": get(b"*"),
        "authority-form": get(b"localhost:8080"),
        "no leading slash": get(b"page2"),
        "fragment": get(b"/page2#x"),
        "NUL in the target": get(b"/\0"),
        "an octet above 127 in the target": get(b"/\xe9"),
        "control in the target": get(b"/\x01"),
        "%zz": get(b"/%zz"),
        "%00": get(b"/%00"),
        "no Host": with_host(b""),
        "two Hosts": with_host(b"Host: a\r\nHost: b\r\n"),
        "two equal Hosts": with_host(b"Host: a\r\nHost: a\r\n"),
        "two Hosts in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "malformed Host": with_host(b"Host: a b\r\n"),
        "Host with a path": with_host(b"Host: a/b\r\n"),
        "empty Host": with_host(b"Host:\r\n"),
        "space before the colon": get(fields=b"X : y\r\n"),
        "fold": get(fields=b"X: y\r\n z\r\n"),
        "leading space": with_host(b" X: y\r\nHost: a\r\n"),
        "no colon": get(fields=b"X\r\n"),
        "empty name": get(fields=b": y\r\n"),
        "bad name": get(fields=b"X@: y\r\n"),
        "NUL in a value": get(fields=b"X: a\0b\r\n"),
        "bare CR in a value": get(fields=b"X: a\rb\r\n"),
        "control in a value": get(fields=b"X: a\x08b\r\n"),
        "bare LF after the request-line": b"GET /page2 HTTP/1.1\n",
        "bare LF after a field": b"GET /page2 HTTP/1.1\r\nHost: a\n",
        "bare LF for the empty line": get()[:-2] + b"\n",
        **{
            f"length {value!r}": get(fields=b"Content-Length: " + value + b"\r\n")
            for value in (b"x", b"+5", b"-5", b"5, 5", b"", b"0x5")
        },
        "two lengths": get(fields=LENGTH_5 + b"Content-Length: 6\r\n"),
        "coding and length": get(fields=CHUNKED + LENGTH_5),
        "length and coding": get(fields=LENGTH_5 + CHUNKED),
        "coding in HTTP/1.0": get(fields=CHUNKED, version=b"HTTP/1.0"),
        "unknown coding": get(fields=b"Transfer-Encoding: gzip\r\n"),
        "chunked not last": get(fields=b"Transfer-Encoding: chunked, gzip\r\n"),
        "chunked twice": get(fields=CHUNKED * 2),
        "TLS ClientHello": bytes.fromhex("16030100c8010000c40303") + bytes(range(64)),
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.2p1\r\n",
        "SMTP": b"EHLO client.example\r\n",
        "zeros": bytes(100),
        "garbage": b"\xde\xad\xbe\xef",
    },
}
ALL_CASES = [
    pytest.param(data, status, id=f"{status}: {name}")
    for status, cases in CASES.items()
    for name, data in cases.items()
]


def read_answer(client: socket.socket) -> tuple[http.client.HTTPResponse, bytes]:
    """One response up to the server's close, judged by the standard library."""
    response = http.client.HTTPResponse(client)
    response.begin()
    body = response.read()
    assert client.recv(1) == b"", "something comes behind the response"
    return response, body


def check_answer(response: http.client.HTTPResponse, body: bytes) -> None:
    """What holds for every response, whatever its status."""
    fields = response.headers
    assert response.version == 11
    assert response.reason == {200: "OK", 400: "Bad Request", 404: "Not Found"}[response.status]
    assert fields.get_all("Server") == ["asyncnet"]
    assert fields.get_all("Content-Length") == [str(len(body))]
    assert fields.get_all("Content-Type") == ["text/html"]
    assert fields.get_all("Connection") == ["Closed", "close"]
    assert fields.get_all("Cache-Control") == ["no-store"]
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert fields["Referrer-Policy"] == "no-referrer"
    assert fields["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert email.utils.parsedate_to_datetime(fields["Date"]).tzinfo is not None
    assert "Transfer-Encoding" not in fields
    assert "Content-Encoding" not in fields


@pytest.mark.parametrize(("data", "status"), ALL_CASES)
def test_a_request_gets_its_answer(served: Served, data: bytes, status: int) -> None:
    before = served.total
    with served.connect() as client:
        client.sendall(data)
        response, body = read_answer(client)
    assert response.status == status
    check_answer(response, body)
    assert served.total - before == (status != 404)


@pytest.mark.parametrize(
    ("data", "status"), [case for case in ALL_CASES if "at once" not in str(case.id)]
)
def test_octet_by_octet_the_answer_is_the_same(served: Served, data: bytes, status: int) -> None:
    with served.connect() as client:
        for at in range(len(data)):
            client.send(data[at : at + 1])
        response, body = read_answer(client)
    assert response.status == status
    check_answer(response, body)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n", id="of a page"),
        pytest.param(b"HEAD /nothing HTTP/1.1\r\n" + HOST + b"\r\n", id="of no page"),
        pytest.param(b"HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n", id="with a bad Host"),
        pytest.param(b"HEAD /\0", id="with a bad line"),
    ],
)
def test_a_head_gets_400_without_a_body(served: Served, data: bytes) -> None:
    before = served.total
    answer = served.ask(data)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nContent-Length: 0\r\n" in head
    assert body == b""
    assert served.total == before + 1


@pytest.mark.parametrize("path", ["/", "/page2", "/page3", "/nothing"])
def test_the_standard_librarys_client_is_content(served: Served, path: str) -> None:
    client = http.client.HTTPConnection(*served.address, timeout=10)
    client.request("GET", path)
    response = client.getresponse()
    body = response.read()
    assert response.status == (404 if path == "/nothing" else 200)
    assert response.will_close
    check_answer(response, body)


def test_the_status_line_has_both_spaces(served: Served) -> None:
    assert served.ask(get()).startswith(b"HTTP/1.1 200 OK\r\n")
    assert served.ask(get(b"/x")).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert served.ask(b"\0").startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize(
    "target", [b"/<script>alert(1)</script>", b"/unheard-of", b"/%zz-unheard-of"]
)
def test_nothing_of_the_request_is_repeated(served: Served, target: bytes) -> None:
    answer = served.ask(get(target, fields=b"X-Unheard-Of: unheard-of\r\n"))
    assert answer.startswith(b"HTTP/1.1 40")
    assert b"unheard-of" not in answer
    assert b"alert" not in answer


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET /" + b"x" * 100_000, id="request-line of 100 KB"),
        pytest.param(get(fields=b"X: " + b"x" * 100_000 + b"\r\n"), id="field of 100 KB"),
        pytest.param(get(fields=b"X: y\r\n" * 10_000), id="10,000 fields"),
    ],
)
def test_an_oversized_head_is_refused_before_its_end(served: Served, data: bytes) -> None:
    with served.connect() as client:
        client.sendall(data[:17_000])
        response, body = read_answer(client)
    assert response.status == 400
    check_answer(response, body)


def test_a_client_that_never_ends_its_head_still_reads_its_400(served: Served) -> None:
    with served.connect() as client:
        for _ in range(40):
            client.sendall(b"X-Endless: y\r\n" * 5_000)
        response, _ = read_answer(client)
    assert response.status == 400


@pytest.mark.parametrize("octets", [1_000_000, 8_000_000])
def test_an_upload_never_loses_its_400_to_a_reset(served: Served, octets: int) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % octets
    for _ in range(5):
        with served.connect() as client:
            client.sendall(head)
            client.sendall(bytes(octets))
            response, body = read_answer(client)
        assert response.status == 400
        check_answer(response, body)


def test_half_closing_after_the_request_does_no_harm(served: Served) -> None:
    with served.connect() as client:
        client.sendall(get())
        client.shutdown(socket.SHUT_WR)
        response, _ = read_answer(client)
    assert response.status == 200


def test_half_closing_inside_the_head_is_refused(served: Served) -> None:
    with served.connect() as client:
        client.sendall(get()[:20])
        client.shutdown(socket.SHUT_WR)
        response, _ = read_answer(client)
    assert response.status == 400


def test_a_connection_without_a_request_is_closed_and_not_counted(served: Served) -> None:
    before = served.total
    with served.connect() as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert served.total == before


def test_no_100_comes_before_the_answer(served: Served) -> None:
    for method in (b"GET", b"POST"):
        head = b" / HTTP/1.1\r\n" + HOST + LENGTH_5 + b"Expect: 100-continue\r\n\r\n"
        answer = served.ask(method + head)
        assert answer.count(b"HTTP/1.1 ") == 1


def test_the_home_page_has_one_length_whatever_its_number(served: Served) -> None:
    lengths = set()
    for _ in range(12):
        found = re.search(rb"\r\nContent-Length: (\d+)\r\n", served.ask(get(b"/")))
        assert found is not None
        lengths.add(found[1])
    assert len(lengths) == 1
