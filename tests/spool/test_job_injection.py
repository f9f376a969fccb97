"""No value of a job begins a header field, a part or an SMTP command of its own."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from email import message_from_bytes, policy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.message import compose
from asyncnet.smtp.command import Mail, Rcpt, encode
from asyncnet.spool.assemble import Rules, assemble
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.files import AllowedFolders
from asyncnet.spool.job import read_job

# Every text that a job can hold, under a value each.
WHOLE: dict[str, Any] = {
    "id": "id",
    "account": "work",
    "from": {"name": "Ada", "addr": "ada@example.org"},
    "sender": "Office <office@example.org>",
    "reply_to": ["help@example.org", {"name": "Help", "addr": "help2@example.org"}],
    "to": ["Bob <bob@example.org>", {"name": "Eve", "addr": "eve@example.org"}],
    "cc": "carol@example.org",
    "bcc": ["dan@example.org"],
    "envelope_from": "bounces@example.org",
    "subject": "Hello",
    "text": "Dear all,\nhello.\n",
    "html": "<p>Hello <img src='cid:logo'></p>",
    "calendar": {"method": "REQUEST", "path": "a.ics"},
    "inline": {"logo": {"path": "logo.png", "name": "logo.png", "type": "image/png"}},
    "attachments": [
        "a.ics",
        {"path": "logo.png", "name": "l.png", "type": "image/png"},
        {"text": "a,b", "name": "t.csv", "type": "text/csv"},
        {"base64": "AAEC", "name": "raw.bin"},
    ],
    "headers": {"X-Ticket": "A-17", "X-Tag": ["a", "b"]},
    "message_id": "<id-1@example.org>",
    "date": "2026-11-22T10:30:00+08:00",
    "priority": "high",
    "send_at": "2026-11-23T00:00:00Z",
    "expires_at": "2026-11-24T00:00:00Z",
    "on_doubt": "hold",
    "require_tls": "true",
    "meta": {"ticket": "17"},
}
Way = tuple[str | int, ...]  # to one text within the job; "key" at its end: the key itself


def texts(value: Any, way: Way = ()) -> Iterator[Way]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*way, key, "key")
            yield from texts(inner, (*way, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from texts(inner, (*way, place))
    else:
        yield way


WAYS = list(texts(WHOLE))
INJECTED = [
    "\r",
    "\n",
    "\r\n",
    "\0",
    "\x85",
    "\u2028",
    "\u2029",
    "\ud83d",
    "\ude00",
    "\x0b",
    "\x0c",
]
ATTACKS = [
    "{}Bcc: evil@example.org",
    "{}{}injected body",
    "{}--=_",
    ">{}RCPT TO:<evil@example.org>",
    "{}.{}QUIT{}",
    "{} folded",
    "{}",
]


def changed(way: Way, put: Any) -> dict[str, Any]:
    """The whole job with the text at way replaced by put(text)."""
    job = deepcopy(WHOLE)
    *outer, last = way
    if last == "key":
        *outer, last = outer
    at: Any = job
    for step in outer:
        at = at[step]
    if way[-1] == "key":
        at[put(str(last))] = at.pop(last)
    else:
        at[last] = put(at[last])
    return job


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    (folder / "a.ics").write_text("BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n")
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n")
    return folder


def sent(job: dict[str, Any], folder: Path) -> tuple[bytes, list[bytes]] | None:
    """The message and the commands that carry it, None when the job is refused."""
    rules = Rules(
        AllowedFolders((folder,), 10**6),
        {"work": AccountSettings(host="mx.test")},
        False,
        QueueSettings(),
    )
    owner = folder.stat().st_uid
    try:
        read = read_job(json.dumps(job).encode(), "json")
        letter = assemble(read, rules, owner=owner, now=1_800_000_000.0, seed="SEED")
        octets = b"".join(compose(letter.letter).blocks())
        envelope = letter.envelope
        commands = [Mail(envelope.reverse_path), *map(Rcpt, envelope.recipients)]
        return octets, [encode(command, utf8=envelope.smtputf8) for command in commands]
    except (JobRefused, UnsafeText):
        return None


def shape(message: Any) -> Any:
    """The names of its fields and the same of its parts."""
    parts = message.get_payload() if message.is_multipart() else []
    return [name.lower() for name in message.keys()], [shape(part) for part in parts]


def names_of_fields(octets: bytes) -> list[bytes]:
    """Every line of the header that is no continuation, up to its colon."""
    header = octets.partition(b"\r\n\r\n")[0]
    return [line.partition(b":")[0].lower() for line in re.split(rb"[\r\n]+(?![ \t])", header)]


def as_read(octets: bytes) -> Any:
    return shape(message_from_bytes(octets, policy=policy.compat32)), names_of_fields(octets)


@cache
def good(folder: Path) -> tuple[Any, int]:
    """How the whole job is read, and how many commands carry it."""
    outcome = sent(WHOLE, folder)
    assert outcome is not None
    return as_read(outcome[0]), len(outcome[1])


def assert_nothing_new(way: Way, job: dict[str, Any], folder: Path) -> None:
    outcome = sent(job, folder)
    if outcome is None:
        return
    octets, commands = outcome
    assert b"\0" not in octets
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", octets)
    assert (as_read(octets), len(commands)) == good(folder), way
    for command in commands:
        assert re.fullmatch(rb"(MAIL FROM|RCPT TO):<[^<>\r\n\0]*>\r\n", command)
    assert b"evil@example.org" not in b"".join(commands)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: ".".join(map(str, way)))
def test_an_attack_on_a_field_is_refused_or_does_nothing(way: Way, folder: Path) -> None:
    for attack in ATTACKS:
        for injected in INJECTED:
            evil = attack.replace("{}", injected)
            for job in (
                changed(way, lambda text, evil=evil: text + evil),
                changed(way, lambda text, evil=evil: evil + text),
                changed(way, lambda text, evil=evil: text[:2] + evil + text[2:]),
            ):
                assert_nothing_new(way, job, folder)


@given(
    st.sampled_from(WAYS),
    st.text(st.sampled_from([*'\r\n\0\x85\u2028\ud83d :.<>@-="\\;ax']), max_size=12),
    st.integers(0, 30),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_string_put_anywhere_is_refused_or_does_nothing(
    folder: Path, way: Way, evil: str, place: int
) -> None:
    job = changed(way, lambda text: text[:place] + evil + text[place:])
    if way[0] == "headers" and way[-1] == "key":
        # Another name is another field, which the writer of a job may give; how many there
        # are, and that it is one, is what counts.
        outcome = sent(job, folder)
        (_, names), _ = good(folder)
        assert outcome is None or len(names_of_fields(outcome[0])) == len(names)
        return
    assert_nothing_new(way, job, folder)


def test_the_whole_job_is_good(folder: Path) -> None:
    assert sent(WHOLE, folder) is not None
    assert len(WAYS) > 60
