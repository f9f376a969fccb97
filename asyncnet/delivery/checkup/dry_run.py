"""A mail that is begun and not sent: MAIL and RCPT, then RSET, and never DATA.

RFC 5321 section 3.3: before DATA is answered 354 there is no mail, and RSET or QUIT leave none.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from asyncnet.delivery.checkup.refusals import of_reply
from asyncnet.delivery.checkup.stages import Cause, Finding, Ledger, Trouble
from asyncnet.delivery.dialogue import Dialogue
from asyncnet.delivery.errors import WireError
from asyncnet.delivery.exchange import Target
from asyncnet.mail.envelope import Envelope
from asyncnet.providers.rules import RuleBook
from asyncnet.smtp.command import Mail, Rcpt, Rset
from asyncnet.smtp.errors import SmtpError, UnsafeArgument
from asyncnet.smtp.transaction import mail_parameters

USUAL_OCTETS = 1000  # of the mail that is not sent

Explain = Callable[[WireError | SmtpError], Awaitable[Trouble]]


@dataclass(frozen=True, slots=True)
class DryRun:
    """The mail; sender None: none is begun.

    octets is how large mails are to be able to be, where somebody asks; max_octets what the
    settings let through, where they say so.
    """

    sender: str | None
    recipient: str | None = None  # None: the sender
    octets: int | None = None
    max_octets: int | None = None

    def compare_size(self, limit: int | None, ledger: Ledger) -> None:
        """The stage "size" (RFC 1870); limit None: none is known."""
        ledger.begin("size")
        if limit is None:
            ledger.end("the server tells no limit")
            return
        told, trouble = f"mails up to {_shown(limit)} are taken", None
        if self.octets is not None and self.octets > limit:
            told += f", {_shown(self.octets)} are not"
            advice = (
                f"{_shown(self.octets)} are too much for this server, and an attachment grows by"
                " 37 % on the way: send a link, or a smaller one"
            )
            trouble = Trouble(Cause.SIZE, told, advice)
        elif self.max_octets is not None and self.max_octets > limit:
            advice = (
                f"[spool] max_message lets jobs of {_shown(self.max_octets)} in, which this"
                f" server then refuses: set it to {_shown(limit)}, say"
            )
            trouble = Trouble(Cause.SIZE, told, advice, Finding.WARNING)
        ledger.end(told, trouble=trouble)

    async def run(
        self,
        target: Target,
        dialogue: Dialogue,
        ledger: Ledger,
        book: RuleBook,
        explain: Explain,
    ) -> None:
        """The stages "mail" and "rcpt".  Raises Stopped."""
        if self.sender is None:
            for name in ("mail", "rcpt"):
                ledger.skip(name, "no address is known: say --from you@example.org")
            return
        recipient = self.recipient or self.sender
        utf8 = not (self.sender + recipient).isascii()
        envelope = Envelope(self.sender, (recipient,), smtputf8=utf8)
        capabilities = dialogue.session.capabilities
        if utf8 and "SMTPUTF8" not in capabilities:
            ledger.begin("mail")
            told = "an address needs SMTPUTF8 (RFC 6531), which the server does not offer"
            ledger.stop(Trouble(Cause.SMTPUTF8, told, "use an address of plain letters"))
        limit = capabilities.size_limit_octets or USUAL_OCTETS
        octets = min(self.octets or USUAL_OCTETS, limit)
        parameters = mail_parameters(envelope, octets, capabilities)
        commands: tuple[Mail | Rcpt, ...] = (
            Mail(envelope.reverse_path, tuple(parameters.split())),
            Rcpt(envelope.recipients[0]),
        )
        for command in commands:
            ledger.begin(str(command.phase))
            try:
                dialogue.say((command,), utf8=utf8)
                reply = (await dialogue.answer()).reply
            except UnsafeArgument as error:
                advice = "that is no address of a mail; say one by --from"
                ledger.stop(Trouble(Cause.SETTINGS, str(error), advice))
            except (WireError, SmtpError) as error:
                ledger.stop(await explain(error), str(command))
            if not reply.positive:
                user = target.login.user if target.login is not None else None
                trouble = of_reply(command.phase, reply, book, sender=self.sender, user=user)
                ledger.stop(trouble, str(command))
            ledger.end(f"{command} → {reply}")
        if target.rset:
            with suppress(WireError, SmtpError):  # all was said that matters
                await dialogue.ask(Rset())


def _shown(octets: int) -> str:
    return f"{octets / 1e6:.1f} MB" if octets >= 100_000 else f"{octets / 1e3:.1f} kB"
