"""Composing a message, ours beside the standard library's: time and peak memory, in ratios.

    python -m tests.bench.composing

The same values in hand (addresses as text, bodies, file content), a whole message out, in
alternating rounds; each figure is the median of the rounds, each ratio that of one round's
ratio, since a machine's speed drifts.  A body of megabytes is a file that every composer reads
for itself; that is the whole way from the job to the message.  About a minute.
"""

import contextlib
import gc
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import encoders
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.mail.address import Mailbox, parse_mailbox
from asyncnet.mail.letter import Letter, Octets, Part
from asyncnet.mime.message import compose
from asyncnet.spool.assemble import Rules, assemble
from asyncnet.spool.files import AllowedFolders
from asyncnet.spool.job import read_job

ROUNDS = 7
MEGABYTE = 1_000_000

SENDER, RECIPIENT = "Ann Clark <ann@example.org>", "bob@example.com"
SUBJECT = "The report of the night"
MESSAGE_ID = "<01JDX0V6S3N2K7@example.org>"
DATE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SMALL_TEXT = "All 1,204 checks went well; the next run is at six o'clock.\n" * 4
SENDER_READ, RECIPIENT_READ = parse_mailbox(SENDER), parse_mailbox(RECIPIENT)


@dataclass(frozen=True)
class Case:
    """must and goal are ratios to EmailMessage, or MB/s of content where per_s is set."""

    name: str
    content: bytes | None  # of an attachment, or of a body in a file
    repeats: int
    must: float | None = None
    goal: float | None = None
    per_s: bool = False
    file: Literal["text_file", "html_file"] | None = None  # the key of a body in a file


CHINESE = "所有检查均顺利通过；下一次运行时间为六点整。\n".encode()
ROW = '<p class="a">Ein <a href="https://example.org/x">Verweis</a> und schöner Text.</p>\n'
PAGE = ('<img src="logo.png" alt="">\n' + ROW * 117).encode()

CASES = [
    Case("small, text alone", None, 200, must=50, goal=100),
    Case("100 KB attachment", bytes(range(256)) * 400, 20),
    Case("25 MB attachment", bytes(range(256)) * 97_657, 1, must=600, goal=1200, per_s=True),
    Case("10 MB text_file, ASCII", SMALL_TEXT.encode() * 41_667, 1, file="text_file"),
    Case("10 MB text_file, non-ASCII", CHINESE * 149_254, 1, file="text_file"),
    Case("10 MB html_file, 1,000 images", PAGE * 1_000, 1, file="html_file"),
]


def letter(content: bytes | None, sender: Mailbox, recipient: Mailbox) -> Letter:
    part = Part(Octets(content), "application/pdf", "report.pdf") if content else None
    return Letter(
        from_=sender,
        date=DATE,
        message_id=MESSAGE_ID,
        boundary_seed="01JDX0V6S3N2K7",
        to=(recipient,),
        subject=SUBJECT,
        text=SMALL_TEXT,
        attachments=(part,) if part else (),
    )


def ours(case: Case) -> int:
    """Addresses read before, as a job has them; the blocks are passed on and dropped."""
    message = compose(letter(case.content, SENDER_READ, RECIPIENT_READ))
    return sum(map(len, message.blocks()))


def ours_with_reading(case: Case) -> int:
    """The addresses are read from text as well, which is what email does with its fields."""
    message = compose(letter(case.content, parse_mailbox(SENDER), parse_mailbox(RECIPIENT)))
    return sum(map(len, message.blocks()))


def ours_with_file(case: Case) -> int:
    """From the job on: the file opened and judged, its local images taken along."""
    job = f'{{"from": "{SENDER}", "to": "{RECIPIENT}", "subject": "x", "{case.file}": "body"}}'
    rules = Rules(
        folders=AllowedFolders((Path.cwd(),), 200 * MEGABYTE),
        accounts={"one": AccountSettings(host="smtp.example.org", default=True)},
        allow_server=False,
        queue=QueueSettings(),
    )
    made = assemble(read_job(job.encode(), "json"), rules, owner=os.getuid(), now=1e9, seed="x")
    return sum(map(len, compose(made.letter).blocks()))


def email_message(case: Case) -> int:
    content = case.content
    message = EmailMessage(policy=SMTP)
    message["Date"] = format_datetime(DATE)
    message["From"] = SENDER
    message["To"] = RECIPIENT
    message["Subject"] = SUBJECT
    message["Message-ID"] = MESSAGE_ID
    message.set_content(SMALL_TEXT)
    if content:
        message.add_attachment(
            content, maintype="application", subtype="pdf", filename="report.pdf"
        )
    return len(message.as_bytes())


