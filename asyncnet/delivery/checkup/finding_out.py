"""Why a check-up could not go on: the error it met, and what a second look at the server shows."""

import asyncio
import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from errno import ECONNREFUSED

from asyncnet.delivery.accounts import Account
from asyncnet.delivery.checkup.diagnosis import (
    no_tls_there,
    not_smtp,
    of_certificate,
    of_login_not_tried,
    recognised,
    shown,
    wants_other_tls,
)
from asyncnet.delivery.checkup.refusals import of_reply
from asyncnet.delivery.checkup.second_look import LOOK_S, SecondLook
from asyncnet.delivery.checkup.stages import Cause, Trouble
from asyncnet.delivery.dialogue import Dialogue
from asyncnet.delivery.errors import (
    ConnectionLost,
    DeadlinePassed,
    LookupFailed,
    TlsFailed,
    WireError,
)
from asyncnet.delivery.exchange import Target
from asyncnet.mail.envelope import IMPLICIT_TLS_PORT, SUBMISSION_PORT, TlsMode
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.errors import InjectedOctets, MalformedReply, SmtpError
from asyncnet.smtp.opening import OpeningFailed
from asyncnet.smtp.reply import Reply

_USUAL_PORTS: Mapping[int, TlsMode] = {IMPLICIT_TLS_PORT: "implicit", SUBMISSION_PORT: "starttls"}
_NO_SMTP = "the server does not keep to SMTP: look at host and port"
_TLS_RECORDS = (0x15, 0x16)  # alert, handshake: RFC 8446 section 5.1


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the settings: what the provider's ports speak, hosts of providers."""

    ports: Mapping[int, TlsMode] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()


NOTHING_KNOWN = Known()


def name_trouble(error: LookupFailed, host: str, known: Known) -> Trouble:
    """No address was to be had."""
    asked_in_vain = isinstance(error.__cause__, TimeoutError) or "emporary" in str(error)
    if asked_in_vain:
        return Trouble(
            Cause.NAME_SERVICE,
            str(error),
            "no name server answers: look at this machine's network and its name servers"
            " (/etc/resolv.conf); the name itself may be right",
        )
    near = difflib.get_close_matches(host.lower(), known.hosts, n=1)
    advice = f"did you mean {near[0]}?" if near else "look at the spelling of host"
    return Trouble(Cause.HOST_UNKNOWN, str(error), advice)


async def reachable_elsewhere(target: Target, address: str, known: Known) -> list[str]:
    """The usual ports of a mail server that take a connection, with what they speak."""
    ports = {
        port: tls for port, tls in (known.ports or _USUAL_PORTS).items() if port != target.port
    }
    ports = dict(known.ports or _USUAL_PORTS)
    ports.pop(target.port, None)
    looks = [SecondLook(address, port, target.host).listens() for port in ports]
    answers = await asyncio.gather(*looks)
    there = zip(ports.items(), answers, strict=True)
    return [f'{port} (tls = "{tls}")' for (port, tls), listens in there if listens]


