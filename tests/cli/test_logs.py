"""Log lines: whole, in order, and none held back where it matters."""

import asyncio
import io
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.cli import logs
from asyncnet.config.sections import LogSettings

SOON_S = 10.0


class Stream(io.StringIO):
    """A log file whose reader can stand still."""

    def __init__(self) -> None:
        super().__init__()
        self.wrote, self.begun, self.may_go_on = (threading.Event() for _ in range(3))
        self.may_go_on.set()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        self.begun.set()
        assert self.may_go_on.wait(SOON_S)
        return super().write(text)

    def flush(self) -> None:
        self.wrote.set()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    """What goes to stderr; structlog is set up for JSON, and as before at the end."""
    stream = Stream()
    monkeypatch.setattr("sys.stderr", stream)
    before = structlog.get_config()
    logs.configure(LogSettings(format="json", level="info"))
    yield stream
    structlog.configure(**before)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_tells_event_values_level_and_time(written: Stream) -> None:
    structlog.get_logger().info("job", text='"caf\u00e9"\n', number=7, yes=True, nothing=None)
    [line] = lines(written)
    at = datetime.fromisoformat(str(line.pop("timestamp")))
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    values = {"text": '"caf\u00e9"\n', "number": 7, "yes": True, "nothing": None}
    assert line == {"event": "job", "level": "info", **values}


def test_a_line_has_its_values_before_its_event_level_and_time(written: Stream) -> None:
    log = structlog.get_logger().bind(account="work")
    log.info("job", name="a", number=7)
    shape = (
        r'\{"account": "work", "name": "a", "number": 7, "event": "job", "level": "info", '
        r'"timestamp": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"\}\n'
    )
    assert re.fullmatch(shape, written.getvalue())


@given(name=st.text(), event=st.text())
def test_no_text_ends_a_line_or_a_value(name: str, event: str) -> None:
    line = logs.json_line("info", {"name": name, "event": event})
    assert not re.search(r"[\x00-\x1f]", line)
    read = json.loads(line)
    assert (read["name"], read["event"]) == (name, event)


def test_what_json_has_no_word_for_is_told_all_the_same(written: Stream) -> None:
    structlog.get_logger().info("job", names={"a"}, places=[1, 2])
    [line] = lines(written)
    assert (line["names"], line["places"]) == ("{'a'}", [1, 2])


def test_an_exception_comes_with_its_traceback_and_without_locals(written: Stream) -> None:
    secret = "made-up word"
    try:
        raise ValueError(len(secret))
    except ValueError:
        structlog.get_logger().exception("it failed")
    [line] = lines(written)
    assert list(line) == ["event", "exception", "level", "timestamp"]
    assert line["level"] == "error"
    assert "ValueError: 12" in str(line["exception"])
    assert secret not in str(line["exception"])


async def test_the_lines_of_a_turn_leave_together_and_in_order(written: Stream) -> None:
    log = structlog.get_logger()
    for number in range(3):
        log.info("job", number=number)
    assert written.getvalue() == ""
    assert await asyncio.to_thread(written.wrote.wait, SOON_S)
    assert [line["number"] for line in lines(written)] == [0, 1, 2]
    assert written.writes == 1


async def test_a_reader_that_stands_still_holds_up_nobody(written: Stream) -> None:
    log = structlog.get_logger()
    written.may_go_on.clear()
    log.info("first")
    assert await asyncio.to_thread(written.begun.wait, SOON_S)
    log.info("second")  # the first is still on its way out, and the loop goes on
    await asyncio.sleep(0)
    written.wrote.clear()
    written.may_go_on.set()
    log.warning("third")
    assert [line["event"] for line in lines(written)] == ["first", "second", "third"]


async def test_what_waits_for_such_a_reader_is_bounded_and_not_lost(
    written: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST_WAITING", 3)
    log = structlog.get_logger()
    written.may_go_on.clear()
    log.info("job", number=0)
    assert await asyncio.to_thread(written.begun.wait, SOON_S)
    threading.Timer(0.05, written.may_go_on.set).start()
    for number in range(1, 5):
        log.info("job", number=number)  # the fourth waits for the reader
    assert written.may_go_on.is_set()
    assert [line["number"] for line in lines(written)] == [0, 1, 2, 3, 4]


async def test_a_warning_takes_along_what_waits_before_it(written: Stream) -> None:
    log = structlog.get_logger()
    log.info("first")
    log.warning("second")
    assert [line["event"] for line in lines(written)] == ["first", "second"]


async def test_a_thread_without_a_loop_writes_at_once(written: Stream) -> None:
    thread = threading.Thread(target=lambda: structlog.get_logger().info("from a thread"))
    thread.start()
    thread.join()
    assert [line["event"] for line in lines(written)] == ["from a thread"]


def test_what_is_below_the_level_is_not_told(written: Stream) -> None:
    structlog.get_logger().debug("chatter")
    assert written.getvalue() == ""
