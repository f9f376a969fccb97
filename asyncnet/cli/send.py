"""`asyncnet send`: jobs sent now, in the foreground, without the queue."""

import asyncio
import ipaddress
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape

from asyncnet.cli import exit_codes
from asyncnet.cli.assembly import assemble_file, content_of, messages_for_envelopes
from asyncnet.cli.excerpt import visible
from asyncnet.cli.mistakes import JobProblems, print_problems
from asyncnet.cli.serve import loop_factory
from asyncnet.cli.settings import read_providers, read_settings
from asyncnet.cli.trace import print_event
from asyncnet.cli.watching import Meter
from asyncnet.config.sections import Settings
from asyncnet.config.values import parse_endpoint
from asyncnet.delivery.accounts import Account, AccountError, for_server, resolve
from asyncnet.delivery.exchange import Exchange, ExchangeFailed, Login, Target
from asyncnet.delivery.judgement import Action, judge, judge_failure
from asyncnet.mail.envelope import Envelope, Route, Server, TlsMode, complete_server
from asyncnet.mail.letter import Content, ContentError
from asyncnet.mail.verdict import RecipientStatus, Verdict
from asyncnet.providers.presets import Catalogue
from asyncnet.spool.assemble import Assembled
from asyncnet.spool.assemble_ready import AssembledReady

Engine = Literal["own", "stdlib"]
_Outgoing = Assembled | AssembledReady
_COLOURS = {RecipientStatus.ACCEPTED: "green", RecipientStatus.DEFERRED: "yellow"}


class UsageProblem(Exception):
    """The command line contradicts itself or names what is not there."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where to send to, as the command line says; all None: as each job says."""

    account: str | None
    server: str | None
    tls: TlsMode | None
    user: str | None
    password_env: str | None
    ca_file: Path | None

    def check(self, settings: Settings) -> None:
        """Raises UsageProblem."""
        if self.account and self.account not in settings.account:
            names = ", ".join(settings.account)
            known = f"known are: {names}" if names else "none is configured"
            raise UsageProblem(f"--account: there is no account {self.account!r}; {known}")
        if self.account and self.server:
            raise UsageProblem("--account and --server exclude each other")
        if not self.server and (self.tls or self.user or self.password_env or self.ca_file):
            raise UsageProblem("--tls, --user, --password-env and --ca-file go with --server")
        if (self.user is None) != (self.password_env is None):
            raise UsageProblem("--user and --password-env go together")
        if self.password_env is not None and self.password_env not in os.environ:
            raise UsageProblem(f"the environment variable {self.password_env} is not set")

    def endpoint(self) -> Server | None:
        """The server of --server, port and TLS mode completed.  Raises UsageProblem."""
        if self.server is None:
            return None
        try:
            place = parse_endpoint(self.server, default_port=0)
        except ValueError as error:
            raise UsageProblem(f"--server: {error}") from error
        return complete_server(place.host, place.port or None, self.tls)

    def login(self) -> Login | None:
        if self.user is None or self.password_env is None:
            return None
        return Login(self.user, os.environ[self.password_env])

    def route(self) -> Route | None:
        """The way that takes the place of the jobs' own; None: as they say."""
        server = self.endpoint()
        if server is not None:
            return Route(server=server)
        return Route(account=self.account) if self.account else None


def run(
    jobs: Sequence[Path],
    config: Path | None,
    options: ServerOptions,
    *,
    trace: bool,
    engine: Engine,
) -> int:
    """Send the jobs one after the other; the worst outcome is the exit code."""
    settings = read_settings(config)
    try:
        options.check(settings)
        options.endpoint()
    except UsageProblem as problem:
        print(f"asyncnet: {problem}", file=sys.stderr)
        return exit_codes.USAGE
    providers = read_providers(config)
    sender = _Sender(settings, providers, options, trace=trace, engine=engine)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        codes = [runner.run(sender.send(path)) for path in messages_for_envelopes(jobs)]
    return max(codes, key=_SEVERITY.index)


# From harmless to grave: a script that sends several jobs learns the worst.
_SEVERITY = [
    exit_codes.OK,
    exit_codes.TEMPFAIL,
    exit_codes.UNAVAILABLE,
    exit_codes.DATA,
    exit_codes.CONFIG,
]


