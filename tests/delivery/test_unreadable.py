"""A stored message that cannot be read just now: it waits, with its reason, and goes on."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.delivery.account_book import AccountBook
from asyncnet.delivery.carrier import Carrier
from asyncnet.delivery.exchange import Exchange
from asyncnet.delivery.handover import SMALL_OCTETS
from asyncnet.delivery.pool import Pool
from asyncnet.delivery.store_trouble import STORE_RETRY_S, StoreTrouble
from asyncnet.mail.envelope import Route
from asyncnet.mail.letter import BLOCK_OCTETS
from asyncnet.mail.verdict import RecipientStatus
from asyncnet.mailqueue.store import Settlement, StoreError
from asyncnet.providers.builtin import catalogue
from tests.support.delivery_doubles import START, MemoryStore
from tests.support.smtp_server import ScriptedServer

LINE = b"x" * 76 + b"\r\n"
SMALL = len(LINE) * 10
LARGE = len(LINE) * (SMALL_OCTETS // len(LINE) + 2000)  # is streamed


@dataclass(frozen=True)
class Failing:
    """Content whose reading fails after the first block, if it comes to that."""

    octets: int
    error: Exception

    def blocks(self) -> Iterator[bytes]:
        if self.octets > BLOCK_OCTETS:
            yield LINE * (BLOCK_OCTETS // len(LINE))
        raise self.error


async def carried(octets: int, error: Exception) -> tuple[Settlement, ScriptedServer, str]:
    """What is to be committed of an attempt, and how the account stands then."""
    store = MemoryStore()
    async with ScriptedServer() as server:
        account = AccountSettings.model_validate(
            {"host": "127.0.0.1", "port": server.port, "tls": "none"}
        )
        trouble = StoreTrouble()
        book = AccountBook(store, {"work": account}, catalogue(), trouble)
        pool = Pool(Exchange.connect, lambda: START)
        carrier = Carrier(
            store, pool, book, QueueSettings(jitter=0.0), lambda: START, lambda: 0.5, trouble
        )
        store.add("1", "b@example.com").content = Failing(octets, error)
        lane = await book.lane(Route(account="work"), START)
        assert lane is not None
        (lease,) = await store.lease(START, 1)
        settlement = await carrier.carry(lane, lease)
        await pool.close()
    assert settlement is not None
    assert not server.heard.deliveries
    return settlement, server, lane.state.state


@pytest.mark.parametrize("octets", [SMALL, LARGE], ids=["small", "large"])
async def test_a_disk_that_fails_defers_the_message_alone_and_says_why(octets: int) -> None:
    error = OSError(errno.EIO, "Input/output error")
    settlement, _, state = await carried(octets, error)
    (verdict,) = settlement.verdicts.values()
    assert verdict.status is RecipientStatus.DEFERRED
    assert verdict.text == "the stored message cannot be read: Input/output error"
    assert settlement.counted
    assert state == "ok"


@pytest.mark.parametrize("octets", [SMALL, LARGE], ids=["small", "large"])
async def test_a_want_of_descriptors_costs_no_attempt(octets: int) -> None:
    settlement, _, state = await carried(octets, StoreError("Too many open files"))
    assert (settlement.verdicts, settlement.counted) == ({}, False)
    assert settlement.due_at == START + STORE_RETRY_S
    assert state == "ok"
