"""Jobs as people write them: what they say, and every mistake with its place."""

import json
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.address import Mailbox
from asyncnet.mail.envelope import Server
from asyncnet.mail.problem import Problem
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import Job, JobKind, read_job
from asyncnet.spool.job_files import Attachment, FileSource
from asyncnet.spool.job_keys import KEYS

BASE = "from: a@example.org\nto: b@example.org\ntext: x\n"  # three lines; others come fourth


def read(text: str) -> Job:
    return read_job(text.encode(), "yaml")


def judge(octets: bytes, kind: JobKind) -> Job | JobRefused:
    try:
        return read_job(octets, kind)
    except JobRefused as refused:
        return refused


def mistakes(text: str) -> list[str]:
    with pytest.raises(JobRefused) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


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
    chart = FileSource("out/chart.png", "inline.chart.path", 20, 17)
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
    assert job.inline == (
        Attachment(FileSource("logo.png", "inline.logo", 19, 9), cid="logo"),
        Attachment(chart, "c.png", "image/png", "chart"),
    )
    assert job.attachments == (
        Attachment(FileSource("report.pdf", "attachments[0]", 22, 5)),
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
        ("require_tls: false", "require_tls", False),
        ("message_id: <x@y>", "message_id", "<x@y>"),
        ("headers: {In-Reply-To: <x@y>}", "headers", (("In-Reply-To", "<x@y>"),)),
    ],
)
def test_a_value_means_what_the_table_says(line: str, key: str, value: object) -> None:
    assert getattr(read(BASE + line + "\n"), key) == value


def test_attachments_alone_are_enough() -> None:
    job = read("from: a@example.org\nbcc: b@example.org\nattachments: a.pdf\n")
    assert isinstance(job.attachments[0].source, FileSource)


