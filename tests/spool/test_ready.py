"""A ready message gets its envelope, and its octets are fixed once."""

import os
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.mail.envelope import Envelope, Route, Server
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.spool.assemble import Rules
from asyncnet.spool.assemble_ready import AssembledReady, assemble_ready
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.files import AllowedFolders
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.ready_orders import Orders, read_orders
from tests.spool.dropping import all_records, drop, errors, only_record, running

NOW = 1_795_343_400.75
SEED = "01KE7Y0000ABCDEF"
MAIL = b"From: A <a@example.org>\nTo: b@example.org\nSubject: x\n\nbody\n"


def rules(**changes: object) -> Rules:
    accounts = {
        "work": AccountSettings(host="smtp.example.org", senders=("*@example.org",)),
        "home": AccountSettings(host="smtp.example.com", default=True),
    }
    known = {"accounts": accounts, "allow_server": True, "queue": QueueSettings(), **changes}
    return Rules(folders=AllowedFolders((Path("/"),), 1), **known)  # type: ignore[arg-type]


def make(mail: bytes, orders: str | None = None, **changes: object) -> AssembledReady:
    read = Orders() if orders is None else read_orders(orders.encode())
    return assemble_ready(Octets(mail), read, rules(**changes), now=NOW, seed=SEED)


def refusals(mail: bytes, orders: str | None = None, **changes: object) -> list[str]:
    with pytest.raises(JobRefused) as caught:
        make(mail, orders, **changes)
    return [str(problem) for problem in caught.value.problems]


def octets(made: AssembledReady) -> bytes:
    return b"".join(made.content.blocks())


def test_a_missing_date_and_message_id_are_made_from_the_claim() -> None:
    made = make(MAIL)
    parsed = message_from_bytes(octets(made), policy=policy.default)
    assert parsed["Message-ID"] == made.message_id == f"<{SEED}@example.org>"
    assert parsedate_to_datetime(parsed["Date"]).timestamp() == int(NOW)
    assert octets(made) == MAIL.replace(b"\n", b"\r\n").replace(
        b"\r\n\r\n",
        b"\r\nDate: Sun, 22 Nov 2026 10:30:00 +0000\r\n"
        b"Message-ID: <01KE7Y0000ABCDEF@example.org>\r\n\r\n",
    )
    assert octets(make(MAIL)) == octets(made)


def test_those_it_has_are_kept_byte_for_byte() -> None:
    mail = MAIL.replace(b"Subject", b"date:  odd but kept\nMESSAGE-ID:\n <m@x>\nSubject")
    made = make(mail)
    assert made.message_id == "<m@x>"
    assert octets(made) == mail.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("mail", "orders", "envelope"),
    [
        (MAIL, None, Envelope("a@example.org", ("b@example.org",))),
        (MAIL, "to: [c@d.test, e@f.test]\n", Envelope("a@example.org", ("c@d.test", "e@f.test"))),
        (MAIL, "envelope_from: ''\n", Envelope("", ("b@example.org",))),
        (MAIL, "envelope_from: x@y.test\n", Envelope("x@y.test", ("b@example.org",))),
        (
            MAIL,
            "require_tls: true\n",
            Envelope("a@example.org", ("b@example.org",), require_tls=True),
        ),
        (MAIL + b"\xff", None, Envelope("a@example.org", ("b@example.org",), body_8bit=True)),
        (
            MAIL.replace(b"Subject: x", "Subject: ü".encode()),
            None,
            Envelope("a@example.org", ("b@example.org",), smtputf8=True),
        ),
        (
            MAIL.replace(b"Subject: x", "Bcc: ü <c@d.test>".encode()),
            None,
            Envelope("a@example.org", ("b@example.org", "c@d.test")),
        ),
        (
            MAIL.replace(b"To:", b"To: b@EXAMPLE.org, B@example.org,"),
            None,
            Envelope("a@example.org", ("b@EXAMPLE.org", "B@example.org")),
        ),
        (b"From: a@example.org\nTo: what?\n\n", "to: b@c.test\n", None),
    ],
)
def test_the_envelope(mail: bytes, orders: str | None, envelope: Envelope | None) -> None:
    expected = envelope or Envelope("a@example.org", ("b@c.test",))
    assert make(mail, orders).envelope == expected


