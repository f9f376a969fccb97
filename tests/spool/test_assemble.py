"""A job becomes a letter with its envelope and its way."""

import json
import os
import re
import tracemalloc
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.mail.envelope import Envelope, Route, Server
from asyncnet.mail.letter import Calendar, ContentError, Letter, whole_text
from asyncnet.mime.message import compose
from asyncnet.spool.assemble import Assembled, FilesMissing, Rules, assemble
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.files import AllowedFolders
from asyncnet.spool.job import read_job

NOW = 1_795_343_400.75
SEED = "01KE7Y0000ABCDEF"
ACCOUNTS = {
    "work": AccountSettings(host="smtp.example.org", senders=("*@example.org",)),
    "home": AccountSettings(host="smtp.example.com", default=True),
}


def rules(folder: Path, **changes: object) -> Rules:
    folders = AllowedFolders((folder,), 1_000_000)
    known = {"accounts": ACCOUNTS, "allow_server": True, "queue": QueueSettings(), **changes}
    return Rules(folders=folders, **known)  # type: ignore[arg-type]


def make(folder: Path, text: str, **changes: object) -> Assembled:
    job = read_job(("from: Ada <ada@example.org>\n" + text).encode(), "yaml")
    return assemble(job, rules(folder, **changes), owner=os.getuid(), now=NOW, seed=SEED)


def refusals(folder: Path, text: str, **changes: object) -> list[str]:
    with pytest.raises(JobRefused) as caught:
        make(folder, text, **changes)
    return [str(problem) for problem in caught.value.problems]


