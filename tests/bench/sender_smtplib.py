"""smtplib as a sender process, connections kept, a thread each; `email` where it composes.

python -m tests.bench.sender_smtplib JOB
"""

import smtplib
import threading
from collections.abc import Iterator

from tests.bench.child import (
    READY,
    SENDER,
    Job,
    email_message,
    wait_for_end,
    wait_for_start,
)


def send(client: smtplib.SMTP, job: Job, *, small: bool = False) -> None:
    if job.compose:
        client.send_message(email_message(job, small=small), SENDER, job.addresses)
    else:
        client.sendmail(SENDER, job.addresses, READY)


def main(job: Job) -> None:
    clients = [smtplib.SMTP("127.0.0.1", job.port) for _ in range(job.connections)]
    for client in clients:
        for _ in range(job.warm):
            send(client, job, small=True)
    numbers = iter(range(job.messages))
    taking = threading.Lock()

    def worker(client: smtplib.SMTP) -> None:
        for _ in shared(numbers, taking):
            send(client, job)

    begun_s = wait_for_start()
    threads = [threading.Thread(target=worker, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for_end(begun_s)


def shared(numbers: Iterator[int], taking: threading.Lock) -> Iterator[int]:
    """The numbers, each for one thread alone."""
    while True:
        with taking:
            number = next(numbers, None)
        if number is None:
            return
        yield number


if __name__ == "__main__":
    main(Job.from_argument())