IS_NO_DATE = "is no date with time and offset; "
SERVERS = '; write "smtp.example.org", "192.0.2.1:587" or "[2001:db8::1]:587"'
MISSING_DOMAIN = "is missing the domain; write name@example.org"
NAME_TOO = "is an address with a name, and only the address has a place; write name@example.org"
EXAMPLE_DATE = '"2026-11-22T10:30:00+08:00"'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("subjct: x", "1: subjct: unknown key; did you mean 'subject'?"),
        ("Subject: x", "1: Subject: unknown key; did you mean 'subject'?"),
        ("reply-to: c@example.org", "1: reply-to: unknown key; did you mean 'reply_to'?"),
        ("replyTo: c@example.org", "1: replyTo: unknown key; did you mean 'reply_to'?"),
        ("body: x", "1: body: unknown key; did you mean 'text'?"),
        ("attachment: a", "1: attachment: unknown key; did you mean 'attachments'?"),
        ("zzz: x", "1: zzz: unknown key"),
        ("text: y", "1: text: this key stands on line 3 already; keep one of them"),
        ("<<: {a: b}", "1: <<: merge keys are not used in jobs"),
        ("? [a]\n: x", "3: a key is a word, not a list or mapping"),
        ('"": x', "1: a key is missing before the colon"),
        ("subject: &a x", "10: &a: anchors are not used in jobs; write the value out"),
        ("subject: *a", "10: *a: aliases are not used in jobs; write the value out"),
        (
            "subject: !x y",
            "10: !x: tags are not used in jobs; every value is text; write the value out",
        ),
        ("subject: [a]", "10: subject: is a list; a text is expected"),
        ("subject: {a: b}", "10: subject: is a mapping; a text is expected"),
        (
            'subject: "a\\r\\nBcc: e@example.org"',
            "10: subject: holds the control character U+000D; one line is allowed here",
        ),
        (
            'subject: "a\\0b"',
            "10: subject: holds the control character U+0000; one line is allowed here",
        ),
        (
            'subject: "a\\u2028b"',
            "10: subject: holds the control character U+2028; one line is allowed here",
        ),
        (
            'subject: "a\\Nb"',
            "10: subject: holds the control character U+0085; one line is allowed here",
        ),
        (
            "subject: |\n  one line",
            "10: subject: holds the control character U+000A; "
            'write ">-" or "|-", which drop the last line end',
        ),
        ("id: a b", "5: id: 'a b' is no id; up to 128 of the characters A-Z a-z 0-9 . _ : -"),
        (
            "id: " + "x" * 129,
            f"5: id: '{'x' * 59}…' is no id; up to 128 of the characters A-Z a-z 0-9 . _ : -",
        ),
        ("account: ''", "10: account: nothing is written here"),
        ("server: smtps://mx.test", "9: server: 'smtps://mx.test' is no server" + SERVERS),
        ("server: 2001:db8::1", "9: server: '2001:db8::1' is no server" + SERVERS),
        ("server: '[::1'", "9: server: '[::1' is no server" + SERVERS),
        ("server: '[::1]25'", "9: server: '[::1]25' is no server" + SERVERS),
        ("server: '[1.2.3.4]'", "9: server: '[1.2.3.4]' is no server" + SERVERS),
        ("server: 1.2.3.4.5", "9: server: '1.2.3.4.5' is no server" + SERVERS),
        ("server: a b", "9: server: 'a b' is no server" + SERVERS),
        ("server: u@mx.test", "9: server: 'u@mx.test' is no server" + SERVERS),
        ("server: mx.test:0", "9: server: '0' is no port; a number from 1 to 65535"),
        ("server: mx.test:99999", "9: server: '99999' is no port; a number from 1 to 65535"),
        ("server: mx.test:²", "9: server: '²' is no port; a number from 1 to 65535"),
        (
            "tls: none",
            "6: tls: belongs to server, which is not given; the account says its own tls",
        ),
        ("cc: c", f"5: cc: {MISSING_DOMAIN}"),
        (
            "cc: c@example.org, d@example.org",
            '5: cc: has "," between addresses; give several addresses as a list, one in each item',
        ),
        ("cc: [c@example.org, [d]]", "21: cc[1]: is a list; a text is expected"),
        ("cc: [c@example.org, d]", f"21: cc[1]: {MISSING_DOMAIN}"),
        ("cc: [c@example.org, ]\nbcc: ['']", None),
        ("cc: {name: Carol}", "5: cc: addr is missing"),
        ("cc: {name: C, mail: c}", "15: cc.mail: unknown key; known here: name, addr"),
        ("cc: {addr: C <c@example.org>}", f"5: cc: {NAME_TOO}"),
        (
            'cc: {name: "C\\n", addr: c@example.org}',
            "12: cc.name: holds the control character U+000A; "
            'write ">-" or "|-", which drop the last line end',
        ),
        ("sender: [c@example.org, d@example.org]", "9: sender: is a list; a text is expected"),
        ("envelope_from: C <c@example.org>", f"16: envelope_from: {NAME_TOO}"),
        ("envelope_from: nobody", f"16: envelope_from: {MISSING_DOMAIN}"),
        (
            "text_file: a.txt",
            "12: text_file: text and text_file exclude each other; keep one of them",
        ),
        (
            "html_file: https://example.org/a.html",
            "12: html_file: 'https://example.org/a.html' is a URL; none is ever fetched; "
            "name a file",
        ),
        ("html_file: ''", "12: html_file: nothing is written here"),
        (
            "inline: logo.png",
            "9: inline: is a text; a mapping is expected; such as inline: {logo: logo.png}",
        ),
        (
            "inline: {a b: c.png}",
            "10: inline.a b: is no content id; letters, digits and . _ + = @ -",
        ),
        ("inline: {logo: {name: x.png}}", "16: inline.logo: path is missing"),
        (
            "inline: {logo: {path: x, type: png}}",
            "32: inline.logo.type: 'png' is no media type; "
            'write it like "image/png", without parameters',
        ),
        (
            "attachments: {name: x}",
            "14: attachments: path is missing; give exactly one of path, text, base64",
        ),
        (
            "attachments: [{path: a, text: b}]",
            "15: attachments[0]: path and text exclude each other; "
            "give exactly one of path, text, base64",
        ),
        (
            "attachments: [{text: b}]",
            "15: attachments[0]: name is missing; give it a file name, such as notes.txt",
        ),
        (
            "attachments: [{base64: '%', name: c}]",
            "24: attachments[0].base64: is not base64: Only base64 data is allowed",
        ),
        (
            "attachments: [{path: a, type: multipart/mixed}]",
            "31: attachments[0].type: a file cannot go as multipart/mixed; "
            "use application/octet-stream",
        ),
        (
            "attachments: [{path: a, mime: x}]",
            "25: attachments[0].mime: unknown key; known here: path, text, base64, name, type",
        ),
        (
            'attachments: ["a\\0"]',
            "15: attachments[0]: holds the control character U+0000; one line is allowed here",
        ),
        (
            "headers: x",
            "10: headers: is a text; a mapping is expected; such as headers: {X-Ticket: A-17}",
        ),
        ("headers: {Bcc: x}", "11: headers.Bcc: this field is reserved; use the key bcc"),
        (
            "headers: {content-type: x}",
            "11: headers.content-type: this field is reserved; asyncnet or the servers write it",
        ),
        (
            "headers: {X Y: x}",
            "11: headers.X Y: is no field name; letters, digits and -, at most 76",
        ),
        (
            'headers: {"X\\r\\nBcc": x}',
            "11: headers.X\\u000d\\u000aBcc: is no field name; letters, digits and -, at most 76",
        ),
        (
            'headers: {X-Y: "a\\nb"}',
            "16: headers.X-Y: holds the control character U+000A; one line is allowed here",
        ),
        ("headers: {X-Y: [a, {b: c}]}", "20: headers.X-Y[1]: is a mapping; a text is expected"),
        (
            "headers: {References: [a, b]}",
            "23: headers.References: this field may stand once only; join the values",
        ),
        ("headers: {X-Y: ' '}", "16: headers.X-Y: nothing is written here"),
        (
            "message_id: abc",
            "13: message_id: 'abc' is no message id; write \"<unique@example.org>\"",
        ),
        (
            "message_id: <a@b",
            "13: message_id: '<a@b' is no message id; write \"<unique@example.org>\"",
        ),
        ("date: now", f"7: date: 'now' {IS_NO_DATE}write it like {EXAMPLE_DATE}"),
        (
            "date: 2026-11-22",
            f"7: date: '2026-11-22' {IS_NO_DATE}"
            f'add time and offset: {EXAMPLE_DATE}, or "Z" for UTC',
        ),
        (
            "date: 2026-11-22 10:30:00",
            f"7: date: '2026-11-22 10:30:00' {IS_NO_DATE}"
            f'add time and offset: {EXAMPLE_DATE}, or "Z" for UTC',
        ),
        (
            "date: 2026-13-22T10:30:00Z",
            "7: date: '2026-13-22T10:30:00Z' is no date: month must be in 1..12",
        ),
        ("date: 1066-10-14T09:00:00Z", "7: date: the year 1066 is outside 1970 to 9998"),
        (
            "date: ２０２６-11-22T10:30:00Z",
            f"7: date: '２０２６-11-22T10:30:00Z' {IS_NO_DATE}write it like {EXAMPLE_DATE}",
        ),
        ("priority: urgent", "11: priority: 'urgent' is not known; one of high, normal, low"),
        ("on_doubt: ask", "11: on_doubt: 'ask' is not known; one of retry, hold, fail"),
        ("require_tls: yes", "14: require_tls: 'yes' is not known; one of true, false"),
        ("require_tls: 1", "14: require_tls: '1' is not known; one of true, false"),
        (
            "meta: [x]",
            "7: meta: is a list; a mapping is expected; such as meta: {ticket: A-17}",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(line: str, expected: str | None) -> None:
    if expected is None:
        assert len(mistakes(f"{BASE}{line}\n")) == 1
    else:
        assert mistakes(f"{BASE}{line}\n") == [f"line 4, column {expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("to: b@example.org\ntext: x\n", 'from: is missing; write from: "Name <you@example.org>"'),
        (
            "from: a@example.org\ntext: x\n",
            "to: no recipient is given; write at least one address under to, cc or bcc",
        ),
        (
            "from: a@example.org\nto: []\ntext: x\n",
            "line 2, column 5: to: no recipient is given; "
            "write at least one address under to, cc or bcc",
        ),
        (
            "from: a@example.org\nto: b@example.org\nattachments: []\n",
            "text: there is nothing to send; write text, html or attachments",
        ),
        (
            BASE + "account: a\nserver: b\n",
            "line 5, column 9: server: account and server exclude each other; keep one of them",
        ),
        (
            BASE + "send_at: 2026-11-22T10:30:00Z\nexpires_at: 2026-11-22T11:30:00+01:00\n",
            "line 5, column 13: expires_at: is not after send_at",
        ),
    ],
)
def test_what_no_key_shows_alone_is_found(text: str, expected: str) -> None:
    assert mistakes(text) == [expected]


