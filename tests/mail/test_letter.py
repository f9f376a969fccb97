"""Content that lies in memory."""

import pytest

from asyncnet.mail.letter import BLOCK_OCTETS, Octets


@pytest.mark.parametrize(
    "octets", [0, 1, BLOCK_OCTETS - 1, BLOCK_OCTETS, BLOCK_OCTETS + 1, 200_000]
)
def test_octets_come_in_whole_blocks_and_again_the_same(octets: int) -> None:
    content = Octets(bytes(range(256)) * (octets // 256) + bytes(octets % 256))
    blocks = list(content.blocks())
    assert content.octets == octets
    assert b"".join(blocks) == content.data
    assert all(len(block) == BLOCK_OCTETS for block in blocks[:-1])
    assert list(content.blocks()) == blocks
