"""Mailboxes: "Name <local@domain>" in, checked parts out (RFC 5322 section 3.4).  No I/O.

What is read here was typed by people.  Where a mistake has one likely meaning the error names
it (a list in one text, a full-width @, a name that needs quotes); nothing is guessed.
Every pattern is linear: possessive, or applied to at most MAX_MAILBOX_CHARACTERS.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from functools import lru_cache

MAX_LOCAL_OCTETS = 64  # RFC 5321 section 4.5.3.1.1
MAX_DOMAIN_OCTETS = 255  # RFC 5321 section 4.5.3.1.2
MAX_PATH_OCTETS = 254  # RFC 5321 section 4.5.3.1.3 gives 256 with the angle brackets
MAX_LABEL_OCTETS = 63  # RFC 1035 section 2.3.4
# No standard limits a display name.  A thousand characters fit ten times over what any
# program shows, and keep one field far from the header limits of the large providers.
MAX_NAME_CHARACTERS = 1_000
MAX_MAILBOX_CHARACTERS = 2 * (MAX_NAME_CHARACTERS + MAX_PATH_OCTETS)  # quoted pairs double

RIGHT = "write name@example.org"
RIGHT_WITH_NAME = "write Name <name@example.org>"
RIGHT_LIST = "give several addresses as a list, one in each item"
RIGHT_QUOTED_NAME = 'put the name in double quotes: "Last, First" <name@example.org>'

# U+0085, U+2028 and U+2029 are line ends to many a reader of text; lone surrogates cannot be
# encoded at all.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# All but atext (RFC 5322 section 3.2.3, RFC 6532): that is ASCII alone, and a set that ends at
# U+10FFFF takes a hundred times as long to compile.
_NOT_ATEXT = r'\x00-\x20"(),.:;<>@\[\\\]\x7f'
# What nearly every address is; it is only a short cut, and what it does not know is read below.
_FREQUENT = re.compile(
    r"(?:([A-Za-z0-9'._-]++(?: [A-Za-z0-9'._-]++)*+) <)?"
    r"([A-Za-z0-9._+-]++)@([A-Za-z0-9.-]++)(?(1)>)"
)
_ASCII_DOT_ATOM = re.compile(r"[A-Za-z0-9_+-]{1,64}+(?:\.[A-Za-z0-9_+-]{1,64}+)*+")
_DOT_ATOM = re.compile(rf"[^{_NOT_ATEXT}]++(?:\.[^{_NOT_ATEXT}]++)*+")
_NOT_IN_LOCAL = re.compile(rf"(?!\.)[{_NOT_ATEXT}]")
_QUOTED_LOCAL = re.compile(r'"(?:[^"\\]|\\[ -~])*+"')
_LABEL = re.compile(rf"(?!-)[A-Za-z0-9-]{{1,{MAX_LABEL_OCTETS}}}+(?<!-)")
_NOT_IN_DOMAIN = re.compile(r"[^A-Za-z0-9.-]")
# A quoted string (the group tells whether it ends), or one of the characters that divide.
_MARK = re.compile(r'"(?:[^"\\]++|\\.)*+("?)|[<>@,;:\\()]')
_QUOTED_PAIR = re.compile(r"\\(.)")


class AddressError(ValueError):
    """The text is no mailbox; str() says why, in words for its writer.

    problem reads on from the name of the field ("is missing the domain"); suggestion tells
    what would be right, or is None.
    """

    def __init__(self, problem: str, suggestion: str | None = None) -> None:
        super().__init__(f"{problem}: {suggestion}" if suggestion else problem)
        self.problem = problem
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (may be "") and an address, local part and domain as the writer gave them.

    There is no bad Mailbox: making one raises AddressError.  addr_spec is local@domain for the
    envelope and the header, with the domain as A-labels (RFC 5890).
    """

    name: str
    local: str
    domain: str
    addr_spec: str = field(init=False, repr=False, compare=False)  # kept: it is asked for often

    def __post_init__(self) -> None:
        name, local = self.name, self.local
        if not (name.isascii() and name.isprintable()):
            _refuse_unsafe(name)
        if len(name) > MAX_NAME_CHARACTERS:
            raise AddressError(f"has a name of more than {MAX_NAME_CHARACTERS} characters")
        if not (_ASCII_DOT_ATOM.fullmatch(local) and len(local) <= MAX_LOCAL_OCTETS):
            _check_local(local)
        addr_spec = f"{local}@{_domain_octets(self.domain)}"
        if (octets := len(addr_spec.encode())) > MAX_PATH_OCTETS:
            raise AddressError(
                f"has an address of {octets} octets, and the limit is {MAX_PATH_OCTETS}"
            )
        object.__setattr__(self, "addr_spec", addr_spec)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only SMTPUTF8 can carry it: the local part is not ASCII (RFC 6531)."""
        return not self.local.isascii()


@lru_cache(maxsize=1_024)  # the same few write again and again; at most some MB
def parse_mailbox(text: str) -> Mailbox:
    """Read one mailbox: "a@b", "<a@b>", "Name <a@b>", "\\"Last, First\\" <a@b>".

    Raises AddressError.  The last @ outside quotes divides.  Comments are refused beside an
    address; in a name that is not quoted, parentheses are part of the name, since that is
    what everybody who types "Jo (Sales) <jo@example.org>" means.
    """
    if len(text) > MAX_MAILBOX_CHARACTERS:
        raise AddressError(f"is no address: it has {len(text)} characters", RIGHT_WITH_NAME)
    if found := _FREQUENT.fullmatch(text):
        return Mailbox(*found.groups(""))
    _refuse_unsafe(text)
    text = text.strip()
    opening = _first_angle(text)
    if opening is None:
        return Mailbox("", *_divide(text))
    if not text.endswith(">"):
        problem = "goes on after the address" if ">" in text[opening:] else 'has "<" without ">"'
        raise AddressError(problem, RIGHT_WITH_NAME)
    return Mailbox(_read_name(text[:opening].strip()), *_divide(text[opening + 1 : -1].strip()))


def parse_addr_spec(text: str) -> Mailbox:
    """Read an address without a name, "a@b" or "<a@b>", as an envelope needs it.

    Raises AddressError, also when there is a name.
    """
    mailbox = parse_mailbox(text)
    if mailbox.name:
        raise AddressError("is an address with a name, and only the address has a place", RIGHT)
    return mailbox


def _refuse_unsafe(text: str) -> None:
    if found := _UNSAFE.search(text):
        if found[0] in "\r\n\x85\u2028\u2029":
            raise AddressError("contains a line break", RIGHT_LIST)
        kind = "half of a character" if found[0] >= "\ud800" else "a control character"
        raise AddressError(f"contains {kind}, U+{ord(found[0]):04X}", "leave it out")


def _shown(text: str) -> str:
    """text with what is invisible, or turns the line round, by its number."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in text)