def test_what_the_orders_say_is_done() -> None:
    made = make(
        MAIL,
        "account: home\nid: a1\npriority: high\non_doubt: hold\nmeta: {t: 1}\n"
        "send_at: 2027-01-01T00:00:00Z\nexpires_at: 2027-01-02T00:00:00Z\n",
    )
    assert made.route == Route(account="home")
    assert (made.job_id, made.priority, made.on_doubt) == ("a1", 0, "hold")
    assert (made.due_at, made.expires_at) == (1_798_761_600, 1_798_848_000)
    assert made.meta == {"t": "1"}
    assert make(MAIL).route == Route(account="work")
    assert make(MAIL, "server: mx.test\ntls: none\n").route == Route(
        server=Server("mx.test", 25, "none")
    )


@pytest.mark.parametrize(
    ("orders", "told"),
    [
        ("", ["line 1, column 1: envelope: the file is empty"]),
        ("to: [x@]\nacount: y\n", [
            "line 1, column 6: envelope.to[0]: is missing the domain after the @",
            "line 2, column 1: envelope.acount: unknown key; did you mean 'account'?",
        ]),
        ("subject: x\n", ["line 1, column 1: envelope.subject: unknown key; the message itself"]),
        ("to: []\n", ["line 1, column 5: envelope.to: no recipient is given"]),
        ("account: a\nserver: b.test\n", [
            "line 2, column 9: envelope.server: account and server exclude each other"
        ]),
        ("tls: none\n", ["line 1, column 6: envelope.tls: belongs to server"]),
        ("account: no\n", ["line 1, column 10: envelope.account: there is no account 'no'"]),
    ],
)  # fmt: skip
def test_wrong_orders_are_told_with_their_place(orders: str, told: list[str]) -> None:
    found = refusals(MAIL, orders)
    assert len(found) == len(told)
    for problem, expected in zip(found, told, strict=True):
        assert problem.startswith(expected)


def test_a_wrong_header_is_told_with_its_lines() -> None:
    assert refusals(b"Subject: x\n\n") == [
        "From: no author is given; add a From field",
        "To: no recipient in To, Cc, Bcc; name them there, or in to: of NAME.envelope.yaml",
    ]
    assert refusals(b"Subject: \xe4\nFrom: a@b.test\n\n") == [
        "line 1, column 1: Subject: octet 0xE4 is not UTF-8; write encoded words (RFC 2047)"
    ]
    assert refusals(MAIL + b"\0") == [
        "line 6, column 1: holds the octet NUL, which no mail may have"
    ]


def test_a_field_that_stands_twice_earns_a_warning() -> None:
    assert make(b"From: x@y.test\n" + MAIL).warnings == (
        "From: stands more than once in the header; readers differ in which they show",
    )


_HEAD = st.sampled_from([b"", b"From: a@b.test\n", b"From: a@b.test\nTo: b@c.test\n", MAIL[:-6]])


@given(_HEAD, st.binary() | st.text().map(str.encode), st.sampled_from([None, "to: x@y.test\n"]))
def test_any_octets_are_a_message_or_refused(head: bytes, tail: bytes, orders: str | None) -> None:
    try:
        made = make(head + tail, orders)
    except JobRefused:
        return
    out = octets(made)
    assert len(out) == made.content.octets
    assert b"\r" not in out.replace(b"\r\n", b"")
    assert b"\n" not in out.replace(b"\r\n", b"")
    assert octets(make(out, "to: x@y.test\n")) == out
    parsed = message_from_bytes(out, policy=policy.compat32)
    assert parsed["Date"] is not None
    assert parsed["Message-ID"] is not None


