"""What every sender process of the sending benchmark has in common: its job, and when to begin.

The standard library alone: peers run in an environment of their own, without the product.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path

SENDER = "ann@example.org"
SUBJECT = "The report of the night"
# With its header about 1,150 octets: as many as smtp-source sends with -l 1024.
LINES = "All 1,204 checks went well; the next run is at six o'clock tomorrow.\r\n" * 13
READY = (
    f"From: Ann Clark <{SENDER}>\r\nTo: bob@example.com\r\nSubject: {SUBJECT}\r\n"
    f"Message-ID: <01JDX0V6S3N2K7@example.org>\r\nMIME-Version: 1.0\r\n\r\n{LINES}"
).encode()


@dataclass(frozen=True)
class Job:
    """How much to send, where to, and how.

    compose: a message is built from its parts each time (else READY is sent); file: what is
    attached then, "" for nothing.  warm: small messages by each connection before it counts.
    """

    port: int
    connections: int
    messages: int
    recipients: int = 1
    compose: bool = False
    file: str = ""
    warm: int = 1
    window: int = 1

    def argument(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls) -> "Job":
        return cls(**json.loads(sys.argv[-1]))

    @property
    def addresses(self) -> list[str]:
        return [f"bob{number}@example.com" for number in range(self.recipients)]


def wait_for_start() -> float:
    """Say that all is prepared, and return when the measuring begins: what wait_for_end needs."""
    print("ready", flush=True)
    if not sys.stdin.readline():
        sys.exit("nobody measures any more")
    return time.process_time()


def wait_for_end(begun_s: float) -> None:
    """Say that all was sent, in how much processor time, and stay, to be looked at."""
    print("done", time.process_time() - begun_s, flush=True)
    sys.stdin.read()


def email_message(job: Job, *, small: bool) -> EmailMessage:
    """The message as a user of the standard library builds it."""
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Ann Clark <{SENDER}>"
    message["To"] = "bob@example.com"
    message["Subject"] = SUBJECT
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="example.org")
    message.set_content(LINES.replace("\r\n", "\n"))
    if job.file and not small:
        message.add_attachment(
            Path(job.file).read_bytes(),
            maintype="application",
            subtype="pdf",
            filename="report.pdf",
        )
    return message
