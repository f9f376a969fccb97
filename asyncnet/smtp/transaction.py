"""One message's way: MAIL, RCPT for each, DATA, content; a verdict each (RFC 5321 section 3.3).

No I/O.  Which commands there are, what their replies mean for each recipient, and which
content is transparent.  One refused recipient spoils nothing for the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asyncnet.mail.envelope import Envelope
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.capability import Capabilities
from asyncnet.smtp.command import Command, Data, Mail, Rcpt, encode
from asyncnet.smtp.errors import UnsafeArgument
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.session import SERVICE_CLOSING, START_MAIL_INPUT, Answer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient; reply None: detail tells why there is none.

    in_doubt: the end of the content was sent and nothing came back (RFC 1047).
    """

    phase: Phase
    reply: Reply | None
    detail: str = ""
    in_doubt: bool = False


def obstacle(
    envelope: Envelope, octets: int, capabilities: Capabilities, *, secured: bool
) -> str | None:
    """Why this server cannot take the message at all, known before a word is said; or None."""
    limit = capabilities.size_limit_octets
    if limit is not None and octets > limit:
        return f"message of {octets} octets exceeds the server's SIZE limit of {limit} octets"
    if envelope.smtputf8 and "SMTPUTF8" not in capabilities:
        return "an address needs SMTPUTF8 (RFC 6531), which the server does not offer"
    if envelope.body_8bit and "8BITMIME" not in capabilities:
        return "the body has 8-bit octets, for which the server does not offer 8BITMIME (RFC 6152)"
    if envelope.require_tls and not (secured and "REQUIRETLS" in capabilities):
        return "REQUIRETLS (RFC 8689) is asked for, which the server does not offer over TLS"
    return None


def mail_command(envelope: Envelope, octets: int, capabilities: Capabilities) -> Mail:
    """MAIL with the parameters that this server knows and this message needs."""
    parameters = []
    if "SIZE" in capabilities:
        parameters.append(f"SIZE={octets}")
    if "8BITMIME" in capabilities and (envelope.body_8bit or envelope.smtputf8):
        parameters.append("BODY=8BITMIME")
    if envelope.smtputf8:
        parameters.append("SMTPUTF8")
    if envelope.require_tls:
        parameters.append("REQUIRETLS")
    return Mail(envelope.reverse_path, tuple(parameters))


class Transaction:
    """The commands of one message and what became of each recipient, in their order.

    An outcome is None while a recipient is accepted so far or not answered yet.  limit: how
    many recipients the server takes in one transaction.
    """

    def __init__(
        self, mail: Mail, recipients: Sequence[str], *, utf8: bool, limit: int | None
    ) -> None:
        self.outcomes: list[Outcome | None] = [None] * len(recipients)
        self.content_wanted = False  # 354 came: content, or at least a dot, must follow
        self._mail = mail
        self._rcpts: list[tuple[int, Rcpt]] = []
        for position, recipient in enumerate(recipients):
            rcpt = Rcpt(recipient)
            if limit is not None and len(self._rcpts) >= limit:
                # Said in the server's stead, in its own code: it announced the limit, and
                # whoever reads this sends the rest in another transaction.
                over = Reply(452, (f"4.5.3 over the server's limit of {limit} recipients",))
                self.outcomes[position] = Outcome(Phase.RCPT, over, "not sent: LIMITS RCPTMAX")
            elif why := _unsafe(rcpt, utf8):
                self.outcomes[position] = Outcome(Phase.RCPT, None, f"cannot be sent: {why}")
            else:
                self._rcpts.append((position, rcpt))
        self._answered = 0  # of _rcpts

    @property
    def hopeless(self) -> bool:
        """Whether nobody is left for whom the content should be sent."""
        return None not in self.outcomes

    def commands(self) -> tuple[Command, ...]:
        """All that is said before the content: one legal group (RFC 2920 section 3.1)."""
        return (self._mail, *(rcpt for _, rcpt in self._rcpts), Data())

    def receive(self, answer: Answer) -> None:
        """Note the reply to one of the commands."""
        command, reply = answer.command, answer.reply
        if isinstance(command, Rcpt):
            position, _ = self._rcpts[self._answered]
            self._answered += 1
            if not reply.positive and self.outcomes[position] is None:
                self.outcomes[position] = Outcome(Phase.RCPT, reply)
        elif isinstance(command, Data):
            self.content_wanted = reply.code == START_MAIL_INPUT
            if not self.content_wanted:
                self.settle(Outcome(Phase.DATA, reply))
        elif not reply.positive:
            self.settle(Outcome(command.phase, reply))
        if reply.code == SERVICE_CLOSING:  # to one, but it ends the talk for all
            self.settle(Outcome(command.phase, reply))

    def settle(self, outcome: Outcome) -> None:
        """Give this outcome to everybody who has none."""
        self.outcomes = [outcome if known is None else known for known in self.outcomes]


def _unsafe(command: Command, utf8: bool) -> str | None:
    try:
        encode(command, utf8=utf8)
    except UnsafeArgument as error:
        return str(error)
    return None


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
        # Base64 has no dot at all, and looking for one octet runs at the memory's speed.
        if b"." not in block:
            return block
        stuffed = block.replace(b"\n.", b"\n..").replace(b"\r.", b"\r..")
        return b"." + stuffed if block[:1] == b"." and before[-1:] in b"\r\n" else stuffed

    def line_end(self) -> bytes:
        """What must stand between the content and the lone dot: b"", or the CRLF it lacks."""
        return b"" if self._tail == b"\r\n" else b"\r\n"
