"""Servers that take few recipients at a time: all of a message get their turn, none is lost.

The agent, its talks and the store are real, and so is the server on loopback.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.delivery.agent import DeliveryAgent
from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import RecipientStatus
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Claim, NewMessage, Record
from tests.support.smtp_server import CAPABILITIES, Say, Script, ScriptedServer

ACCEPTED, REJECTED = RecipientStatus.ACCEPTED, RecipientStatus.REJECTED
CONTENT = Octets(b"Subject: hello\r\n\r\nhello\r\n")

Refuse = Callable[[str], bytes | None]


class AtMost:
    """Takes so many recipients in a transaction, and says a reply to each one more."""

    def __init__(self, limit: int, reply: str) -> None:
        self.server: ScriptedServer | None = None
        self._limit = limit
        self._reply = f"{reply}\r\n".encode()

    def __call__(self, recipient: str) -> bytes | None:
        assert self.server is not None
        verbs = self.server.heard.verbs()
        named = verbs[::-1].index("MAIL")  # since the last one, this one included
        return self._reply if named > self._limit else None


async def sent(
    folder: Path,
    recipients: Sequence[str],
    *,
    limits: str | None = None,
    refuse: Refuse = lambda recipient: None,
    script: Script | None = None,
) -> tuple[Record, int]:
    """What became of a message after its first attempt, and in how many transactions."""
    capabilities = CAPABILITIES if limits is None else (*CAPABILITIES, f"LIMITS {limits}")
    store = SqliteStore(folder / "queue.db", folder / "queue", dedup_window_s=3600.0)
    async with ScriptedServer(script, capabilities=capabilities, refuse=refuse) as server:
        if isinstance(refuse, AtMost):
            refuse.server = server
        account = AccountSettings(host="127.0.0.1", port=server.port, tls="none")
        attempted = asyncio.Event()
        now = time.time()
        await store.open(now)
        message = NewMessage(
            Claim("Q1", "job", "Q1.job.yaml", now),
            "<Q1@example.org>",
            Envelope("me@example.org", tuple(recipients)),
            Route(account="work"),
            due_at=now,
            expires_at=now + 1000.0,
        )
        await store.accept(message, CONTENT, now)
        agent = DeliveryAgent(
            store,
            {"work": account},
            QueueSettings(),
            # Until nobody is left who may go at once.
            on_settled=lambda lease, settlement: (
                attempted.set() if settlement.due_at > now + 10 or store.finished.is_set() else None
            ),
        )
        store.finished.clear()
        running = asyncio.create_task(agent.run())
        async with asyncio.timeout(20):
            await attempted.wait()
        await agent.stop(1.0)
        await running
        (record,) = await store.find("Q1")
        await store.close()
    return record, server.heard.verbs().count("MAIL")


def statuses(record: Record) -> list[RecipientStatus]:
    return [it.verdict.status for it in record.recipients]


PEOPLE = [f"r{number}@example.com" for number in range(5)]


@pytest.mark.parametrize(
    "reply",
    [
        "452 4.5.3 Too many recipients",
        "452 too many recipients",  # Exim
        "451 4.5.3 Too many recipients",  # OpenSMTPD
        "552 too many recipients",  # RFC 5321 section 4.5.3.1.10
        "552 5.5.3 Too many recipients",
        "550 5.5.3 Too many recipients",
    ],
)
async def test_who_was_too_many_goes_at_once_in_another_transaction(
    tmp_path: Path, reply: str
) -> None:
    record, transactions = await sent(tmp_path, PEOPLE, refuse=AtMost(2, reply))
    assert statuses(record) == [ACCEPTED] * 5
    assert record.attempts == 1
    assert transactions == 3


async def test_too_many_in_an_hour_is_another_matter(tmp_path: Path) -> None:
    refuse = AtMost(2, "452 Too many recipients received this hour")
    record, transactions = await sent(tmp_path, PEOPLE, refuse=refuse)
    assert statuses(record) == [ACCEPTED] * 2 + [RecipientStatus.DEFERRED] * 3
    assert transactions == 1


async def test_whoever_was_not_named_gets_its_turn_whatever_became_of_the_others(
    tmp_path: Path,
) -> None:
    def refuse(recipient: str) -> bytes | None:
        return b"550 5.1.1 no such user\r\n" if "bad" in recipient else None

    people = ["bad0@example.com", "bad1@example.com", "good@example.com", "bad2@example.com"]
    record, transactions = await sent(tmp_path, people, limits="RCPTMAX=1", refuse=refuse)
    assert statuses(record) == [REJECTED, REJECTED, ACCEPTED, REJECTED]
    assert (record.attempts, transactions) == (1, 4)


async def test_a_message_that_is_put_off_itself_is_not_tried_for_each_recipient(
    tmp_path: Path,
) -> None:
    script: Script = {"MAIL": [Say(b"451 4.3.0 later\r\n")] * 9}
    record, transactions = await sent(tmp_path, PEOPLE, limits="RCPTMAX=1", script=script)
    assert statuses(record) == [RecipientStatus.DEFERRED] * 5
    assert transactions == 1


async def test_recipients_go_domain_by_domain_where_the_server_wants_it(tmp_path: Path) -> None:
    people = ["a@example.com", "b@example.org", "c@example.com", "d@example.net", "e@example.org"]
    record, transactions = await sent(tmp_path, people, limits="RCPTDOMAINMAX=1")
    assert statuses(record) == [ACCEPTED] * 5
    assert (record.attempts, transactions) == (1, 3)
