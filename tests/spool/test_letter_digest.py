"""Two jobs have one digest exactly when they say the same letter."""

import pytest

from asyncnet.spool.job import Job, JobKind, read_job
from asyncnet.spool.letter_digest import LETTER_KEYS, digest_of_job, digest_of_octets

WHO = "from: a@example.org\nto: b@example.org\n"


def digest(text: str, kind: JobKind = "yaml") -> str:
    return digest_of_job(read_job(text.encode(), kind))


CHANGES = {
    "from_": ("text: x", "text: x\nfrom: A <a@example.org>"),
    "sender": ("sender: c@example.org", "sender: d@example.org"),
    "reply_to": ("reply_to: c@example.org", "reply_to: [c@example.org, d@example.org]"),
    "subject": ("subject: x", "subject: y"),
    "text": ("text: x", "text: y"),
    "text_file": ("text_file: x", "text_file: y"),
    "html": ("html: x", "html: y"),
    "html_file": ("html_file: x", "html_file: y"),
    "calendar": ("calendar: x", "calendar: {method: cancel, path: x}"),
    "inline": ("inline: {a: x}", "inline: {b: x}"),
    "attachments": ("attachments: x", "attachments: {path: x, name: y}"),
    "headers": ("headers: {X-A: x}", "headers: {X-A: y}"),
    "message_id": ("message_id: <x@y>", "message_id: <y@y>"),
    "date": ("date: 2026-11-22T10:30:00Z", "date: 2026-11-22T10:30:01Z"),
}


def job_with(line: str) -> str:
    who = "to: b@example.org\n" if "from:" in line else WHO
    bodies = ("text", "html", "calendar", "attachments")
    return who + line + ("\n" if line.startswith(bodies) else "\ntext: z\n")


def test_every_part_of_a_letter_is_tried() -> None:
    assert set(CHANGES) == set(LETTER_KEYS) <= {*Job.__dataclass_fields__}


@pytest.mark.parametrize("key", CHANGES)
def test_each_part_of_a_letter_counts(key: str) -> None:
    before, after = (digest(job_with(line)) for line in CHANGES[key])
    assert before != after
    assert before == digest(job_with(CHANGES[key][0]))


@pytest.mark.parametrize(
    "line",
    [
        *("cc: c@example.org", "bcc: c@example.org", "id: x", "account: x", "priority: low"),
        *("envelope_from: ''", "server: mx.test", "send_at: 2026-11-22T10:30:00Z", "meta: {a: b}"),
        *("expires_at: 2026-11-22T10:30:00Z", "on_doubt: hold", "require_tls: true", "# a note"),
        *("subject:", "attachments:"),
    ],
)
def test_who_gets_it_how_and_when_does_not(line: str) -> None:
    assert digest(WHO + f"text: x\n{line}\n") == digest(WHO + "text: x\n")


def test_it_does_not_matter_how_the_job_is_written() -> None:
    yaml = "text: |\n  x\nto: other@example.org\nfrom: a@example.org\nattachments:\n- a.pdf\n"
    json = '{"from": "a@example.org", "to": "b@c.test", "text": "x\\n", "attachments": ["a.pdf"]}'
    assert digest(yaml) == digest(json, "json")


def test_it_is_the_same_in_every_version() -> None:
    assert digest(WHO + "text: x\n") == (
        "4bdcf7100e536f8202ad09ed555f59dd54bfeee64b89f9442420670ffcc3df34"
    )


def test_a_ready_message_is_its_octets_however_they_are_cut() -> None:
    assert digest_of_octets([b"ab", b"", b"c"]) == digest_of_octets([b"abc"])
