"""The same letter through the standard library: MIMEMultipart to build it, smtplib to send it.

This is the yardstick, and the shortest way to see what a mail program does: a tree of parts
(text, images, files), each an object of `email.mime`, and a client that says EHLO, STARTTLS,
AUTH, MAIL, RCPT, DATA for us.  An image is attached and referred to by its Content-ID, since
most providers show no external link.  Set beside the daemon's own way (asyncnet/mime,
asyncnet/smtp, asyncnet/delivery):

    here                                      there
    a hundred lines                           the rooms of a house
    the whole message in memory, some         blocks of 64 KiB: a 25 MB attachment costs
      four times over                           what a small one does
    blocks its thread                         one loop carries all mail
    one command, one answer                   PIPELINING: one round trip a message
    one connection a letter                   connections kept and reused
    content refused: which recipients were    a verdict for each recipient, with its phase
      refused before is forgotten
    connection lost at any line: all in       in doubt only after the last dot, journalled,
      doubt                                     and the job says what is to be done
    a quick script: all one needs             mail that must not be lost, nor doubled
"""

import contextlib
import smtplib
import ssl
from collections.abc import Sequence
from email import encoders, policy
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, quote

from asyncnet.mail.address import Mailbox
from asyncnet.mail.envelope import Envelope, Server
from asyncnet.mail.letter import Letter, Part, whole_text
from asyncnet.mail.verdict import Phase, RecipientStatus, Verdict


def send_with_stdlib(
    letter: Letter,
    envelope: Envelope,
    server: Server,
    *,
    login: tuple[str, str] | None = None,
    ca_file: str | None = None,
    timeout_s: float = 60.0,
) -> dict[str, Verdict]:
    """Send one letter and tell what became of each recipient; blocks, so call it in a thread.

    login is user and password.  Raises OSError where it never came to the envelope: no
    connection, no TLS, no login (smtplib's own exceptions are OSErrors too).  When the
    connection is lost later, smtplib cannot tell at which line: all are in doubt then.
    """
    content = build_octets(letter, envelope)
    return send_octets_with_stdlib(
        content, envelope, server, login=login, ca_file=ca_file, timeout_s=timeout_s
    )


def send_octets_with_stdlib(
    content: bytes,
    envelope: Envelope,
    server: Server,
    *,
    login: tuple[str, str] | None = None,
    ca_file: str | None = None,
    timeout_s: float = 60.0,
) -> dict[str, Verdict]:
    """The same for a message that is made already: the very octets go, CRLF throughout."""
    smtp = _connect(server, ca_file, timeout_s)
    try:
        if login is not None:
            smtp.login(*login)
        try:
            verdicts = _hand_over(smtp, envelope, content)
        except OSError as error:
            lost = Verdict(RecipientStatus.IN_DOUBT, text=f"the connection was lost: {error}")
            return dict.fromkeys(envelope.recipients, lost)
        with contextlib.suppress(OSError):  # whatever happens at QUIT, what was accepted is
            smtp.quit()
        return verdicts
    finally:
        smtp.close()


def build_octets(letter: Letter, envelope: Envelope) -> bytes:
    """The letter as it goes on the wire."""
    utf8 = policy.SMTPUTF8 if envelope.smtputf8 else policy.SMTP
    return build(letter).as_bytes(policy=utf8)


def build(letter: Letter) -> MIMEMultipart:
    """The letter as a tree: mixed(related(alternative(bodies), images), attachments)."""
    bodies = [("plain", letter.text), ("html", letter.html)]
    texts = [MIMEText(whole_text(text), kind, "utf-8") for kind, text in bodies if text is not None]
    if letter.calendar is not None:
        invitation = MIMEText(whole_text(letter.calendar.text), "calendar", "utf-8")
        invitation.set_param("method", letter.calendar.method)
        texts.append(invitation)
    images = [_leaf(part, "inline") for part in letter.inline]
    files = [_leaf(part, "attachment") for part in letter.attachments]
    body = _group("related", [*_group("alternative", texts), *images])
    message = MIMEMultipart("mixed", _subparts=[*body, *files], policy=policy.SMTP)
    mailboxes = {
        "From": (letter.from_,),
        "Sender": () if letter.sender is None else (letter.sender,),
        "Reply-To": letter.reply_to,
        "To": letter.to,
        "Cc": letter.cc,
    }
    for name, who in mailboxes.items():
        if who:
            message[name] = ", ".join(map(_spell, who))
    if letter.subject is not None:
        message["Subject"] = letter.subject
    message["Date"] = format_datetime(letter.date)
    message["Message-ID"] = letter.message_id
    for name, value in letter.headers:
        message[name] = value
    return message


