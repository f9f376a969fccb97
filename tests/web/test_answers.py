"""Which request gets which answer, on raw sockets against the running listener.

The rules stand in tests/web/rules.py.  Every request there is sent whole and octet by octet; what
is refused at once must be refused while the client could still send more.
"""

import email.utils
import http.client
import re
import socket
from pathlib import Path

import pytest

from tests.web.rules import EXPECT, HOST, LENGTH_5, RULES, Rule, get
from tests.web.serving import Served

ALL_CASES = [
    pytest.param(data, rule.status, id=f"{rule.status} {rule.says}: {name}")
    for rule in RULES
    for name, data in rule.requests.items()
]
AT_ONCE = [
    pytest.param(data, id=f"{rule.says}: {name}")
    for rule in RULES
    for name, data in rule.at_once.items()
]
HEAD = re.compile(
    rb"HTTP/1\.1 (?:200 OK|400 Bad Request|404 Not Found)\r\n"
    rb"Server: asyncnet\r\n"
    rb"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n"
    rb"Content-Length: (?P<length>\d+)\r\n"
    rb"Content-Type: text/html\r\n"
    rb"Connection: Closed\r\n"
    rb"Connection: close\r\n"
    rb"Cache-Control: no-store\r\n"
    rb"X-Content-Type-Options: nosniff\r\n"
    rb"Content-Security-Policy: default-src 'none'; [ -~]+\r\n"
    rb"Referrer-Policy: no-referrer\r\n"
    rb"\r\n"
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.says)
def test_every_rule_has_its_tests(rule: Rule) -> None:
    assert rule.why
    assert rule.requests or rule.tests
    assert not rule.requests or rule.status in (200, 400, 404)
    for name in rule.tests:
        module, _, function = name.partition("::")
        text = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
        assert f"def {function}(" in text, "the test is gone or has another name"


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


def check_octets(answer: bytes, status: int) -> None:
    """The same, octet for octet: nothing stands between or behind."""
    head = HEAD.match(answer)
    assert head is not None, answer[:700]
    assert len(answer) == head.end() + int(head["length"])
    assert answer.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(("data", "status"), ALL_CASES)
def test_a_request_gets_its_answer(served: Served, data: bytes, status: int) -> None:
    before = served.total
    with served.connect() as client:
        client.sendall(data)
        response, body = read_answer(client)
    assert response.status == status
    check_answer(response, body)
    assert served.total - before == (status != 404)
    check_octets(served.ask(data), status)


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
    ("data", "status"),
    [
        pytest.param(get(), 200, id="a page"),
        pytest.param(b"\r\n" + get(b"/x", fields=b"X: y\r\n"), 404, id="no page"),
        pytest.param(get(fields=LENGTH_5) + b"hello", 200, id="a body"),
        pytest.param(get(fields=b"X: a\r\n b\r\n"), 400, id="a fold"),
        pytest.param(get()[:-2] + b"\n", 400, id="bare LF at the end"),
    ],
)
def test_split_anywhere_the_answer_is_the_same(served: Served, data: bytes, status: int) -> None:
    for cut in range(1, len(data)):
        with served.connect() as client:
            client.sendall(data[:cut])
            client.sendall(data[cut:])
            response, body = read_answer(client)
        assert response.status == status
        check_answer(response, body)


@pytest.mark.parametrize("data", AT_ONCE)
def test_a_refusal_does_not_wait_for_more(served: Served, data: bytes) -> None:
    check_octets(served.ask(data), 400)  # the client's side is open until the answer has come


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
        head = b" / HTTP/1.1\r\n" + HOST + LENGTH_5 + EXPECT + b"\r\n"
        answer = served.ask(method + head)
        assert answer.count(b"HTTP/1.1 ") == 1


def test_the_home_page_has_one_length_whatever_its_number(served: Served) -> None:
    lengths = set()
    for _ in range(12):
        found = re.search(rb"\r\nContent-Length: (\d+)\r\n", served.ask(get(b"/")))
        assert found is not None
        lengths.add(found[1])
    assert len(lengths) == 1
