"""`asyncnet doctor`: every account's way to its server, stage by stage, with a verdict and advice.

No mail is sent: a transaction is begun, and undone before its content.  A running daemon is asked
how the account stands, and is not disturbed otherwise.
"""

import asyncio
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console

from asyncnet.cli import exit_codes
from asyncnet.cli.checkup_report import Report, document_of
from asyncnet.cli.exit_codes import CommandFailed
from asyncnet.cli.foresight import foreign_senders
from asyncnet.cli.serve import loop_factory
from asyncnet.cli.settings import read_providers, read_settings
from asyncnet.cli.standing_stage import standing_stage
from asyncnet.cli.trace import print_event
from asyncnet.config.sections import AccountSettings, SecretSource, Settings
from asyncnet.config.values import Endpoint, parse_size
from asyncnet.delivery.accounts import Account, AccountError, resolve
from asyncnet.delivery.checkup.dry_run import DryRun
from asyncnet.delivery.checkup.finding_out import Known
from asyncnet.delivery.checkup.stages import Cause, Finding, Stage, Trouble
from asyncnet.delivery.checkup.walk import NOT_REACHED, STAGES, Checkup
from asyncnet.delivery.errors import TlsFailed
from asyncnet.delivery.exchange import Target
from asyncnet.delivery.tls import tls_context
from asyncnet.mail.address import AddressError, parse_mailbox
from asyncnet.providers.presets import Catalogue, Preset, ProviderError

_MODES = {
    "implicit": "TLS from the first octet",
    "starttls": "TLS by STARTTLS",
    "none": "no TLS",
}
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Wishes:
    """The command line, but for the accounts; sender and recipient None: the account's own."""

    sender: str | None = None
    recipient: str | None = None
    octets: int | None = None
    trace: bool = False
    as_json: bool = False


def wishes(
    sender: str | None, recipient: str | None, size: str | None, *, trace: bool, as_json: bool
) -> Wishes:
    """The words of the command line, read.  Raises CommandFailed."""
    return Wishes(
        sender=_address("--from", sender),
        recipient=_address("--to", recipient),
        octets=None if size is None else _octets(size),
        trace=trace,
        as_json=as_json,
    )


def _address(option: str, text: str | None) -> str | None:
    try:
        return None if text is None else parse_mailbox(text).addr_spec
    except AddressError as error:
        raise CommandFailed(exit_codes.USAGE, [f"{option} {error}"]) from error


def _octets(size: str) -> int:
    try:
        octets = parse_size(f"{size}B" if size.isdecimal() else size)
    except ValueError as error:
        raise CommandFailed(exit_codes.USAGE, [f"--size: {error}"]) from error
    assert isinstance(octets, int)
    return octets


def run(names: Sequence[str], config: Path | None, wishes: Wishes) -> int:
    """Check the named accounts, or all; 78 for the settings, 69 for a server, else 0."""
    settings, providers = read_settings(config), read_providers(config)
    chosen = _chosen(names, settings)
    visits: list[_Visit] = []
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        for name in chosen:
            if visits and not wishes.as_json:
                print()
            report = Report(Console(highlight=False, soft_wrap=True), quiet=wishes.as_json)
            visit = _Visit(name, settings, providers, wishes, report)
            runner.run(visit.run())
            report.end()
            visits.append(visit)
    if wishes.as_json:
        found = [visit.document() for visit in visits]
        print(json.dumps(found, ensure_ascii=False, indent=2))
    return max(visit.exit_code for visit in visits)  # 0, 69, 78: the worst is the highest


def _chosen(names: Sequence[str], settings: Settings) -> list[str]:
    known = list(settings.account)
    if not known:
        raise CommandFailed(
            exit_codes.CONFIG,
            ["no account is configured; write one, [account.NAME], into the settings"],
        )
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
            raise CommandFailed(exit_codes.USAGE, [f"there is no account {name!r}; {advice}"])
    return list(dict.fromkeys(names)) or known


