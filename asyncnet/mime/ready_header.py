"""What the header of a ready message says of its envelope (RFC 5322 section 3.6.6).  No I/O.

A message that was resent carries a block of Resent fields for each time, the last one on top;
that block alone counts then.  Else the ordinary fields do.  Who sends is the Sender, where
there is none the first in From; who gets it stands in To, Cc and Bcc together.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asyncnet.mail.address import AddressError, Mailbox, parse_addr_spec
from asyncnet.mail.problem import Problem
from asyncnet.mime.ready import HeaderField

_SINGLE = (
    *("from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id"),
    *("in-reply-to", "references", "mime-version", "content-type", "content-transfer-encoding"),
)

_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_OUTSIDE = re.compile(rf'{_QUOTED}|\\.|[^"\\()]++|[()]', re.DOTALL)
_IN_COMMENT = re.compile(r"\\.|[^\\()]++|[()]", re.DOTALL)
_TOKEN = re.compile(
    rf'{_QUOTED}|<(?:{_QUOTED}|[^<>"])*+>|\[[^\[\]]*+\]|[,;:]|[^"<>\[\],;:]++', re.DOTALL
)
_ROUTE = re.compile(r"\s*@[^:\[\]]*+:")  # RFC 5322 section 4.4: "<@relay,@other:local@domain>"
# Not begun within blanks: a long run of them is looked at once.
_BLANKS = re.compile(rf"({_QUOTED})|(?<!\s)\s*+([@.])\s*+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class HeaderEnvelope:
    """author is the first in From, who pays for the account; None where a problem tells why."""

    author: Mailbox | None
    sender: Mailbox | None
    recipients: tuple[Mailbox, ...]
    problems_of_sender: tuple[Problem, ...]
    problems_of_recipients: tuple[Problem, ...]


def header_envelope(fields: Sequence[HeaderField]) -> HeaderEnvelope:
    """The envelope that the header asks for, and all that is wrong with it."""
    resent = _first_resent_block(fields)
    prefix, counted = ("resent-", resent) if resent else ("", fields)
    wrong: list[Problem] = []
    authors = _mailboxes(counted, (f"{prefix}from",), wrong)
    senders = _mailboxes(counted, (f"{prefix}sender",), wrong)
    if not authors and not wrong:
        name = f"{prefix}from".title()
        wrong.append(Problem(name, "no author is given", f"add a {name} field"))
    wrong_recipients: list[Problem] = []
    names = tuple(f"{prefix}{name}" for name in ("to", "cc", "bcc"))
    recipients = _mailboxes(counted, names, wrong_recipients)
    if not recipients and not wrong_recipients:
        advice = "name them there, or in to: of NAME.envelope.yaml"
        where = ", ".join(name.title() for name in names)
        wrong_recipients.append(Problem(names[0].title(), f"no recipient in {where}", advice))
    return HeaderEnvelope(
        author=next(iter(authors), None),
        sender=next(iter((*senders, *authors)), None),
        recipients=tuple(recipients),
        problems_of_sender=tuple(wrong),
        problems_of_recipients=tuple(wrong_recipients),
    )


def text_problem(fields: Sequence[HeaderField]) -> Problem | None:
    """Why the header is no text: octets above 127 must be UTF-8 (RFC 6532)."""
    for field in fields:
        try:
            field.octets.decode()
        except UnicodeDecodeError as error:
            line = field.line + field.octets.count(b"\n", 0, error.start)
            wrong = f"octet 0x{field.octets[error.start]:02X} is not UTF-8"
            return Problem(field.name.title(), wrong, "write encoded words (RFC 2047)", line, 1)
    return None


def repeated(fields: Sequence[HeaderField]) -> list[str]:
    """The names of fields that stand more often than RFC 5322 section 3.6 allows."""
    names = [field.name for field in fields]
    return [name.title() for name in _SINGLE if names.count(name) > 1]


def parse_address_list(text: str) -> list[Mailbox]:
    """The addresses of an unfolded address-list (RFC 5322 section 3.4), names left out.

    Groups, comments, routes and empty places are understood.  Raises AddressError.
    """
    return [parse_addr_spec(address) for address in _addresses(_without_comments(text))]


def _first_resent_block(fields: Sequence[HeaderField]) -> list[HeaderField]:
    """Resent fields that stand together, up to the first that comes a second time."""
    block: list[HeaderField] = []
    for field in fields:
        if not field.name.startswith("resent-"):
            if block:
                break
        elif any(field.name == known.name for known in block):
            break
        else:
            block.append(field)
    return block


def _mailboxes(
    fields: Sequence[HeaderField], names: Sequence[str], wrong: list[Problem]
) -> list[Mailbox]:
    found: list[Mailbox] = []
    for field in fields:
        if field.name in names:
            try:
                found += parse_address_list(field.value.decode("utf-8", "replace"))
            except AddressError as error:
                name = field.name.title()
                wrong.append(Problem(name, error.problem, error.suggestion, field.line, 1))
    return found


def _without_comments(text: str) -> str:
    """Each comment, however nested, as one blank."""
    pieces: list[str] = []
    depth = place = 0
    while place < len(text):
        token = (_IN_COMMENT if depth else _OUTSIDE).match(text, place)
        if token is None:
            raise AddressError(_unclosed(text[place]))
        place = token.end()
        if token[0] == "(":
            depth += 1
            if depth == 1:
                pieces.append(" ")
        elif token[0] == ")":
            if not depth:
                raise AddressError('has ")" without "("')
            depth -= 1
        elif not depth:
            pieces.append(token[0])
    if depth:
        raise AddressError('opens a comment, "(", and does not close it')
    return "".join(pieces)


def _unclosed(character: str) -> str:
    if character == '"':
        return 'opens a double quote (") and does not close it'
    return f"has {character} at a wrong place"


def _addresses(text: str) -> Iterator[str]:
    """The text of each addr-spec in a list without comments.  Raises AddressError."""
    words: list[str] = []
    angle: str | None = None
    in_group = False
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise AddressError(_unclosed(text[place]))
        place = token.end()
        if token[0] == ":":
            if in_group or angle is not None:
                raise AddressError("has a colon at a wrong place")
            words, in_group = [], True
        elif token[0] in (",", ";"):
            yield from _element(words, angle)
            words, angle = [], None
            in_group = in_group and token[0] == ","
        elif token[0].startswith("<"):
            if angle is not None:
                raise AddressError("has two addresses without a comma between them")
            angle = token[0][1:-1]
        elif angle is not None and token[0].strip():
            raise AddressError("goes on after the address")
        else:
            words.append(token[0])
    yield from _element(words, angle)


def _element(words: list[str], angle: str | None) -> Iterator[str]:
    """One place of the list, which may be empty (RFC 5322 section 4.4)."""
    address = "".join(words) if angle is None else angle[_route_end(angle) :]
    address = _BLANKS.sub(lambda found: found[1] or found[2], address).strip()
    if address or angle is not None:
        yield address


def _route_end(angle: str) -> int:
    route = _ROUTE.match(angle)
    return route.end() if route else 0