def as_read(letter: Letter) -> EmailMessage:
    message = message_from_bytes(b"".join(compose(letter).blocks()), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_dates_and_ids_are_made_once_from_what_is_given(tmp_path: Path) -> None:
    made = make(tmp_path, "to: b@example.org\ntext: x\n")
    assert made == make(tmp_path, "to: b@example.org\ntext: x\n")
    assert made.letter.message_id == f"<{SEED}@example.org>"
    assert made.letter.date == datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    assert (made.due_at, made.expires_at) == (NOW, NOW + 172_800)
    assert (made.job_id, made.priority, made.on_doubt, made.warnings) == (None, 1, "retry", ())


def test_what_the_job_says_goes_before(tmp_path: Path) -> None:
    made = make(
        tmp_path,
        "to: b@example.org\ntext: x\nid: a1\npriority: low\non_doubt: fail\nmeta: {t: 1}\n"
        "message_id: <m@x>\ndate: 2026-01-01T00:00:00Z\n"
        "send_at: 2026-11-22T10:31:00Z\nexpires_at: 2026-11-22T10:32:00Z\n",
    )
    assert (made.letter.message_id, made.letter.date.year) == ("<m@x>", 2026)
    assert (made.due_at, made.expires_at) == (1_795_343_460.0, 1_795_343_520.0)
    assert (made.job_id, made.priority, made.on_doubt) == ("a1", 2, "fail")
    assert made.meta == {"t": "1"}


@pytest.mark.parametrize(
    ("moment", "warnings"),
    [("10:30:00", ("expires_at is over: it is sent to nobody",)), ("10:30:01", ())],
)
def test_a_time_that_is_over_is_told(tmp_path: Path, moment: str, warnings: object) -> None:
    job = f"to: b@example.org\ntext: x\nexpires_at: 2026-11-22T{moment}Z\n"
    assert make(tmp_path, job).warnings == warnings


def test_send_at_in_the_past_means_now(tmp_path: Path) -> None:
    made = make(tmp_path, "to: b@example.org\ntext: x\nsend_at: 2026-01-01T00:00:00Z\n")
    assert made.due_at == NOW


def test_an_address_named_twice_gets_one_copy(tmp_path: Path) -> None:
    made = make(
        tmp_path,
        "to: [Bob <bob@example.org>, BOB@example.org, bob@EXAMPLE.org]\n"
        "cc: bob@example.org\nbcc: [eve@example.org, eve@example.org]\ntext: x\n",
    )
    assert made.envelope == Envelope(
        "ada@example.org", ("bob@example.org", "BOB@example.org", "eve@example.org")
    )
    assert len(made.letter.to) == 3  # the header stays as it was written


@pytest.mark.parametrize(
    ("line", "envelope"),
    [
        ('envelope_from: ""', Envelope("", ("b@example.org",))),
        ("envelope_from: c@d.test", Envelope("c@d.test", ("b@example.org",))),
        ("require_tls: true", Envelope("ada@example.org", ("b@example.org",), require_tls=True)),
        ("reply_to: ü@d.test", Envelope("ada@example.org", ("b@example.org",), smtputf8=True)),
        (
            "cc: é@bücher.example",
            Envelope("ada@example.org", ("b@example.org", "é@xn--bcher-kva.example"), True),
        ),
    ],
)
def test_the_envelope(tmp_path: Path, line: str, envelope: Envelope) -> None:
    assert make(tmp_path, f"to: b@example.org\ntext: x\n{line}\n").envelope == envelope


@pytest.mark.parametrize(
    ("line", "route"),
    [
        ("", Route(account="work")),
        ("account: home", Route(account="home")),
        ("server: mx.test:25", Route(server=Server("mx.test", 25, "starttls"))),
    ],
)
def test_the_way(tmp_path: Path, line: str, route: Route) -> None:
    assert make(tmp_path, f"to: b@example.org\ntext: x\n{line}\n").route == route


def test_a_way_that_is_not_there_is_refused(tmp_path: Path) -> None:
    base = "to: b@example.org\ntext: x\n"
    assert refusals(tmp_path, base + "account: wrok\n") == [
        "line 4, column 10: account: there is no account 'wrok'; did you mean 'work'?"
    ]
    assert refusals(tmp_path, base + "account: xyz\n") == [
        "line 4, column 10: account: there is no account 'xyz'; known are: work, home"
    ]
    assert refusals(tmp_path, base, accounts={}) == [
        "account: no account is configured; add [account.NAME]"
    ]
    assert refusals(tmp_path, base + "server: mx.test\n", allow_server=False) == [
        "line 4, column 9: server: jobs may not name a server here; [spool] allow_server = true"
    ]


def test_bodies_and_attachments_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes("\ufeffHallo Grüße\n".encode())
    (tmp_path / "h.html").write_text("<p>Grüße</p>")
    (tmp_path / "报告.pdf").write_bytes(bytes(range(256)) * 300)
    made = make(
        tmp_path,
        "to: b@example.org\ntext_file: t.txt\nhtml_file: h.html\nattachments:\n- 报告.pdf\n"
        "- {path: t.txt, name: ../x/y.bin, type: application/x-y}\n"
        "- {text: a, name: a.csv}\n- {base64: AAEC, name: b}\n",
    )
    message = as_read(made.letter)
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content() == "Hallo Grüße\r\n"
    assert html.get_content().strip() == "<p>Grüße</p>"
    found = [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in message.iter_attachments()
    ]
    assert found == [
        ("报告.pdf", "application/pdf", bytes(range(256)) * 300),
        ("y.bin", "application/x-y", (tmp_path / "t.txt").read_bytes()),
        ("a.csv", "text/csv", b"a"),
        ("b", "application/octet-stream", b"\0\1\2"),
    ]


def test_a_local_image_is_embedded_by_itself(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "logo.png").write_bytes(b"\x89PNG")
    (tmp_path / "web" / "page.html").write_text("<img src='logo.png'><img src='logo.png'>")
    made = make(tmp_path, "to: b@example.org\nhtml_file: web/page.html\n")
    (part,) = made.letter.inline
    assert (part.name, part.media_type, part.cid) == ("logo.png", "image/png", f"image1.{SEED}")
    assert made.letter.html == f"<img src='cid:{part.cid}'><img src='cid:{part.cid}'>"
    assert made.warnings == ()


def test_an_image_that_inline_names_too_goes_once(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"\x89PNG")
    made = make(tmp_path, "to: b@example.org\nhtml: <img src=logo.png>\ninline: {logo: logo.png}\n")
    assert [part.cid for part in made.letter.inline] == ["logo"]
    assert made.letter.html == "<img src=cid:logo>"


def test_what_the_reader_will_not_see_earns_a_warning(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"\x89PNG")
    made = make(
        tmp_path,
        "to: b@example.org\ninline: {logo: logo.png}\n"
        "html: <img src=https://e.test/x.png><img src=cid:lgo><img src=file:///x>\n",
    )
    assert made.warnings == (
        "html: most providers do not show external images: https://e.test/x.png; "
        "put the file beside the job and name it instead",
        "html: an image that nobody else can open: file:///x",
        "html: cid:lgo is shown, but inline does not define it",
        "inline.logo: html does not show it",
    )
    made = make(tmp_path, "to: b@example.org\ninline: {logo: logo.png}\ntext: x\n")
    assert made.warnings == ("inline: there is no html that could show these images",)


def test_every_file_that_cannot_go_along_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"\xe4")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "big").write_bytes(b"x" * 1_000_001)
    assert refusals(
        tmp_path,
        "to: b@example.org\ntext_file: latin.txt\nhtml: <img src='no.png'>\n"
        "inline: {logo: link}\nattachments:\n  - ../x\n  - {path: big}\n  - /etc/passwd\n",
    ) == [
        "line 3, column 12: text_file: octet 0xE4 on line 1 of the file is not UTF-8; "
        "save it as UTF-8",
        f"line 4, column 7: html: 'no.png': there is no such file; searched in {tmp_path}",
        "line 5, column 16: inline.logo: 'link': this is a symbolic link, and none is followed; "
        "name the file",
        "line 7, column 5: attachments[0]: '../x': a path must not hold ..; "
        "name the file from its folder on",
        "line 8, column 12: attachments[1].path: 'big': the file has 1,000,001 octets; "
        "allowed are 1,000,000",
        "line 9, column 5: attachments[2]: '/etc/passwd': "
        "the file lies outside the allowed folders; "
        "add its folder to attachment_roots, or put it beside the job",
    ]


