"""Messages read back: the promises that every message keeps, and the standard library's view."""

import email.utils
import re
from collections.abc import Iterable
from email import message_from_bytes
from email.header import decode_header
from email.message import EmailMessage
from email.policy import default
from typing import cast

# Where it can be strict it is, and then takes no address at a domain literal.
_NOT_STRICT = {"strict": False} if hasattr(email.utils, "supports_strict_parsing") else {}
_LINE_END = re.compile(rb"\r\n|\r|\n")


def assert_fit_to_send(octets: bytes, *, ascii_only: bool = True) -> None:
    """CRLF only, 7-bit, no NUL, lines of at most 998, none that begins with "." or "From "."""
    assert set(_LINE_END.findall(octets)) <= {b"\r\n"}
    assert octets.endswith(b"\r\n")
    assert b"\0" not in octets
    assert octets.isascii() or not ascii_only
    for line in octets.split(b"\r\n"):
        assert len(line) <= 998
        assert not line.startswith((b".", b"From "))


def assert_lines_are_short(message: EmailMessage) -> None:
    """Header lines of at most 78, or of one word; 76 where anything is encoded, and as bytes.

    Every encoded word stands for whole characters (RFC 2047 section 5).
    """
    for part in message.walk():
        for name, body in part.raw_items():
            for line in re.split("\r?\n", f"{name}: {body}"):
                assert len(line) <= 76 or "=?" not in line, line
                assert len(line) <= 78 or len(line.split()) <= 2, line
                for word in re.findall(r"=\?utf-8\?[bq]\?[^?]*\?=", line):
                    decoded(word)
        if part.get("content-transfer-encoding") in ("quoted-printable", "base64"):
            assert max(map(len, re.split("\r?\n", str(part.get_payload())))) <= 76


def header_of(octets: bytes) -> bytes:
    return octets[: octets.index(b"\r\n\r\n") + 2]


def fields_of(octets: bytes) -> list[tuple[str, str]]:
    """Names and unfolded bodies, by a reader of three lines."""
    unfolded = header_of(octets).decode().replace("\r\n ", " ").removesuffix("\r\n")
    pairs = (line.split(":", 1) for line in unfolded.split("\r\n"))
    return [(name, body.removeprefix(" ")) for name, body in pairs]


def decoded(body: str) -> str:
    """The text of an unstructured field, encoded words decoded, every blank kept.

    email's newer reader makes one blank of many, so the older one is the judge here.
    """
    return "".join(
        piece if isinstance(piece, str) else piece.decode(charset or "ascii")
        for piece, charset in decode_header(body)
    )


def mailboxes_in(body: str) -> list[tuple[str, str]]:
    """Names and addresses of an address list.

    By the older reader: the newer one puts a blank between the encoded words of a name.
    """
    found = email.utils.getaddresses([body], **_NOT_STRICT)
    return [(decoded(name), address) for name, address in found]


def read(octets: bytes) -> EmailMessage:
    """As the standard library reads it; a defect anywhere in the structure fails."""
    message = message_from_bytes(octets, policy=default)
    for part in message.walk():
        assert not part.defects
    return message


def tree(message: EmailMessage) -> str:
    """The structure on one line: "mixed(text/plain image/png)"."""
    if not message.is_multipart():
        return message.get_content_type()
    parts = cast(Iterable[EmailMessage], message.iter_parts())
    return f"{message.get_content_subtype()}({' '.join(map(tree, parts))})"


def octets_of(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def text_of(part: EmailMessage) -> str:
    """A text body with LF line ends."""
    return octets_of(part).decode().replace("\r\n", "\n")
