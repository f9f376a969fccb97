"""Jobs as people write them: what they say, and every mistake with its place."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.address import Mailbox
from asyncnet.mail.envelope import Server
from asyncnet.mail.problem import Problem
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import Job, JobKind, MistakenJob, read_job
from asyncnet.spool.job_files import Attachment, CalendarSource, FileSource
from asyncnet.spool.job_keys import KEYS

BASE = "from: a@example.org\nto: b@example.org\ntext: x\n"  # three lines; others come fourth


def read(text: str) -> Job:
    return read_job(text.encode(), "yaml")


def judge(octets: bytes, kind: JobKind) -> Job | JobRefused:
    try:
        return read_job(octets, kind)
    except JobRefused as refused:
        return refused


def test_every_key_is_read() -> None:
    job = read("""\
id: invoice-117
server: smtp.example.org:465
tls: implicit
from: Ada <ada@example.org>
sender: office@example.org
reply_to: [help@example.org]
to:
  - Bob <bob@example.org>
  - {name: "Müller, Eva", addr: eva@example.org}
cc: carol@example.org
bcc: [dan@example.org]
envelope_from: bounces@example.org
subject: no
text: |
  Hello,
  Bob
html: <p>Hello</p>
calendar: {method: cancel, path: meeting.ics}
inline:
  logo: logo.png
  chart: {path: out/chart.png, name: c.png, type: image/png}
attachments:
  - report.pdf
  - {text: "a,b", name: t.csv, type: text/csv}
  - {base64: "AAEC", name: raw.bin}
headers:
  X-Ticket: 17
  X-Tag: [a, b]
