"""The access log: one line for each request, fit for any terminal, and nothing when it is off."""

import socket
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.config.sections import HttpSettings
from asyncnet.http1.request import Request, RequestReader
from asyncnet.web import listener as listener_module
from asyncnet.web.access import MAX_TARGET_OCTETS, AccessEntry, describe_access, log_access
from tests.support import daemon
from tests.web.rules import get
from tests.web.serving import CLIENT_TIMEOUT_S, Serve, Served

OK = b"HTTP/1.1 200 OK\r\n\r\nhello"
PEER = ("192.0.2.7", 50_000)
WEB_ALONE = (*daemon.SERVE, "--only", "web")


def entry_of(target: bytes, method: bytes = b"GET", peer: object = PEER) -> AccessEntry:
    return describe_access(Request(method, target, target, None, False), OK, 0.0125, peer)


def test_an_entry_tells_what_was_asked_and_what_came_of_it() -> None:
    assert entry_of(b"/page2?a=1") == AccessEntry(
        method="GET",
        target="/page2?a=1",
        status=200,
        octets=len(OK),
        time_ms=12.5,
        peer="192.0.2.7",
        fault=None,
    )


@given(octets=st.binary(max_size=400))
def test_whatever_is_asked_the_line_is_short_printable_ascii(octets: bytes) -> None:
    for entry in (entry_of(octets), entry_of(b"/", octets)):
        told = entry.method + entry.target
        assert told.isascii()
        assert told.isprintable() or told == ""
        assert len(told) <= len(r"\x00") * MAX_TARGET_OCTETS + 3
    if len(octets) <= MAX_TARGET_OCTETS:
        back = entry_of(octets).target.encode().decode("unicode_escape").encode("latin-1")
        assert back == octets, "two targets look the same"


def test_a_long_target_is_cut() -> None:
    assert entry_of(b"/" + b"x" * 10_000).target == "/" + "x" * (MAX_TARGET_OCTETS - 1)


def test_a_peer_that_is_gone_is_left_empty() -> None:
    assert entry_of(b"/", peer=None).peer == ""
    assert entry_of(b"/", peer=("::1", 50_000, 0, 0)).peer == "::1"


@given(head=st.binary(max_size=60))
def test_any_head_can_be_told(head: bytes) -> None:
    reader = RequestReader()
    request = reader.receive_data(head) or reader.refuse("too slow")
    told = describe_access(request, OK, 0.0, PEER, reader.unread)
    assert (told.method + told.target + str(told.fault)).isprintable()


@pytest.mark.parametrize(
    ("head", "target"),
    [
        (b"GET /a\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n", r"/a\x1b[2J"),
        (b"GET /caf\xc3\xa9?x HTTP/1.1\r\n", r"/caf\xc3\xa9?x"),
        (b"GET /\x00", r"/\x00"),
        (b"POST /a\rb HTTP/1.1\r\n", r"/a\rb"),
        (b"GET /a\nHost: x\r\n", "/a"),
        (b"GET /\x7f\r\n", r"/\x7f"),
        (b"GET /" + b"x" * 500 + b"\x01 HTTP/1.1\r\n", "/" + "x" * (MAX_TARGET_OCTETS - 1)),
        (b"GET /slow", "/slow"),
        (b"GET / HTTP/1.1\r\nHost: x\x00y\r\n", "/"),
        (b"GET  / HTTP/1.1\r\nGET /b\x00\r\n", ""),
        (b"\x16\x03\x01 /a", ""),
        (b"GE\x00T / HTTP/1.1\r\n", ""),
    ],
)
def test_a_target_that_was_refused_is_told_as_it_came(head: bytes, target: str) -> None:
    for cuts in ([head], [head[:4], head[4:]]):
        reader = RequestReader()
        requests = [reader.receive_data(part) for part in cuts]
        request = next((it for it in requests if it is not None), reader.refuse("too slow"))
        assert request.fault is not None
        assert describe_access(request, OK, 0.0, PEER, reader.unread).target == target


def test_an_entry_is_one_structured_line() -> None:
    with structlog.testing.capture_logs() as lines:
        log_access(entry_of(b"/a\r\nb\x1b[2J"))
    assert lines == [
        {
            **{"event": "request", "log_level": "info", "method": "GET"},
            **{"target": r"/a\r\nb\x1b[2J", "status": 200, "octets": len(OK)},
            **{"time_ms": 12.5, "peer": "192.0.2.7", "fault": None},
        }
    ]


def test_it_is_off_until_asked_for() -> None:
    assert HttpSettings().access_log is False


@pytest.mark.parametrize("access_log", [False, True])
def test_a_listener_that_tells_nothing_describes_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, access_log: bool
) -> None:
    described: list[Request] = []

    def describing(request: Request, *rest: object) -> AccessEntry:
        described.append(request)
        return entry_of(b"/")

    monkeypatch.setattr(listener_module, "describe_access", describing)
    with serve(access_log=access_log) as served:
        for _ in range(5):
            ask_and_wait(served)
    assert len(described) == (5 if access_log else 0)


def test_a_time_is_told_finer_than_by_milliseconds(serve: Serve) -> None:
    with serve(access_log=True) as served:
        for _ in range(10):
            ask_and_wait(served)
    assert any(entry.time_ms % 1 for entry in served.entries)
    assert all(entry.time_ms > 0 for entry in served.entries)


def test_no_clock_is_read_for_those_who_do_not_want_to_know(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(listener_module, "perf_counter")
    with serve() as served:
        assert served.ask(get()).startswith(b"HTTP/1.1 200 ")


def ask_and_wait(served: Served) -> None:
    served.ask(get())
    served.wait_until_idle()


async def test_the_daemons_log_has_a_line_for_each_request(tmp_path: Path) -> None:
    config = daemon.config_text(tmp_path, 9).replace("[http]\n", "[http]\naccess_log = true\n")
    process = await daemon.start(tmp_path, config, argv=WEB_ALONE)
    assert await process.wait_ready(), process.errors
    for head in (get(b"/page2?a=1"), b"POST /\x1b", get(b"/" + b"y" * 500)):
        with socket.create_connection(process.http, CLIENT_TIMEOUT_S) as client:
            client.sendall(head)
            assert client.recv(12).startswith(b"HTTP/1.1 ")
            while client.recv(65_536):
                pass
    assert await process.said("request", status=404)
    assert await process.terminate() == 0
    told = [entry for entry in process.log if entry["event"] == "request"]
    assert [(entry["method"], entry["status"]) for entry in told] == [
        *(("GET", 200), ("POST", 400), ("GET", 404))
    ]
    assert told[0]["target"] == "/page2?a=1"
    assert told[1]["target"] == r"/\x1b"
    assert told[0]["peer"] == "127.0.0.1"
    assert len(told[2]["target"]) == MAX_TARGET_OCTETS
    assert process.errors == [], "something was written beside the log"