def _first_angle(text: str) -> int | None:
    """The place of the first "<" outside quotes; None where there is none."""
    for mark in _MARK.finditer(text):
        if mark[0] == "<":
            return mark.start()
        if mark[0][0] == '"' and not mark[1]:
            raise AddressError('opens a double quote (") and does not close it')
    return None


def _read_name(text: str) -> str:
    def plain(mark: re.Match[str]) -> str:
        if mark[0][0] == '"':
            return _QUOTED_PAIR.sub(r"\1", mark[0][1:-1])
        if mark[0] in "()":
            return mark[0]
        raise AddressError(f'has "{mark[0]}" in a name without quotes', RIGHT_QUOTED_NAME)

    return _MARK.sub(plain, text)


def _divide(address: str) -> tuple[str, str]:
    """Cut an address at its last @ outside quotes."""
    if not address:
        raise AddressError("is empty", RIGHT)
    at = None
    for mark in _MARK.finditer(address):
        if mark[0] == "@":
            at = mark.start()
        elif mark[0] in ",;":
            raise AddressError(f'has "{mark[0]}" between addresses', RIGHT_LIST)
        elif mark[0] in "<>":
            if address[mark.end() :].lstrip().startswith((",", ";")):
                raise AddressError("has more than one address", RIGHT_LIST)
            raise AddressError(f'has "{mark[0]}" inside the address', RIGHT_WITH_NAME)
        elif mark[0] in "()":
            raise AddressError("has a comment in parentheses", RIGHT_WITH_NAME)
        elif mark[0][0] == '"' and not mark[1]:
            raise AddressError('opens a double quote (") and does not close it')
    if at is None:
        # Chinese and Japanese keyboards have it, and it looks the same.
        if "\uff20" in address:
            raise AddressError("has the full-width \uff20 instead of @", RIGHT)
        raise AddressError("is missing the domain", RIGHT)
    return address[:at], address[at + 1 :]


