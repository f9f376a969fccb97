"""The media type: by the name, and where that says nothing, by the content."""

import gzip
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.spool.media_types import OCTETS, media_type_of_content, media_type_of_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.PDF", "application/pdf"),
        ("a.tar.gz", "application/gzip"),
        ("a.jpeg", "image/jpeg"),
        ("mail.eml", OCTETS),
        ("setup.exe", OCTETS),
        ("README", None),
        ("pdf", None),
        ("a.unheard", None),
        ("", None),
    ],
)
def test_the_name_goes_first(name: str, expected: str | None) -> None:
    assert media_type_of_name(name) == expected


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"GIF89a\x01\0", "image/gif"),
        (b"GIF87a\x01\0", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav"),
        (b"12345678WEBP", "text/plain"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\0\0\0\x18ftypavif", "image/avif"),
        (zipped(), "application/zip"),
        (gzip.compress(b"x", mtime=0), "application/gzip"),
        (b"\0" * 257 + b"ustar\0", "application/x-tar"),
        (b"plain words\r\n\twith a tab\n", "text/plain"),
        ("Grüße, 世界".encode(), "text/plain"),
        (b"<html><script>", "text/plain"),
        (b"Gr\xfc\xdfe", OCTETS),
        (b"a\0b", OCTETS),
        (b"\x7fELF\x02\x01", OCTETS),
        (b"", OCTETS),
    ],
)
def test_the_content_is_asked_then(content: bytes, expected: str) -> None:
    assert media_type_of_content(content) == expected


def test_a_character_cut_by_the_end_of_what_is_looked_at_is_text() -> None:
    assert media_type_of_content(b"x" * 4095 + "世".encode()) == "text/plain"


@given(st.binary())
def test_any_content_has_a_type(content: bytes) -> None:
    assert media_type_of_content(content).count("/") == 1
