"""A fault of a server as a value, the attempt that meets it, and what is true of every attempt.

The attempt is made as the daemon makes it, by the carrier, so that what comes out is what would
be committed.
"""

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.delivery.account_book import AccountBook
from asyncnet.delivery.carrier import Carrier
from asyncnet.delivery.exchange import Exchange, Target
from asyncnet.delivery.pool import Pool
from asyncnet.delivery.store_trouble import StoreTrouble
from asyncnet.delivery.wire import Deadlines
from asyncnet.mail.envelope import Route, TlsMode
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import RecipientStatus, Verdict
from asyncnet.providers.builtin import catalogue
from tests.support.certificates import NAME, Certificates
from tests.support.delivery_doubles import START, MemoryStore
from tests.support.smtp_server import Heard, Script

LATE_S = 0.1
PATIENCE_S = 10.0  # of every deadline that is not to be the one that passes
MAX_LINE_OCTETS = 512  # of a command, and with CRLF; RFC 5321 section 4.5.3.1.4
MAX_TEXT_LINE_OCTETS = 1000  # section 4.5.3.1.6

USER, SECRET, TOKEN = "anna@example.org", "made-up word", "made-up-token"
PLAIN = b64encode(f"\0{USER}\0{SECRET}".encode()).decode()


SECRETS = tuple(
    form.encode()
    for secret in (SECRET, TOKEN)
    for form in (secret, b64encode(secret.encode()).decode(), PLAIN)
)


@dataclass(frozen=True)
class Fault:
    """One row; the fields that a row leaves out are those of a server without fault.

    verdicts: one for all, or one for each recipient (of several messages: for each message).
    talks: connections it takes; None: one, and where the class is reconnect or protocol one more,
    since that is tried again on a new one.  late: the deadline that ends it, cut short for the
    test; no other may.  offer replaces what the plan needs in the answer to EHLO, "also" in
    server adds to it.  login: by "password" or "token".  text: stands in the first verdict's.
    never: verbs that must not be said.  late may be "all".
    """

    script: Script
    verdicts: str | tuple[str, ...]
    plans: tuple[str, ...] = ("joined",)
    late: str | None = None
    talks: int | None = None
    messages: int = 1
    window: int = 1
    large: bool = False
    tls: TlsMode = "none"
    shown: Callable[[Certificates], ssl.SSLContext] | None = None
    login: str | None = None
    auth: tuple[str, ...] | None = None  # mechanisms that the account allows
    host: str = NAME
    offer: tuple[str, ...] | None = None
    charset: str = "latin-1"
    rset: bool = True
    text: str | None = None
    never: tuple[str, ...] = ()
    server: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """What would be committed: verdicts message by message, and the account's state."""

    verdicts: list[list[Verdict]]
    account: str


def content(row: Fault, number: int) -> Octets:
    head = b"Subject: number %d\r\n\r\n" % number
    return Octets(head + (b"x" * 76 + b"\r\n") * (100_000 if row.large else 3))


def recipients(row: Fault, number: int) -> tuple[str, ...]:
    if row.messages == 1:
        return ("b@example.com", "c@example.com")
    return (f"b{number}@example.com",)


def settings(row: Fault, port: int, ca_file: str | None) -> AccountSettings:
    how: dict[str, Any] = {
        "host": row.host,
        "address": "127.0.0.1",
        "port": port,
        "tls": row.tls,
        "connections": 1,
        "window": row.window,
        "ca_file": ca_file,
        "ehlo": "me.example.test",
        "auth": row.auth,
    }
    if row.login is not None:
        how["user"] = USER
    if row.login == "password":
        how["secret"] = {"value": SECRET}
    if row.login == "token":
        how["oauth2"] = {"token": {"value": TOKEN}}
    return AccountSettings.model_validate(how)


async def deliver(row: Fault, port: int, ca_file: str | None) -> Outcome:
    """Make one attempt at each message, all of them at a time."""
    names = Deadlines.__dataclass_fields__
    seconds = {name: LATE_S if row.late in (name, "all") else PATIENCE_S for name in names}
    deadlines = Deadlines(**{**seconds, "rcpt_more_s": 0.0})

    async def connect(target: Target) -> Exchange:
        target = replace(target, charset=row.charset, rset=row.rset)
        return await Exchange.connect(target, deadlines=deadlines)

    store = MemoryStore()
    book = AccountBook(store, {"work": settings(row, port, ca_file)}, catalogue())
    pool = Pool(connect, lambda: START)
    carrier = Carrier(
        store, pool, book, QueueSettings(jitter=0.0), lambda: START, lambda: 0.5, StoreTrouble()
    )
    for number in range(row.messages):
        store.add(str(number), *recipients(row, number)).content = content(row, number)
    lane = await book.lane(Route(account="work"), START)
    assert lane is not None
    leases = await store.lease(START, row.messages)
    settlements = await asyncio.gather(*(carrier.carry(lane, lease) for lease in leases))
    await pool.close()
    verdicts = []
    for lease, settlement in zip(leases, settlements, strict=True):
        assert settlement is not None
        assert sorted(settlement.verdicts) == list(lease.positions), "somebody was forgotten"
        verdicts.append([settlement.verdicts[position] for position in lease.positions])
    return Outcome(verdicts, lane.state.state)


def words(verdict: Verdict) -> str:
    """As the table writes it."""
    told = [verdict.status.value, str(verdict.code or "-"), str(verdict.phase or "-")]
    return " ".join(told if verdict.kind is None else [*told, verdict.kind.value])


def check_octets(heard: Heard) -> None:
    """What crossed the wire is safe and well formed."""
    assert not any(secret in heard.clear for secret in SECRETS), "a secret crossed in the clear"
    for line in heard.raw_lines:
        assert not re.search(rb"[\r\n\0]", line)
        assert len(line) + 2 <= MAX_LINE_OCTETS
    for whole in heard.contents:
        assert b"\0" not in whole
        assert not re.search(rb"\r(?!\n)|(?<!\r)\n", whole)
        assert all(len(line) + 2 <= MAX_TEXT_LINE_OCTETS for line in whole.split(b"\r\n"))
    assert not heard.wasted, "content was sent although nobody was accepted"


def check_truth(row: Fault, outcome: Outcome, heard: Heard) -> None:
    """Whom the server took, and whom it may have taken, agrees with our verdicts."""
    numbers = {content(row, number).data: number for number in range(row.messages)}
    taken, possible = set[tuple[int, str]](), set[tuple[int, str]]()
    for delivery in heard.deliveries:
        keys = {(numbers[delivery.content], recipient) for recipient in delivery.recipients}
        possible |= keys
        taken |= keys if delivery.taken else set()
    for number, message in enumerate(outcome.verdicts):
        for recipient, verdict in zip(recipients(row, number), message, strict=True):
            key = (number, recipient)
            if verdict.status is RecipientStatus.ACCEPTED:
                assert key in taken, "accepted, and the server does not know of it"
            elif verdict.status is not RecipientStatus.IN_DOUBT:
                assert key not in possible, f"{verdict.status}, and the server may have taken it"
