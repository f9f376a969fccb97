"""Header fields: words in, folded lines out (RFC 5322 section 2.2, RFC 2047).  No I/O.

Only field() and, for the most frequent header as a whole, plain_header() make header lines.
Whatever was checked before, they take nothing but printable ASCII, so CR LF can come from their
folding alone and no value can begin a field, a part or a command.  (Letters of non-ASCII local
parts excepted, which RFC 6532 puts into the field as they are: printable as well, so no line
end either.)
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from asyncnet.mail.address import Mailbox
from asyncnet.mime.encoded_word import MAX_WORD_OCTETS, encoded_words
from asyncnet.mime.encoding import MAX_LINE_OCTETS
from asyncnet.mime.errors import UnsafeText

FOLD_OCTETS = 78  # RFC 5322 section 2.1.1, without CRLF
FOLD_ENCODED_OCTETS = 76  # RFC 2047 section 2, for lines with encoded words

# A quoted string is not folded inside: programs disagree whether the blank after a fold
# belongs to it.  Longer ones go as encoded words.
_MAX_QUOTED_CHARACTERS = 60
# A single ASCII word that cannot be folded (a URL) stays whole up to here, beside a name.
_MAX_ASCII_WORD = 900

# ":" is the only printable character that RFC 5322 excludes; the leading letter or digit
# is ours, for a line may not begin with a dot, and no real field has anything else there.
_FIELD_NAME = re.compile(r"[A-Za-z0-9][!-9;-~]{0,75}+")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*+")
_CID = re.compile(r"[!-;=?-~]{1,200}")  # what may stand between < and >
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")

# No "=" in what would be encoded if it had "=?"; no colon and no quote, as _bare() has it.
_PLAIN_WORDS = "[!-<>-~]++(?: [!-<>-~]++)*+"
_PLAIN_ATOMS = "[A-Za-z0-9!#$%&'*+/?^_`{|}~-]++(?: [A-Za-z0-9!#$%&'*+/?^_`{|}~-]++)*+"
_PLAIN_MAILBOX = rf"(?:{_PLAIN_ATOMS} <[!#-9;=?-~]++>|[!#-9;=?-~]++)"
_NOT_FOLDED = rf"(?=.{{1,{FOLD_OCTETS - len('Subject: ')}}}\r)"
_PLAIN_HEADER = re.compile(
    rf"Date: [ -~]{{1,40}}+\r\n"
    rf"From: {_NOT_FOLDED}{_PLAIN_MAILBOX}\r\n"
    rf"To: {_NOT_FOLDED}{_PLAIN_MAILBOX}\r\n"
    rf"Subject: {_NOT_FOLDED}{_PLAIN_WORDS}\r\n"
    rf"Message-ID: {_MESSAGE_ID.pattern}\r\n"
    r"MIME-Version: 1\.0\r\n"
)

# What compose writes itself is known to be names, which saves a twentieth of its time.
_OWN_NAMES = frozenset({"Date", "From", "To", "Cc", "Subject", "Message-ID"})
# compose writes these itself, or they belong to the envelope or to those who carry the mail.
_RESERVED = frozenset(
    {
        *("date", "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "message-id"),
        *("mime-version", "received", "return-path"),
    }
)
_ONCE = frozenset(
    {
        *("in-reply-to", "references"),  # RFC 5322 section 3.6
        *("list-id", "list-help", "list-unsubscribe", "list-subscribe", "list-post"),  # RFC 2369
        *("list-owner", "list-archive", "list-unsubscribe-post"),  # and 2919, 8058
        "auto-submitted",  # RFC 3834 section 5
    }
)


def is_reserved(name: str) -> bool:
    """Whether a letter may not bring this field along in its further headers."""
    name = name.lower()
    return name in _RESERVED or name.startswith(("content-", "resent-"))


def is_single(name: str) -> bool:
    """Whether the field may stand in a message once at most."""
    return name.lower() in _ONCE


def is_field_name(name: str) -> bool:
    """Whether field() would take the name."""
    return _FIELD_NAME.fullmatch(name) is not None


def is_cid(text: str) -> bool:
    """Whether text can be a Content-ID, between its angle brackets."""
    return _CID.fullmatch(text) is not None


def is_message_id(text: str) -> bool:
    """Whether text can be a Message-ID, angle brackets included."""
    return _MESSAGE_ID.fullmatch(text) is not None


def unsafe_character(text: str) -> str | None:
    """The first character that no header field can carry, None where there is none.

    Controls but TAB, U+2028 and U+2029, which some programs take for line ends, and lone
    surrogates.
    """
    found = _CONTROL.search(text)
    return found[0] if found else None


def field(name: str, words: Sequence[str], *, utf8: bool = False) -> str:
    """One field, folded between words, with its CRLF.

    Words are joined by single blanks and never cut.  Raises UnsafeText on a name that is
    none, on a word with anything but printable ASCII (with utf8: anything not printable),
    and on a word too long for a line.
    """
    value = " ".join(words)
    if name not in _OWN_NAMES and not _FIELD_NAME.fullmatch(name):
        raise UnsafeText(name[:80], "is no name of a header field")
    if not value.isprintable() or not (utf8 or value.isascii()):
        raise UnsafeText(name, "has a character that may not stand in a header field")
    limit = FOLD_ENCODED_OCTETS if "=?" in value else FOLD_OCTETS
    if len(name) + 2 + len(value) <= limit and (not utf8 or value.isascii()):
        return f"{name}: {value}\r\n"
    return _fold(name, words, limit)


def plain_header(
    date: str, sender: Mailbox, recipient: Mailbox, subject: str, message_id: str
) -> str | None:
    """The six fields of a letter with nothing to fold, quote or encode; else None.

    What most letters have, in a third of the time: written first and then checked as a whole,
    for no value with a line end of its own could leave just these six lines.
    """
    written = (
        f"Date: {date}\r\nFrom: {_plain_mailbox(sender)}\r\nTo: {_plain_mailbox(recipient)}\r\n"
        f"Subject: {subject}\r\nMessage-ID: {message_id}\r\nMIME-Version: 1.0\r\n"
    )
    return written if _PLAIN_HEADER.fullmatch(written) else None


def _plain_mailbox(mailbox: Mailbox) -> str:
    return f"{mailbox.name} <{mailbox.addr_spec}>" if mailbox.name else mailbox.addr_spec


def _fold(name: str, words: Sequence[str], limit: int) -> str:
    lines, line, line_octets = [], f"{name}:", len(name) + 1
    for word in words:
        octets = len(word) if word.isascii() else len(word.encode())
        # A first line of the name alone is legal, yet programs differ in what they make of it;
        # it is left only where an encoded word would go beyond the limit that is a must.
        if line_octets + 1 + octets > limit and (line != f"{name}:" or word.startswith("=?")):
            lines.append(line)
            line, line_octets = "", 0
        line += f" {word}"
        line_octets += 1 + octets
        if line_octets > MAX_LINE_OCTETS:
            raise UnsafeText(name, f"has a word too long for a line of {MAX_LINE_OCTETS} octets")
    lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def text_words(name: str, text: str) -> Sequence[str]:
    """The words of an unstructured field (RFC 5322 section 2.2.1) of that name.

    Read back, the text is the same to the last blank.  ASCII words stay readable; what needs
    encoding becomes one run of encoded words from the first such word to the last.  Raises
    UnsafeText on a character that unsafe_character() tells.
    """
    printable = text.isprintable()
    if not printable and (found := unsafe_character(text)) is not None:
        raise UnsafeText(name, f"contains U+{ord(found):04X}")
    if not text:
        return ()
    words = text.split(" ")
    if printable and text.isascii() and "=?" not in text and "" not in words:
        if len(text) <= _MAX_ASCII_WORD or max(map(len, words)) <= _MAX_ASCII_WORD:
            return words
    first, end = _run_to_encode(words)
    used = len(name) + 2 + sum(len(word) + 1 for word in words[:first])
    run = encoded_words(" ".join(words[first:end]), FOLD_ENCODED_OCTETS - used)
    return [*words[:first], *run, *words[end:]]


def _needs_encoding(word: str) -> bool:
    return (
        not (word.isascii() and word.isprintable()) or "=?" in word or len(word) > _MAX_ASCII_WORD
    )


def _run_to_encode(words: list[str]) -> tuple[int, int]:
    """The slice of words from the first that must be encoded to the last.

    An empty word is a doubled blank, or one at an end, which folding would lose: it is
    encoded with its neighbours, for alone it would be an empty encoded word.
    """
    places = [i for i, word in enumerate(words) if not word or _needs_encoding(word)]
    first, last = places[0], places[-1]
    if not words[first]:
        first = max(first - 1, 0)
    if not words[last]:
        last += 1
    return first, last + 1


def mailbox_words(mailboxes: Sequence[Mailbox], room: int) -> list[str]:
    """The words of an address list (RFC 5322 section 3.4); room is what the first line has."""
    words: list[str] = []
    for mailbox in mailboxes:
        if mailbox.name:
            words += _phrase(mailbox.name, MAX_WORD_OCTETS if words else room)
            words.append(f"<{mailbox.addr_spec}>,")
        else:
            words.append(f"{_bare(mailbox)},")
    words[-1] = words[-1][:-1]
    return words


def _bare(mailbox: Mailbox) -> str:
    """An address without a name, in angle brackets where some readers would lose their way.

    Without them mailparse (Rust) takes a quoted local part for a name and the colon of an IPv6
    literal for a group's.
    """
    addr_spec = mailbox.addr_spec
    return f"<{addr_spec}>" if '"' in addr_spec or ":" in addr_spec else addr_spec


def _phrase(name: str, room: int) -> Sequence[str]:
    """A display name as atoms, a quoted string or encoded words."""
    # "=?" is decoded even inside quotes by many programs.
    if name.isascii() and name.isprintable() and "=?" not in name:
        if _ATOMS.fullmatch(name) and len(name) <= _MAX_ASCII_WORD:
            return name.split(" ")
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        if len(escaped) <= _MAX_QUOTED_CHARACTERS:
            return (f'"{escaped}"',)
    return encoded_words(name, room)


def mailboxes_field(name: str, mailboxes: Sequence[Mailbox]) -> str:
    """A From, Sender, Reply-To, To or Cc field; mailboxes is not empty."""
    room = FOLD_ENCODED_OCTETS - len(name) - 2
    return field(name, mailbox_words(mailboxes, room), utf8=True)


def text_field(name: str, text: str) -> str:
    """An unstructured field."""
    return field(name, text_words(name, text))


def format_date(moment: datetime) -> str:
    """A date-time as RFC 5322 section 3.3 writes it, in the offset that moment carries.

    Raises UnsafeText when it carries none.
    """
    offset = moment.utcoffset()
    if offset is None:
        raise UnsafeText("Date", "carries no offset from UTC")
    # One moment for many mails is the cheapest to find again: its hash is kept in it.
    return _date_in(moment.replace(microsecond=0) if moment.microsecond else moment, offset)


@lru_cache(maxsize=16)  # mails come in bursts, many in the same second
def _date_in(moment: datetime, offset: timedelta) -> str:
    """offset is moment's own; it is a key because equal moments may carry different ones."""
    if offset.microseconds or offset.seconds % 60:  # local mean times of long ago
        return format_date(moment.astimezone(UTC))
    # ctime() knows no locale: "Sat Jan 31 12:00:00 2026".
    written = moment.ctime()
    return (
        f"{written[:3]}, {written[8:10].lstrip()} {written[4:7]} {written[20:]} {written[11:19]}"
        f" {_zone(offset)}"
    )


def _zone(offset: timedelta) -> str:
    minutes = offset // timedelta(minutes=1)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