# In the folder.


async def test_a_ready_message_is_taken_when_no_envelope_follows(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store) as steps:
        drop(folder, "mail.eml", MAIL.decode())
        await steps.reach("accepted")
    record = await only_record(store)
    assert (record.status, record.claim.name) == (JobStatus.QUEUED, "mail")
    assert [it.address for it in record.recipients] == ["b@example.org"]
    (lease,) = await store.lease(NOW * 2, 1)
    assert b"".join(store.content(lease).blocks()).startswith(b"From: A <a@example.org>\r\nTo:")


@pytest.mark.parametrize("order", [("mail.eml", "mail.envelope.yaml")] * 2)
@pytest.mark.parametrize("turned", [False, True])
async def test_the_envelope_may_come_a_moment_before_or_after(
    folder: SpoolFolder, store: SqliteStore, order: tuple[str, ...], turned: bool
) -> None:
    texts = {"mail.eml": MAIL.decode(), "mail.envelope.yaml": "to: real@example.org\nid: a7\n"}
    async with running(folder, store, settle=0.5) as steps:
        for name in reversed(order) if turned else order:
            drop(folder, name, texts[name])
        await steps.reach("accepted")
    record = await only_record(store)
    assert [it.address for it in record.recipients] == ["real@example.org"]
    assert record.job_id == "a7"
    queue_id = record.claim.queue_id
    assert sorted(os.listdir(folder.queue)) == [
        f"{queue_id}.mail.eml",
        f"{queue_id}.mail.envelope.yaml",
    ]
    assert os.listdir(folder.pickup) == []


async def test_an_envelope_alone_waits(folder: SpoolFolder, store: SqliteStore) -> None:
    async with running(folder, store) as steps:
        drop(folder, "mail.envelope.yaml", "to: b@example.org\n")
        drop(folder, "other.yaml")
        await steps.reach("accepted")
    assert os.listdir(folder.pickup) == ["mail.envelope.yaml"]


async def test_an_unfinished_envelope_or_an_empty_message_is_waited_for(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store) as steps:
        drop(folder, "cut.envelope.yaml", "to: [b@exam")
        drop(folder, "cut.eml", MAIL.decode())
        drop(folder, "empty.eml", "")
        drop(folder, "other.yaml")
        await steps.reach("accepted")
        assert [record.claim.name for record in await all_records(store)] == ["other"]
        drop(folder, "cut.envelope.yaml", "to: c@example.org\n")
        os.utime(folder.pickup / "cut.eml")
        drop(folder, "empty.eml", MAIL.decode())
        await steps.reach("accepted", 3)
    assert {record.status for record in await all_records(store)} == {JobStatus.QUEUED}


async def test_a_message_that_cannot_go_is_refused(folder: SpoolFolder, store: SqliteStore) -> None:
    async with running(folder, store, max_message=10_000) as steps:
        drop(folder, "bad.eml", "From: a@example.org\nTo: b@example.org\n\n" + "x" * 999)
        await steps.reach("accepted")
        drop(folder, "large.eml", MAIL.decode() + "x\n" * 5_000)
        await steps.reach("accepted", 2)
        drop(folder, "orders.envelope.yaml", "too: b@example.org\nid: 7\n")
        drop(folder, "orders.eml", MAIL.decode())
        await steps.reach("accepted", 3)
    told = {record.claim.name: errors(record) for record in await all_records(store)}
    assert told == {
        "bad": [
            "line 4, column 1: has more than 998 octets (RFC 5322 section 2.1.1); "
            "encode the part as quoted-printable or base64"
        ],
        "large": ["the file has 10,059 octets; allowed are 10,000"],
        "orders": ["line 1, column 1: envelope.too: unknown key; did you mean 'to'?"],
    }