def test_missing_files_alone_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FilesMissing):
        make(tmp_path, "to: b@example.org\nattachments: [a, b]\n")
    with pytest.raises(JobRefused) as caught:
        make(tmp_path, "to: b@example.org\nattachments: [a, ../b]\n")
    assert not isinstance(caught.value, FilesMissing)


TEXTS = st.text(max_size=40) | st.sampled_from(
    ["=?utf-8?q?x?=", "a\r\n.b", " ", "\ufeff", "\x1b[0m"]
)
NAMED = st.fixed_dictionaries({"text": TEXTS, "name": TEXTS}, optional={"type": TEXTS})
ADDRESSES = st.fixed_dictionaries(
    {"name": TEXTS, "addr": st.sampled_from(["b@example.org", "é@bücher.example", '"a b"@[::1]'])}
)


@given(
    st.fixed_dictionaries(
        {"from": ADDRESSES, "to": st.lists(ADDRESSES, max_size=3)},
        optional={
            **dict.fromkeys(["subject", "text", "html", "id", "message_id", "account"], TEXTS),
            "cc": ADDRESSES,
            "reply_to": ADDRESSES,
            "sender": ADDRESSES,
            "attachments": st.lists(NAMED, max_size=2),
            "headers": st.dictionaries(TEXTS | st.just("X-A"), TEXTS, max_size=2),
            "date": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
        },
    )
)
def test_whatever_is_read_can_be_composed(document: dict[str, object]) -> None:
    try:
        job = read_job(json.dumps(document).encode(), "json")
        made = assemble(job, rules(Path("/nowhere")), owner=0, now=NOW, seed=SEED)
    except JobRefused:
        return
    message = compose(made.letter)
    octets = b"".join(message.blocks())
    assert len(octets) == message.octets
    assert made.envelope.smtputf8 or octets.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\n\.", octets)
    assert max(map(len, octets.split(b"\r\n"))) <= 998


PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


def test_the_type_comes_from_the_name_else_from_the_content(tmp_path: Path) -> None:
    (tmp_path / "scan").write_bytes(b"%PDF-1.7\n")
    (tmp_path / "photo.jpg").write_bytes(PNG)
    (tmp_path / "empty").write_bytes(b"")
    made = make(
        tmp_path,
        "to: b@example.org\nattachments: [scan, photo.jpg, empty, {path: scan, type: a/b},"
        " {text: hello, name: notes}]\n",
    )
    assert [(part.name, part.media_type) for part in made.letter.attachments] == [
        ("scan", "application/pdf"),
        ("photo.jpg", "image/jpeg"),
        ("empty", "application/octet-stream"),
        ("scan", "a/b"),
        ("notes", "text/plain"),
    ]
    assert made.warnings == ()


def test_a_name_made_safe_is_told(tmp_path: Path) -> None:
    name = "cod\u202efdp.exe"
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "nul.txt").write_bytes(b"x")
    made = make(
        tmp_path,
        f'to: b@example.org\nattachments: ["{name}", nul.txt, {{text: x, name: ../a/b.txt}}]\n',
    )
    assert [part.name for part in made.letter.attachments] == ["codfdp.exe", "_nul.txt", "b.txt"]
    assert made.warnings == (
        "the file name 'cod\\\\u202efdp.exe' was not safe: 'codfdp.exe'",
        "the file name 'nul.txt' was not safe: '_nul.txt'",
        "the file name '../a/b.txt' was not safe: 'b.txt'",
    )


def test_images_of_css_are_embedded(tmp_path: Path) -> None:
    (tmp_path / "bg").write_bytes(PNG)
    made = make(
        tmp_path,
        "to: b@example.org\nhtml: \"<style>p{background:url(bg)}</style><p style='x:url(bg)'>\"\n",
    )
    (image,) = made.letter.inline
    assert image.media_type == "image/png"
    assert isinstance(made.letter.html, str)
    assert made.letter.html.count(f"url(cid:{image.cid})") == 2
    assert made.warnings == ()


@pytest.mark.parametrize(
    ("file", "warnings"),
    [
        ("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n", ()),
        ("BEGIN:VCALENDAR\nmethod:request \nEND:VCALENDAR\n", ()),
        (
            "BEGIN:VCALENDAR\nMETHOD:CANCEL\nEND:VCALENDAR\n",
            ("calendar: the file says METHOD:CANCEL, the job REQUEST",),
        ),
        (
            "BEGIN:VCALENDAR\nX-METHOD:REQUEST\n METHOD:REQUEST\nEND:VCALENDAR\n",
            ("calendar: the file has no METHOD; programs expect REQUEST",),
        ),
    ],
)
def test_a_calendar_comes_from_its_file(
    tmp_path: Path, file: str, warnings: tuple[str, ...]
) -> None:
    (tmp_path / "meeting.ics").write_bytes(file.encode())
    made = make(
        tmp_path,
        "to: b@example.org\ntext: x\ncalendar: {method: REQUEST, path: meeting.ics}\n",
    )
    assert made.letter.calendar == Calendar("REQUEST", file)
    assert made.warnings == warnings


