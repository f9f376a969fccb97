"""Runs the table of faults: every misdeed against the client as the daemon uses it.

What is compared is what would be committed: the verdict on each recipient, and how the account
is left.  What must be true of every row, whatever its verdicts, is asserted besides.
"""

import asyncio
import re
import ssl
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from asyncnet.delivery.wire import MAX_UNREAD_OCTETS, Wire
from asyncnet.smtp.reply import MAX_REPLY_OCTETS, ReplyReader
from tests.delivery.faults import OFFERS, TABLE
from tests.support.certificates import certificates
from tests.support.faults import (
    LATE_S,
    SECRETS,
    Fault,
    Outcome,
    check_octets,
    check_truth,
    deliver,
    words,
)
from tests.support.smtp_server import ScriptedServer, StopReading

READ_OCTETS = 256 * 1024  # the most that an event loop hands over at a time

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on either event loop."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@dataclass
class Held:
    """The most octets that ever lay unread, on a wire and in a reader."""

    wire: int = 0
    reader: int = 0


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    most = Held()
    data_received, receive_data = Wire.data_received, ReplyReader.receive_data

    def on_wire(wire: Wire, octets: bytes) -> None:
        data_received(wire, octets)
        most.wire = max(most.wire, wire._arrived_octets)

    def in_reader(reader: ReplyReader, octets: bytes) -> None:
        receive_data(reader, octets)
        most.reader = max(most.reader, len(reader._buffer) + len(reader._raw))

    monkeypatch.setattr(Wire, "data_received", on_wire)
    monkeypatch.setattr(ReplyReader, "receive_data", in_reader)
    return most


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is no part of this machine: nothing secret may go there without TLS."""
    monkeypatch.setattr(Wire, "peer_is_loopback", False)


@pytest.mark.parametrize(
    ("name", "plan"), [(name, plan) for name, row in TABLE.items() for plan in row.plans]
)
@pytest.mark.usefixtures("far_away")
def test_a_server_that(
    name: str, plan: str, tmp_path: Path, run: Run, held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    run(play(TABLE[name], plan, certificates().write_authority(tmp_path)))
    # Memory stays bounded, whatever the server pours out.
    assert held.wire <= MAX_UNREAD_OCTETS + READ_OCTETS
    assert held.reader <= MAX_REPLY_OCTETS + MAX_UNREAD_OCTETS + READ_OCTETS
    assert not any(secret.decode() in caplog.text for secret in SECRETS)


async def play(row: Fault, plan: str, ca_file: str) -> None:
    how = dict(row.server)
    offer = (*(row.offer or OFFERS[plan]), *how.pop("also", ()))
    shown: ssl.SSLContext | None = row.shown(certificates()) if row.shown else None
    async with ScriptedServer(row.script, capabilities=offer, tls=shown, **how) as server:
        outcome = await deliver(row, server.port, ca_file)
        deaf = any(isinstance(deed, StopReading) for deed in _deeds(row))
        if not deaf:  # who reads nothing does not notice that we left
            await asyncio.wait_for(server.ended.wait(), 2)  # and nothing stays open
    seen = [words(verdict) for message in outcome.verdicts for verdict in message]
    verdicts, _, account = row.verdicts.partition("|") if isinstance(row.verdicts, str) else (
        row.verdicts, "", "")  # fmt: skip
    expected = list(verdicts) if isinstance(verdicts, tuple) else [verdicts] * len(seen)
    assert seen == expected
    assert outcome.account == (account or "ok")
    # What breaks a talk, and could be the connection's fault, is tried once more on a new one.
    again = all(it.endswith(("reconnect", "protocol")) for it in seen)
    assert server.heard.connections == (1 + again if row.talks is None else row.talks)
    assert not set(row.never) & set(server.heard.verbs())
    told = " ".join(f"{it.text} {it.hint}" for message in outcome.verdicts for it in message)
    assert not any(secret.decode() in told for secret in SECRETS), "a secret is in the result"
    first = outcome.verdicts[0][0]
    assert row.text is None or row.text in first.text
    check_time(row, outcome)
    check_octets(server.heard)
    check_truth(row, outcome, server.heard)


def _deeds(row: Fault) -> Iterator[object]:
    for planned in row.script.values():
        yield from planned if isinstance(planned, (list, tuple)) else (planned,)


def check_time(row: Fault, outcome: Outcome) -> None:
    """A stage is ended by its own deadline, and by no other."""
    texts = [verdict.text for message in outcome.verdicts for verdict in message]
    passed = [text for text in texts if re.search(r"\bwithin [0-9.]+ s", text)]
    assert all(f"within {LATE_S:g} s" in text for text in passed)
    troubled = any(verdict.code is None for message in outcome.verdicts for verdict in message)
    if row.late is not None and troubled:
        assert passed, f"no deadline ended it: {texts}"
    elif row.late is None:
        assert not passed
