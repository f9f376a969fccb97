"""The command line: what there is, with its help; the work is done in the modules beside.

They are imported when their command runs, so that none pays for what another needs.
"""

import sys
from enum import StrEnum
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.exceptions import Abort, TyperException

from asyncnet.cli import exit_codes
from asyncnet.cli.version import print_version
from asyncnet.mail.verdict import JobStatus

app = typer.Typer(
    name="asyncnet",
    help="Three pages on port 8080, and mail from a folder with a result per recipient.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # its locals would show secrets
)
queue_app = typer.Typer(
    no_args_is_help=True, help="Look into the queue and act on it, also while the daemon runs."
)
app.add_typer(queue_app, name="queue")
account_app = typer.Typer(
    no_args_is_help=True, help="How the accounts stand; hold and release them."
)
app.add_typer(account_app, name="account")


class Only(StrEnum):
    """The parts of the daemon, as supervisor.Part, which is too heavy to import for --help."""

    WEB = "web"
    INTAKE = "intake"
    DELIVERY = "delivery"


class Waiting(StrEnum):
    """The states that jobs wait in, of verdict.JobStatus."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    HELD = "held"


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Settings; else $ASYNCNET_CONFIG, ./config/asyncnet.toml, the user's, the system's.",
    ),
]
Jobs = Annotated[
    list[Path],
    typer.Argument(metavar="JOB...", help="Job files (YAML, JSON), or ready messages (.eml)."),
]
Keys = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY...]", help="Queue ids, job ids or names."),
]
OfAccount = Annotated[
    str | None, typer.Option("--account", metavar="NAME", help="Only jobs that go by it.")
]
InState = Annotated[
    list[Waiting] | None,
    typer.Option("--state", help="Only jobs that stand so; may be given more than once."),
]
AtState = Annotated[
    list[JobStatus] | None,
    typer.Option("--state", help="Only jobs that stand so, finished ones too; may be repeated."),
]
Everything = Annotated[bool, typer.Option("--all", "-a", help="All jobs that wait.")]
Why = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why.")]
Accounts = Annotated[list[str], typer.Argument(metavar="NAME...", help="Accounts.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print_version()
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    config: Config = None,
    only: Annotated[
        list[Only] | None,
        typer.Option(
            "--only",
            help="Run just this part; may be given more than once. Intake and delivery apart need "
            "a PostgreSQL queue, and on one machine a spool each.",
        ),
    ] = None,
) -> int:
    """Run the daemon: the pages, the watched folder, the delivery.

    SIGTERM or Ctrl-C stops in order, SIGHUP reads the settings again.
    """
    from asyncnet.cli import lean

    return lean.serve(config, only)


@app.command()
def send(
    jobs: Jobs,
    config: Config = None,
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="The configured account to send with.")
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="HOST[:PORT]", help="Another server, by name or IP address."),
    ] = None,
    tls: Annotated[
        Literal["implicit", "starttls", "none"] | None,
        typer.Option(help="With --server; default by port: 465 implicit, else STARTTLS."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="With --server: log in as this user.")] = None,
    password_env: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", help="The environment variable that holds its password."),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="With --server: the authorities to trust instead."),
    ] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Show the handshake and every line of the dialogue.")
    ] = False,
    engine: Annotated[
        Literal["own", "stdlib"],
        typer.Option(help="stdlib: the same through email.mime and smtplib, as a yardstick."),
    ] = "own",
) -> int:
    """Send jobs or ready messages now, in the foreground, without the queue.

    Ends with 0 when every recipient was accepted, 69 when one was refused, 75 when one may be
    tried again later, 65 when a job is wrong.
    """
    from asyncnet.cli import send as command

    options = command.ServerOptions(account, server, tls, user, password_env, ca_file)
    return command.run(jobs, config, options, trace=trace, engine=engine)


@app.command()
def submit(
    jobs: Jobs,
    config: Config = None,
    wait: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.0, help="Wait so long for the outcome."),
    ] = None,
) -> int:
    """Put jobs into the spool, for the running daemon or the next one.

    With --wait, ends with 0 when all were sent, 69 when one was not, 75 when one still waits.
    Attached files must lie in pickup/ or in an attachment root.
    """
    from asyncnet.cli import submit as command

    return command.run(jobs, config, wait)


@app.command()
def check(
    jobs: Annotated[
        list[Path],
        typer.Argument(
            metavar="JOB...", help="Jobs and ready messages, and folders with them anywhere below."
        ),
    ],
    config: Config = None,
    json: Json = False,
) -> int:
    """Say whether jobs are right: every mistake with line, column and what would be right.

    Ends with 0 when all are good, 65 when one is wrong.
    """
    from asyncnet.cli import jobs as command

    return command.check(jobs, config, as_json=json)


@app.command()
def render(
    job: Annotated[
        Path, typer.Argument(metavar="JOB", help="A job file, or a ready message (.eml).")
    ],
    config: Config = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Draw its structure: types, encodings, sizes, names.")
    ] = False,
) -> int:
    """Print the message that a job becomes, as it would go on the wire."""
    from asyncnet.cli import jobs as command

    return command.render(job, config, tree=tree)


@app.command()
def schema() -> int:
    """Print the JSON Schema of a job, so that editors complete and check it."""
    from asyncnet.cli import jobs as command

    return command.schema()


@queue_app.command("list")
def queue_list(
    keys: Keys = None,
    config: Config = None,
    account: OfAccount = None,
    state: AtState = None,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Finished jobs too, as long as they are kept.")
    ] = False,
    json: Json = False,
) -> int:
    """List the jobs that wait, newest first: state, attempts, when they are tried next.

    Those that a KEY names are listed in any state.  Ends with 0, with 65 when a KEY names no job,
    69 when what it names is not among those asked for.
    """
    from asyncnet.cli import queue as command
    from asyncnet.cli.queue_words import Which

    which = Which(keys or (), account, state or (), everything)
    return command.list_jobs(which, config, as_json=json)


@queue_app.command("show")
def queue_show(
    keys: Keys = None,
    config: Config = None,
    account: OfAccount = None,
    state: AtState = None,
    json: Json = False,
) -> int:
    """Show jobs: every recipient with the last answer, and what happens next.

    Those that a KEY names, in any state, or those of an account or a state.  Exit codes as with
    list.
    """
    from asyncnet.cli import queue as command
    from asyncnet.cli.queue_words import Which

    return command.show(Which(keys or (), account, state or ()), config, as_json=json)


_VERBS = {
    "hold": """Park jobs until they are released; one that is being sent is finished first.

    Ends with 0 when they are held, 65 when a KEY names no job, 69 when one is finished, 75 when
    one is being sent, so that it is not clear yet.
    """,
    "release": "Let held jobs go, now, or at their send_at.  Exit codes as with hold.",
    "retry": "Try deferred and held jobs now; it counts as an attempt like any other.",
    "cancel": """End jobs: who does not have the mail yet does not get it; a result says so.

    One that is being sent cannot be stopped.  Exit codes as with hold.
    """,
}


def _add_verb(word: str) -> None:
    """One of the four that act on jobs: they take the same words."""

    @queue_app.command(word, help=cleandoc(_VERBS[word]))
    def act(
        keys: Keys = None,
        config: Config = None,
        account: OfAccount = None,
        state: InState = None,
        everything: Everything = False,
        reason: Why = None,
        json: Json = False,
    ) -> int:
        from asyncnet.cli import queue_words as command

        which = command.Which(keys or (), account, state or (), everything)
        return command.say(word, which, config, reason, as_json=json)


for _word in _VERBS:
    _add_verb(_word)


@account_app.command("list")
def account_list(config: Config = None, json: Json = False) -> int:
    """List the accounts: ok, throttled, held or down, since when, why, and what waits."""
    from asyncnet.cli import account as command

    return command.list_accounts(config, as_json=json)


@account_app.command("hold")
def account_hold(
    names: Accounts,
    config: Config = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why, for whoever looks at the list.")
    ] = None,
    json: Json = False,
) -> int:
    """Let nothing of an account go out until it is released; what is being sent is finished."""
    from asyncnet.cli import account as command

    return command.hold(names, config, reason, as_json=json)


@account_app.command("release")
def account_release(names: Accounts, config: Config = None, json: Json = False) -> int:
    """Try an account at once, whether a person held it or trouble did."""
    from asyncnet.cli import account as command

    return command.release(names, config, as_json=json)


@app.command()
def explain(
    reply: Annotated[
        list[str],
        typer.Argument(metavar="REPLY...", help='As the server gave it, or its words; "-": stdin.'),
    ],
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="By the rules of this provider.")
    ] = None,
    phase: Annotated[
        Literal["greeting", "ehlo", "tls", "auth", "mail", "rcpt", "data", "dot"] | None,
        typer.Option(help="Where it came; else the likeliest."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> int:
    """Say what a server's reply means, what asyncnet does about it, and what you can do.

    asyncnet explain "550 5.4.5 Daily user sending limit exceeded" --preset gmail
    """
    from asyncnet.cli import explain as command

    return command.run(reply, config, preset, phase, as_json=json)


@app.command()
def doctor(
    accounts: Annotated[
        list[str] | None, typer.Argument(metavar="ACCOUNT", help="Accounts; else all.")
    ] = None,
    config: Config = None,
    sender: Annotated[
        str | None,
        typer.Option("--from", metavar="ADDR", help="Begin a mail from here; else the login."),
    ] = None,
    recipient: Annotated[
        str | None, typer.Option("--to", metavar="ADDR", help="To here; else to the sender.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="N", help='Whether mails so large are taken: "25MB".')
    ] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Show the handshake and every line of the dialogue.")
    ] = False,
    json: Json = False,
) -> int:
    """Look why mail does not go out: each account's way, stage by stage.  No mail is sent.

    Settings, DNS, TCP, TLS, greeting, EHLO, login, size limit, and a mail that is begun and not
    sent; each with time, verdict and advice.  Ends with 0 when all is well, 69 when a server
    refuses or cannot be reached, 78 when it is the settings.
    """
    from asyncnet.cli import doctor as command

    wishes = command.wishes(sender, recipient, size, trace=trace, as_json=json)
    return command.run(accounts or (), config, wishes)


@app.command()
def sink(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen.")
    ] = "127.0.0.1:1025",
    maildir: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The Maildir that keeps what comes in.")
    ] = Path("sink"),
) -> int:
    """Run the local test sink alone: an SMTP server that keeps all mail in a Maildir."""
    from asyncnet.cli import sink as command

    return command.run(listen, maildir)


def run() -> int:
    """Run the command line; returns the exit code.  Raises CommandFailed."""
    try:
        code: int = app(standalone_mode=False)
    except TyperException as error:
        told = error.format_message().replace(": Value error, ", ": ")  # pydantic's
        print(f"asyncnet: {told}\nTry: asyncnet --help", file=sys.stderr)
        return exit_codes.USAGE
    except Abort as error:
        raise KeyboardInterrupt from error
    return code