def _group(subtype: str, parts: Sequence[MIMEBase]) -> Sequence[MIMEBase]:
    """A multipart, where there is more than one part to hold together."""
    return [MIMEMultipart(subtype, _subparts=parts)] if len(parts) > 1 else parts


def _leaf(part: Part, disposition: str) -> MIMEBase:
    octets = b"".join(part.content.blocks())
    kind, _, subtype = part.media_type.partition("/")
    if kind == "image":
        leaf: MIMEBase = MIMEImage(octets, subtype)
    elif kind in ("text", "audio", "video", "font", "model"):
        leaf = MIMEBase(kind, subtype)
        leaf.set_payload(octets)
        encoders.encode_base64(leaf)
    else:  # base64 may not wrap a message (RFC 2046 section 5.2.1): as a plain file it may go
        leaf = MIMEApplication(octets, subtype if kind == "application" else "octet-stream")
    filename = {} if part.name is None else {"filename": part.name}
    leaf.add_header("Content-Disposition", disposition, **filename)
    if part.cid is not None:
        leaf.add_header("Content-ID", f"<{part.cid}>")
    return leaf


def _spell(mailbox: Mailbox) -> str:
    if not mailbox.name:
        return mailbox.addr_spec
    return f'"{quote(mailbox.name)}" <{mailbox.addr_spec}>'


def _connect(server: Server, ca_file: str | None, timeout_s: float) -> smtplib.SMTP:
    if server.tls == "none":
        return smtplib.SMTP(server.host, server.port, timeout=timeout_s)
    context = ssl.create_default_context(cafile=ca_file)
    if server.tls == "implicit":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=timeout_s, context=context)
    smtp = smtplib.SMTP(server.host, server.port, timeout=timeout_s)
    try:
        smtp.starttls(context=context)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _hand_over(smtp: smtplib.SMTP, envelope: Envelope, content: bytes) -> dict[str, Verdict]:
    """One transaction.  sendmail does not give the accepting reply away: "OK" stands for it."""
    options = ["SMTPUTF8"] if envelope.smtputf8 else []
    options += ["BODY=8BITMIME"] if envelope.body_8bit else []
    refused: dict[str, tuple[int, bytes]] = {}
    others = Verdict(RecipientStatus.ACCEPTED, 250, phase=Phase.DOT, text="OK")
    try:
        refused = smtp.sendmail(envelope.reverse_path, envelope.recipients, content, options)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
        others = _refusal(*list(refused.values())[-1], Phase.RCPT)  # 421 came before their turn
    except smtplib.SMTPSenderRefused as error:
        others = _refusal(error.smtp_code, error.smtp_error, Phase.MAIL)
    except smtplib.SMTPNotSupportedError as error:  # SMTPUTF8, known before a word is said
        others = Verdict(RecipientStatus.REJECTED, phase=Phase.MAIL, text=str(error))
    except smtplib.SMTPDataError as error:
        others = _refusal(error.smtp_code, error.smtp_error, Phase.DOT)
    return {
        recipient: _refusal(*refused[recipient], Phase.RCPT) if recipient in refused else others
        for recipient in envelope.recipients
    }


def _refusal(code: int, reply: bytes | str, phase: Phase) -> Verdict:
    status = RecipientStatus.REJECTED if code >= 500 else RecipientStatus.DEFERRED
    text = reply if isinstance(reply, str) else reply.decode("utf-8", "replace")
    return Verdict(status, code, phase=phase, text=text)
