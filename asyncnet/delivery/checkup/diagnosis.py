"""What is behind trouble that no reply tells of: another service, another TLS mode, a certificate.

No I/O.
"""

import re
from datetime import datetime

from asyncnet.delivery.certificate import Certificate
from asyncnet.delivery.checkup.refusals import MECHANISM_ADVICE, TLS_ADVICE
from asyncnet.delivery.checkup.stages import Cause, Finding, Trouble
from asyncnet.mail.envelope import TlsMode
from asyncnet.smtp.capability import Capabilities

EXPIRY_WARNING_DAYS = 21  # authorities that renew by themselves do it 30 days before the end
MAX_BANNER = 80  # characters of a server's first words that are shown


def of_login_not_tried(
    told: str, capabilities: Capabilities, *, secured: bool, asked: tuple[str, ...] | None
) -> Trouble:
    """Why we did not even try to log in."""
    if not secured and "STARTTLS" in capabilities:
        return Trouble(Cause.AUTH_NEEDS_TLS, told, TLS_ADVICE)
    offered = ", ".join(capabilities.mechanisms)
    if not offered:
        return Trouble(
            Cause.AUTH_NOT_OFFERED,
            "the server offers no AUTH here",
            "on port 25 servers often take no logins: use 587 or 465; if this server wants none,"
            " take user and secret out of the account",
        )
    if told.startswith("no way to log in"):
        wanted = f" (auth = {', '.join(asked)})" if asked else ""
        return Trouble(
            Cause.MECHANISM_NOT_OFFERED,
            told,
            f"the server offers {offered}, and the account may use none of them{wanted}:"
            f" {MECHANISM_ADVICE}",
        )
    if not secured:
        return Trouble(
            Cause.PASSWORD_IN_THE_CLEAR,
            told,
            "use a port with TLS (465, 587); plaintext_auth = true sends the password so that"
            " everybody on the way can read it",
        )
    return Trouble(
        Cause.LOGIN_BROKEN, told, "the server does not keep to the mechanism: try auth = [...]"
    )


def recognised(octets: bytes) -> str | None:
    """Which service opens a talk, or answers to nonsense, like this; None: it may be SMTP."""
    for beginning, service in _SERVICES.items():
        if octets.startswith(beginning):
            return service
    if re.match(rb"220[ -].*ftp", octets, re.IGNORECASE):
        return "a file server (FTP)"
    if octets[:1] == b"<" or b"<html" in octets[:512].lower():
        return "a web server (HTTP)"
    return None


_SERVICES = {
    b"HTTP/": "a web server (HTTP)",
    b"SSH-": "a login server (SSH)",
    b"* OK": "a mailbox server (IMAP)",
    b"* PREAUTH": "a mailbox server (IMAP)",
    b"+OK": "a mailbox server (POP3)",
    b"RFB ": "a screen server (VNC)",
    b"AMQP": "a message broker (AMQP)",
}


def not_smtp(octets: bytes, service: str | None = None) -> Trouble:
    """What is there is something else."""
    who = service or recognised(octets)
    words = f"it says {shown(octets)}" if octets else "it says nothing of its own"
    return Trouble(
        Cause.NOT_SMTP,
        f"{who or 'whatever listens here'} is no SMTP server: {words}",
        'host or port is another service\'s; mail is submitted to port 465 (tls = "implicit")'
        ' or 587 (tls = "starttls")',
    )


def shown(octets: bytes) -> str:
    """The first line of what a server said, fit to print."""
    line = octets.split(b"\n")[0].strip().decode("utf-8", "replace")
    return repr(line if len(line) <= MAX_BANNER else line[: MAX_BANNER - 1] + "…")


def wants_other_tls(right: TlsMode, wrong: TlsMode, port: int, told: str) -> Trouble:
    """The TLS mode is mixed up."""
    if right == "implicit":
        return Trouble(
            Cause.TLS_FROM_THE_START,
            told,
            f'port {port} speaks TLS from the first octet: set tls = "implicit" (it is'
            f' "{wrong}" now), or use port 587',
        )
    return Trouble(
        Cause.TLS_BY_STARTTLS,
        told,
        f"port {port} begins in the clear and changes to TLS by STARTTLS: set"
        f' tls = "starttls" (it is "{wrong}" now), or use port 465',
    )


