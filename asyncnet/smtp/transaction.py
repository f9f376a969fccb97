"""One message's way: MAIL, RCPT for each, DATA, content; a verdict each (RFC 5321 section 3.3).

No I/O.  Which commands there are, what their replies mean for each recipient, and which
content is transparent.  One refused recipient spoils nothing for the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from asyncnet.mail.envelope import Envelope
from asyncnet.mail.verdict import Kind, Phase
from asyncnet.smtp.capability import Capabilities
from asyncnet.smtp.command import (
    Bdat,
    Command,
    Data,
    Group,
    Kinds,
    Mail,
    Rcpt,
    Rset,
    bdat_line,
    encode,
    mail_line,
    rcpt_line,
)
from asyncnet.smtp.errors import UnsafeArgument
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.session import SERVICE_CLOSING, START_MAIL_INPUT, Answer


class Plan(IntEnum):
    """How a message goes over the wire, the slowest first; brackets hold one write.

    SERIAL: every command waits for its reply.  JOINED (PIPELINING, RFC 2920): [MAIL RCPT DATA],
    then [content . MAIL RCPT DATA] with the next message's envelope.  CHUNKED (CHUNKING, RFC
    3030, too): [MAIL RCPT BDAT content].
    """

    SERIAL = 0
    JOINED = 1
    CHUNKED = 2


def best_plan(capabilities: Capabilities) -> Plan:
    """The fastest plan that the server offers."""
    if "PIPELINING" not in capabilities:
        return Plan.SERIAL
    return Plan.CHUNKED if "CHUNKING" in capabilities else Plan.JOINED


# Not frozen, like Reply.
@dataclass(slots=True, unsafe_hash=True)
class RecipientReply:
    """What one transaction said of one recipient.

    reply is None where none came: detail says what happened instead, and kind what sort of
    trouble it is, where it was ours to decide before a word was said.  The recipient was accepted
    exactly when phase is DOT and the code is 2yz.  in_doubt: the end of the content was sent and
    its reply never came (RFC 1047).  named False: the server was not told of the recipient, and
    reply is ours.
    """

    phase: Phase
    reply: Reply | None
    detail: str = ""
    in_doubt: bool = False
    kind: Kind | None = None
    named: bool = True


def obstacle(
    envelope: Envelope,
    octets: int,
    capabilities: Capabilities,
    *,
    secured: bool,
    usual_octets: int | None = None,
) -> RecipientReply | None:
    """Why this server cannot take the message at all, known before a word is said; or None.

    usual_octets: the limit that is known of a server which does not speak of SIZE (RFC 1870).
    """
    limit = capabilities.size_limit(usual_octets)
    if limit is not None and octets > limit:
        whose = "server's SIZE" if "SIZE" in capabilities else "provider's known"
        return _cannot(
            Kind.SIZE,
            f"message of {octets} octets exceeds the {whose} limit of {limit} octets",
        )
    if envelope.smtputf8 and "SMTPUTF8" not in capabilities:
        return _cannot(
            Kind.CONTENT, "an address needs SMTPUTF8 (RFC 6531), which the server does not offer"
        )
    if envelope.body_8bit and "8BITMIME" not in capabilities:
        return _cannot(
            Kind.CONTENT,
            "the body has 8-bit octets, for which the server does not offer 8BITMIME (RFC 6152)",
        )
    if envelope.require_tls and not (secured and "REQUIRETLS" in capabilities):
        return _cannot(
            Kind.CONTENT,
            "REQUIRETLS (RFC 8689) is asked for, which the server does not offer over TLS",
        )
    return None


def _cannot(kind: Kind, why: str) -> RecipientReply:
    return RecipientReply(Phase.MAIL, None, why, kind=kind)


def mail_parameters(envelope: Envelope, octets: int, capabilities: Capabilities) -> str:
    """What MAIL says besides the address: what this server knows and this message needs."""
    known = capabilities.keywords
    words = [f"SIZE={octets}"] if "SIZE" in known else []
    if (envelope.body_8bit or envelope.smtputf8) and "8BITMIME" in known:
        words.append("BODY=8BITMIME")
    if envelope.smtputf8:
        words.append("SMTPUTF8")
    if envelope.require_tls:
        words.append("REQUIRETLS")
    if envelope.envid is not None and "DSN" in known:
        # RFC 3461: a bounce names our queue id, and brings no copy of a large message back.
        words += ("RET=HDRS", f"ENVID={envelope.envid}")
    return " ".join(words)


def taken_at_once(recipients: Sequence[str], capabilities: Capabilities) -> Sequence[int]:
    """Whom of them the server takes in one transaction: positions (LIMITS, RFC 9422)."""
    most, most_domains = capabilities.recipient_limit, capabilities.domain_limit
    if most is None:
        most = len(recipients)
    if most_domains is None:
        return range(min(most, len(recipients)))
    domains: set[str] = set()
    taken: list[int] = []
    for position, recipient in enumerate(recipients):
        domain = recipient.rpartition("@")[2].lower()
        if len(taken) < most and (domain in domains or len(domains) < most_domains):
            domains.add(domain)
            taken.append(position)
    return taken


_OUT_OF_PLACE = frozenset({500, 502, 503})  # what is said to commands that nobody expected
_DATA, _RSET = encode(Data()), encode(Rset())
_DOT = Phase.DOT  # see session.READY


@lru_cache(maxsize=256)
def _kinds(recipients: int, end: type[Command], afresh: bool) -> Kinds:
    """The kinds of a message's commands; end is the one that its content belongs to."""
    return (*((Rset,) if afresh else ()), Mail, *(Rcpt,) * recipients, end)