message_id: id-1@example.org
date: 2026-11-22T10:30:00+08:00
priority: high
send_at: 2026-11-23t00:00:00z
expires_at: 2026-11-24 00:00:00.5Z
on_doubt: hold
require_tls: true
meta: {ticket: 17, deep: {list: [no, ~]}}
""")
    chart = FileSource("out/chart.png", "inline.chart.path", 21, 17)
    east = timezone(timedelta(hours=8))
    assert job.id == "invoice-117"
    assert job.server == Server("smtp.example.org", 465, "implicit")
    assert job.from_ == Mailbox("Ada", "ada", "example.org")
    assert job.sender == Mailbox("", "office", "example.org")
    assert job.reply_to == (Mailbox("", "help", "example.org"),)
    assert job.to == (
        Mailbox("Bob", "bob", "example.org"),
        Mailbox("Müller, Eva", "eva", "example.org"),
    )
    assert [m.local for m in (*job.cc, *job.bcc)] == ["carol", "dan"]
    assert job.envelope_from == "bounces@example.org"
    assert (job.subject, job.text, job.html) == ("no", "Hello,\nBob\n", "<p>Hello</p>")
    ics = FileSource("meeting.ics", "calendar.path", 18, 34)
    assert job.calendar == CalendarSource("CANCEL", ics)
    assert job.inline == (
        Attachment(FileSource("logo.png", "inline.logo", 20, 9), cid="logo"),
        Attachment(chart, "c.png", "image/png", "chart"),
    )
    assert job.attachments == (
        Attachment(FileSource("report.pdf", "attachments[0]", 23, 5)),
        Attachment(b"a,b", "t.csv", "text/csv"),
        Attachment(b"\0\1\2", "raw.bin"),
    )
    assert job.headers == (("X-Ticket", "17"), ("X-Tag", "a"), ("X-Tag", "b"))
    assert job.message_id == "<id-1@example.org>"
    assert job.date == datetime(2026, 11, 22, 10, 30, tzinfo=east)
    assert job.date.utcoffset() == timedelta(hours=8)
    assert job.send_at == datetime(2026, 11, 23, tzinfo=timezone.utc)  # noqa: UP017
    assert job.expires_at is not None
    assert job.expires_at.microsecond == 500_000
    assert (job.priority, job.on_doubt, job.require_tls) == (0, "hold", True)
    assert job.meta == {"ticket": "17", "deep": {"list": ["no", "~"]}}
    assert job.places["subject"] == (13, 10)


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("subject: yes", "subject", "yes"),
        ("subject: 0x1F", "subject", "0x1F"),
        ("subject: 2026-01-01", "subject", "2026-01-01"),
        ("subject: ~", "subject", "~"),
        ("subject: null", "subject", "null"),
        ("subject:", "subject", None),
        ('subject: ""', "subject", ""),
        ("subject: 新年快乐 🎉", "subject", "新年快乐 🎉"),
        ("subject: >-\n  one\n  line", "subject", "one line"),
        ('envelope_from: ""', "envelope_from", ""),
        ("envelope_from:", "envelope_from", None),
        ("cc:", "cc", ()),
        ("server: 192.0.2.1", "server", Server("192.0.2.1", 587, "starttls")),
        ('server: "[::1]:2525"', "server", Server("::1", 2525, "starttls")),
        ("server: mx.test:465", "server", Server("mx.test", 465, "implicit")),
        ("server: mx.test\ntls: none", "server", Server("mx.test", 25, "none")),
        ("server: mx.test\ntls: implicit", "server", Server("mx.test", 465, "implicit")),
        ("priority: low", "priority", 2),
        ('meta: {"<<": x}', "meta", {"<<": "x"}),
        ("message_id: " + "a" * 125 + "@" + "b" * 124, "message_id", f"<{'a' * 125}@{'b' * 124}>"),
        ("server: mx.test:65535", "server", Server("mx.test", 65535, "starttls")),
        ("require_tls: false", "require_tls", False),
        ("require_tls: True", "require_tls", True),
        ("message_id: <x@y>", "message_id", "<x@y>"),
        ("headers: {In-Reply-To: <x@y>}", "headers", (("In-Reply-To", "<x@y>"),)),
    ],
)
def test_a_value_means_what_the_table_says(line: str, key: str, value: object) -> None:
    assert getattr(read(BASE + line + "\n"), key) == value


def test_a_calendar_alone_is_enough_and_asks_unless_told_otherwise() -> None:
    job = read("from: a@example.org\nto: b@example.org\ncalendar: a.ics\n")
    assert job.calendar == CalendarSource("REQUEST", FileSource("a.ics", "calendar", 3, 11))


def test_attachments_alone_are_enough() -> None:
    job = read("from: a@example.org\nbcc: b@example.org\nattachments: a.pdf\n")
    assert isinstance(job.attachments[0].source, FileSource)


def test_the_good_rest_of_a_mistaken_job_can_be_judged_too() -> None:
    with pytest.raises(MistakenJob) as caught:
        read(
            "from: nobody\nto: [b@example.org, c]\npriority: urgent\n"
            "attachments: [a.pdf, {path: b.pdf, size: 1}]\n"
        )
    rest = caught.value.rest
    assert rest.to == (Mailbox("", "b", "example.org"),)
    assert rest.attachments == (Attachment(FileSource("a.pdf", "attachments[0]", 4, 15)),)
    assert rest.from_.domain.endswith(".invalid")
    more = Problem("attachments[0]", "there is no such file", None, 4, 15)
    told = caught.value.with_more([more]).problems
    assert [problem.line for problem in told] == [1, 2, 3, 4, 4]
    assert told[3] == more


def test_a_file_of_nothing_but_mistakes_is_told_in_bounds() -> None:
    with pytest.raises(JobRefused) as caught:
        read("".join(f"key{number}: x\n" for number in range(4_000)))
    assert len(caught.value.problems) == 1_001
    assert caught.value.problems[-1] == Problem("", "and 3,003 more mistakes")


def test_json_says_the_same_as_yaml() -> None:
    job = read_job(
        b'{"from": "a@example.org", "to": ["b@example.org"], "text": "\\ud83d\\ude00",\n'
        b' "subject": 42, "cc": null, "require_tls": true,'
        b' "meta": {"n": 5, "f": 0.5, "t": true, "z": null, "big": 1e999}}',
        "json",
    )
    assert (job.text, job.subject, job.cc, job.require_tls) == ("😀", "42", (), True)
    assert job.meta == {"n": 5, "f": 0.5, "t": True, "z": None, "big": "1e999"}


@given(st.binary(max_size=400), st.sampled_from(["yaml", "json"]))
def test_any_octets_are_a_job_or_refused(octets: bytes, kind: JobKind) -> None:
    outcome = judge(octets, kind)
    assert isinstance(outcome, Job) or outcome.problems


KEY_VALUES = st.recursive(
    st.text(max_size=20)
    | st.sampled_from(
        ["a@example.org", "2026-11-22T10:30:00Z", "true", "high", "x/y", "", "[::1]"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["path", "name", "addr", "text", "base64", "type"])
            | st.text(max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(KEYS)), KEY_VALUES, max_size=8))
def test_any_value_under_any_key_is_judged_and_nothing_breaks_a_header(
    document: dict[str, Any],
) -> None:
    octets = json.dumps({"from": "a@example.org", "to": "b@example.org", **document}).encode()
    job = judge(octets, "json")
    if isinstance(job, JobRefused):
        assert all(problem.line or problem.field for problem in job.problems)
        return
    reaching = [job.subject, job.message_id, job.id, job.account, job.envelope_from]
    reaching += [text for field in job.headers for text in field]
    reaching += [entry.name for entry in (*job.attachments, *job.inline)]
    reaching += [mailbox.name for mailbox in (job.from_, *job.to, *job.cc, *job.bcc)]
    for text in reaching:
        assert not set(text or "") & set("\r\n\0\x85\u2028\u2029")