def port_trouble(error: WireError, target: Target, elsewhere: Iterable[str]) -> Trouble:
    """None of the addresses took the connection; elsewhere: other ports that do."""
    open_ports = " and ".join(elsewhere)
    if os.strerror(ECONNREFUSED) in str(error):
        if open_ports:
            return Trouble(
                Cause.WRONG_PORT,
                f"nobody listens on port {target.port}",
                f"this server listens on port {open_ports}: write that port",
            )
        return Trouble(
            Cause.CONNECTION_REFUSED,
            str(error),
            f"nobody listens on port {target.port} there: look at host and port, and whether the"
            " server runs",
        )
    way_out = f": this server takes connections on port {open_ports}" if open_ports else ""
    if "no answer in time" in str(error):
        return Trouble(
            Cause.CONNECTION_TIMEOUT,
            str(error),
            "a firewall drops the packets, or the machine is off; many networks block port 25"
            f" outwards{way_out or ', 465 and 587 mostly pass'}",
        )
    return Trouble(
        Cause.UNREACHABLE, str(error), f"look at this machine's network and its routes{way_out}"
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the talk stood; greeting None: it was not heard yet."""

    account: Account
    target: Target
    dialogue: Dialogue
    address: str
    greeting: Reply | None = None
    look_s: float = LOOK_S

    @property
    def look(self) -> SecondLook:
        return self.look_at(self.target.port)

    def look_at(self, port: int) -> SecondLook:
        return SecondLook(self.address, port, self.target.host, self.look_s)

    def note(self, question: str, rule: str) -> None:
        """Let whoever watches know why there is another connection."""
        self.dialogue.watcher.note(f"a second look, on a connection of its own: {question}", rule)

    async def wants_tls_at_once(self) -> Trouble | None:
        """The trouble where TLS is spoken from the first octet, and we waited for words."""
        self.note("is TLS spoken from the first octet?", "RFC 8314 section 3.3")
        said = await self.look.under_tls()
        if said is None:
            return None
        if not said[:3].isdigit():
            return not_smtp(said, recognised(said) or "a service under TLS")
        told = f"no greeting comes in the clear; under TLS the server says {shown(said)}"
        return wants_other_tls("implicit", self.target.tls, self.target.port, told)


async def find_out(error: WireError | SmtpError, scene: Scene) -> Trouble:
    """What was behind the error that ended a talk."""
    if isinstance(error, OpeningFailed):
        return await _of_opening(error, scene)
    injected = isinstance(error, InjectedOctets) or "in the clear, before" in str(error)
    if injected and scene.target.tls == "starttls":  # else it is just a greeting
        return Trouble(
            Cause.INJECTED,
            str(error),
            "somebody on the way puts words into the talk, or the server is broken: do not use it"
            " from this network",
        )
    if isinstance(error, TlsFailed):
        return await _of_tls(error, scene)
    if scene.greeting is None and not scene.dialogue.session.secured:
        return await _of_no_greeting(error, scene)
    return _of_end(error, scene)


async def _of_opening(error: OpeningFailed, scene: Scene) -> Trouble:
    session, target, reply = scene.dialogue.session, scene.target, error.reply
    if reply is not None and (reply.code < 400 or error.cause == "protocol"):
        return Trouble(Cause.PROTOCOL, str(error), _NO_SMTP)
    if reply is not None:
        greeting = scene.greeting.raw if scene.greeting is not None else b""
        if error.phase is Phase.EHLO and recognised(greeting):
            return not_smtp(greeting)
        return of_reply(error.phase, reply, scene.account.book)
    if error.phase is Phase.TLS:
        return await _no_tls(str(error), scene)
    asked = target.login.mechanisms if target.login is not None else None
    return of_login_not_tried(
        str(error), session.capabilities, secured=session.secured, asked=asked
    )


async def _of_no_greeting(error: WireError | SmtpError, scene: Scene) -> Trouble:
    if isinstance(error, MalformedReply):
        if error.line[:1] and error.line[0] in _TLS_RECORDS:
            told = "the server speaks TLS where a greeting is due"
            return wants_other_tls("implicit", scene.target.tls, scene.target.port, told)
        return not_smtp(error.line)
    if scene.target.tls != "implicit":
        if (trouble := await scene.wants_tls_at_once()) is not None:
            return trouble
    scene.note("what is said in the clear?", "RFC 5321 section 3.1")
    said = await scene.look.in_the_clear()
    if recognised(said):
        return not_smtp(said)
    return _of_end(error, scene)


def _of_end(error: WireError | SmtpError, scene: Scene) -> Trouble:
    if isinstance(error, DeadlinePassed):
        return Trouble(
            Cause.SILENT,
            str(error),
            "the server is connected and says nothing: it is overloaded, a firewall holds the"
            " words back, or it is no mail server: look at host and port",
        )
    if isinstance(error, ConnectionLost) and scene.greeting is None:
        return Trouble(
            Cause.CLOSED_AT_ONCE,
            str(error),
            "a firewall, a block list, or a limit on connections from here (a running daemon's"
            " count, too): wait, and ask whether this network may use the server",
        )
    if isinstance(error, ConnectionLost):
        return Trouble(Cause.CLOSED, str(error), "the server hung up without a word: try again")
    return Trouble(Cause.PROTOCOL, str(error), _NO_SMTP)


async def _of_tls(error: TlsFailed, scene: Scene) -> Trouble:
    target, cause = scene.target, error.__cause__
    starttls = target.tls == "starttls"
    code = getattr(cause, "verify_code", None)  # of ssl.SSLCertVerificationError
    if code is not None:
        scene.note("what certificate is it?", "RFC 5280 section 4.1")
        facts = await scene.look.certificate(starttls=starttls)
        shown = facts.certificate if facts is not None else None
        name = target.server_name or target.host
        return of_certificate(code, str(error), name, shown, datetime.now(UTC))
    if "older than 1.2" in str(error):
        return Trouble(
            Cause.TLS_TOO_OLD,
            str(error),
            "it must learn TLS 1.2 or 1.3 (RFC 8996): tell its administrator, or use another port",
        )
    if not starttls and (trouble := await _of_clear_words(str(error), scene)) is not None:
        return trouble
    if isinstance(cause, TimeoutError):
        return Trouble(
            Cause.SILENT,
            str(error),
            "the server takes the connection and stalls: QQ does that for a while after a bad"
            " login; else it is overloaded, or a firewall holds the words back",
        )
    if not hasattr(cause, "reason"):  # no ssl.SSLError: it was closed
        return Trouble(
            Cause.CLOSED_AT_ONCE,
            str(error),
            "a firewall, a block list, or a limit on connections from here: wait, and ask whether"
            " this network may use the server",
        )
    return Trouble(Cause.TLS_FAILED, str(error), "look at host, port and tls; --trace shows more")


async def _of_clear_words(told: str, scene: Scene) -> Trouble | None:
    """The trouble where a server that we offered TLS to speaks in the clear."""
    scene.note("what is said in the clear?", "RFC 5321 section 3.1")
    said = await scene.look.in_the_clear()
    if recognised(said):
        return not_smtp(said)
    if not said[:3].isdigit():
        return None
    port = scene.target.port
    if await scene.look.starttls_offered():
        return wants_other_tls("starttls", "implicit", port, told)
    return await _no_tls(told, scene)


async def _no_tls(told: str, scene: Scene) -> Trouble:
    port, loopback = scene.target.port, scene.dialogue.wire.peer_is_loopback
    elsewhere = port != IMPLICIT_TLS_PORT and await scene.look_at(IMPLICIT_TLS_PORT).listens()
    return no_tls_there(port, told, loopback=loopback, implicit_elsewhere=elsewhere)