def email_message_with_file(case: Case) -> int:
    """The images by one replace(), which is far from what we do for them."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = SENDER, RECIPIENT, "x"
    text = Path("body").read_text(encoding="utf-8")
    if case.file == "html_file":
        message.set_content(text.replace('"logo.png"', '"cid:logo"'), "html")
        message.add_related(Path("logo.png").read_bytes(), "image", "png", cid="<logo>")
    else:
        message.set_content(text)
    return len(message.as_bytes())


def email_mime(case: Case) -> int:
    content = case.content
    text = MIMEText(SMALL_TEXT, "plain", "us-ascii")
    message: MIMEText | MIMEMultipart = text
    if content:
        message = MIMEMultipart()
        message.attach(text)
        part = MIMEApplication(content, "pdf", encoders.encode_base64, name="report.pdf")
        part.add_header("Content-Disposition", "attachment", filename="report.pdf")
        message.attach(part)
    message["Date"] = format_datetime(DATE)
    message["From"] = SENDER
    message["To"] = RECIPIENT
    message["Subject"] = SUBJECT
    message["Message-ID"] = MESSAGE_ID
    return len(message.as_bytes())


Composer = Callable[[Case], int]
COMPOSERS: dict[str, Composer] = {
    "asyncnet": ours,
    "asyncnet + addresses": ours_with_reading,
    "EmailMessage": email_message,
    "email.mime": email_mime,
}
WITH_FILE: dict[str, Composer] = {
    "asyncnet": ours_with_file,
    "EmailMessage": email_message_with_file,
}
YARDSTICK = "EmailMessage"


def composers(case: Case) -> dict[str, Composer]:
    return WITH_FILE if case.file else COMPOSERS


def seconds_each(composer: Composer, case: Case, repeats: int) -> float:
    begun = time.perf_counter()
    for _ in range(repeats):
        composer(case)
    return (time.perf_counter() - begun) / repeats


def rounds(case: Case) -> Iterator[dict[str, float]]:
    """Seconds per message of every composer, round by round; fast ones are repeated more."""
    for name, composer in composers(case).items():
        seconds_each(composer, case, 1 if name != "asyncnet" else 3)  # warm
    gc.disable()  # its passes would fall on whoever is running
    try:
        for _ in range(ROUNDS if case.repeats > 1 else 3):
            yield {
                name: seconds_each(
                    composer,
                    case,
                    case.repeats * (10 if name.startswith("asyncnet") and not case.file else 1),
                )
                for name, composer in composers(case).items()
            }
            gc.collect()
    finally:
        gc.enable()


def peak_octets(composer: Composer, case: Case) -> int:
    """The most memory that composing held at once, above what was there before."""
    gc.collect()
    tracemalloc.start()
    try:
        composer(case)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def ratio_of(name: str, measured: list[dict[str, float]]) -> float:
    return statistics.median(one[YARDSTICK] / one[name] for one in measured)


def verdict(case: Case, measured: list[dict[str, float]]) -> str | None:
    if case.must is None or case.goal is None:
        return None
    value, unit = ratio_of("asyncnet", measured), "x EmailMessage"
    if case.per_s and case.content:
        took_s = statistics.median(one["asyncnet"] for one in measured)
        value, unit = len(case.content) / MEGABYTE / took_s, " MB/s"
    reached = "goal" if value >= case.goal else "must" if value >= case.must else "nothing"
    return f"must {case.must:g}, goal {case.goal:g}{unit}; reached: {reached}"


def shown_peak(octets: int) -> str:
    return f"{octets / MEGABYTE:.1f} MB" if octets >= MEGABYTE else f"{octets / 1000:.0f} KB"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("logo.png").write_bytes(b"\x89PNG")
        compare()


def compare() -> None:
    console = Console()
    for case in CASES:
        if case.file:
            Path("body").write_bytes(case.content or b"")
        measured = list(rounds(case))
        table = Table(title=case.name, caption=verdict(case, measured))
        for column in ("composer", "time", "content", "ratio", "peak memory"):
            table.add_column(column, justify="left" if column == "composer" else "right")
        for name, composer in composers(case).items():
            took_s = statistics.median(one[name] for one in measured)
            rate = f"{len(case.content) / MEGABYTE / took_s:,.0f} MB/s" if case.content else ""
            table.add_row(
                name,
                f"{took_s * 1e6:,.1f} µs" if took_s < 0.01 else f"{took_s * 1e3:,.1f} ms",
                rate,
                f"{ratio_of(name, measured):,.1f}x",
                shown_peak(peak_octets(composer, case)),
            )
        console.print(table)


if __name__ == "__main__":
    main()
