"""Mailboxes: "Name <local@domain>" in, checked parts out (RFC 5322 section 3.4).  No I/O."""

from dataclasses import dataclass


class AddressError(ValueError):
    """The text is no mailbox; str() says why, in words for its writer."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (may be "") and an address, local part and domain as the writer gave them."""

    name: str
    local: str
    domain: str

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only SMTPUTF8 can carry it: the local part is not ASCII (RFC 6531)."""
        return not self.local.isascii()

    @property
    def addr_spec(self) -> str:
        """local@domain for the envelope and the header: domain as A-labels (RFC 5890)."""
        raise NotImplementedError


def parse_mailbox(text: str) -> Mailbox:
    """Read one mailbox: "a@b", "<a@b>", "Name <a@b>", "\\"Last, First\\" <a@b>".

    Raises AddressError.  The last @ outside quotes divides.
    """
    raise NotImplementedError
