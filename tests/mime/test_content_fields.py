"""What the header of a part says of its content is understood, however it is written."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncnet.mail.letter import Octets, Part
from asyncnet.mime.content_fields import MAX_NAME_CHARACTERS, ContentFields, content_fields
from asyncnet.mime.entity import file_entity


def read(header: str | bytes) -> ContentFields:
    octets = header.encode() if isinstance(header, str) else header
    return content_fields(octets.split(b"\r\n"), "text/plain")


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ("", "text/plain"),
        ("Content-Type: Text/HTML; charset=utf-8", "text/html"),
        ("content-TYPE :\r\n\timage/svg+xml", "image/svg+xml"),
        ("Content-Type: text/html (a comment)", "text/html"),
        ("Content-Type: text", "text/plain"),
        ("Content-Type: text/", "text/plain"),
        ("Content-Type: te xt/html", "text/plain"),
        ("Content-Type: text/html\r\nContent-Type: image/png", "text/html"),
        ("X-Other: a\r\n Content-Type: image/png", "text/plain"),
    ],
)
def test_the_media_type(header: str, media_type: str) -> None:
    assert read(header).media_type == media_type


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Content-Type: a/b; name=x.pdf", "x.pdf"),
        ('Content-Type: a/b; NAME = "a b;c.pdf" ; x=y', "a b;c.pdf"),
        (r'Content-Type: a/b; name="say \"a\\b\""', r'say "a\b"'),
        ('Content-Type: a/b; name="not closed.pdf', "not closed.pdf"),
        ("Content-Disposition: inline; filename=d\r\nContent-Type: a/b; name=t", "d"),
        ("Content-Type: a/b; name==?utf-8?B?5oql5ZGK?=", "报告"),
        ('Content-Type: a/b;\r\n name="=?utf-8?B?5oql?=\r\n =?gb2312?Q?=B8=E6?=.pdf"', "报告.pdf"),
        ('Content-Type: a/b; name="=?x-no-such?Q?a_b?="', "a b"),
        ('Content-Type: a/b; name="=?utf-8?B?A?="', "=?utf-8?B?A?="),
        ("Content-Disposition: x; filename*=utf-8'en'%E6%8A%A5.pdf", "报.pdf"),
        ("Content-Disposition: x; filename*=iso-8859-1''%FC; filename=plain", "ü"),
        ("Content-Disposition: x; filename*1=b; filename*0=a", "ab"),
        ("Content-Disposition: x; filename*0*=utf-8''%E6%8A;\r\n filename*1*=%A5; f*2=c", "报"),
        ("Content-Disposition: x; filename*0=a; filename*2=c", "a"),
        ("Content-Disposition: x; filename*=unicode_escape''%5Cq", "\\q"),
        ("Content-Disposition: x; filename*=iso-8859-12''a", "a"),
        ('Content-Disposition: x; filename="报告.pdf"', "报告.pdf"),
        ("Content-Disposition: x; filename=; name=", None),
    ],
)
def test_the_name(header: str, name: str | None) -> None:
    assert read(header).name == name


def test_the_rest() -> None:
    fields = read(
        'Content-Type: multipart/mixed; boundary="a b  "; method=REQUEST\r\n'
        "Content-Transfer-Encoding:  Quoted-Printable \r\nContent-ID: <logo@x>"
    )
    assert fields == ContentFields(
        "multipart/mixed", "quoted-printable", b"a b", None, "logo@x", "REQUEST"
    )
    # What looks like an encoded word delimits as it stands.
    assert read("Content-Type: a/b; boundary==?utf-8?Q?x?=").boundary == b"=?utf-8?Q?x?="
    assert read(b"Content-Type: a/b; boundary=\xff\xfe").boundary == b"\xff\xfe"
    assert read(b"Content-Type: a/b; name=\xff").name == "\ufffd"


def test_a_name_without_end_is_cut() -> None:
    assert read("Content-Type: a/b; name=" + "x" * 50_000).name == "x" * MAX_NAME_CHARACTERS + "…"


names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60)


@given(names)
@example("=?0?Q??=")
@example("=?utf-8?Q?x?=")
def test_a_name_that_we_wrote_is_read_back(name: str) -> None:
    fields = file_entity(Part(Octets(b""), "text/csv", name), "attachment").fields
    assert read(fields).name == name
    assert read(fields.partition("Content-Disposition")[0]).name == name


JUNK = st.text("Content-Type: a/b; name*0=\"=?utf-8?B?\r\n \t%41'\\é", max_size=300)


@given(st.binary() | JUNK.map(str.encode))
def test_nothing_is_refused(header: bytes) -> None:
    for start in (b"", b"Content-Type: ", b"Content-Disposition: x; filename"):
        fields = read(start + header)
        for text in (fields.media_type, fields.encoding, fields.name, fields.cid, fields.method):
            (text or "").encode()  # nothing that a terminal could not be given