class _Visit:
    """One account's check-up, from its settings on."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        providers: Catalogue,
        wishes: Wishes,
        report: Report,
    ) -> None:
        self._name = name
        self._settings = settings
        self._providers = providers
        self._wishes = wishes
        self._report = report
        self._account: Account | None = None

    async def run(self) -> None:
        begun_s = perf_counter()
        try:
            account = self._account = resolve(self._name, self._section, self._providers)
        except AccountError as error:
            self._report.head(self._name, "")
            self._settings_failed(Cause.SETTINGS, str(error), "see config/asyncnet.toml", begun_s)
            return
        self._report.head(self._name, _server(account))
        try:
            target = await account.target()
            if account.tls != "none":
                tls_context(target.ca_file, verify=target.verify)
        except AccountError as error:
            self._secret_missing(account, str(error), begun_s)
            return
        except TlsFailed as error:
            self._settings_failed(
                Cause.CA_FILE, str(error), "ca_file is a file of PEM certificates", begun_s
            )
            return
        self._report.tell(self._looked_through(account, target, begun_s))
        self._report.tell(standing_stage(self._name, self._settings))
        checkup = Checkup(
            account,
            target,
            self._dry_run(account),
            self._report.tell,
            known=self._known(),
            trace=print_event if self._wishes.trace else None,
        )
        try:
            await checkup.run()
        except AccountError as error:
            trouble = Trouble(Cause.TOKEN_REFUSED, str(error), "look at the account's oauth2")
            self._report.tell(_failed("auth", trouble))
            self._leave_out_the_rest()

    @property
    def exit_code(self) -> int:
        failed = [stage for stage in self._report.stages if stage.finding is Finding.FAILED]
        if not failed:
            return exit_codes.OK
        ours = failed[0].name == "settings" and failed[0].cause is not Cause.TOKEN_REFUSED
        return exit_codes.CONFIG if ours else exit_codes.UNAVAILABLE

    def document(self) -> dict[str, Any]:
        """What --json prints of the account."""
        account = self._account
        return {
            "account": self._name,
            "server": None if account is None else str(Endpoint(account.host, account.port)),
            "tls": None if account is None else account.tls,
            "ok": self.exit_code == exit_codes.OK,
            "stages": [document_of(stage) for stage in self._report.stages],
        }

    # The settings.

    @property
    def _section(self) -> AccountSettings:
        return self._settings.account[self._name]

    def _preset(self) -> Preset | None:
        section = self._section
        if section.preset is None:
            return self._providers.by_host(section.host or "")
        try:
            return self._providers.by_name(section.preset)
        except ProviderError:
            return None

    def _known(self) -> Known:
        preset = self._preset()
        hosts = tuple(it.host for it in self._providers.presets.values() if it.host is not None)
        account = self._account
        its_host = preset is not None and account is not None and preset.host == account.host
        return Known(preset.ports if preset is not None and its_host else {}, hosts)

    def _settings_failed(self, cause: Cause, told: str, advice: str, begun_s: float) -> None:
        took_s = perf_counter() - begun_s
        self._report.tell(_failed("settings", Trouble(cause, told, advice), took_s))
        self._leave_out_the_rest()

    def _leave_out_the_rest(self) -> None:
        for name in STAGES[self._account.tls if self._account is not None else "starttls"]:
            self._report.tell(Stage(name, Finding.SKIPPED, NOT_REACHED))

    def _secret_missing(self, account: Account, told: str, begun_s: float) -> None:
        from_server = told.startswith("the token server")
        cause = Cause.TOKEN_REFUSED if from_server else Cause.SECRET_MISSING
        advice = "look at the account's oauth2, and at the token server"
        if not from_server:
            advice = _secret_advice(self._section)
            if account.book.credential:
                advice += f"; {account.book.credential}"
        self._settings_failed(cause, told, advice, begun_s)

    def _looked_through(self, account: Account, target: Target, begun_s: float) -> Stage:
        login = target.login
        told = "no login" if login is None else f"login as {login.user}{_from(self._section)}"
        stage = Stage("settings", Finding.OK, told, perf_counter() - begun_s)
        ports = self._known().ports
        if ports and ports.get(account.port) != account.tls:
            usual = ", ".join(f'{port} with tls = "{tls}"' for port, tls in ports.items())
            return replace(
                stage,
                finding=Finding.WARNING,
                cause=Cause.UNUSUAL_SERVER,
                advice=f"the provider's ports are {usual}",
            )
        if foreign := foreign_senders(account, self._section.senders):
            return replace(
                stage,
                finding=Finding.WARNING,
                cause=Cause.SENDER_NOT_LOGIN,
                advice=f"this provider takes mail from {account.user} alone, not from"
                f" {', '.join(foreign)}:"
                " look at the account's senders",
            )
        if login is not None and login.password != login.password.strip():
            return replace(
                stage,
                finding=Finding.WARNING,
                cause=Cause.SECRET_BLANK,
                advice="the secret begins or ends with a blank: is that meant?",
            )
        return stage

    def _dry_run(self, account: Account) -> DryRun:
        wishes, spool = self._wishes, self._settings.spool
        plain = [it for it in self._section.senders if not _GLOB & set(it)]
        user = account.user if account.user is not None and "@" in account.user else None
        sender = wishes.sender or user or next(iter(plain), None)
        wished = "max_message" in spool.model_fields_set
        return DryRun(
            sender, wishes.recipient, wishes.octets, spool.max_message if wished else None
        )


def _failed(name: str, trouble: Trouble, took_s: float | None = None) -> Stage:
    return Stage(
        name,
        Finding.FAILED,
        trouble.told,
        took_s,
        cause=trouble.cause,
        advice=trouble.advice,
    )


def _server(account: Account) -> str:
    return f"{Endpoint(account.host, account.port)}, {_MODES[account.tls]}"


def _source(section: AccountSettings) -> SecretSource | None:
    return next((source for _, source in section.secret_sources()), None)


def _from(section: AccountSettings) -> str:
    """Where the secret came from, in words."""
    match _source(section):
        case SecretSource(env=str(name)):
            return f", secret from the variable {name}"
        case SecretSource(file=Path() as path):
            return f", secret from the file {path}"
        case SecretSource(command=(program, *_)):
            return f", secret from the program {program}"
        case SecretSource(credential=str(name)):
            return f", secret from the credential {name}"
    return ""


def _secret_advice(section: AccountSettings) -> str:
    match _source(section):
        case SecretSource(env=str(name)):
            return f"set it where you start asyncnet: export {name}=…"
        case SecretSource(file=Path() as path):
            return f"put the secret into {path}, readable by the user who runs asyncnet"
        case SecretSource(command=(program, *_)):
            return f"see that {program!r} runs without a question and prints the secret alone"
    return "look at the account's secret"
