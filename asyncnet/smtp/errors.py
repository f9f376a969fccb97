"""What can go wrong while speaking SMTP.  No I/O.

A refusal is not here: "550 no such user" is a correct answer and comes back as a Reply.  An
exception means that this talk cannot go on.  Those that carry a Reply stand where they are
raised: UnaskedReply in session, OpeningFailed in opening.
"""

MAX_SHOWN_OCTETS = 512  # of a bad line, in an error


class SmtpError(Exception):
    """Root of this room: catch it to catch every SMTP failure and nothing else."""


class UnsafeArgument(SmtpError, ValueError):
    """We were about to send a command that would break its line, or that is too long.

    Never retry.  Nothing was sent, the session is as before.  str() names the command and
    does not repeat the argument, which may be a secret.
    """


class IllegalCommand(SmtpError):
    """The command may not be said now (RFC 5321 section 4.1.4, RFC 2920 section 3.1): our bug."""


class SaslError(SmtpError):
    """A challenge that the mechanism cannot answer: cancel the login with "*"."""


class BrokenPeer(SmtpError):
    """The server left RFC 5321.  Close the wire; the next attempt starts afresh."""


class MalformedReply(BrokenPeer):
    """Octets that are no reply, or too many of them; line holds the first 512 at most."""

    def __init__(self, why: str, line: bytes) -> None:
        self.line = line[:MAX_SHOWN_OCTETS]
        super().__init__(f"{why}: {self.line!r}")


class InjectedOctets(BrokenPeer):
    """Octets came behind the 220 to STARTTLS: somebody on the way put them there.

    They would be taken for words of the server that TLS proves (CVE-2011-0411 and its kin).
    RFC 3207 section 4.2 lets us discard them; who attacks once is not given a second try.
    """
