"""The sink's Maildir as tests see it: read it, and wait for what another process puts in.

In the sink's own process, `await sink.wait_for(n)` is simpler.
"""

import asyncio
from pathlib import Path

from asyncinotify import Inotify, Mask

from asyncnet.lab.maildir import StoredMail, prepare, read_all

PATIENCE_S = 10.0


def read_maildir(path: Path) -> list[StoredMail]:
    """Every mail with its envelope, its content octet by octet, and `.message` parsed.

    In the order of arrival; [] where there is no Maildir yet.
    """
    return read_all(path)


async def wait_for_mail(path: Path, count: int, timeout_s: float = PATIENCE_S) -> list[StoredMail]:
    """Every mail, once there are at least count of them.

    Woken by the rename that ends each delivery, whichever process does it.  Raises
    AssertionError after timeout_s, with what has come until then.
    """
    prepare(path)  # a folder can only be watched when it is there
    with Inotify() as inotify:
        inotify.add_watch(path / "new", Mask.MOVED_TO)
        try:
            async with asyncio.timeout(timeout_s):
                while len(mails := read_maildir(path)) < count:
                    await inotify.get()
        except TimeoutError:
            came = [mail.recipients for mail in read_maildir(path)]
            raise AssertionError(
                f"{count} mails expected within {timeout_s} s; came: {came}"
            ) from None
    return mails