def no_tls_there(port: int, told: str, *, loopback: bool, implicit_elsewhere: bool) -> Trouble:
    """A server that cannot do TLS at all, at least on this port."""
    if loopback:
        advice = f'port {port} of this very machine has no TLS to offer: tls = "none" will do'
    elif implicit_elsewhere:
        advice = 'port 465 of this server answers with TLS: use that, tls = "implicit"'
    else:
        advice = (
            f"port {port} has no TLS to offer: ask for the right port (465, 587), or whether"
            " somebody on the way strips STARTTLS"
        )
    return Trouble(Cause.TLS_NOT_OFFERED, told, advice)


def of_certificate(
    code: int | None, told: str, name: str, certificate: Certificate | None, now: datetime
) -> Trouble:
    """Why a certificate was refused; code is OpenSSL's X509_V_ERR number, told what it says."""
    cause = _CERTIFICATE_CAUSES.get(code or 0, Cause.CERTIFICATE_REFUSED)
    advice = _CERTIFICATE_ADVICE[cause]
    if certificate is not None:
        until, since = (
            f"{moment:%Y-%m-%d %H:%M} UTC"
            for moment in (certificate.not_after, certificate.not_before)
        )
        clock = f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC"
        more = {
            Cause.CERTIFICATE_EXPIRED: f"it ended on {until}, {clock}: ",
            Cause.CERTIFICATE_NOT_YET_VALID: f"it begins on {since}, {clock}: ",
            Cause.CERTIFICATE_NAME: (
                f"it is made out to {', '.join(certificate.names) or 'no name that counts'},"
                f" and host is {name}: "
            ),
            Cause.CERTIFICATE_UNKNOWN_AUTHORITY: f"it is issued by {certificate.issuer!r}: ",
            Cause.CERTIFICATE_WEAK: f"its key is {certificate.key}: ",
        }
        advice = more.get(cause, "") + advice
    return Trouble(cause, told, advice)


_CERTIFICATE_CAUSES = {
    9: Cause.CERTIFICATE_NOT_YET_VALID,
    10: Cause.CERTIFICATE_EXPIRED,
    18: Cause.CERTIFICATE_SELF_SIGNED,
    19: Cause.CERTIFICATE_UNKNOWN_AUTHORITY,
    20: Cause.CERTIFICATE_UNKNOWN_AUTHORITY,
    21: Cause.CERTIFICATE_UNKNOWN_AUTHORITY,
    26: Cause.CERTIFICATE_NOT_FOR_SERVERS,
    62: Cause.CERTIFICATE_NAME,
    64: Cause.CERTIFICATE_NAME,
    66: Cause.CERTIFICATE_WEAK,
    67: Cause.CERTIFICATE_WEAK,
    68: Cause.CERTIFICATE_WEAK,
}
_CERTIFICATE_ADVICE = {
    Cause.CERTIFICATE_NOT_YET_VALID: "set the clock right (NTP); if it is, the server's"
    " administrator has to",
    Cause.CERTIFICATE_EXPIRED: "if the clock is right, the server's administrator has to renew it",
    Cause.CERTIFICATE_SELF_SIGNED: "if the server is your own, name its certificate as ca_file, or"
    " get it one from an authority",
    Cause.CERTIFICATE_UNKNOWN_AUTHORITY: "if that is your own authority, name its certificate as"
    " ca_file; else somebody may be reading on the way (a firewall, a virus scanner)",
    Cause.CERTIFICATE_NAME: "write the name in host that the certificate has (address = an IP"
    " address leads elsewhere, the name stays)",
    Cause.CERTIFICATE_NOT_FOR_SERVERS: "its extended key usage is for clients only; the server's"
    " administrator has to get one for servers (serverAuth)",
    Cause.CERTIFICATE_WEAK: "the server's administrator has to get a new one (RSA 2048 or EC 256"
    " at least)",
    Cause.CERTIFICATE_REFUSED: "the server's administrator has to look at it",
}


def of_validity(certificate: Certificate, now: datetime) -> Trouble | None:
    """A warning where a good certificate ends soon."""
    days = (certificate.not_after - now).days
    if days >= EXPIRY_WARNING_DAYS:
        return None
    when = f"on {certificate.not_after:%Y-%m-%d}, in {days} {'day' if days == 1 else 'days'}"
    return Trouble(
        Cause.CERTIFICATE_EXPIRES,
        f"the certificate ends {when}",
        "nothing to do for you but to know: from then on mail waits until it is renewed",
        Finding.WARNING,
    )


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
