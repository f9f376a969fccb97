"""Fuzzes the address reader: any text is a mailbox that comes back the same, or AddressError."""

from asyncnet.mail.address import AddressError, parse_addr_spec, parse_mailbox
from tests.fuzz import engine
from tests.mime.hard_values import ADDRESSES, DISPLAY_NAMES

SEEDS = [
    *(address.encode() for address in ADDRESSES.values()),
    *(f"Zoë <{address}>".encode() for address in ADDRESSES.values()),
    *(f"{name} <a@example.org>".encode() for name in DISPLAY_NAMES.values()),
    *(f'"{name}" <a@example.org>'.encode() for name in DISPLAY_NAMES.values()),
    "用户 <用户@例え.test>".encode(),
    b"",
    b"a@b.test, c@d.test",
    b"Team: a@b.test, c@d.test;",
    b"mailto:a@example.org",
]


def read(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    try:
        mailbox = parse_mailbox(text)
    except AddressError as error:
        told = str(error)
        if not error.problem or len(told) > 400 or not told.isprintable():
            raise ValueError("this cannot be shown to a person") from error
        return
    escaped = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_mailbox(f'"{escaped}" <{mailbox.local}@{mailbox.domain}>') == mailbox
    again = parse_addr_spec(mailbox.addr_spec)
    assert again.addr_spec == mailbox.addr_spec
    assert parse_mailbox(f" {text}") == mailbox  # past the short cut for frequent addresses
    assert mailbox.addr_spec.isprintable()
    assert len(mailbox.addr_spec.encode()) <= 254
    assert mailbox.addr_spec.isascii() or mailbox.needs_smtputf8


if __name__ == "__main__":
    engine.main(read, SEEDS)
