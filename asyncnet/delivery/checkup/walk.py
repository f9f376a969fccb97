"""A check-up of an account: its way to the server stage by stage, up to RCPT, and no mail.

The same steps by the same rules as a delivery (smtp/opening), on connections of its own: mail that
is under way is not disturbed, and no state of an account is changed.  Where a stage fails, a second
look finds out why; the later stages are left out.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from asyncnet.delivery.accounts import Account
from asyncnet.delivery.checkup.diagnosis import of_validity
from asyncnet.delivery.checkup.dry_run import DryRun
from asyncnet.delivery.checkup.finding_out import NOTHING_KNOWN, Known, Scene, find_out
from asyncnet.delivery.checkup.reach import Reach, reach, resolve
from asyncnet.delivery.checkup.second_look import LOOK_S
from asyncnet.delivery.checkup.stages import Cause, Finding, Ledger, Stage, Stopped, Trouble
from asyncnet.delivery.checkup.words import drawn, offered
from asyncnet.delivery.dialogue import Dialogue
from asyncnet.delivery.errors import TlsFailed, WireError
from asyncnet.delivery.exchange import Target, opening_of
from asyncnet.delivery.tls import check_pins, tls_context
from asyncnet.delivery.trace import Narrator, Trace
from asyncnet.delivery.wire import Deadlines, Wire
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.command import Auth, AuthResponse, Command, Ehlo, Greeting
from asyncnet.smtp.errors import SmtpError
from asyncnet.smtp.opening import OpeningFailed
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.session import Session

# Somebody waits before the screen: shorter than a delivery's, longer than servers keep those
# waiting whom they do not trust yet (postscreen: 6 s).
DEADLINES = Deadlines(
    lookup_s=10.0,
    connect_s=10.0,
    tls_s=15.0,
    greeting_s=30.0,
    ehlo_s=30.0,
    auth_s=30.0,
    mail_s=30.0,
    rcpt_s=30.0,
    rset_s=10.0,
)
NOT_REACHED = "not reached"

STAGES = {
    "implicit": tuple("dns tcp tls greeting ehlo auth size mail rcpt".split()),
    "starttls": tuple("dns tcp greeting ehlo tls ehlo_tls auth size mail rcpt".split()),
    "none": tuple("dns tcp greeting ehlo auth size mail rcpt".split()),
}


class Checkup:
    """One account's.  told is given each stage as it ends."""

    def __init__(
        self,
        account: Account,
        target: Target,
        dry_run: DryRun,
        told: Callable[[Stage], None],
        *,
        known: Known = NOTHING_KNOWN,
        trace: Trace | None = None,
        deadlines: Deadlines = DEADLINES,
        patience_s: float = LOOK_S,
    ) -> None:
        self._account = account
        self._target = target
        self._dry_run = dry_run
        self._known = known
        self._deadlines = deadlines
        self._patience_s = patience_s
        self._narrator = Narrator(trace)
        self._ledger = Ledger(told, [target.login.password] if target.login else [])
        self._dialogue: Dialogue | None = None
        self._address = ""
        self._mechanism = ""
        self._greeting: Reply | None = None

    async def run(self) -> None:
        """Go as far as it goes.  Raises AccountError where a token cannot be renewed."""
        try:
            await self._connect()
            await self._open()
            if self._target.login is None:
                self._ledger.skip("auth", "the account has no user: nobody logs in")
            limit = self._talk.session.capabilities.size_limit(self._target.usual_octets)
            self._dry_run.compare_size(limit, self._ledger)
            await self._dry_run.run(
                self._target,
                self._talk,
                self._ledger,
                self._account.book,
                lambda error: find_out(error, self._scene()),
            )
        except Stopped:
            pass
        finally:
            if self._dialogue is not None:
                self._dialogue.part()
        for name in STAGES[self._target.tls]:
            if not self._ledger.told(name):
                self._ledger.skip(name, NOT_REACHED)

    async def _connect(self) -> None:
        """From the name to a talk with the first address that shakes hands."""
        target, ledger, narrator = self._target, self._ledger, self._narrator
        addresses = await resolve(target, ledger, self._known, self._deadlines)
        wire = await reach(addresses, target, ledger, self._known, narrator, self._deadlines)
        self._address = str(wire.peer[0])
        self._dialogue = self._new_dialogue(wire)

    def _new_dialogue(self, wire: Wire) -> Dialogue:
        return Dialogue(wire, Session(self._target.charset), self._narrator, self._deadlines)

    # The opening, by the rules of a delivery.

    async def _open(self) -> None:
        dialogue = self._talk
        steps = opening_of(self._target, dialogue.wire).steps(dialogue.session)
        reply: Reply | None = None
        try:
            while True:
                step = steps.send(reply)
                self._enter(step)
                if isinstance(step, Command):
                    reply = await self._ask(step)
                else:
                    reply = None
                    await self._secure()
        except StopIteration:
            self._leave()
            dialogue.rest()
        except (WireError, SmtpError) as error:
            await self._explain(error)

    def _enter(self, step: Command | str) -> None:
        """Begin the stage that the step belongs to, if it is not the one under way."""
        match step:
            case Greeting():
                name = "greeting"
            case Ehlo():  # Helo is one, too
                starttls = self._target.tls == "starttls"
                name = "ehlo_tls" if starttls and self._talk.session.secured else "ehlo"
            case Auth() | AuthResponse():
                name = "auth"
            case _:
                name = "tls"
        if name != self._ledger.name:
            self._leave()
            self._ledger.begin(name)
        if isinstance(step, Auth):
            self._mechanism = step.mechanism

    def _leave(self) -> None:
        """The stage under way went well: tell of it, once."""
        if self._ledger.told(self._ledger.name):
            return
        session, target = self._talk.session, self._target
        if self._ledger.name == "greeting":
            self._ledger.end(str(self._greeting))
        elif self._ledger.name in ("ehlo", "ehlo_tls"):
            final = self._ledger.name == "ehlo_tls" or target.tls != "starttls"
            self._ledger.end(*offered(session.capabilities, target, final=final))
        elif self._ledger.name == "tls":
            self._end_tls()
        elif self._ledger.name == "auth" and target.login is not None:
            others = ", ".join(session.capabilities.mechanisms)
            told = f"{target.login.user} is logged in by {self._mechanism}; offered: {others}"
            self._ledger.end(told)

    async def _ask(self, command: Command) -> Reply:
        if not isinstance(command, Greeting):
            return await self._talk.ask(command)
        self._greeting = await self._hear_greeting(command)
        return self._greeting

    async def _hear_greeting(self, command: Greeting) -> Reply:
        """Where it does not come soon, look whether that is TLS's fault while it may yet come."""
        hearing = asyncio.ensure_future(self._talk.ask(command))
        try:
            await asyncio.wait({hearing}, timeout=self._patience_s)
            if not hearing.done() and not self._talk.session.secured:
                trouble = await self._scene().wants_tls_at_once()
                if trouble is not None:
                    self._ledger.stop(trouble)
            return await hearing
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _secure(self) -> None:
        target, dialogue = self._target, self._talk
        dialogue.rest()
        wire, name = dialogue.wire, target.server_name or target.host
        context = tls_context(target.ca_file, verify=target.verify)
        wire.check()  # on what is closed already there is no handshake to clean up after
        version, cipher = await wire.start_tls(context, name, self._deadlines.tls_s)
        rule = "RFC 8314 section 3.3" if target.tls == "implicit" else "RFC 3207 section 4"
        proven = "proves" if target.verify else "was NOT ASKED to prove"
        self._narrator.note(f"{version}, {cipher}; the certificate {proven} {name}", rule)
        if wire.facts is not None:
            self._narrator.note(str(wire.facts), rule)
            try:
                check_pins(wire.facts, target.pins)
            except TlsFailed as error:
                advice = (
                    "if the server has a new key and you know that from its administrator, put its"
                    " pin into pin_sha256; else somebody else answers in its place"
                )
                self._ledger.stop(Trouble(Cause.PIN, str(error), advice))
        dialogue.session.secure()

    def _end_tls(self) -> None:
        facts, target = self._talk.wire.facts, self._target
        assert facts is not None
        shown = facts.certificate
        told = f"{facts.version}, {facts.cipher}"
        if shown is None:
            self._ledger.end(told, "a certificate that cannot be read")
            return
        now = datetime.now(UTC)
        warning = of_validity(shown, now)
        if not target.verify:
            warning = Trouble(
                Cause.NOT_VERIFIED,
                "",
                "anybody on the way can pretend to be the server and read the password: take"
                " verify = false out; ca_file is for an authority of your own",
                Finding.WARNING,
            )
        self._ledger.end(told, *drawn(facts, shown, now), trouble=warning)

    async def _explain(self, error: WireError | SmtpError) -> None:
        """Find out what it was, and stop; a refused token is renewed once before."""
        trouble = await find_out(error, self._scene())
        name = self._ledger.name
        if isinstance(error, OpeningFailed):  # it may be over before a command of the stage
            name = {Phase.TLS: "tls", Phase.AUTH: "auth"}.get(error.phase, name)
        if name != self._ledger.name:
            self._leave()
            self._ledger.begin(name)
        login = self._target.login
        if trouble.cause is Cause.LOGIN_REFUSED and login is not None and login.renew is not None:
            token = await login.renew(login.password)
            if token is not None:
                await self._start_again(token)
                return
        self._ledger.stop(trouble)

    async def _start_again(self, token: str) -> None:
        """As a delivery does it, whose token was refused."""
        login = self._target.login
        assert login is not None
        self._ledger.mask.learn(token)
        self._target = replace(self._target, login=replace(login, password=token, renew=None))
        self._talk.wire.abort()
        once_more = Reach(self._address, self._target.port)
        await once_more.run(self._deadlines, self._narrator)
        if once_more.wire is None:
            self._ledger.stop(Trouble(Cause.CLOSED, str(once_more), "try again"))
        self._dialogue = self._new_dialogue(once_more.wire)
        await self._open()

    def _scene(self) -> Scene:
        return Scene(
            self._account, self._target, self._talk, self._address, self._greeting, self._patience_s
        )

    @property
    def _talk(self) -> Dialogue:
        assert self._dialogue is not None, "there is no connection yet"
        return self._dialogue
