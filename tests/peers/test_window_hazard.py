"""Why a window of messages has RSET before every MAIL: what Exim makes of one without.

Written octet by octet, whatever our client does: three messages in one write (RFC 3030), the
only recipient of the middle one refused.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from tests.support.peers.exim import exim
from tests.support.peers.peer import HOST, REFUSED, Peer
from tests.support.peers.postfix import postfix

RIGHT = {("a1@example.org", "b1@example.org"): 1, ("a3@example.org", "b3@example.org"): 1}
# The third message under the second one's sender, and no word of it in any reply.
WRONG = {("a1@example.org", "b1@example.org"): 1, ("a2@example.org", "b3@example.org"): 1}


async def send_window(peer: Peer, *, rset: bool) -> None:
    """Returns when the server has answered everything and closed."""
    reader, writer = await asyncio.open_connection(HOST, peer.port)
    await reader.readuntil(b"\r\n")
    writer.write(b"EHLO client.example.test\r\n")
    await reader.readuntil(b"\r\n250 ")  # the last line of it has begun
    for number, recipient in ((1, "b1@example.org"), (2, REFUSED), (3, "b3@example.org")):
        content = b"From: a%d@example.org\r\nSubject: m%d\r\n\r\nhello\r\n" % (number, number)
        writer.write(
            (b"RSET\r\n" if rset else b"")
            + b"MAIL FROM:<a%d@example.org>\r\n" % number
            + b"RCPT TO:<%b>\r\n" % recipient.encode()
            + b"BDAT %d LAST\r\n%b" % (len(content), content)
        )
    writer.write(b"QUIT\r\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("start", [postfix, exim])
async def test_with_rset_each_message_comes_under_its_own_sender(
    start: Callable[[], AbstractAsyncContextManager[Peer]],
) -> None:
    async with start() as peer:
        await send_window(peer, rset=True)
        await peer.inbox.wait_for(2)
        assert peer.inbox.deliveries == RIGHT


async def test_without_rset_exim_takes_one_senders_message_for_anothers() -> None:
    # Should this fail one day, Exim was mended; those that are not will be met for years.
    async with exim() as peer:
        await send_window(peer, rset=False)
        await peer.inbox.wait_for(2)
        assert peer.inbox.deliveries == WRONG