def _check_local(local: str) -> None:
    _refuse_unsafe(local)
    if len(local) > MAX_LOCAL_OCTETS or len(local.encode()) > MAX_LOCAL_OCTETS:
        raise AddressError(
            f"has {len(local.encode())} octets before the @, and the limit is {MAX_LOCAL_OCTETS}"
        )
    if _DOT_ATOM.fullmatch(local) or _QUOTED_LOCAL.fullmatch(local):
        # Invisible characters and exotic spaces are legal by RFC 6532 and a trap in an
        # address; no provider gives such mailboxes out.
        if local.isprintable():
            return
        odd = next(character for character in local if not character.isprintable())
        raise AddressError(f"has an invisible character, U+{ord(odd):04X}, before the @")
    raise _local_error(local)


def _local_error(local: str) -> AddressError:
    if not local:
        return AddressError("has nothing before the @", RIGHT)
    if local.lower().startswith("mailto:"):
        return AddressError('begins with "mailto:"', "leave that out")
    quoted = 'put that part in double quotes, as in "a b"@example.org, if it is really meant'
    if found := _NOT_IN_LOCAL.search(local):
        character = "a space" if found[0] == " " else _shown(found[0])
        return AddressError(f"has {character} before the @", quoted)
    return AddressError("has a dot at a wrong place before the @", quoted)


@lru_cache(maxsize=16_384)  # a job of 10,000 domains asks for each several times
def _domain_octets(domain: str) -> str:
    """The domain as the wire takes it: A-labels, or a checked address literal."""
    _refuse_unsafe(domain)
    if domain.startswith("["):
        _check_literal(domain)
        return domain
    ascii_domain = domain if domain.isascii() else _a_labels(domain)
    if len(ascii_domain) > MAX_DOMAIN_OCTETS:
        raise _domain_too_long(ascii_domain)
    if not all(map(_LABEL.fullmatch, ascii_domain.split("."))):
        raise _domain_error(ascii_domain)
    return ascii_domain


def _a_labels(domain: str) -> str:
    # Before anything is mapped: idna's work per label grows faster than its length.
    if len(domain) > MAX_DOMAIN_OCTETS:
        raise _domain_too_long(domain)
    import idna  # its tables take 20 ms to load, and most mail never needs them

    try:
        # UTS 46 maps what people type (capitals, full-width letters, the ideographic full
        # stop); non-transitional, so that sharp s stays itself, as browsers have it.
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError as error:  # idna.IDNAError is one
        raise AddressError(
            f'has the domain "{_shown(domain[:80])[:80]}", which is no international domain name'
        ) from error


def _domain_too_long(domain: str) -> AddressError:
    return AddressError(
        f"has a domain of {len(domain)} octets, and the limit is {MAX_DOMAIN_OCTETS}"
    )


def _domain_error(domain: str) -> AddressError:
    if not domain:
        return AddressError("is missing the domain after the @", RIGHT)
    if found := _NOT_IN_DOMAIN.search(domain):
        character = "a space" if found[0] == " " else f'"{_shown(found[0])}"'
        return AddressError(f"has {character} in the domain", RIGHT)
    if domain.endswith("."):
        return AddressError("ends in a dot", "leave the dot out")
    if domain.startswith(".") or ".." in domain:
        return AddressError("has a dot at a wrong place in the domain", RIGHT)
    if max(map(len, domain.split("."))) > MAX_LABEL_OCTETS:
        return AddressError(
            f"has more than {MAX_LABEL_OCTETS} characters between two dots of the domain"
        )
    return AddressError("has a hyphen at the edge of a part of the domain", RIGHT)


def _check_literal(domain: str) -> None:
    """An address literal: [192.0.2.1] or [IPv6:2001:db8::1] (RFC 5321 section 4.1.3)."""
    inside = domain[1:-1]
    try:
        if not domain.endswith("]") or "%" in inside:
            raise ValueError("not closed, or with a zone that has no meaning elsewhere")
        if inside[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inside[5:])
        else:
            ipaddress.IPv4Address(inside)
    except ValueError as error:
        raise AddressError(
            "has no IP address between [ and ]", "write name@[192.0.2.1] or name@[IPv6:2001:db8::1]"
        ) from error