def test_long_bodies_arrive_and_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(PNG)
    text = "Die Prüfung läuft täglich; schöne Grüße.\r\n" * 20_000
    html = "<p class='x'>Grüße <img src='logo.png'></p>\n" * 900
    html += f"<img src='data:image/png;base64,{'iVBORw0KGgo+/0' * 60_000}'>\n"
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "h.html").write_bytes(html.encode())
    tracemalloc.start()
    try:
        made = make(tmp_path, "to: b@example.org\ntext_file: t.txt\nhtml_file: h.html\n")
        message = compose(made.letter)
        octets = sum(map(len, message.blocks()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert octets == message.octets
    assert peak < 900_000
    plain, rich = (as_read(made.letter).get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert rich is not None
    (image,) = made.letter.inline
    assert plain.get_content() == text
    expected = html.replace("logo.png", f"cid:{image.cid}").replace("\n", "\r\n")
    assert rich.get_content() == expected
    assert made.warnings == ()


@pytest.mark.parametrize("key", ["text_file", "html_file"])
def test_a_long_body_that_changes_later_is_no_content(tmp_path: Path, key: str) -> None:
    (tmp_path / "long").write_bytes(b"Plain text.\n" * 9_000)
    made = make(tmp_path, f"to: b@example.org\n{key}: long\n")
    message = compose(made.letter)
    (tmp_path / "long").write_bytes(b"Other text.\n" * 9_001)
    with pytest.raises(ContentError, match="long: the file changed"):
        list(message.blocks())
    with pytest.raises(ContentError, match="long: the file changed"):
        compose(made.letter)


def test_a_long_body_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * 99_999 + b"\n\xb5")
    assert refusals(tmp_path, "to: b@example.org\nhtml_file: long\n") == [
        "line 3, column 12: html_file: octet 0xB5 on line 2 of the file is not UTF-8; "
        "save it as UTF-8"
    ]


def test_a_long_html_shows_what_a_short_one_does(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(PNG)
    page = "<img src=https://e.test/x.png><img src=cid:lgo><img src=file:///x><img src=no.png>"
    (tmp_path / "short.html").write_text(page)
    (tmp_path / "long.html").write_text(page + "<p>ü</p>" * 20_000)
    for name in ("short.html", "long.html"):
        (problem,) = refusals(tmp_path, f"to: b@example.org\nhtml_file: {name}\n")
        assert "'no.png': there is no such file" in problem
        (tmp_path / "no.png").write_bytes(PNG)
        made = make(tmp_path, f"to: b@example.org\nhtml_file: {name}\ninline: {{a: logo.png}}\n")
        assert [warning.partition(":")[0] for warning in made.warnings] == [
            *("html", "html", "html", "inline.a")
        ]
        assert [part.name for part in made.letter.inline] == ["logo.png", "no.png"]
        (tmp_path / "no.png").unlink()


def test_images_in_too_many_places_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(PNG)
    (tmp_path / "page.html").write_text("<img src=a>" * 10_001)
    for body in ("html_file: page.html", 'html: "' + "<img src=a>" * 10_001 + '"'):
        (problem,) = refusals(tmp_path, f"to: b@example.org\n{body}\n")
        assert "shows local images in more than 10,000 places; attach it" in problem


def test_a_long_calendar_is_judged_by_its_beginning(tmp_path: Path) -> None:
    calendar = "BEGIN:VCALENDAR\r\nMETHOD:CANCEL\r\n" + "X-A:b\r\n" * 20_000
    (tmp_path / "long.ics").write_bytes(calendar.encode())
    made = make(tmp_path, "to: b@example.org\ncalendar: long.ics\n")
    assert made.warnings == ("calendar: the file says METHOD:CANCEL, the job REQUEST",)
    assert made.letter.calendar is not None
    assert whole_text(made.letter.calendar.text) == calendar


def test_a_calendar_that_cannot_go_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.ics").write_bytes(b"\xff")
    (problem,) = refusals(tmp_path, "to: b@example.org\ncalendar: bad.ics\n")
    assert problem.startswith("line 3, column 11: calendar: octet 0xFF on line 1")