class _Sender:
    def __init__(
        self,
        settings: Settings,
        providers: Catalogue,
        options: ServerOptions,
        *,
        trace: bool,
        engine: Engine,
    ) -> None:
        self._settings = settings
        self._providers = providers
        self._options = options
        self._trace = trace
        self._engine = engine
        self._console = Console(highlight=False, soft_wrap=True)

    async def send(self, path: Path) -> int:
        """Send one job, print what became of each recipient, return the exit code."""
        options = self._options
        allow = True if options.server else None
        try:
            assembled = assemble_file(path, self._settings, allow_server=allow, by=options.route())
            account = self._account(assembled)
            verdicts = await self._deliver(path, assembled, account)
        except JobProblems as refused:
            print_problems(refused)
            return exit_codes.DATA
        except AccountError as error:
            print(f"asyncnet: {error}", file=sys.stderr)
            return exit_codes.CONFIG
        except ContentError as error:
            print(f"asyncnet: {path}: {error}", file=sys.stderr)
            return exit_codes.TEMPFAIL
        for warning in assembled.warnings:
            print(visible(f"{path}: warning: {warning}"), file=sys.stderr)
        self._print(path, account, verdicts)
        return _exit_code(verdicts.values())

    def _account(self, assembled: _Outgoing) -> Account:
        """The account or server that the job's route means.  Raises AccountError."""
        name, server = assembled.route.account, assembled.route.server
        if name is not None:
            return resolve(name, self._settings.account[name], self._providers)
        assert server is not None
        account = for_server(str(server), server, self._providers)
        return replace(account, ca_file=self._options.ca_file)

    async def _target(self, account: Account) -> Target:
        target = await account.target()
        login = self._options.login()
        return target if login is None else replace(target, login=login)

    async def _deliver(
        self, path: Path, assembled: _Outgoing, account: Account
    ) -> Mapping[str, Verdict]:
        target = await self._target(account)
        if self._engine == "stdlib":
            return await self._deliver_by_stdlib(assembled, target)
        content = content_of(path, assembled)
        trace = print_event if self._trace else None
        try:
            exchange = await Exchange.connect(target, trace)
        except ExchangeFailed as failed:
            verdict = judge_failure(failed, account.book).verdict
            return dict.fromkeys(assembled.envelope.recipients, verdict)
        try:
            return await _transact(exchange, account, assembled.envelope, content)
        finally:
            await exchange.close()

    async def _deliver_by_stdlib(
        self, assembled: _Outgoing, target: Target
    ) -> Mapping[str, Verdict]:
        from asyncnet.lab.baseline import build_octets, send_octets_with_stdlib

        if unable := _beyond_stdlib(target):
            raise AccountError(f"--engine stdlib knows no {unable}: send without it")
        login = target.login
        if (
            login is not None
            and target.tls == "none"
            and not (login.plaintext or _is_loopback(target.host))
        ):
            raise AccountError(
                f"the password for {target.host} would cross the network in the clear; "
                "use TLS, or say plaintext_auth = true in the account"
            )
        try:
            if isinstance(assembled, AssembledReady):
                octets = b"".join(assembled.content.blocks())
            else:
                octets = build_octets(assembled.letter, assembled.envelope)
            return await asyncio.to_thread(
                send_octets_with_stdlib,
                octets,
                assembled.envelope,
                Server(target.host, target.port, target.tls),
                login=None if login is None else (login.user, login.password),
                ca_file=target.ca_file,
            )
        except OSError as error:
            verdict = Verdict(RecipientStatus.DEFERRED, text=f"{type(error).__name__}: {error}")
            return dict.fromkeys(assembled.envelope.recipients, verdict)

    def _print(self, path: Path, account: Account, verdicts: Mapping[str, Verdict]) -> None:
        self._console.print(f"[bold]{escape(str(path))}[/] by {account.host}:{account.port}")
        for address, verdict in verdicts.items():
            colour = _COLOURS.get(verdict.status, "red")
            code = " ".join(filter(None, (str(verdict.code or ""), verdict.enhanced)))
            words = escape(f"{code} {verdict.text}".strip())
            self._console.print(f"  {escape(address)}: [{colour}]{verdict.status}[/] {words}")
            if verdict.hint:
                self._console.print(f"    [italic]{escape(verdict.hint)}[/]")


def _beyond_stdlib(target: Target) -> str | None:
    """What of the account smtplib would not do, or would do wrong; None: nothing."""
    if target.login is not None and target.login.bearer:
        return "oauth2 (it would send the token as a password)"
    if target.pins:
        return "pin_sha256 (it would talk to any server that the authorities vouch for)"
    if target.address is not None:
        return "address (it would connect to what host means)"
    return None if target.verify else "verify = false (it always verifies)"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _transact(
    exchange: Exchange, account: Account, envelope: Envelope, content: Content
) -> dict[str, Verdict]:
    """Hand the message over, in as many transactions as the server's limits ask for."""
    verdicts: dict[str, Verdict] = {}
    pending = list(envelope.recipients)
    with Meter(content.octets) as meter:
        while pending:
            batch = tuple(pending[: account.recipients or len(pending)])
            answers = await exchange.transact(
                replace(envelope, recipients=batch), content, _nothing_to_mark, meter.show
            )
            judged = {
                address: judge(answer, account.book, 0)
                for address, answer in zip(batch, answers, strict=True)
            }
            verdicts |= {address: judgement.verdict for address, judgement in judged.items()}
            another = (Action.NEXT_TRANSACTION, Action.ITS_TURN)
            again = [address for address, it in judged.items() if it.action in another]
            pending = again + pending[len(batch) :]
            if not exchange.usable or len(again) == len(batch):
                break
    for address in pending:
        lost = Verdict(RecipientStatus.DEFERRED, text="the server ended the talk before its turn")
        verdicts.setdefault(address, lost)
    return verdicts


async def _nothing_to_mark() -> None:
    """A mail sent in the foreground has no journal: whoever sends it sees what happens."""


def _exit_code(verdicts: Iterable[Verdict]) -> int:
    statuses = {verdict.status for verdict in verdicts}
    if statuses == {RecipientStatus.ACCEPTED}:
        return exit_codes.OK
    if RecipientStatus.REJECTED in statuses:
        return exit_codes.UNAVAILABLE
    return exit_codes.TEMPFAIL