def test_all_mistakes_are_told_at_once_and_in_order() -> None:
    found = mistakes(
        "form: a@example.org\n"
        "to: [b, c@example.org, d]\n"
        'subject: "a\\nb"\n'
        "attachments:\n"
        "  - {path: a, size: 1}\n"
        "priority: urgent\n"
    )
    assert [line.split(";")[0] for line in found] == [
        "line 1, column 1: form: unknown key",
        "line 2, column 6: to[0]: is missing the domain",
        "line 2, column 24: to[2]: is missing the domain",
        "line 3, column 10: subject: holds the control character U+000A",
        "line 5, column 15: attachments[0].size: unknown key",
        "line 6, column 11: priority: 'urgent' is not known",
        "from: is missing",
    ]


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


def test_a_mistake_in_json_has_its_place_too() -> None:
    with pytest.raises(JobRefused) as caught:
        read_job(b'{"from": "a@example.org",\n "to": ["b"], "text": "x", "cc": [null]}', "json")
    assert [str(problem).split(";")[0] for problem in caught.value.problems] == [
        "line 2, column 9: to[0]: is missing the domain",
        "line 2, column 35: cc[0]: nothing is written here",
    ]


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


MIB = 1 << 20


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"[" * MIB, id="brackets"),
        pytest.param(b"- " * (MIB // 2), id="dashes"),
        pytest.param(b"? " * (MIB // 2), id="complex keys"),
        pytest.param(b"&a " * (MIB // 3), id="anchors"),
        pytest.param(b'text: "' + b"\\n" * (MIB // 2 - 8) + b'"', id="escapes"),
        pytest.param(b"text: |\n" + b" x\n" * (MIB // 3 - 8), id="a long text"),
        pytest.param(b"text: {" + b"b: c, " * (MIB // 6 - 8), id="one key many times"),
        pytest.param(b"".join(b"aaaaaaaaaa%04d: x\n" % n for n in range(4990)), id="unknown keys"),
        pytest.param(b"to: [" + b"a@, " * 9_900 + b"]", id="bad addresses"),
        pytest.param(b"to: '" + b'a@"' * (MIB // 3 - 8) + b"'", id="a long address"),
        pytest.param(b"message_id: " + b"a." * (MIB // 2 - 20) + b"@", id="a long message id"),
        pytest.param(b"date: " + b"1" * (MIB - 20), id="a long date"),
        pytest.param(b"server: " + b"a." * (MIB // 2 - 20), id="a long host"),
        pytest.param(b"\0" * MIB, id="zeros"),
        pytest.param(b"\n" * (MIB - 4) + b"{}", id="empty lines"),
    ],
)
def test_every_file_is_judged_within_a_second(octets: bytes) -> None:
    started = time.process_time()
    assert isinstance(judge(octets, "yaml"), JobRefused)
    assert isinstance(judge(octets, "json"), JobRefused)
    assert time.process_time() - started < 1.0
