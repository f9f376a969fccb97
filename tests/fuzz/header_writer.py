"""Fuzzes the header writer: any value is written safely and read back, or UnsafeText.

The first octet of an input chooses the place, the rest is the value.
"""

from collections.abc import Callable
from dataclasses import replace

from asyncnet.mail.address import AddressError, Mailbox
from asyncnet.mail.letter import Calendar, Letter, Octets, Part
from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.message import compose
from tests.fuzz import engine
from tests.mime.hard_letters import HTML, PDF, PLAIN, PNG
from tests.mime.hard_values import DISPLAY_NAMES, FILE_NAMES, SUBJECTS
from tests.mime.readers import by_email
from tests.mime.reading import assert_fit_to_send
from tests.mime.said import differences, structure_said

PLACES: list[Callable[[str], Letter]] = [
    lambda text: PLAIN._replace(subject=text),
    lambda text: PLAIN._replace(headers=(("X-Note", text),)),
    lambda text: PLAIN._replace(headers=(("X-Note", text[:40]), (text[40:], "x"))),
    lambda text: PLAIN._replace(from_=Mailbox(text, "a", "example.org")),
    lambda text: PLAIN._replace(cc=(Mailbox(text, "a", "example.org"),) * 3),
    lambda text: PLAIN._replace(to=(Mailbox("", text, "example.org"),)),
    lambda text: PLAIN._replace(to=(Mailbox("Zoë", "a", text),)),
    lambda text: PLAIN._replace(attachments=(replace(PDF, name=text),)),
    lambda text: PLAIN._replace(attachments=(Part(Octets(b"x"), text, text),)),
    lambda text: PLAIN._replace(text=None, html=HTML, inline=(replace(PNG, name=text),)),
    lambda text: PLAIN._replace(text=None, html=HTML, inline=(replace(PNG, cid=text),)),
    lambda text: PLAIN._replace(calendar=Calendar(text, "x")),
    lambda text: PLAIN._replace(message_id=text),
    lambda text: PLAIN._replace(boundary_seed=text, html="x"),
    lambda text: PLAIN._replace(text=text),
]
# Written exactly, and the standard library reads them back exactly, whatever they are.
EXACT = {0, 1, 3, 4, 7, 9, 11, 13, 14}

VALUES = [
    *(*SUBJECTS.values(), *DISPLAY_NAMES.values(), *FILE_NAMES.values()),
    *("", "a/b", "image/png", "REQUEST", "<1@example.org>", "logo@example.org", "X-Header"),
]
SEEDS = [bytes([place]) + value[:2000].encode() for value in VALUES for place in range(len(PLACES))]


def write(octets: bytes) -> None:
    place = octets[0] % len(PLACES) if octets else 0
    text = octets[1:].decode("utf-8", "surrogateescape")
    try:
        letter = PLACES[place](text)
        message = compose(letter)
    except (UnsafeText, AddressError):
        return
    written = b"".join(message.blocks())
    assert len(written) == message.octets
    assert_fit_to_send(written, ascii_only=not message.needs_smtputf8)
    header = written[: written.index(b"\r\n\r\n")].decode()
    expected = 9 + (place == 1) + 2 * (place == 2) + (place == 4)
    fields = [line for line in header.split("\r\n") if not line.startswith(" ")]
    assert len(fields) <= expected, fields
    if place in EXACT:
        assert differences(by_email(written), letter, structure_said(letter)) == set()


if __name__ == "__main__":
    engine.main(write, SEEDS)
