"""Letters of every shape, by hypothesis: whatever a job can say, and more."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from asyncnet.mail.address import AddressError, Mailbox
from asyncnet.mail.letter import Calendar, Letter, Octets, Part

# Unicode lets noncharacters pass on, and Perl's reader does not; the hard letters have them.
_NONCHARACTERS = "".join(
    chr(code) for code in range(0x110000) if code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
)
_CHARACTERS = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters=f"\u2028\u2029{_NONCHARACTERS}"
) | st.sampled_from(' .,;:"\\<>()@=?_é你🎉')
_SHORT = st.text(_CHARACTERS, max_size=80)
_BODY = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=_NONCHARACTERS)
    | st.sampled_from(".\r\n -=F\0é"),
    max_size=200,
) | st.lists(
    st.sampled_from(["From me", ".", "\r\n", "\n", "--=_", "x" * 80, "x" * 1200, "你" * 50])
).map("".join)


def _mailbox(name: str, local: str, domain: str) -> Mailbox | None:
    try:
        return Mailbox(name, local, domain)
    except AddressError:
        return None


_LOCALS = st.sampled_from(["a", "first.last+tag", '"a@b, c"', "l" * 64]) | st.text(
    st.sampled_from("abc.-_'"), min_size=1, max_size=20
)
_DOMAINS = st.sampled_from(["example.org", "bücher.example", "[192.0.2.1]", "d." * 80 + "test"])
MAILBOXES = st.builds(_mailbox, _SHORT, _LOCALS, _DOMAINS).filter(bool)
_PARTS = st.builds(
    Part,
    content=st.binary(max_size=300).map(Octets),
    media_type=st.sampled_from(["image/png", "application/pdf", "text/plain", "message/rfc822"]),
    name=st.none() | st.text(_CHARACTERS, min_size=1, max_size=120),
)
_INLINE = st.builds(
    Part,
    content=st.binary(max_size=300).map(Octets),
    media_type=st.just("image/png"),
    name=st.none() | _SHORT,
    cid=st.sampled_from(["logo", "image.1@example.org", "!$x"]),
)

_CALENDARS = st.builds(Calendar, st.sampled_from(["REQUEST", "cancel", "X-A"]), _BODY)

LETTERS = st.builds(
    Letter,
    from_=MAILBOXES,
    date=st.datetimes(
        min_value=datetime(1970, 1, 2),
        max_value=datetime(2999, 1, 1),
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=-30))]),
    ),
    message_id=st.just("<01JDX0V6S3N2K7@example.org>"),
    boundary_seed=st.text(max_size=20),
    sender=st.none() | MAILBOXES,
    reply_to=st.lists(MAILBOXES, max_size=2).map(tuple),
    to=st.lists(MAILBOXES, max_size=5).map(tuple),
    cc=st.lists(MAILBOXES, max_size=2).map(tuple),
    subject=st.none() | _SHORT,
    text=st.none() | _BODY,
    html=st.none() | _BODY,
    calendar=st.none() | _CALENDARS,
    inline=st.lists(_INLINE, max_size=2).map(tuple),
    attachments=st.lists(_PARTS, max_size=3).map(tuple),
    headers=st.lists(
        st.tuples(st.sampled_from(["X-One", "Comments", "Keywords"]), _SHORT), max_size=3
    ).map(tuple),
)