class Transaction:
    """The commands of one message and what became of each recipient, in their order.

    A reply is None while a recipient is accepted so far or not answered yet.  octets: of the
    content.
    """

    __slots__ = (
        "_answered",
        "_lines",
        "_positions",
        "content_wanted",
        "puzzled",
        "refused",
        "replies",
    )

    def __init__(self, envelope: Envelope, octets: int, capabilities: Capabilities) -> None:
        recipients = envelope.recipients
        self.replies: list[RecipientReply | None] = [None] * len(recipients)
        self.content_wanted = False  # 354 came: content, or at least a dot, must follow
        self.refused = False  # something was: not all went well
        self.puzzled = False  # the server lost the thread: 500, 502 or 503
        self._positions: Sequence[int] | None = None  # of those who have an RCPT; None: all
        self._answered = 0  # of those
        self._lines: list[bytes] = []  # MAIL and each RCPT
        utf8 = envelope.smtputf8
        parameters = mail_parameters(envelope, octets, capabilities)
        try:
            self._lines = lines = [mail_line(envelope.reverse_path, parameters, utf8=utf8)]
        except UnsafeArgument as error:
            why = f"cannot be sent: {error}"
            self.settle(RecipientReply(Phase.MAIL, None, why, kind=Kind.SENDER))
            return
        if capabilities.limits_recipients:
            taken = taken_at_once(recipients, capabilities)
            self._leave_the_rest(taken)
            recipients = tuple([recipients[position] for position in taken])
        try:
            for recipient in recipients:
                lines.append(rcpt_line(recipient, utf8=utf8))
        except UnsafeArgument:
            lines[1:] = self._those_that_can_be_sent(envelope.recipients, utf8)

    def _leave_the_rest(self, taken: Sequence[int]) -> None:
        """Answer, in the server's stead and code, those above the limits that it announced.

        Whoever reads this sends them in another transaction.
        """
        over = Reply(452, ("4.5.3 over the number that the server takes at a time",))
        left = RecipientReply(Phase.RCPT, over, "not sent: LIMITS", named=False)
        self.replies = [left] * len(self.replies)
        for position in taken:
            self.replies[position] = None
        self._positions = taken

    def _those_that_can_be_sent(self, recipients: Sequence[str], utf8: bool) -> list[bytes]:
        """Their lines; each of the others has its reply."""
        lines = {}
        for position in range(len(recipients)) if self._positions is None else self._positions:
            try:
                lines[position] = rcpt_line(recipients[position], utf8=utf8)
            except UnsafeArgument as error:
                why = f"cannot be sent: {error}"
                reply = RecipientReply(Phase.RCPT, None, why, kind=Kind.RECIPIENT)
                self.replies[position] = reply
        self._positions = tuple(lines)
        return list(lines.values())

    @property
    def hopeless(self) -> bool:
        """Whether nobody is left for whom the content should be sent."""
        return None not in self.replies

    def envelope(self) -> Group:
        """All that is said before the content: one legal group (RFC 2920 section 3.1)."""
        kinds = _kinds(len(self._lines) - 1, Data, False)
        return kinds, b"".join((*self._lines, _DATA))

    def one_by_one(self) -> list[Group]:
        """The same for a server that takes one command at a time."""
        lines = (*self._lines, _DATA)
        kinds, _ = self.envelope()
        return [((kind,), line) for kind, line in zip(kinds, lines, strict=True)]

    def chunked(self, octets: int, *, afresh: bool) -> Group:
        """The same, with content of so many octets to go right behind it (RFC 3030 section 2).

        afresh: RSET first, for what goes behind a message whose reply is not here yet.  Exim
        took a message under the sender of the refused one before it where that was missing.
        """
        kinds = _kinds(len(self._lines) - 1, Bdat, afresh)
        before = _RSET if afresh else b""
        return kinds, b"".join((before, *self._lines, bdat_line(octets)))

    def receive(self, answer: Answer) -> None:
        """Note the reply to one of the commands."""
        kind, reply = answer[0], answer[1].shortened()
        positive = 200 <= reply.code <= 299
        lost_thread = False
        if kind is Rcpt:
            position = self._answered
            if self._positions is not None:
                position = self._positions[position]
            self._answered += 1
            if not positive and self.replies[position] is None:
                lost_thread = reply.code in _OUT_OF_PLACE
                self.replies[position] = RecipientReply(Phase.RCPT, reply)
        else:
            # Where all are refused already it is the right answer.
            lost_thread = reply.code in _OUT_OF_PLACE and not self.hopeless
        self.puzzled = self.puzzled or lost_thread
        if kind is Bdat:
            # A BDAT that is unknown, or out of its place, is no word about the content: by DATA,
            # on another talk, it may be welcome.
            self.settle(RecipientReply(Phase.DATA if lost_thread else Phase.DOT, reply))
        elif kind is Data:
            self.content_wanted = reply.code == START_MAIL_INPUT
            if not self.content_wanted:
                self.settle(RecipientReply(Phase.DATA, reply))
        elif not positive and kind is Mail:  # a refused RSET is nobody's fault
            self.settle(RecipientReply(kind.phase, reply))
        if reply.code >= 400:
            self.refused = True
            if reply.code == SERVICE_CLOSING:  # to one, but it ends the talk for all
                self.settle(RecipientReply(kind.phase, reply))

    def receive_hoped(self, last: Reply) -> None:
        """The same as receive() for all commands of a group at once, where all went well.

        The first one is MAIL or RSET; last answers DATA or BDAT, its last one.
        """
        if last.code == START_MAIL_INPUT:
            self.content_wanted = True
            return
        reply, known = RecipientReply(_DOT, last), self.replies
        if self._positions is None:
            self.replies = [reply] * len(known)
        else:
            self.settle(reply)

    def settle(self, reply: RecipientReply) -> None:
        """Give this reply to everybody who has none."""
        self.replies = [reply if known is None else known for known in self.replies]


class Transparency:
    """Doubles the dots that begin lines, block by block (RFC 5321 section 4.5.2).

    A dot behind a bare CR or LF is doubled, too: no such thing is in what we compose, and
    should it ever be, some servers would see the end of the content there and take what follows
    for commands ("SMTP smuggling").
    """

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the last two octets that went through

    def encode(self, block: bytes) -> bytes:
        """The block as it goes on the wire."""
        if not block:
            return block
        before, self._tail = self._tail, (self._tail + block[-2:])[-2:]
        starts = block[:1] == b"." and before[-1:] in b"\r\n"
        # Base64 has no dot at all, and looking for one octet runs at the memory's speed; what
        # we compose has no such line.
        if not starts and (b"." not in block or (b"\n." not in block and b"\r." not in block)):
            return block
        stuffed = block.replace(b"\n.", b"\n..").replace(b"\r.", b"\r..")
        return b"." + stuffed if starts else stuffed

    def line_end(self) -> bytes:
        """What must stand between the content and the lone dot: b"", or the CRLF it lacks."""
        return b"" if self._tail == b"\r\n" else b"\r\n"
