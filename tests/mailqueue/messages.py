"""Messages, verdicts and settlements for the tests of the queue."""

from dataclasses import replace
from typing import Any

from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import Kind, Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.store import Claim, Lease, NewMessage, Settlement, Store

NOW = 1_700_000_000.0
DEDUP_WINDOW_S = 3600.0
SMALL = Octets(b"Subject: small\r\n\r\nhello\r\n")
LARGE = Octets(bytes(range(256)) * 400)  # 100 KiB: beside the row
VAST = Octets(bytes(range(256)) * 800)  # 200 KiB: in a file of its own, or in four parts

ACCEPTED = Verdict(RecipientStatus.ACCEPTED, 250, "2.0.0", Phase.DOT, None, "OK: queued as 4F2")
REJECTED = Verdict(
    RecipientStatus.REJECTED, 550, "5.1.1", Phase.RCPT, Kind.RECIPIENT, "no such user", "a hint"
)
DEFERRED = Verdict(
    RecipientStatus.DEFERRED, 451, "4.7.1", Phase.RCPT, Kind.GREYLIST, "come back later"
)
IN_DOUBT = Verdict(RecipientStatus.IN_DOUBT, phase=Phase.DOT, kind=Kind.NETWORK, text="cut off")
EXPIRED = Verdict(RecipientStatus.EXPIRED, text="gave up after 2 days")
CANCELED = Verdict(RecipientStatus.CANCELED, text="by hand")


def claim(queue_id: str, *, name: str = "hello", at: float = NOW) -> Claim:
    return Claim(queue_id, name, f"{queue_id}~{name}.yaml", at)


def message(queue_id: str, *recipients: str, at: float = NOW, **changes: Any) -> NewMessage:
    """A message to b@example.org, or to the recipients given, claimed and due at the time."""
    plain = NewMessage(
        claim=claim(queue_id, at=at),
        message_id=f"<{queue_id}@example.org>",
        envelope=Envelope("a@example.org", recipients or ("b@example.org",)),
        route=Route("work"),
        due_at=at,
        expires_at=at + 172_800.0,
    )
    return replace(plain, **changes)


def settled(*verdicts: Verdict, due_at: float = NOW, **changes: Any) -> Settlement:
    """One verdict for each recipient from the first on."""
    return Settlement(dict(enumerate(verdicts)), due_at=due_at, **changes)


async def leased(store: Store, queue_id: str, now: float = NOW) -> Lease:
    """The lease on that message, the one that is due."""
    (lease,) = await store.lease(now, 10)
    assert lease.queue_id == queue_id
    return lease
